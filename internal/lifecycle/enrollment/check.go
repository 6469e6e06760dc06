package enrollment

import (
	"crypto"
	"crypto/x509"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/signature"
)

const (
	maxDER   = 64 << 10
	maxChain = 10
	// How far an issuer's clock may be ahead, and how much longer than asked for a
	// certificate may live: authorities date back and round up.
	clockSkew = 10 * time.Minute
	rounding  = 25 * time.Hour
)

// checkAnswer looks at what an issuer sent back before anybody uses it. A certificate that
// was not asked for is fault.Invalid: asking again would bring it again. fixed are the
// names that the issuer puts into every certificate.
func checkAnswer(e Entry, a connector.Answer, fixed profile.Names, now time.Time) (*x509.Certificate, error) {
	if len(a.Certificate) == 0 || len(a.Certificate) > maxDER || len(a.Chain) > maxChain {
		return nil, badAnswer("no certificate, or one of a size that none has")
	}
	leaf, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadAnswer", "the issuer answered with something that is no certificate")
	}
	csr, err := x509.ParseCertificateRequest(e.CSR)
	if err != nil {
		return nil, err
	}
	for _, check := range []func() error{
		func() error { return checkKey(leaf, csr) },
		func() error { return checkNames(leaf, together(e.names(csr), fixed), e.Wanted) },
		func() error { return checkTime(leaf, e.Wanted, now) },
		func() error { return checkChain(leaf, a.Chain) },
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return leaf, nil
}

func badAnswer(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadAnswer", "the issuer answered with "+format, args...)
}

func checkKey(leaf *x509.Certificate, csr *x509.CertificateRequest) error {
	k, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !k.Equal(csr.PublicKey) {
		return badAnswer("a certificate for another key")
	}
	if leaf.IsCA {
		return badAnswer("a certificate of an authority")
	}
	return nil
}

// names are what the certificate shall hold: those of the CSR, or on the direct road those
// that the door proved.
func (e Entry) names(csr *x509.CertificateRequest) profile.Names {
	if e.Kind == Direct {
		return e.Wanted.Names
	}
	return RequestNames(csr)
}

// RequestNames are the alternative names of a CSR.
func RequestNames(csr *x509.CertificateRequest) profile.Names {
	return namesIn(csr.DNSNames, csr.EmailAddresses, csr.IPAddresses, csr.URIs)
}

// CertificateNames are those of a certificate.
func CertificateNames(c *x509.Certificate) profile.Names {
	return namesIn(c.DNSNames, c.EmailAddresses, c.IPAddresses, c.URIs)
}

// SameSubject reports whether a CSR asks for the subject and the alternative names of a
// certificate, so that it may renew it. All attributes count that a certificate may get.
func SameSubject(csr *x509.CertificateRequest, c *x509.Certificate) bool {
	return csr.Subject.CommonName == c.Subject.CommonName && maps.EqualFunc(profile.SubjectOf(csr.Subject), profile.SubjectOf(c.Subject), slices.Equal) &&
		SameNames(RequestNames(csr), CertificateNames(c))
}

// Outside returns a name, or a value of the subject, that a CSR asks for and a certificate
// does not hold. A wildcard of the certificate is a name and no pattern.
func Outside(csr *x509.CertificateRequest, c *x509.Certificate) (name string, outside bool) {
	held := spell(CertificateNames(c))
	for _, n := range spell(RequestNames(csr)) {
		if !slices.Contains(held, n) {
			return n, true
		}
	}
	if cn := csr.Subject.CommonName; cn != "" && cn != c.Subject.CommonName && !slices.Contains(held, strings.ToLower(cn)) {
		return cn, true
	}
	has := profile.SubjectOf(c.Subject)
	for attribute, values := range profile.SubjectOf(csr.Subject) {
		for _, v := range values {
			if !slices.Contains(has[attribute], v) {
				return attribute + "=" + v, true
			}
		}
	}
	return "", false
}

// fixed are the names that every certificate of a profile has, besides those that are
// asked for; none when the profile is gone.
func (s *Service) fixed(name string) profile.Names {
	p, err := s.Profiles.Get(name)
	if err != nil {
		return profile.Names{}
	}
	return p.Names.Fixed
}

func together(a, b profile.Names) profile.Names {
	return profile.Names{
		DNS: slices.Concat(a.DNS, b.DNS), IP: slices.Concat(a.IP, b.IP), Email: slices.Concat(a.Email, b.Email), URI: slices.Concat(a.URI, b.URI),
	}
}

func namesIn(dns, email []string, ips []net.IP, uris []*url.URL) profile.Names {
	n := profile.Names{DNS: dns, Email: email}
	for _, ip := range ips {
		n.IP = append(n.IP, ip.String())
	}
	for _, u := range uris {
		n.URI = append(n.URI, u.String())
	}
	return n
}

// checkNames wants exactly the names that were asked for: with fewer the service fails,
// and more were approved by nobody.
func checkNames(leaf *x509.Certificate, wanted profile.Names, w lineage.Wanted) error {
	got, want := spell(CertificateNames(leaf)), spell(wanted)
	if !slices.Equal(got, want) {
		return badAnswer("a certificate for %d names that are not the %d that were asked for", len(got), len(want))
	}
	cn := strings.ToLower(leaf.Subject.CommonName)
	if cn != "" && !strings.EqualFold(cn, w.CommonName) && !slices.Contains(got, cn) {
		return badAnswer("a certificate with another common name")
	}
	return nil
}

// namesOf folds what has no case: host names, and the host of an address.
func namesOf(dns, email []string) []string {
	var names []string
	for _, n := range dns {
		names = append(names, strings.ToLower(strings.TrimSuffix(n, ".")))
	}
	for _, n := range email {
		local, host, _ := strings.Cut(n, "@")
		names = append(names, local+"@"+strings.ToLower(host))
	}
	return names
}

func checkTime(leaf *x509.Certificate, w lineage.Wanted, now time.Time) error {
	switch {
	case leaf.NotBefore.After(now.Add(clockSkew)):
		return badAnswer("a certificate that is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case !leaf.NotAfter.After(now):
		return badAnswer("a certificate that expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case w.Validity > 0 && leaf.NotAfter.Sub(leaf.NotBefore) > time.Duration(w.Validity)+rounding:
		return badAnswer("a certificate that lives longer than asked for")
	}
	return nil
}

// checkChain follows the signatures from the leaf up.
func checkChain(leaf *x509.Certificate, chain [][]byte) error {
	below := leaf
	for _, der := range chain {
		if len(der) > maxDER {
			return badAnswer("a chain of a size that none has")
		}
		issuer, err := x509.ParseCertificate(der)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "BadAnswer", "the issuer answered with a chain that is not readable")
		}
		if err := signature.CheckFrom(below, issuer); err != nil {
			return fault.Wrap(err, fault.Invalid, "BadAnswer", "the issuer answered with a chain whose certificates did not sign each other")
		}
		below = issuer
	}
	return nil
}

// SameNames reports whether two sets of names are the same, however they are written.
func SameNames(a, b profile.Names) bool {
	x, y := spell(a), spell(b)
	return slices.Equal(x, y)
}

func spell(n profile.Names) []string {
	names := namesOf(n.DNS, n.Email)
	for _, text := range n.IP {
		if a, err := netip.ParseAddr(text); err == nil {
			text = a.Unmap().String()
		}
		names = append(names, text)
	}
	names = append(names, n.URI...)
	slices.Sort(names)
	return slices.Compact(names)
}
