package policy

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
)

const (
	renew = "Renew it and install the new one."
	rekey = "Issue a new certificate with a new key, install it and revoke this one."
)

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

func revoked(s *subject) []Finding {
	if s.RevokedAt.IsZero() {
		return nil
	}
	f := Finding{Rule: "revoked", Severity: inventory.Critical, Since: s.RevokedAt,
		Message: "revoked on " + day(s.RevokedAt), WhatToDo: "Replace it wherever it is still installed."}
	if s.retired() {
		f.Severity, f.WhatToDo = inventory.Info, retiredText
	}
	return []Finding{f}
}

const retiredText = "Nothing: it is not installed anywhere any more."

// retired reports whether the certificate was installed, but is not any more.
func (s *subject) retired() bool {
	return len(s.Installations) > 0 &&
		!slices.ContainsFunc(s.Installations, func(i inventory.Installation) bool { return i.Current && i.State != inventory.Missing })
}

func expired(s *subject) []Finding {
	c := s.Certificate
	if !c.Expired(s.Now) {
		return nil
	}
	f := Finding{Rule: "expired", Severity: inventory.Critical, Since: c.NotAfter,
		Message: "expired on " + day(c.NotAfter), WhatToDo: renew, Source: "RFC 5280, 4.1.2.5"}
	if s.retired() {
		f.Severity, f.WhatToDo = inventory.Info, retiredText
	}
	return []Finding{f}
}

func notYetValid(s *subject) []Finding {
	c := s.Certificate
	if c.NotBefore.IsZero() || !s.Now.Before(c.NotBefore) {
		return nil
	}
	var since time.Time // the earliest sighting
	for _, i := range s.Installations {
		if since.IsZero() || i.FirstSeen.Before(since) {
			since = i.FirstSeen
		}
	}
	return []Finding{{Rule: "not-yet-valid", Severity: inventory.Medium, Since: since,
		Message: "valid from " + day(c.NotBefore) + " on", WhatToDo: "Wait, or compare the clocks of the CA and this machine.", Source: "RFC 5280, 4.1.2.5"}}
}

// expiring becomes severe in the last tenth of a life, or its last week if that is shorter.
func expiring(s *subject) []Finding {
	c := s.Certificate
	if c.NotAfter.IsZero() || c.NotBefore.IsZero() || c.Expired(s.Now) || s.Now.Before(c.NotBefore) {
		return nil
	}
	from := inventory.ExpiringFrom(c.NotBefore, c.NotAfter)
	if s.Now.Before(from) {
		return nil
	}
	f := Finding{Rule: "expiring", Severity: inventory.Medium, Since: from, Message: "expires on " + day(c.NotAfter), WhatToDo: renew}
	if c.NotAfter.Sub(s.Now) <= min(7*24*time.Hour, c.Lifetime()/10) {
		f.Severity = inventory.High
	}
	if s.retired() {
		f.Severity, f.WhatToDo = inventory.Info, retiredText
	}
	return []Finding{f}
}

func weakKey(s *subject) []Finding {
	k := s.Certificate.Key
	var found []Finding
	var sizes []KeySize
	for _, l := range s.limits.Keys {
		if l.Algorithm == k.Algorithm && k.Size > 0 && k.Size < l.Below {
			sizes = append(sizes, l)
		}
	}
	if l, ok := worst(sizes, s.Now, s.limits.Costs); ok {
		message := fmt.Sprintf("%s key of %d bits, where %d are the least", k.Algorithm, k.Size, leastBits(s.limits.Keys, k.Algorithm))
		if k.Algorithm == "DSA" {
			message = fmt.Sprintf("DSA key of %d bits; nobody should use DSA any more", k.Size)
		}
		found = append(found, s.finding("weak-key", l, message, rekey))
	}
	if k.Algorithm != "RSA" && k.Algorithm != "RSA-PSS" {
		return found
	}
	var exponents []Exponent
	if e, ok := new(big.Int).SetString(k.Exponent, 10); ok {
		for _, l := range s.limits.Exponents {
			even := e.Bit(0) == 0 && l.Severity == inventory.Critical // no RSA key at all
			if even || e.Cmp(new(big.Int).SetUint64(l.Below)) < 0 {
				exponents = append(exponents, l)
			}
		}
	}
	if l, ok := worst(exponents, s.Now, s.limits.Costs); ok {
		found = append(found, s.finding("weak-key", l, "RSA key with the public exponent "+k.Exponent, rekey))
	}
	return found
}

// leastBits is the smallest size that no limit calls weak.
func leastBits(limits []KeySize, algorithm string) int {
	least := 0
	for _, l := range limits {
		if l.Algorithm == algorithm {
			least = max(least, l.Below)
		}
	}
	return least
}

// finding is a finding about the content, which is true since it was issued or since the limit holds.
func (s *subject) finding(rule string, l Limit, message, what string) Finding {
	return Finding{Rule: rule, Severity: l.Severity, Message: message, WhatToDo: what,
		Since: later(s.Certificate.NotBefore, l.From.Time), Source: l.Source}
}

// weakSignature passes over roots: nobody relies on the signature that a root makes on itself.
func weakSignature(s *subject) []Finding {
	c := s.Certificate
	if c.SelfSigned && c.CA {
		return nil
	}
	for _, l := range s.limits.Hashes {
		if l.Hash == c.Signature.Hash && !s.Now.Before(l.From.Time) {
			return []Finding{s.finding("weak-signature", l.Limit, "signed with "+c.Signature.Algorithm+"; collisions of "+l.Hash+" can be made", renew)}
		}
	}
	return nil
}

// validity measures by the rule of the day of issuance.
func validity(s *subject) []Finding {
	c := s.Certificate
	if c.CA || c.Lifetime() == 0 {
		return nil
	}
	audience := PrivateUse
	if s.trust == inventory.Public {
		audience = PublicWeb
	}
	l, ok := s.limits.validity(audience, c.ExtKeyUsage, c.NotBefore)
	most := time.Duration(l.Days) * 24 * time.Hour
	if audience == PrivateUse {
		most += time.Second // only the Baseline Requirements count the last second too
	}
	if !ok || c.Lifetime() <= most {
		return nil
	}
	return []Finding{s.finding("long-validity", l.Limit,
		fmt.Sprintf("valid for %d days; %d were the most on the day it was issued", int(c.Lifetime().Hours()/24), l.Days), "Issue a shorter one, and renew by machine.")}
}

func selfSigned(s *subject) []Finding {
	if s.trust != inventory.SelfSigned || s.Certificate.CA && len(s.Installations) == 0 {
		return nil // a root in a chain is self-signed by nature
	}
	return []Finding{{Rule: "self-signed", Severity: inventory.High, Since: s.Certificate.NotBefore,
		Message:  "signed by its own key: nobody vouches for it, and it cannot be revoked",
		WhatToDo: "Replace it with a certificate of a CA, or make it known as a root."}}
}

func unknownIssuer(s *subject) []Finding {
	if s.trust != inventory.Unknown || s.Certificate.Issuer == "" && s.Certificate.Parser == inventory.Raw {
		return nil
	}
	return []Finding{{Rule: "unknown-issuer", Severity: inventory.High, Since: s.Certificate.NotBefore,
		Message:  "does not descend from a root that is known here; it names " + s.Certificate.Issuer + " as its issuer",
		WhatToDo: "Serve the missing intermediates, make the root known if it is yours, or replace the certificate."}}
}

func missingSAN(s *subject) []Finding {
	c := s.Certificate
	if !s.server() || c.Parser == inventory.Raw {
		return nil
	}
	for _, n := range c.Names {
		if n.Kind == inventory.DNS || n.Kind == inventory.IP {
			return nil
		}
	}
	return []Finding{s.finding("missing-san", s.limits.Names,
		"no DNS name or address in the subject alternative name; clients do not look at the common name", "Issue a new one that names its hosts.")}
}

// hostnameMismatch looks at every place that was asked for by name. Places that were
// found by address say nothing, for nobody calls a service by its address on purpose there.
func hostnameMismatch(s *subject) []Finding {
	names := s.Certificate.DNSNames()
	if len(names) == 0 {
		return nil // missing-san says it once
	}
	var found []Finding
	for _, i := range s.Installations {
		if i.SNI == "" || !i.Current || i.State == inventory.Missing || Matches(names, i.SNI) {
			continue
		}
		found = append(found, Finding{Rule: "hostname-mismatch", Severity: inventory.High, Since: i.FirstSeen, Place: i.ID,
			Message:  "is served for " + i.SNI + ", which it does not name",
			WhatToDo: "Install a certificate for " + i.SNI + " there.", Source: "RFC 9525, 6"})
	}
	return found
}

// Matches reports whether one of a certificate's DNS names is good for a host (RFC 9525
// section 6.3): the same name, or a wildcard in place of its first label alone.
func Matches(names []string, host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	_, parent, dotted := strings.Cut(host, ".")
	return slices.ContainsFunc(names, func(n string) bool {
		n = strings.TrimSuffix(strings.ToLower(n), ".")
		return n == host || dotted && parent != "" && n == "*."+parent
	})
}

// usage looks for usages that a public server certificate may not have, or soon may not.
func usage(s *subject) []Finding {
	c := s.Certificate
	if s.trust != inventory.Public || !slices.Contains(c.ExtKeyUsage, "serverAuth") {
		return nil
	}
	var found []Finding
	for _, l := range s.limits.Usages {
		if !slices.Contains(c.ExtKeyUsage, l.Usage) || s.Now.Before(l.Announced.Time) || c.Expired(s.Now) {
			continue
		}
		f := s.finding("forbidden-usage", l.Limit, "has the usage "+l.Usage+" beside serverAuth", "Use two certificates, one of them from a private CA.")
		if c.NotBefore.Before(l.From.Time) {
			f.Severity, f.Since = inventory.Low, later(c.NotBefore, l.Announced.Time)
			f.Message += "; none that is issued from " + day(l.From.Time) + " on may"
		}
		found = append(found, f)
	}
	return found
}

func legacyProtocol(s *subject) []Finding {
	var found []Finding
	for _, i := range s.Installations {
		if i.TLS == nil || !i.Current || i.State == inventory.Missing {
			continue
		}
		for _, l := range s.limits.Protocols {
			if slices.Contains(i.TLS.Versions, l.Version) && !s.Now.Before(l.From.Time) {
				found = append(found, Finding{Rule: "legacy-protocol", Severity: l.Severity, Since: later(i.FirstSeen, l.From.Time), Place: i.ID,
					Message: i.Place.String() + " accepts " + l.Version, WhatToDo: "Allow TLS 1.2 and 1.3 only.", Source: l.Source})
			}
		}
	}
	return found
}

func unreadable(s *subject) []Finding {
	c := s.Certificate
	f := Finding{Rule: "malformed", Since: c.NotBefore, WhatToDo: "Issue a new one; strict software refuses this one.", Source: "RFC 5280"}
	switch c.Parser {
	case inventory.Lenient:
		f.Severity, f.Message = inventory.Low, "strict parsers refuse it: "+c.ParseError
	case inventory.Raw:
		f.Severity, f.Message = inventory.High, "no parser reads it: "+c.ParseError
	default:
		return nil
	}
	return []Finding{f}
}
