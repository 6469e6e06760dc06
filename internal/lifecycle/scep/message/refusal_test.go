package message_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/scep/message"
	"chatelaine.dev/internal/pki/cms"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certified is a key with a certificate.
func certified(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{SerialNumber: n, Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	c, err := x509.ParseCertificate(der)
	must(t, err)
	return c
}

// draft is a message that another library signs.
type draft struct {
	key        crypto.Signer
	also       crypto.Signer // signs too
	digest     asn1.ObjectIdentifier
	bare       bool // without signed attributes
	further    int  // certificates
	attributes []pkcs7.Attribute
}

func attribute(last int, value any) pkcs7.Attribute {
	return pkcs7.Attribute{Type: asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, last}, Value: value}
}

func (d draft) sign(t testing.TB, envelope []byte) []byte {
	t.Helper()
	s, err := pkcs7.NewSignedData(envelope)
	must(t, err)
	s.SetDigestAlgorithm(d.digest)
	c := certified(t, d.key)
	if d.bare {
		must(t, s.SignWithoutAttr(c, d.key, pkcs7.SignerInfoConfig{}))
	} else {
		must(t, s.AddSigner(c, d.key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: d.attributes}))
	}
	if d.also != nil {
		must(t, s.AddSigner(certified(t, d.also), d.also, pkcs7.SignerInfoConfig{ExtraSignedAttributes: d.attributes}))
	}
	for range d.further {
		s.AddCertificate(c)
	}
	raw, err := s.Finish()
	must(t, err)
	return raw
}

func TestMessagesOfAnyOtherShapeAreRefused(t *testing.T) {
	t.Parallel()
	rsaKey := func(bits int) *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		must(t, err)
		return k
	}
	strong, other, weak := rsaKey(2048), rsaKey(2048), rsaKey(1024)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	envelope, err := cms.Encrypt([]byte("content"), certified(t, strong))
	must(t, err)
	right := func() draft {
		return draft{key: strong, digest: pkcs7.OIDDigestAlgorithmSHA256, attributes: []pkcs7.Attribute{attribute(2, "19"), attribute(5, []byte("nonce")), attribute(7, "t")}}
	}
	for why, c := range map[string]struct {
		change        func(d *draft)
		taken, legacy bool // without and with old algorithms
	}{
		"right":                         {func(*draft) {}, true, true},
		"SHA-384":                       {func(d *draft) { d.digest = pkcs7.OIDDigestAlgorithmSHA384 }, true, true},
		"SHA-512":                       {func(d *draft) { d.digest = pkcs7.OIDDigestAlgorithmSHA512 }, true, true},
		"SHA-1":                         {func(d *draft) { d.digest = pkcs7.OIDDigestAlgorithmSHA1 }, false, true},
		"no signed attributes":          {func(d *draft) { d.bare = true }, false, false},
		"two signers":                   {func(d *draft) { d.also = other }, false, false},
		"many certificates":             {func(d *draft) { d.further = 8 }, false, false},
		"RSA of 1024 bits":              {func(d *draft) { d.key = weak }, false, false},
		"an EC key":                     {func(d *draft) { d.key = ec }, false, false},
		"no type":                       {func(d *draft) { d.attributes = d.attributes[1:] }, false, false},
		"no nonce":                      {func(d *draft) { d.attributes = []pkcs7.Attribute{d.attributes[0], d.attributes[2]} }, false, false},
		"no transaction":                {func(d *draft) { d.attributes = d.attributes[:2] }, false, false},
		"an empty nonce":                {func(d *draft) { d.attributes[1] = attribute(5, []byte{}) }, false, false},
		"a nonce of 65 bytes":           {func(d *draft) { d.attributes[1] = attribute(5, make([]byte, 65)) }, false, false},
		"an empty transaction":          {func(d *draft) { d.attributes[2] = attribute(7, "") }, false, false},
		"a long transaction":            {func(d *draft) { d.attributes[2] = attribute(7, strings.Repeat("t", 129)) }, false, false},
		"a transaction of two lines":    {func(d *draft) { d.attributes[2] = attribute(7, "t\nenrol") }, false, false},
		"a transaction in other script": {func(d *draft) { d.attributes[2] = attribute(7, "ť") }, false, false},
		"a long type":                   {func(d *draft) { d.attributes[0] = attribute(2, "191") }, false, false},
	} {
		d := right()
		c.change(&d)
		raw := d.sign(t, envelope)
		for legacy, want := range map[bool]bool{false: c.taken, true: c.legacy} {
			if _, err := message.Read(raw, legacy); (err == nil) != want || err != nil && !fault.HasCode(err, "BadMessage") {
				t.Errorf("%s, with old algorithms %v: %v", why, legacy, err)
			}
		}
	}
}

// A certificate's name and number are chosen by who signs: two with the same must not be
// taken for each other.
func TestTheSignerIsWhoseKeySigned(t *testing.T) {
	t.Parallel()
	by, other := party(t), party(t) // both are "x" with serial 7
	raw := request(t, by, other.Certificate, "19")
	m, err := message.Read(raw, false)
	must(t, err)
	if !m.Signer.Equal(by.Certificate) {
		t.Error("the signer is another")
	}
	s, err := pkcs7.NewSignedData([]byte("x"))
	must(t, err)
	s.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	s.AddCertificate(other.Certificate) // stands first
	must(t, s.AddSigner(by.Certificate, by.Key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: []pkcs7.Attribute{attribute(2, "19"), attribute(5, []byte("n")), attribute(7, "t")}}))
	raw, err = s.Finish()
	must(t, err)
	if m, err := message.Read(raw, false); err == nil && !m.Signer.Equal(by.Certificate) {
		t.Error("who did not sign is taken for the signer")
	}
}

func TestSerialsAreReadWithinTheirBounds(t *testing.T) {
	t.Parallel()
	name, err := asn1.Marshal(pkix.Name{CommonName: "x"}.ToRDNSequence())
	must(t, err)
	big1 := func(bits uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), bits-1) }
	for _, c := range []struct {
		n    *big.Int
		good bool
	}{{big.NewInt(1), true}, {big1(160), true}, {big1(161), false}, {big.NewInt(0), false}, {big.NewInt(-1), false}} {
		der, err := asn1.Marshal(struct {
			Issuer asn1.RawValue
			Number *big.Int
		}{asn1.RawValue{FullBytes: name}, c.n})
		must(t, err)
		if _, err := message.ReadSerial(der); (err == nil) != c.good {
			t.Errorf("%v: %v", c.n, err)
		}
		if _, err := message.ReadSerial(append(der, 5, 0)); err == nil {
			t.Errorf("%v and something behind: taken", c.n)
		}
	}
}
