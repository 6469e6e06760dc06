package profile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Doors are the protocols that lead to a profile. One that is absent is closed.
type Doors struct {
	ACME *ACMEDoor `json:"acme,omitempty"`
	EST  *ESTDoor  `json:"est,omitempty"`
	SCEP *SCEPDoor `json:"scep,omitempty"`
}

// The challenges of ACME: RFC 8555 section 8 and RFC 8737.
const (
	HTTP01    = "http-01"
	DNS01     = "dns-01"
	TLSALPN01 = "tls-alpn-01"
)

// ACMEDoor opens /acme/{profile}/directory (RFC 8555).
type ACMEDoor struct {
	// Challenges by which a client may prove that a name is its own.
	Challenges []string `json:"challenges,omitempty"`
	// ExternalAccount wants every account bound to one that an operator made (RFC 8555
	// section 7.3.4).
	ExternalAccount bool `json:"externalAccount,omitempty"`
	// Names that may be asked for, as Allowed reads them.
	Names []string `json:"names,omitempty"`
	// Preauthorized are names that are valid without a challenge, in the same words: for
	// networks where nothing can be validated.
	Preauthorized []string `json:"preauthorized,omitempty"`
	// CAA records are looked up and obeyed (RFC 8659 and 8657).
	CAA bool `json:"caa,omitempty"`
}

// ESTDoor opens /.well-known/est/{profile}/ (RFC 7030).
type ESTDoor struct {
	Basic        bool     `json:"basic,omitempty"`        // HTTP basic authentication
	MutualTLS    bool     `json:"mutualTLS,omitempty"`    // a certificate of ours authenticates
	ServerKeygen bool     `json:"serverKeygen,omitempty"` // we may make the key
	Names        []string `json:"names,omitempty"`        // as ACMEDoor.Names
}

// SCEPDoor opens /scep/{profile} (RFC 8894).
type SCEPDoor struct {
	Challenge          bool     `json:"challenge,omitempty"`          // one-time passwords
	RenewByCertificate bool     `json:"renewByCertificate,omitempty"` // the old certificate authenticates
	Approval           bool     `json:"approval,omitempty"`           // a person agrees to each request
	Legacy             bool     `json:"legacy,omitempty"`             // DES, triple DES and SHA-1 too, for clients that know no better
	Names              []string `json:"names,omitempty"`              // as ACMEDoor.Names
}

// maxPatterns bounds one list of names.
const maxPatterns = 1000

// Allowed reports whether a DNS name or an IP address matches one of the patterns:
// "example.com" is that name, "*.example.com" every name below it at any depth, wildcards
// included, "10.0.0.0/8" every address within, "192.0.2.7" that address, and "*" every
// name. No patterns allow nothing.
func Allowed(patterns []string, name string) bool {
	if name == "" || strings.Contains(name, "/") {
		return false
	}
	low := strings.ToLower(name)
	a, err := netip.ParseAddr(low)
	address := err == nil && a.Zone() == ""
	return slices.ContainsFunc(patterns, func(p string) bool {
		switch {
		case p == "*":
			return true
		case address:
			return allowedAddress(p, a.Unmap())
		}
		below, ok := strings.CutPrefix(strings.ToLower(p), "*.")
		if !ok {
			return strings.ToLower(p) == low
		}
		return below != "" && strings.HasSuffix(low, "."+below) && len(low) > len(below)+1
	})
}

func allowedAddress(pattern string, a netip.Addr) bool {
	if net, err := netip.ParsePrefix(pattern); err == nil {
		return net.Contains(a)
	}
	one, err := netip.ParseAddr(pattern)
	return err == nil && one == a
}

// validPatterns refuses what Allowed would never match, so that a misspelt rule is not
// silently absent.
func validPatterns(field string, patterns []string) error {
	if len(patterns) > maxPatterns {
		return fmt.Errorf("%s: %d names, at most %d", field, len(patterns), maxPatterns)
	}
	for _, p := range patterns {
		if p == "*" || validAddress(p) {
			continue
		}
		if strings.Contains(p, "/") {
			return fmt.Errorf("%s: %q is no network such as 10.0.0.0/8, with all bits behind the mask 0", field, p)
		}
		if _, err := (NameRules{SingleLabel: true}).dns(strings.TrimPrefix(p, "*.")); err != nil || strings.Contains(p[1:], "*") {
			return fmt.Errorf("%s: %q is none of example.com, *.example.com, 10.0.0.0/8, 192.0.2.7 and *", field, p)
		}
	}
	return nil
}

func validAddress(p string) bool {
	if net, err := netip.ParsePrefix(p); err == nil {
		return net == net.Masked() && !net.Addr().Is4In6()
	}
	a, err := netip.ParseAddr(p)
	return err == nil && a.Zone() == "" && !a.Is4In6()
}

// valid checks the doors as data. One that is open but lets nobody in is a mistake.
func (d Doors) valid() error {
	var errs []error
	if a := d.ACME; a != nil {
		errs = append(errs, a.valid())
	}
	if e := d.EST; e != nil {
		errs = append(errs, validPatterns("doors: est: names", e.Names))
		if !e.Basic && !e.MutualTLS {
			errs = append(errs, errors.New("doors: est: set basic or mutualTLS, or leave the door out"))
		}
	}
	if s := d.SCEP; s != nil {
		errs = append(errs, validPatterns("doors: scep: names", s.Names))
		if !s.Challenge && !s.RenewByCertificate && !s.Approval {
			errs = append(errs, errors.New("doors: scep: set challenge, renewByCertificate or approval, or leave the door out"))
		}
	}
	return errors.Join(errs...)
}

func (a ACMEDoor) valid() error {
	known := []string{HTTP01, DNS01, TLSALPN01}
	for _, c := range a.Challenges {
		if !slices.Contains(known, c) {
			return fmt.Errorf("doors: acme: challenge %q is unknown; use some of %q", c, known)
		}
	}
	if len(a.Challenges) == 0 && len(a.Preauthorized) == 0 {
		return errors.New("doors: acme: name a challenge or a preauthorized name, or leave the door out")
	}
	return errors.Join(validPatterns("doors: acme: names", a.Names), validPatterns("doors: acme: preauthorized", a.Preauthorized))
}
