package signature_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func template(name string, change ...func(*x509.Certificate)) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: noon, NotAfter: noon.AddDate(1, 0, 0), SubjectKeyId: []byte(name),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, f := range change {
		f(t)
	}
	return t
}

// close writes a certificate whole, with any algorithm outside.
func closed(t *testing.T, tbs, algorithm, signed []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, asn1.RawValue{FullBytes: algorithm}, asn1.BitString{Bytes: signed, BitLength: 8 * len(signed)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sign(t *testing.T, template, issuer *x509.Certificate, by crypto.Signer, subject crypto.PublicKey) *x509.Certificate {
	t.Helper()
	tbs, scheme, err := signature.Draft(template, issuer, by.Public(), subject)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := scheme.Sign(by, tbs)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, closed(t, tbs, scheme.Algorithm, signed))
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := signature.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func generate(t *testing.T) *slhdsa.PrivateKey {
	t.Helper()
	k, err := slhdsa.Generate("SLH-DSA-SHA2-128f")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Whichever of the two keys crypto/x509 does not know, the certificate says what the
// template says, and the signature is the issuer's.
func TestADraftSaysWhatItsTemplateSays(t *testing.T) {
	t.Parallel()
	classical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hashes := generate(t)
	for _, c := range []struct {
		name string
		by   crypto.Signer
		of   crypto.Signer
	}{{"by ECDSA of ECDSA", classical, classical}, {"by SLH-DSA of SLH-DSA", hashes, generate(t)}, {"by SLH-DSA of ECDSA", hashes, classical}, {"by ECDSA of SLH-DSA", classical, hashes}} {
		issuer := sign(t, template("issuer"), nil, c.by, c.by.Public())
		if err := signature.CheckFrom(issuer, issuer); err != nil {
			t.Errorf("%s: by itself: %v", c.name, err)
		}
		made := sign(t, template("subject"), issuer, c.by, c.of.Public())

		if err := signature.CheckFrom(made, issuer); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if k, ok := made.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(c.of.Public()) {
			t.Errorf("%s: key %T", c.name, made.PublicKey)
		}
		if made.Subject.CommonName != "subject" || made.Issuer.CommonName != "issuer" || !made.IsCA || !made.NotAfter.Equal(noon.AddDate(1, 0, 0)) ||
			string(made.AuthorityKeyId) != "issuer" || string(made.SubjectKeyId) != "subject" {
			t.Errorf("%s: %+v", c.name, made)
		}
		if bytes.Contains(made.Raw, make([]byte, ed25519.PublicKeySize)) {
			t.Errorf("%s: the key that stood in is still there", c.name)
		}
	}
}

func TestASignatureOfSLHDSAIsBelievedOnlyWhereItBelongs(t *testing.T) {
	t.Parallel()
	key := generate(t)
	issuer := sign(t, template("issuer"), nil, key, key.Public())
	made := sign(t, template("subject"), issuer, key, generate(t).Public())
	tbs, scheme, err := signature.Draft(template("subject"), issuer, key.Public(), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := scheme.Sign(key, tbs)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(scheme.Algorithm, []byte{4, 3, 21}, []byte{4, 3, 27}, 1) // SHAKE-128f
	outside := *made
	outside.Raw = closed(t, tbs, other, signed)
	inside := *made
	inside.Raw = closed(t, bytes.Replace(tbs, scheme.Algorithm, other, 1), scheme.Algorithm, signed)
	altered := *made
	altered.Raw = bytes.Clone(made.Raw)
	altered.Raw[len(altered.Raw)-5] ^= 1
	longer := *made
	longer.Raw = append(bytes.Clone(made.Raw), 0)
	for why, c := range map[string]struct{ of, by *x509.Certificate }{
		"another algorithm outside":  {&outside, issuer},
		"another algorithm inside":   {&inside, issuer},
		"an altered signature":       {&altered, issuer},
		"bytes behind it":            {&longer, issuer},
		"another key":                {made, made},
		"an issuer that is no CA":    {made, parse(t, sign(t, template("issuer", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }), nil, key, key.Public()).Raw)},
		"an issuer that signs lists": {made, parse(t, sign(t, template("issuer", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), nil, key, key.Public()).Raw)},
	} {
		if err := signature.CheckFrom(c.of, c.by); err == nil {
			t.Errorf("%s: believed", why)
		}
	}
	plain, err := x509.ParseCertificate(issuer.Raw) // as those read it who know nothing of us
	if err != nil {
		t.Fatal(err)
	}
	if err := signature.CheckFrom(made, plain); err != nil {
		t.Error(err)
	}
	var constraint x509.ConstraintViolationError
	noLists := sign(t, template("issuer", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }), nil, key, key.Public())
	if err := signature.CheckListFrom(&x509.RevocationList{Raw: made.Raw}, noLists); !errors.As(err, &constraint) {
		t.Errorf("a key that signs no lists: %v", err)
	}
}

// The example of RFC 9909, which others have made.
func TestTheCertificateOfTheRFCIsBelieved(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/rfc9909.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c := parse(t, block.Bytes)

	if err := signature.CheckFrom(c, c); err != nil {
		t.Error(err)
	}
	if k, ok := c.PublicKey.(*slhdsa.PublicKey); !ok || k.Name() != "SLH-DSA-SHA2-128s" || c.Subject.Organization[0] != "Bogus SLH-DSA-SHA2-128s CA" {
		t.Errorf("%T of %s", c.PublicKey, c.Subject)
	}
}
