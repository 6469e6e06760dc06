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
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
)

// An authority with ML-DSA answers with ML-DSA, and so does the signer's certificate: no
// step of the chain rests on what a quantum computer breaks.
func TestAnAuthorityWithMLDSAAnswersWithMLDSA(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	a, err := f.Authorities.Create(t.Context(), access.System("test"), authority.Spec{
		ID: "quantum", CommonName: "Quantum", Key: keystore.Spec{Type: keystore.AKP, Algorithm: "ML-DSA-65"}, Validity: 365 * 24 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.issuer, err = x509.ParseCertificate(a.Certificate); err != nil {
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
	if err := signer.CheckSignatureFrom(f.issuer); err != nil || signer.SignatureAlgorithm != x509.MLDSA65 {
		t.Errorf("the signer: %s, %v", signer.SignatureAlgorithm, err)
	}
	key, ok := signer.PublicKey.(*mldsa.PublicKey)
	if !ok || mldsa.Verify(key, basic.Data.FullBytes, basic.Signature.Bytes, nil) != nil || basic.Algorithm.ID.String() != "2.16.840.1.101.3.4.3.18" {
		t.Errorf("the answer is not signed with ML-DSA-65: %T, %s", signer.PublicKey, basic.Algorithm.ID)
	}
}
