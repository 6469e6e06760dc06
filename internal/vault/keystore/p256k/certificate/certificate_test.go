package certificate_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/vault/keystore/p256k"
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
)

func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "openssl", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, dir, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func template() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "web"}, DNSNames: []string{"web.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{1, 2},
	}
}

// OpenSSL knows the curve, and has the last word.
func TestOpenSSLBelievesTheCertificateAndTheRequest(t *testing.T) {
	dir := t.TempDir()
	key := p256k.Generate()

	der, err := certificate.SelfSign(template(), key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := certificate.Request(&x509.CertificateRequest{Subject: pkix.Name{CommonName: "web"}, DNSNames: []string{"web.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}

	write(t, dir, "cert.pem", "CERTIFICATE", der)
	write(t, dir, "csr.pem", "CERTIFICATE REQUEST", csr)
	openssl(t, dir, "verify", "-check_ss_sig", "-CAfile", "cert.pem", "cert.pem")
	text := openssl(t, dir, "x509", "-in", "cert.pem", "-noout", "-text") + openssl(t, dir, "req", "-in", "csr.pem", "-verify", "-noout", "-text")
	if strings.Count(text, "secp256k1") != 2 || strings.Count(text, "DNS:web.example") != 2 {
		t.Errorf("openssl reads\n%s", text)
	}
}

func TestCertificateIsReadAsItIs(t *testing.T) {
	key := p256k.Generate()
	der, err := certificate.SelfSign(template(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Fatal("crypto/x509 knows the curve: this package is no longer needed")
	}

	c, err := certificate.Parse(der)
	if err != nil {
		t.Fatal(err)
	}

	spki, err := certificate.MarshalPublic(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if !key.Public().(*p256k.PublicKey).Equal(c.PublicKey) || !bytes.Equal(c.Raw, der) || !bytes.Equal(c.RawSubjectPublicKeyInfo, spki) || !bytes.Contains(der, c.RawTBSCertificate) ||
		c.Subject.CommonName != "web" || c.DNSNames[0] != "web.example" || c.SerialNumber.Int64() != 7 || !c.IsCA {
		t.Errorf("%+v", c)
	}
}

// What openssl wrote: other extensions, another order, a version 1 without any.
func TestCertificatesOfOthersAreRead(t *testing.T) {
	dir := t.TempDir()
	openssl(t, dir, "ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "key.pem")
	openssl(t, dir, "req", "-new", "-x509", "-key", "key.pem", "-subj", "/CN=elsewhere", "-days", "2", "-out", "cert.pem")
	openssl(t, dir, "req", "-new", "-key", "key.pem", "-subj", "/CN=old", "-out", "csr.pem")
	openssl(t, dir, "x509", "-req", "-in", "csr.pem", "-signkey", "key.pem", "-days", "2", "-out", "old.pem")
	for file, name := range map[string]string{"cert.pem": "elsewhere", "old.pem": "old"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		c, err := certificate.Parse(block.Bytes)
		if err != nil || c.Subject.CommonName != name || !bytes.Equal(c.Raw, block.Bytes) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestOtherKeysAreLeftToTheStandardLibrary(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := certificate.SelfSign(template(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := certificate.Parse(der)
	if err != nil || !key.PublicKey.Equal(c.PublicKey) || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
		t.Error(err)
	}
	csr, err := certificate.Request(&x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := x509.ParseCertificateRequest(csr); err != nil || r.CheckSignature() != nil {
		t.Error(err)
	}
	if _, err := certificate.MarshalPublic(crypto.PublicKey(&key.PublicKey)); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	der, err := certificate.SelfSign(template(), p256k.Generate())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := certificate.Parse(in)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Raw, in) || c.PublicKey == nil && len(c.RawSubjectPublicKeyInfo) == 0 {
			t.Error("it is not what was read")
		}
		if _, ours := c.PublicKey.(*p256k.PublicKey); ours && !bytes.Contains(in, c.RawTBSCertificate) {
			t.Error("what is signed is not in it")
		}
	})
}
