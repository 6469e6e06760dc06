package inventory

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
)

func TestOnlyTheKeyThatTheObserverCheckedIsBelieved(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	issuer := Parse(der)
	broken := bytes.Clone(der)
	broken[len(broken)-1] ^= 1 // of the signature

	for signer, want := range map[string]bool{issuer.SPKI: true, "": false, hexSHA256([]byte("another")): false} {
		c := parsed(Observation{State: Present, DER: broken, SignerKey: signer}).certificate
		if got := c.SignedBy(issuer) == nil; got != want {
			t.Errorf("checked with key %q: believed %v, want %v", signer, got, want)
		}
	}
}
