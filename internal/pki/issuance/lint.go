package issuance

import (
	"fmt"
	"slices"
	"strings"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"chatelaine.dev/internal/fault"
)

// Linter looks for what the standards forbid. Rules that bind only publicly trusted
// authorities are left out unless a profile claims them.
type Linter struct{ basic lint.Registry }

// basics are the lint sources that every certificate must pass.
func basics() lint.SourceList {
	return lint.SourceList{lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC6960, lint.RFC6962, lint.RFC8813, lint.Community}
}

// NewLinter makes a Linter.
func NewLinter() (*Linter, error) {
	r, err := registry(nil)
	return &Linter{basic: r}, err
}

func registry(standards []string) (lint.Registry, error) {
	sources := basics()
	for _, s := range standards {
		var list lint.SourceList
		if err := list.FromString(s); err != nil || len(list) != 1 {
			return nil, fmt.Errorf("standard %q is none that zlint knows", s)
		}
		sources = append(sources, list...)
	}
	return lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: sources})
}

// Check lints a certificate in DER. fault.Invalid names the rules that it breaks.
func (l *Linter) Check(der []byte, standards []string) (err error) {
	defer func() { // the lints read what a caller chose
		if p := recover(); p != nil {
			err = fmt.Errorf("lint: panic: %v", p)
		}
	}()
	rules := l.basic
	if len(standards) > 0 {
		if rules, err = registry(standards); err != nil {
			return err
		}
	}
	cert, err := zx509.ParseCertificate(der)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "LintRefused", "the certificate would not be readable everywhere")
	}
	var broken []string
	for name, r := range zlint.LintCertificateEx(cert, rules).Results {
		if r.Status == lint.Error || r.Status == lint.Fatal {
			broken = append(broken, strings.TrimSpace(name+" "+r.Details))
		}
	}
	if len(broken) == 0 {
		return nil
	}
	slices.Sort(broken)
	return fault.New(fault.Invalid, "LintRefused", "the certificate would break these rules of the standards; change the request or the profile: %s", strings.Join(broken, "; "))
}
