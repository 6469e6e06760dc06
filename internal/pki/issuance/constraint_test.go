package issuance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
)

// What allowed says about a name is what crypto/x509 says when it verifies the chain. Only
// where RFC 5280 is narrower about hosts of mailboxes and URIs, allowed is too.
func TestConstraintsAreEnforcedAsVerifiersDo(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	network := func(s string) []*net.IPNet {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return []*net.IPNet{n}
	}
	cas := map[string]x509.Certificate{
		"permitted DNS":          {PermittedDNSDomains: []string{"example.com", "b.test"}},
		"excluded DNS":           {ExcludedDNSDomains: []string{"example.com", "x.b.test"}},
		"both DNS":               {PermittedDNSDomains: []string{"example.com"}, ExcludedDNSDomains: []string{"a.example.com"}},
		"permitted network":      {PermittedIPRanges: network("10.0.0.0/8")},
		"excluded network":       {ExcludedIPRanges: network("10.1.0.0/16")},
		"permitted network v6":   {PermittedIPRanges: network("2001:db8::/32")},
		"permitted mail host":    {PermittedEmailAddresses: []string{"example.com"}},
		"permitted mail domain":  {PermittedEmailAddresses: []string{".example.com"}},
		"permitted mailbox":      {PermittedEmailAddresses: []string{"ada@example.com"}},
		"excluded mail":          {ExcludedEmailAddresses: []string{"ada@example.com", ".b.test"}},
		"permitted URI host":     {PermittedURIDomains: []string{"example.com"}},
		"permitted URI domain":   {PermittedURIDomains: []string{".example.com"}},
		"excluded URI":           {ExcludedURIDomains: []string{"a.example.com", ".b.test"}},
		"everything of one kind": {ExcludedIPRanges: append(network("0.0.0.0/0"), network("::/0")...)},
	}
	var leaves []x509.Certificate
	for _, n := range []string{"example.com", "EXAMPLE.com", "a.example.com", "b.a.example.com", "notexample.com", "example.org", "*.example.com", "*.a.example.com", "x.b.test", "*.b.test", "localhost"} {
		leaves = append(leaves, x509.Certificate{DNSNames: []string{n}}, x509.Certificate{DNSNames: []string{"example.com", n}})
	}
	for _, n := range []string{"10.0.0.1", "10.1.2.3", "192.0.2.1", "2001:db8::1", "fd00::1"} {
		leaves = append(leaves, x509.Certificate{IPAddresses: []net.IP{net.ParseIP(n)}})
	}
	for _, n := range []string{"ada@example.com", "Ada@example.com", "bob@example.com", "ada@EXAMPLE.com", "ada@a.example.com", "ada@x.b.test", "ada@b.test", "eve@x.ada.example.com"} {
		leaves = append(leaves, x509.Certificate{EmailAddresses: []string{n}})
	}
	for _, n := range []string{"https://example.com/a", "spiffe://a.example.com/b", "https://b.example.com:8443/", "https://x.b.test", "https://10.0.0.1/", "https://[::1]/", "https://EXAMPLE.com", "https://x.a.example.com", "urn:uuid:1"} {
		u, err := url.Parse(n)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, x509.Certificate{URIs: []*url.URL{u}})
	}
	create := func(c x509.Certificate, issuer *x509.Certificate) (draft, *x509.Certificate) {
		c.SerialNumber, c.NotBefore, c.NotAfter, c.BasicConstraintsValid = big.NewInt(1), now.Add(-time.Hour), now.Add(time.Hour), true
		d, err := newDraft(&c, issuer, key.Public(), key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return d, signed(t, d, key)
	}
	refused := 0
	for name, limits := range cas {
		limits.Subject, limits.IsCA, limits.KeyUsage = pkix.Name{CommonName: "Limited"}, true, x509.KeyUsageCertSign
		_, ca := create(limits, nil)
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		for _, leaf := range leaves {
			leaf.Subject = pkix.Name{Organization: []string{"Leaf"}}
			d, final := create(leaf, ca)
			_, want := final.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})

			got := Order{Issuer: Issuer{ID: "limited", Certificate: ca}, Template: leaf}.allowed(d)

			narrower := want == nil && len(limits.PermittedEmailAddresses)+len(limits.PermittedURIDomains) > 0
			if (got == nil) != (want == nil) && !narrower || got != nil && !fault.HasCode(got, "OutsideConstraints") {
				t.Errorf("%s, %v %v %v %v: %v, crypto/x509 says %v", name, leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.URIs, got, want)
			}
			if got != nil {
				refused++
			}
		}
	}
	if refused < 50 {
		t.Errorf("only %d of the names were refused", refused)
	}
}

// OpenSSL holds a common name to the constraints of DNS names when there are none of those.
// Whoever gives the order, no authority is signed below one whose path length forbids it.
func TestNoAuthorityIsSignedBelowAPathLengthOfZero(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	linter, err := NewLinter()
	if err != nil {
		t.Fatal(err)
	}
	authority := func(name string, length int) x509.Certificate {
		return x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: length, MaxPathLenZero: length == 0,
		}
	}
	for _, c := range []struct {
		above, below int
		code         string
	}{{0, 0, "PathTooLong"}, {1, 1, "PathTooLong"}, {1, -1, "PathTooLong"}, {1, 0, ""}, {-1, -1, ""}} {
		root, err := Offline(Order{Issuer: Issuer{ID: "root", Signer: key}, PublicKey: key.Public(), Template: authority("Root", c.above)}, linter)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Offline(Order{Issuer: Issuer{ID: "root", Certificate: root, Signer: key}, PublicKey: key.Public(), Template: authority("Sub", c.below)}, linter)
		if c.code == "" && err != nil || c.code != "" && !fault.HasCode(err, c.code) {
			t.Errorf("%d below %d: %v, want %q", c.below, c.above, err, c.code)
		}
	}
}

func TestACommonNameThatIsAHostIsConstrainedToo(t *testing.T) {
	ca := &x509.Certificate{PermittedDNSDomains: []string{"example.com"}}
	for cn, allowed := range map[string]bool{
		"a.example.com": true, "a.example.org": false, "*.example.org": false, "Ada Lovelace": true, "localhost": true, "v1.2 of it": true,
	} {
		err := withinAll(ca, &x509.Certificate{Subject: pkix.Name{CommonName: cn}})
		if (err == nil) != allowed {
			t.Errorf("%q: %v", cn, err)
		}
	}
	if err := withinAll(ca, &x509.Certificate{Subject: pkix.Name{CommonName: "a.example.org"}, DNSNames: []string{"a.example.com"}}); err != nil {
		t.Errorf("a common name beside DNS names: %v", err)
	}
}

func TestAConstrainedEmailAddressOfTheSubjectCounts(t *testing.T) {
	ca := &x509.Certificate{ExcludedEmailAddresses: []string{"example.org"}}
	subject := pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: "ada@example.org"}}}
	if err := withinAll(ca, &x509.Certificate{Subject: subject}); !fault.HasCode(err, "OutsideConstraints") {
		t.Error(err)
	}
}
