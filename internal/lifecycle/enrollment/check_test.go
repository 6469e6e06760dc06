package enrollment_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"testing"

	"chatelaine.dev/internal/lifecycle/enrollment"
)

// A certificate speaks for what is in it: a wildcard is one name, and no pattern.
func TestACertificateSpeaksForItsOwnNamesAlone(t *testing.T) {
	t.Parallel()
	uri := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	subject := func(cn string, o ...string) pkix.Name {
		n := pkix.Name{CommonName: cn, Organization: o}
		for _, x := range o {
			n.Names = append(n.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: x})
		}
		return n
	}
	titled := subject("a.example.test", "shop")
	titled.Names = append(titled.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 12}, Value: "head"})
	held := &x509.Certificate{
		Subject: subject("a.example.test", "shop"), DNSNames: []string{"a.example.test", "*.example.test", "10.0.0.0.example"}, IPAddresses: []net.IP{{192, 0, 2, 1}},
		EmailAddresses: []string{"a@example.test"}, URIs: []*url.URL{uri("spiffe://example.test/a")},
	}
	same := x509.CertificateRequest{Subject: held.Subject, DNSNames: held.DNSNames, IPAddresses: held.IPAddresses, EmailAddresses: held.EmailAddresses, URIs: held.URIs}
	for why, c := range map[string]struct {
		csr           x509.CertificateRequest
		outside, same bool
	}{
		"the same":                       {same, false, true},
		"one of its names":               {x509.CertificateRequest{Subject: subject("", "shop"), DNSNames: []string{"A.example.test"}}, false, false},
		"its wildcard":                   {x509.CertificateRequest{DNSNames: []string{"*.example.test"}}, false, false},
		"a name below its wildcard":      {x509.CertificateRequest{DNSNames: []string{"b.example.test"}}, true, false},
		"a name far below":               {x509.CertificateRequest{DNSNames: []string{"c.b.example.test"}}, true, false},
		"a common name below":            {x509.CertificateRequest{Subject: subject("b.example.test")}, true, false},
		"a common name of its names":     {x509.CertificateRequest{Subject: subject("*.example.test")}, false, false},
		"another address":                {x509.CertificateRequest{IPAddresses: []net.IP{{192, 0, 2, 2}}}, true, false},
		"an address in other case":       {x509.CertificateRequest{EmailAddresses: []string{"A@example.test"}}, true, false},
		"a URI in other case":            {x509.CertificateRequest{URIs: []*url.URL{uri("spiffe://example.test/A")}}, true, false},
		"another organisation":           {x509.CertificateRequest{Subject: subject("a.example.test", "system:masters")}, true, false},
		"another organisation besides":   {x509.CertificateRequest{Subject: subject("a.example.test", "shop", "bank")}, true, false},
		"a title that it has not":        {x509.CertificateRequest{Subject: titled}, true, false},
		"all the same, and a title":      {x509.CertificateRequest{Subject: titled, DNSNames: held.DNSNames, IPAddresses: held.IPAddresses, EmailAddresses: held.EmailAddresses, URIs: held.URIs}, true, false},
		"all the same, no organisation":  {x509.CertificateRequest{Subject: subject("a.example.test"), DNSNames: held.DNSNames, IPAddresses: held.IPAddresses, EmailAddresses: held.EmailAddresses, URIs: held.URIs}, false, false},
		"all the same, no common name":   {x509.CertificateRequest{Subject: subject("", "shop"), DNSNames: held.DNSNames, IPAddresses: held.IPAddresses, EmailAddresses: held.EmailAddresses, URIs: held.URIs}, false, false},
		"what looks like a network only": {x509.CertificateRequest{IPAddresses: []net.IP{{10, 0, 0, 0}}}, true, false},
	} {
		if name, outside := enrollment.Outside(&c.csr, held); outside != c.outside {
			t.Errorf("%s: outside %v (%s), want %v", why, outside, name, c.outside)
		}
		if got := enrollment.SameSubject(&c.csr, held); got != c.same {
			t.Errorf("%s: the same %v, want %v", why, got, c.same)
		}
	}
}
