// Package caa reads what the owner of a name allows by CAA records (RFC 8659), with the
// account and the methods that they may be bound to (RFC 8657).
package caa

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"chatelaine.dev/internal/pki/validation/resolver"
)

// Lookup asks for the CAA records of exactly one name. *resolver.Resolver is one.
type Lookup interface {
	CAA(ctx context.Context, name string) ([]resolver.Record, error)
}

// Checker decides whether we may issue for a name.
type Checker struct {
	Lookup Lookup
	// Identities are the issuer domain names that mean us, in lower case.
	Identities []string
}

// Question is one name that is to be certified.
type Question struct {
	Name    string // a DNS name in lower case; "*." before it for a wildcard
	Account string // URI of the ACME account; empty when there is none
	Method  string // how the name was validated, such as "dns-01"
}

// Refusal says that the records of a name forbid the issuance.
type Refusal struct {
	Name string // whose records forbid it
	Why  string
}

func (r *Refusal) Error() string { return fmt.Sprintf("CAA records of %s: %s", r.Name, r.Why) }

// Check returns nil when the issuance is allowed, a *Refusal when it is not, and another
// error when the records could not be had: then nothing may be issued (RFC 8659 section 3).
func (c Checker) Check(ctx context.Context, q Question) error {
	name, wildcard := strings.CutPrefix(q.Name, "*.")
	for at := name; at != ""; _, at, _ = strings.Cut(at, ".") {
		records, err := c.Lookup.CAA(ctx, at)
		if err != nil {
			return err
		}
		if len(records) > 0 {
			return c.judge(at, records, wildcard, q)
		}
	}
	return nil
}

// judge reads the one relevant set of records (RFC 8659 section 4).
func (c Checker) judge(at string, records []resolver.Record, wildcard bool, q Question) error {
	var issue, issueWild []string
	for _, r := range records {
		switch r.Tag {
		case "issue":
			issue = append(issue, r.Value)
		case "issuewild":
			issueWild = append(issueWild, r.Value)
		case "iodef", "issuemail", "issuevmc", "contactemail", "contactphone":
		default:
			if r.Critical {
				return &Refusal{at, fmt.Sprintf("the critical property %.40q is not understood", r.Tag)}
			}
		}
	}
	relevant := issue
	if wildcard && len(issueWild) > 0 {
		relevant = issueWild
	}
	if len(relevant) == 0 {
		return nil // nothing here is about issuing this kind of name
	}
	why := "no issuer is allowed"
	for _, value := range relevant {
		reason := c.allows(value, q)
		if reason == "" {
			return nil
		}
		why = reason
	}
	return &Refusal{at, why}
}

// allows returns why one issue property does not allow it, or nothing when it does.
func (c Checker) allows(value string, q Question) string {
	domain, parameters, ok := parse(value)
	switch {
	case !ok:
		return "an issue property is malformed"
	case domain == "":
		return "no issuer is allowed"
	case !slices.Contains(c.Identities, domain):
		return fmt.Sprintf("the issuer allowed is %.80q; we are %q", domain, c.Identities)
	}
	accounts, methods := 0, 0
	for _, p := range parameters {
		switch p.tag {
		case "accounturi":
			if accounts++; p.value != q.Account {
				return "another account is allowed (RFC 8657)"
			}
		case "validationmethods":
			if methods++; !slices.Contains(strings.Split(p.value, ","), q.Method) {
				return fmt.Sprintf("the method %q is not among those allowed (RFC 8657)", q.Method)
			}
		}
	}
	if accounts > 1 || methods > 1 { // unsatisfiable: RFC 8657 sections 3 and 4
		return "a parameter is there twice"
	}
	return ""
}

type parameter struct{ tag, value string }

// parse reads an issue value by the grammar of RFC 8659 section 4.2. Only a value that fits
// it allows anything.
func parse(value string) (domain string, parameters []parameter, ok bool) {
	domain, rest, more := strings.Cut(value, ";")
	domain = strings.ToLower(trim(domain))
	if domain != "" && !validDomain(domain) {
		return "", nil, false
	}
	if !more || trim(rest) == "" {
		return domain, nil, true
	}
	for part := range strings.SplitSeq(rest, ";") {
		tag, v, found := strings.Cut(trim(part), "=")
		tag, v = strings.ToLower(trim(tag)), trim(v)
		if !found || !word(tag) || strings.ContainsFunc(v, func(c rune) bool { return c < '!' || c > '~' || c == ';' }) {
			return "", nil, false
		}
		parameters = append(parameters, parameter{tag, v})
	}
	return domain, parameters, true
}

func trim(s string) string { return strings.Trim(s, " \t") }

func validDomain(d string) bool {
	for label := range strings.SplitSeq(d, ".") {
		if !word(label) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// word is a run of letters, digits and hyphens.
func word(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}
