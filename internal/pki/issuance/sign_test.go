package issuance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// ca makes a certificate that signs itself, by the same steps as the ceremony.
func ca(t *testing.T, key crypto.Signer, cn string) (d draft, final *x509.Certificate) {
	t.Helper()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, NotBefore: from, NotAfter: from.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	d, err := newDraft(template, nil, key.Public(), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return d, signed(t, d, key)
}

func signed(t *testing.T, d draft, key crypto.Signer) *x509.Certificate {
	t.Helper()
	signature, err := d.scheme.Sign(key, d.tbs)
	if err != nil {
		t.Fatal(err)
	}
	der, err := d.with(signature)
	if err != nil {
		t.Fatal(err)
	}
	final, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return final
}

func TestEveryKindOfAuthorityKeySigns(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := []crypto.Signer{small}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys = append(keys, ed)
	for _, p := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		k, err := mldsa.GenerateKey(p)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	for _, key := range keys {
		d, final := ca(t, key, "Test CA")

		if err := correspond(d.tbs, final, nil); err != nil {
			t.Errorf("%T: %v", key, err)
		}
		der, err := d.lint()
		if err != nil {
			t.Fatal(err)
		}
		lint, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(lint.RawTBSCertificate, final.RawTBSCertificate) || lint.CheckSignatureFrom(final) == nil {
			t.Errorf("%T: the lint certificate is another, or bears a true signature", key)
		}
	}
	odd, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newDraft(&x509.Certificate{SerialNumber: big.NewInt(1)}, nil, odd.Public(), odd.Public()); err == nil {
		t.Error("an authority may sign with P-224")
	}
}

func TestCorrespondRefusesAnotherCertificateAndAnotherSigner(t *testing.T) {
	one, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	two, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := ca(t, one, "Test CA")
	_, other := ca(t, one, "Test CB")
	if err := correspond(d.tbs, other, nil); err == nil {
		t.Error("a certificate that was not linted was taken for the linted one")
	}
	if err := correspond(d.tbs, signed(t, d, two), nil); err == nil {
		t.Error("the signature of another key was taken for the issuer's")
	}
}
