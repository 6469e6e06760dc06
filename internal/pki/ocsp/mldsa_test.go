package ocsp_test

import (
	"crypto"
	"crypto/mldsa"
	"crypto/x509"
	"encoding/asn1"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
)

// An authority with ML-DSA answers with ML-DSA, and one with SLH-DSA, which is too slow for
// answers, with ML-DSA that is as strong; and so does the signer's certificate: no step of
// the chain rests on what a quantum computer breaks.
func TestAPostQuantumAuthorityAnswersWithMLDSA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		authority, signer string
		oid               string
	}{
		{"ML-DSA-65", "ML-DSA-65", "2.16.840.1.101.3.4.3.18"},
		{"SLH-DSA-SHA2-128f", "ML-DSA-44", "2.16.840.1.101.3.4.3.17"},
	} {
		t.Run(c.authority, func(t *testing.T) {
			t.Parallel()
			answersWith(t, c.authority, c.signer, c.oid)
		})
	}
}

func answersWith(t *testing.T, authorityKey, signerKey, oid string) {
	t.Helper()
	f := newFloor(t, storagetest.SQLite(t))
	a, err := f.Authorities.Create(t.Context(), access.System("test"), authority.Spec{
		ID: "quantum", CommonName: "Quantum", Key: keystore.Spec{Type: keystore.AKP, Algorithm: authorityKey}, Validity: 365 * 24 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.issuer, err = signature.ParseCertificate(a.Certificate); err != nil {
		t.Fatal(err)
	}
	answer := f.OCSP.Respond(t.Context(), "quantum", f.request(f.issuer.SerialNumber, crypto.SHA256))
	if answer.Cause != nil {
		t.Fatal(answer.Cause)
	}

	var outer struct {
		Status asn1.Enumerated
		Bytes  struct {
			Type asn1.ObjectIdentifier
			Body []byte
		} `asn1:"explicit,tag:0"`
	}
	if _, err := asn1.Unmarshal(answer.DER, &outer); err != nil {
		t.Fatal(err)
	}
	var basic struct {
		Data      asn1.RawValue
		Algorithm struct{ ID asn1.ObjectIdentifier }
		Signature asn1.BitString
		Certs     []asn1.RawValue `asn1:"explicit,tag:0"`
	}
	if _, err := asn1.Unmarshal(outer.Bytes.Body, &basic); err != nil {
		t.Fatal(err)
	}
	signer, err := x509.ParseCertificate(basic.Certs[0].FullBytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := signature.CheckFrom(signer, f.issuer); err != nil {
		t.Errorf("the signer: %s, %v", signer.SignatureAlgorithm, err)
	}
	key, ok := signer.PublicKey.(*mldsa.PublicKey)
	if !ok || mldsa.Verify(key, basic.Data.FullBytes, basic.Signature.Bytes, nil) != nil || basic.Algorithm.ID.String() != oid || key.Parameters().String() != signerKey {
		t.Errorf("the answer is not signed with %s: %T, %s", signerKey, signer.PublicKey, basic.Algorithm.ID)
	}
}
