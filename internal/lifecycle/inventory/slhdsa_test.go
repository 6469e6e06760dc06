package inventory

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// A root with SLH-DSA, whose signatures crypto/x509 cannot check, is in the inventory what
// every other root is.
func TestCertificatesOfARootWithSLHDSAFindTheirIssuer(t *testing.T) {
	key, err := slhdsa.Generate("SLH-DSA-SHA2-128f")
	if err != nil {
		t.Fatal(err)
	}
	server, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	make := func(name string, issuer *x509.Certificate, subject crypto.PublicKey) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: issuer == nil,
		}
		tbs, scheme, err := signature.Draft(c, issuer, key.Public(), subject)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := scheme.Sign(key, tbs)
		if err != nil {
			t.Fatal(err)
		}
		der, err := asn1.Marshal(struct {
			TBS, Algorithm asn1.RawValue
			Signature      asn1.BitString
		}{asn1.RawValue{FullBytes: tbs}, asn1.RawValue{FullBytes: scheme.Algorithm}, asn1.BitString{Bytes: signed, BitLength: 8 * len(signed)}})
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	root := make("Root", nil, key.Public())
	leaf := make("Leaf", root, &server.PublicKey)

	r, l := Parse(root.Raw), Parse(leaf.Raw)

	if r.Key.Algorithm != "SLH-DSA-SHA2-128f" || !r.Key.PostQuantum || r.Key.Category != 1 || r.Key.Size != 256 || r.Signature.Algorithm != "SLH-DSA-SHA2-128f" || !r.SelfSigned {
		t.Errorf("%+v, %+v, self-signed %v", r.Key, r.Signature, r.SelfSigned)
	}
	if err := l.SignedBy(r); err != nil {
		t.Error(err)
	}
	l.raw.tbs = append([]byte(nil), l.raw.tbs...)
	l.raw.tbs[len(l.raw.tbs)-1] ^= 1
	if err := l.SignedBy(r); err == nil || errors.Is(err, ErrUncheckable) {
		t.Errorf("an altered certificate: %v", err)
	}
}
