package issuance

import (
	"crypto/elliptic"
	"fmt"
	"slices"
	"strings"
	"sync"

	zx509 "github.com/zmap/zcrypto/x509"
	_ "github.com/zmap/zlint/v3" // registers its lints
	"github.com/zmap/zlint/v3/lint"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/weak"
)

// Linter looks for what the standards forbid. Rules that bind only publicly trusted
// authorities are left out unless a profile claims them.
type Linter struct {
	mu   sync.Mutex
	sets map[string]*rules // by the standards, joined
}

// rules are the lints of one set of standards.
type rules struct {
	lints  []*lint.CertificateLint
	config lint.Configuration
}

// basics are the lint sources that every certificate must pass.
func basics() lint.SourceList {
	return lint.SourceList{lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC6960, lint.RFC6962, lint.RFC8813, lint.Community}
}

// besides are lints that say nothing about a certificate of ours. That of a compromised
// authority compares with one name and key, which are not ours, and takes milliseconds.
func besides() []string { return []string{"e_cert_issued_by_compromised_emudhra_ca"} }

// NewLinter makes a Linter.
func NewLinter() (*Linter, error) {
	l := &Linter{sets: map[string]*rules{}}
	_, err := l.rules(nil)
	return l, err
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
	return lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: sources, ExcludeNames: besides()})
}

// rules returns the lints of some standards. There are few sets, for profiles name them.
func (l *Linter) rules(standards []string) (*rules, error) {
	key := strings.Join(standards, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.sets[key]; ok {
		return r, nil
	}
	from, err := registry(standards)
	if err != nil {
		return nil, err
	}
	r := &rules{lints: from.CertificateLints().Lints(), config: from.GetConfiguration()}
	l.sets[key] = r
	return r, nil
}

// CheckStandards refuses a profile that claims a standard that no lint checks.
func CheckStandards(p profile.Profile) error {
	_, err := registry(p.Standards)
	return err
}

// Broken is a rule that a certificate breaks.
type Broken struct {
	Rule   string // of zlint, or "own_…"
	Detail string
}

// Check lints a certificate in DER. fault.Invalid names the rules that it breaks.
func (l *Linter) Check(der []byte, standards []string) error {
	broken, err := l.Find(der, standards)
	if err != nil || len(broken) == 0 {
		return err
	}
	text := make([]string, len(broken))
	for i, b := range broken {
		text[i] = strings.TrimSpace(b.Rule + " " + b.Detail)
	}
	return fault.New(fault.Invalid, "LintRefused", "the certificate would break these rules of the standards; change the request or the profile: %s", strings.Join(text, "; "))
}

// Find lints a certificate in DER and returns the rules that it breaks, by name.
// fault.Invalid when it cannot be read.
func (l *Linter) Find(der []byte, standards []string) (broken []Broken, err error) {
	defer func() { // the lints read what a caller chose
		if p := recover(); p != nil {
			err = fmt.Errorf("lint: panic: %v", p)
		}
	}()
	r, err := l.rules(standards)
	if err != nil {
		return nil, err
	}
	cert, err := zx509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "LintRefused", "the certificate would not be readable everywhere")
	}
	small := maybeSmall(cert)
	for _, x := range r.lints {
		if x.Name == smallKeyLint && !small {
			continue
		}
		if found := x.Execute(cert, r.config); found.Status == lint.Error || found.Status == lint.Fatal {
			broken = append(broken, Broken{x.Name, found.Details})
		}
	}
	broken = append(broken, ownRules(cert)...)
	slices.SortFunc(broken, func(a, b Broken) int { return strings.Compare(a.Rule, b.Rule) })
	return broken, nil
}

// smallKeyLint searches for a private key among the small numbers, for longer than all
// other lints together take.
const smallKeyLint = "e_ecdsa_small_private_key"

// maybeSmall is false where a table says at once that the search would find nothing.
func maybeSmall(c *zx509.Certificate) bool {
	augmented, ok := c.PublicKey.(*zx509.AugmentedECDSA)
	if !ok {
		return true
	}
	k := augmented.Pub
	if k == nil || k.Curve != elliptic.P256() || k.X == nil || k.X.Sign() < 0 || k.X.BitLen() > 256 { //nolint:staticcheck // zcrypto's keys are big numbers
		return true
	}
	var x [32]byte
	k.X.FillBytes(x[:]) //nolint:staticcheck // as above
	return weak.MaybeSmall(x)
}
