package message_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/scep/message"
	"chatelaine.dev/internal/pki/cms"
)

// party is a key with a certificate.
func party(t testing.TB) cms.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cms.Signer{Certificate: c, Key: key}
}

func request(t testing.TB, by cms.Signer, to *x509.Certificate, kind string) []byte {
	t.Helper()
	envelope, err := cms.Encrypt([]byte("content"), to)
	if err != nil {
		t.Fatal(err)
	}
	attribute := func(last int, value any) cms.SignedAttribute {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return cms.SignedAttribute{Type: asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, last}, Value: der}
	}
	raw, err := by.Sign(envelope, attribute(2, kind), attribute(5, []byte("nonce")), attribute(7, "transaction"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// FuzzRead: whatever is sent, it is read and opened, or refused as fault.Invalid.
func FuzzRead(f *testing.F) {
	by, to := party(f), party(f)
	opener := cms.Opener{Certificate: to.Certificate, Key: to.Key.(*rsa.PrivateKey), Legacy: true}
	whole := request(f, by, to.Certificate, "19")
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{0x30, 0x80, 0, 0})
	for depth := range 3 {
		bomb := []byte{}
		for range 10 << (3 * depth) {
			bomb = append(bomb, 0x30, 0x80)
		}
		f.Add(bomb)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := message.Read(raw, true)
		if err == nil {
			_, err = m.Open(opener)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("got %v, want fault.Invalid", err)
		}
	})
}

func TestEveryFlippedBitOfAMessageIsNoticed(t *testing.T) {
	by, to := party(t), party(t)
	opener := cms.Opener{Certificate: to.Certificate, Key: to.Key.(*rsa.PrivateKey)}
	whole := request(t, by, to.Certificate, "19")
	m, err := message.Read(whole, false)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := m.Open(opener); err != nil || string(content) != "content" || m.Type != message.PKCSReq || m.Transaction != "transaction" || string(m.Nonce) != "nonce" {
		t.Fatalf("%q %+v %v", content, m, err)
	}
	for i := range whole {
		altered := append([]byte{}, whole...)
		altered[i] ^= 1
		a, err := message.Read(altered, false)
		if err != nil {
			continue
		}
		// Bits of the certificate's own signature, and of names that nobody reads, may flip:
		// what is signed stays what it was.
		if content, err := a.Open(opener); err == nil && string(content) != "content" || a.Type != m.Type || a.Transaction != m.Transaction || !a.Signer.PublicKey.(*rsa.PublicKey).Equal(m.Signer.PublicKey) {
			t.Errorf("bit of byte %d: %+v %v", i, a, err)
		}
	}
}
