package issuance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// ca makes a certificate that signs itself, by the same steps as the ceremony.
func ca(t *testing.T, key crypto.Signer, cn string) (lint, final *x509.Certificate) {
	t.Helper()
	a, err := algorithm(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, NotBefore: from, NotAfter: from.AddDate(1, 0, 0),
		SignatureAlgorithm: a, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if lint, err = newThrowaway().certificate(template, nil, key.Public()); err != nil {
		t.Fatal(err)
	}
	der, err := sign(key, lint, lint.RawTBSCertificate)
	if err != nil {
		t.Fatal(err)
	}
	if final, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return lint, final
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
	for _, key := range keys {
		lint, final := ca(t, key, "Test CA")

		if err := correspond(lint, final, nil); err != nil {
			t.Errorf("%T: %v", key, err)
		}
		if bytes.Equal(lint.Signature, final.Signature) || lint.CheckSignatureFrom(final) == nil {
			t.Errorf("%T: the lint certificate bears a true signature", key)
		}
	}
	odd, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := algorithm(odd.Public()); err == nil {
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
	lint, _ := ca(t, one, "Test CA")
	_, other := ca(t, one, "Test CB")
	if err := correspond(lint, other, nil); err == nil {
		t.Error("a certificate that was not linted was taken for the linted one")
	}

	der, err := sign(two, lint, lint.RawTBSCertificate)
	if err != nil {
		t.Fatal(err)
	}
	final, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := correspond(lint, final, nil); err == nil {
		t.Error("the signature of another key was taken for the issuer's")
	}
}
