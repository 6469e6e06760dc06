package cms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"encoding/pem"

	"chatelaine.dev/internal/fault"
)

func party(t testing.TB) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0), SubjectKeyId: []byte("key id")}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func TestEnvelopeIsOpenedByItsRecipientAlone(t *testing.T) {
	c, key := party(t)
	other, otherKey := party(t)
	for _, size := range []int{0, 1, 15, 16, 17, 5000} {
		content := bytes.Repeat([]byte{7}, size)
		der, err := Encrypt(content, c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (Opener{Certificate: c, Key: key}).Open(der); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		if _, err := (Opener{Certificate: other, Key: otherKey}).Open(der); !fault.HasCode(err, "BadMessage") {
			t.Errorf("another recipient: %v", err)
		}
	}
}

// A wrong padding of the key and a wrong padding of the content are one error: who could
// tell them apart could decrypt (RFC 3218).
func TestWrongPaddingsAreAlike(t *testing.T) {
	c, key := party(t)
	der, err := Encrypt([]byte("content"), c)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	for i := range der {
		altered := bytes.Clone(der)
		altered[i] ^= 1
		if _, err := (Opener{Certificate: c, Key: key}).Open(altered); err != nil {
			texts[err.Error()] = true
		}
	}
	if len(texts) != 1 {
		t.Errorf("errors differ: %v", texts)
	}
}

func TestDESIsOpenedOnlyWhereItIsAllowed(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		o := Opener{Legacy: legacy}
		for _, oid := range []asn1.ObjectIdentifier{oidDESCBC, oidDES3CBC} {
			if _, open := o.cipher(oid); (open != nil) != legacy {
				t.Errorf("%v with legacy %v: %v", oid, legacy, open != nil)
			}
		}
		if _, open := o.cipher(oidAES128CBC); open == nil {
			t.Error("AES is not opened")
		}
	}
}

// A length that is no multiple of the block is an error and no panic.
func TestContentInPartOfABlockIsRefused(t *testing.T) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	for size := range 40 {
		e := encryptedContent{Algorithm: pkix.AlgorithmIdentifier{Parameters: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: make([]byte, 16)}}}
		e.Content.Bytes = make([]byte, size)
		if _, err := decryptCBC(cipher.Block(block), e); size%16 != 0 && err == nil {
			t.Errorf("%d bytes were decrypted", size)
		}
	}
}

func TestBERBecomesDER(t *testing.T) {
	for name, c := range map[string]struct{ ber, der []byte }{
		"definite":          {[]byte{0x30, 3, 2, 1, 5}, []byte{0x30, 3, 2, 1, 5}},
		"indefinite":        {[]byte{0x30, 0x80, 2, 1, 5, 0, 0}, []byte{0x30, 3, 2, 1, 5}},
		"long length":       {[]byte{0x30, 0x82, 0, 3, 2, 1, 5}, []byte{0x30, 3, 2, 1, 5}},
		"string in pieces":  {[]byte{0x24, 0x80, 4, 1, 'a', 0x24, 3, 4, 1, 'b', 0, 0}, []byte{4, 2, 'a', 'b'}},
		"without its end":   {[]byte{0x30, 0x80, 2, 1, 5}, nil},
		"longer than it is": {[]byte{0x30, 5, 2, 1, 5}, nil},
		"something behind":  {[]byte{0x30, 0, 0}, nil},
		"huge length":       {[]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, nil},
		"deep":              {bytes.Repeat([]byte{0x30, 0x80}, 1000), nil},
	} {
		got, err := DER(c.ber)
		if !bytes.Equal(got, c.der) || (err == nil) != (c.der != nil) {
			t.Errorf("%s: got %x, %v", name, got, err)
		}
	}
}

// FuzzDER: what comes out is stable, and not larger than what may come in by much.
func FuzzDER(f *testing.F) {
	c, _ := party(f)
	der, err := Encrypt([]byte("content"), c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{0x24, 0x80, 4, 1, 'a', 0x24, 3, 4, 1, 'b', 0, 0})
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 100))
	f.Fuzz(func(t *testing.T, ber []byte) {
		once, err := DER(ber)
		if err != nil {
			return
		}
		if len(once) > 3*len(ber)+16 {
			t.Errorf("%d bytes became %d", len(ber), len(once))
		}
		if twice, err := DER(once); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x became %x and then %x: %v", ber, once, twice, err)
		}
	})
}

// FuzzOpen: whatever is sent, it is opened or refused alike.
func FuzzOpen(f *testing.F) {
	c, key := party(f)
	der, err := Encrypt([]byte("content"), c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, err := (Opener{Certificate: c, Key: key, Legacy: true}).Open(der); err != nil && !fault.HasCode(err, "BadMessage") {
			t.Errorf("got %v", err)
		}
	})
}

// openssl reads what is made here, and what it makes is read here.
func TestOpenSSLAgrees(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs openssl")
	}
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, key := party(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	content := []byte("content")
	write("content", content)

	sealed, err := Encrypt(content, c)
	if err != nil {
		t.Fatal(err)
	}
	write("sealed", sealed)
	run("cms", "-decrypt", "-binary", "-inform", "DER", "-in", path("sealed"), "-inkey", path("key.pem"), "-recip", path("cert.pem"), "-out", path("opened"))
	if got, err := os.ReadFile(path("opened")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("openssl decrypts %q, %v", got, err)
	}

	for name, flags := range map[string][]string{"by serial": {"-aes-256-cbc"}, "by key id": {"-aes128", "-keyid"}, "streamed": {"-aes192", "-stream"}} {
		run(append([]string{"cms", "-encrypt", "-binary", "-outform", "DER", "-in", path("content"), "-out", path("sealed"), "-recip", path("cert.pem")}, flags...)...)
		ber, err := os.ReadFile(path("sealed"))
		if err != nil {
			t.Fatal(err)
		}
		der, err := DER(ber)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := (Opener{Certificate: c, Key: key}).Open(der); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}

	signed, err := Signer{Certificate: c, Key: key}.Sign(content)
	if err != nil {
		t.Fatal(err)
	}
	write("signed", signed)
	run("cms", "-verify", "-binary", "-inform", "DER", "-in", path("signed"), "-CAfile", path("cert.pem"), "-noverify", "-out", path("verified"))
	if got, err := os.ReadFile(path("verified")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("openssl verifies %q, %v", got, err)
	}
}
