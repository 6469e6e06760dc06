package issuance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"
)

// limbo is a certificate to be linted, and the change that makes it break a rule. The
// names of the cases are those of x509-limbo, which Go's own verifier lets pass.
type limbo struct {
	name string
	ca   bool
	want string // rule, or nothing
	do   func(c, parent *x509.Certificate)
}

func ext(critical bool, value []byte, arcs ...int) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier(arcs), Critical: critical, Value: value}
}

func der(t *testing.T, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// constraint is an extension of permitted DNS names.
func constraint(t *testing.T, critical bool, names ...string) pkix.Extension {
	t.Helper()
	var all []byte
	for _, n := range names {
		all = append(all, der(t, struct{ Base asn1.RawValue }{asn1.RawValue{Class: 2, Tag: 2, Bytes: []byte(n)}})...)
	}
	return ext(critical, der(t, struct{ Permitted asn1.RawValue }{asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: all}}), 2, 5, 29, 30)
}

func TestCasesOfEndCertificatesThatVerifiersDifferAboutAreDecided(t *testing.T) {
	names := func(critical bool) pkix.Extension {
		return ext(critical, der(t, []asn1.RawValue{{Class: 2, Tag: 2, Bytes: []byte("a.example.com")}}), 2, 5, 29, 17)
	}
	one := big.NewInt(1) // nobody has the private keys, and nobody needs them
	odd := &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(one, 2052), one), E: 65537}
	short := &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(one, 1023), one), E: 65537}
	decide(t, []limbo{
		{"good leaf", false, "", func(_, _ *x509.Certificate) {}},
		{"good empty subject", false, "", func(c, _ *x509.Certificate) { c.Subject = pkix.Name{} }},
		{"rfc5280::aki::leaf-missing-aki", false, "own_authority_key_id", func(_, p *x509.Certificate) { p.SubjectKeyId = nil }},
		{"rfc5280::eku::ee-eku-empty", false, "own_extended_key_usage", func(c, _ *x509.Certificate) {
			c.ExtKeyUsage = nil
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, []byte{0x30, 0}, 2, 5, 29, 37))
		}},
		{"webpki::eku::ee-without-eku", false, "own_extended_key_usage", func(c, _ *x509.Certificate) { c.ExtKeyUsage = nil }},
		{"webpki::eku::ee-anyeku", false, "own_extended_key_usage", func(c, _ *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageAny) }},
		{"rfc5280::nc::not-allowed-in-ee-critical", false, "own_name_constraints", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, constraint(t, true, "example.com"))
		}},
		{"rfc5280::nc::not-allowed-in-ee-noncritical", false, "own_name_constraints", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, constraint(t, false, "example.com"))
		}},
		{"rfc5280::san::noncritical-with-empty-subject", false, "own_names_critical", func(c, _ *x509.Certificate) {
			c.Subject, c.DNSNames = pkix.Name{}, nil
			c.ExtraExtensions = append(c.ExtraExtensions, names(false))
		}},
		{"webpki::san::san-critical-with-nonempty-subject", false, "own_names_critical", func(c, _ *x509.Certificate) {
			c.DNSNames = nil
			c.ExtraExtensions = append(c.ExtraExtensions, names(true))
		}},
		{"rfc5280::san::underscore-dns", false, "own_dns_names", func(c, _ *x509.Certificate) { c.DNSNames = append(c.DNSNames, "a_b.example.com") }},
		{"webpki::san::public-suffix-wildcard-san", false, "own_dns_names", func(c, _ *x509.Certificate) { c.DNSNames = append(c.DNSNames, "*.com") }},
		{"webpki::san::public-suffix-multi-label-wildcard-san", false, "own_dns_names", func(c, _ *x509.Certificate) { c.DNSNames = append(c.DNSNames, "*.co.uk") }},
		{"webpki::san::public-suffix-private-namespace-wildcard-san", false, "own_dns_names", func(c, _ *x509.Certificate) { c.DNSNames = append(c.DNSNames, "*.github.io") }},
		{"a wildcard of one's own", false, "", func(c, _ *x509.Certificate) { c.DNSNames = append(c.DNSNames, "*.shop.example.com", "*.internal") }},
		{"rfc5280::serial::too-long", false, "own_serial", func(c, _ *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 160) }},
		{"rfc5280::serial::zero", false, "own_serial", func(c, _ *x509.Certificate) { c.SerialNumber = new(big.Int) }},
		{"rfc5280::leaf-ku-keycertsign", false, "own_basic_constraints", func(c, _ *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }},
		{"webpki::cn::not-in-san", false, "own_common_name", func(c, _ *x509.Certificate) { c.Subject.CommonName = "b.example.com" }},
		{"webpki::cn::case-mismatch", false, "own_common_name", func(c, _ *x509.Certificate) { c.Subject.CommonName = "A.example.com" }},
		{"webpki::cn::ipv4-leading-zeros-mismatch", false, "own_common_name", func(c, _ *x509.Certificate) {
			c.Subject.CommonName, c.IPAddresses = "010.000.000.001", []net.IP{net.IPv4(10, 0, 0, 1)}
		}},
		{"webpki::cn::ipv6-uppercase-mismatch", false, "own_common_name", func(c, _ *x509.Certificate) {
			c.Subject.CommonName, c.IPAddresses = "2001:DB8::1", []net.IP{net.ParseIP("2001:db8::1")}
		}},
		{"webpki::cn::ipv6-uncompressed-mismatch", false, "own_common_name", func(c, _ *x509.Certificate) {
			c.Subject.CommonName, c.IPAddresses = "2001:db8:0:0:0:0:0:1", []net.IP{net.ParseIP("2001:db8::1")}
		}},
		{"an address as common name", false, "", func(c, _ *x509.Certificate) {
			c.Subject.CommonName, c.IPAddresses = "2001:db8::1", []net.IP{net.ParseIP("2001:db8::1")}
		}},
		{"webpki::forbidden-weak-rsa-in-leaf", false, "own_key", func(c, _ *x509.Certificate) { c.PublicKey = short }},
		{"webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf", false, "own_key", func(c, _ *x509.Certificate) { c.PublicKey = odd }},
		{"no revocation information, and where it is", false, "own_status", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, asn1.NullBytes, 2, 5, 29, 56))
			c.CRLDistributionPoints = []string{"http://pki.example.com/crl"}
		}},
		{"no usage", false, "own_key_usage", func(c, _ *x509.Certificate) { c.KeyUsage = 0 }},
		{"a curve that enciphers", false, "own_key_usage", func(c, _ *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }},
	})
}

func TestCasesOfAuthoritiesThatVerifiersDifferAboutAreDecided(t *testing.T) {
	decide(t, []limbo{
		{"good authority", true, "", func(_, _ *x509.Certificate) {}},
		{"good constraints", true, "", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, constraint(t, true, "example.com"))
		}},
		{"rfc5280::aki::intermediate-missing-aki", true, "own_authority_key_id", func(_, p *x509.Certificate) { p.SubjectKeyId = nil }},
		{"rfc5280::ski::intermediate-missing-ski", true, "own_subject_key_id", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, []byte{4, 0}, 2, 5, 29, 14))
		}},
		{"rfc5280::nc::permitted-dns-match-noncritical", true, "own_name_constraints", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, constraint(t, false, "example.com"))
		}},
		{"rfc5280::nc::invalid-dnsname-leading-period", true, "own_name_constraints", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, constraint(t, true, ".example.com"))
		}},
		{"pathological::nc-dos-1", true, "own_name_constraints", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, constraint(t, true, slices.Repeat([]string{"a.example.com"}, maxConstraints+1)...))
		}},
		{"rfc5280::pc::ica-noncritical-pc", true, "own_policy_constraints", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, []byte{0x30, 3, 0x80, 1, 0}, 2, 5, 29, 36))
		}},
		{"rfc5280::ca-empty-subject", true, "own_subject", func(c, _ *x509.Certificate) { c.Subject = pkix.Name{} }},
		{"rfc5280::root-non-critical-basic-constraints", true, "own_basic_constraints", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, []byte{0x30, 3, 1, 1, 0xff}, 2, 5, 29, 19))
		}},
		{"webpki::ee-basicconstraints-ca", true, "own_basic_constraints", func(c, _ *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }},
		{"webpki::aki::root-with-aki-all-fields", true, "own_authority_key_id", func(c, _ *x509.Certificate) {
			value := der(t, struct {
				ID     []byte   `asn1:"tag:0"`
				Serial *big.Int `asn1:"tag:2"`
			}{[]byte{1, 2, 3}, big.NewInt(7)})
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, value, 2, 5, 29, 35))
		}},
		{"webpki::aki::root-with-aki-missing-keyidentifier", true, "own_authority_key_id", func(c, _ *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, []byte{0x30, 0}, 2, 5, 29, 35))
		}},
		{"webpki::aki::root-with-aki-ski-mismatch", true, "own_authority_key_id", func(c, p *x509.Certificate) {
			p.Subject = c.Subject
			c.ExtraExtensions = append(c.ExtraExtensions, ext(false, []byte{0x30, 3, 0x80, 1, 9}, 2, 5, 29, 35))
		}},
		{"webpki::eku::root-has-eku", true, "own_extended_key_usage", func(c, p *x509.Certificate) {
			p.Subject, c.ExtKeyUsage = c.Subject, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}},
	})
}

func decide(t *testing.T, cases []limbo) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	linter, err := NewLinter()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		from := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
		cert := &x509.Certificate{
			SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "a.example.com"}, DNSNames: []string{"a.example.com"},
			NotBefore: from, NotAfter: from.AddDate(0, 0, 90), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, SubjectKeyId: []byte{1, 2, 3},
			PublicKey: &key.PublicKey,
		}
		if c.ca {
			cert.Subject, cert.DNSNames, cert.ExtKeyUsage = pkix.Name{CommonName: "Sub"}, nil, nil
			cert.IsCA, cert.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		}
		parent := &x509.Certificate{Subject: pkix.Name{CommonName: "Root"}, SubjectKeyId: []byte{4, 5, 6}}
		c.do(cert, parent)
		raw, err := x509.CreateCertificate(rand.Reader, cert, parent, cert.PublicKey, key)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		broken, err := linter.Find(raw, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		has := slices.ContainsFunc(broken, func(b Broken) bool { return b.Rule == c.want })
		if c.want != "" && !has || c.want == "" && len(broken) > 0 {
			t.Errorf("%s: %v, want %q", c.name, broken, c.want)
		}
	}
}
