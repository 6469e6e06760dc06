package issuance

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
)

// constrained reports whether some authority of the chain limits what those below may name.
func (i Issuer) constrained() bool {
	return slices.ContainsFunc(i.authorities(), constrains)
}

func constrains(ca *x509.Certificate) bool {
	return len(ca.PermittedDNSDomains)+len(ca.ExcludedDNSDomains)+len(ca.PermittedIPRanges)+len(ca.ExcludedIPRanges)+
		len(ca.PermittedEmailAddresses)+len(ca.ExcludedEmailAddresses)+len(ca.PermittedURIDomains)+len(ca.ExcludedURIDomains) > 0
}

// authorities are the certificates that a new one will have above it, the issuer's first.
func (i Issuer) authorities() []*x509.Certificate {
	if i.Certificate == nil {
		return nil
	}
	return append([]*x509.Certificate{i.Certificate}, i.Above...)
}

// CheckPath refuses an authority below this one that a path length of the chain forbids
// (RFC 5280 section 4.2.1.9). below is how many more the new one shall have under it, or
// -1 for any number.
func (i Issuer) CheckPath(below int) error {
	for depth, ca := range i.authorities() {
		if ca.MaxPathLen < 0 || ca.MaxPathLen == 0 && !ca.MaxPathLenZero {
			continue
		}
		switch left := ca.MaxPathLen - depth - 1; {
		case left < 0:
			return fault.New(fault.Invalid, "PathTooLong", "%s may not have another authority below %s; its path length is %d", ca.Subject, i.ID, ca.MaxPathLen)
		case below < 0 || below > left:
			return fault.New(fault.Invalid, "PathTooLong", "below %s an authority can have a path length of at most %d, because that of %s is %d", i.ID, left, ca.Subject, ca.MaxPathLen)
		}
	}
	return nil
}

// allowed refuses a certificate that would not verify below its issuer: every name must be
// within what each authority of the chain permits, and in nothing that one excludes.
// All kinds of names are looked at as verifiers do (RFC 5280 section 4.2.1.10); a common
// name that looks like a host counts when there is no DNS name, because OpenSSL does that.
//
// It reads the drafted bytes, so that no way to put a name into a template is forgotten.
func (o Order) allowed(d draft) error {
	constrained := o.Issuer.constrained()
	if !constrained && !o.certifies() {
		return nil // nearly always
	}
	der, err := d.lint()
	if err != nil {
		return err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "LintRefused", "the certificate would not be readable everywhere")
	}
	if c.IsCA {
		if err := o.Issuer.CheckPath(pathLength(c)); err != nil {
			return err
		}
	}
	for _, ca := range o.Issuer.authorities() {
		if err := withinAll(ca, c); err != nil {
			return err
		}
	}
	return nil
}

// certifies reports whether the certificate may be one of an authority.
func (o Order) certifies() bool {
	return o.Template.IsCA || slices.ContainsFunc(o.Template.ExtraExtensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 19}) // basicConstraints
	})
}

func pathLength(c *x509.Certificate) int {
	if c.MaxPathLen == 0 && !c.MaxPathLenZero {
		return -1
	}
	return c.MaxPathLen
}

func withinAll(ca, c *x509.Certificate) error {
	if !constrains(ca) {
		return nil
	}
	for _, check := range []func(ca, c *x509.Certificate) error{withinDNS, withinIP, withinEmail, withinURI} {
		if err := check(ca, c); err != nil {
			return err
		}
	}
	return nil
}

func withinDNS(ca, c *x509.Certificate) error {
	names := c.DNSNames
	if len(names) == 0 && !c.IsCA && hostlike(c.Subject.CommonName) {
		names = []string{c.Subject.CommonName}
	}
	limits := bases[string]{ca.PermittedDNSDomains, ca.ExcludedDNSDomains, dnsBelow, dnsMeets}
	for _, n := range names {
		if !limits.allow(n) {
			return outside(ca, "DNS name", n)
		}
	}
	return nil
}

func withinIP(ca, c *x509.Certificate) error {
	for _, a := range c.IPAddresses {
		contains := func(_ string, n *net.IPNet) bool { return n.Contains(a) }
		if !(bases[*net.IPNet]{ca.PermittedIPRanges, ca.ExcludedIPRanges, contains, contains}).allow("") {
			return outside(ca, "IP address", a.String())
		}
	}
	return nil
}

func withinEmail(ca, c *x509.Certificate) error {
	names := c.EmailAddresses
	for _, a := range c.Subject.Names { // emailAddress of a subject counts too
		if text, ok := a.Value.(string); ok && a.Type.String() == "1.2.840.113549.1.9.1" {
			names = append(names[:len(names):len(names)], text)
		}
	}
	email := func(host func(host, base string) bool) func(name, base string) bool {
		return func(name, base string) bool { return emailBelow(name, base, host) }
	}
	limits := bases[string]{ca.PermittedEmailAddresses, ca.ExcludedEmailAddresses, email(hostBelow), email(hostMeets)}
	for _, n := range names {
		if !limits.allow(n) {
			return outside(ca, "e-mail address", n)
		}
	}
	return nil
}

func withinURI(ca, c *x509.Certificate) error {
	limits := bases[string]{ca.PermittedURIDomains, ca.ExcludedURIDomains, hostBelow, hostMeets}
	for _, u := range c.URIs {
		host := strings.TrimSuffix(u.Hostname(), ".")
		// A URI without a host name cannot be held to a constraint (RFC 5280); crypto/x509
		// refuses it below constraints of any kind.
		if host == "" || net.ParseIP(host) != nil || !limits.allow(host) {
			return outside(ca, "URI", u.String())
		}
	}
	return nil
}

// bases are the constraints for one kind of names, and what it is to be within a permitted
// one and to touch an excluded one.
type bases[T any] struct {
	permitted, excluded []T
	fits, meets         func(name string, base T) bool
}

// allow reports whether a name is in one of the permitted, if there are any, and in none
// of the excluded.
func (b bases[T]) allow(name string) bool {
	in := func(test func(string, T) bool) func(T) bool { return func(base T) bool { return test(name, base) } }
	return !slices.ContainsFunc(b.excluded, in(b.meets)) && (len(b.permitted) == 0 || slices.ContainsFunc(b.permitted, in(b.fits)))
}

func outside(ca *x509.Certificate, kind, name string) error {
	return fault.New(fault.Invalid, "OutsideConstraints", "the name constraints of %s do not allow the %s %.253q; ask for a name within them or use another authority", ca.Subject, kind, name)
}

// dnsBelow reports whether a name is the base or anything below it. Every name that a
// wildcard stands for must be, so its star is a label like any other.
func dnsBelow(name, base string) bool {
	name, base = strings.ToLower(strings.TrimSuffix(name, ".")), strings.ToLower(base)
	if dotted, ok := strings.CutPrefix(base, "."); ok { // some write it so for names below alone
		return strings.HasSuffix(name, "."+dotted)
	}
	return base == "" || name == base || strings.HasSuffix(name, "."+base)
}

// dnsMeets is dnsBelow for what is excluded: a wildcard meets what one of its names would.
func dnsMeets(name, base string) bool {
	if dnsBelow(name, base) {
		return true
	}
	parent, wild := strings.CutPrefix(strings.ToLower(name), "*.")
	_, above, ok := strings.Cut(strings.ToLower(strings.TrimPrefix(base, ".")), ".")
	return wild && ok && above == parent
}

// emailBelow takes a base that is a mailbox, a host or, with a dot first, a domain.
func emailBelow(name, base string, host func(host, base string) bool) bool {
	at := strings.LastIndexByte(name, '@')
	if i := strings.LastIndexByte(base, '@'); i >= 0 { // only the host is case-insensitive
		return at >= 0 && name[:at] == base[:i] && strings.EqualFold(name[at+1:], base[i+1:])
	}
	return at >= 0 && host(name[at+1:], base)
}

// hostBelow is the rule of URIs and e-mail: a base with a dot first is a domain without
// its own host, one without is a host alone.
func hostBelow(host, base string) bool {
	if base == "" {
		return true
	}
	if strings.HasPrefix(base, ".") {
		return strings.HasSuffix(strings.ToLower(host), strings.ToLower(base))
	}
	return strings.EqualFold(host, base)
}

// hostMeets is hostBelow for what is excluded: some verifiers take a host for all below it.
func hostMeets(host, base string) bool {
	return hostBelow(host, base) || strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(base))
}

// hostlike reports whether a verifier may take a common name for a host: labels of
// letters, digits and hyphens with a dot between.
func hostlike(name string) bool {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	if len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		bad := strings.IndexFunc(l, func(r rune) bool {
			return !(r == '-' || r == '_' || r == '*' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z')
		})
		if l == "" || bad >= 0 {
			return false
		}
	}
	return true
}
