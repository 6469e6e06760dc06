package connectortest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"chatelaine.dev/internal/connector"
)

// Authority is a small real CA: a root and an issuing authority.
type Authority struct {
	Root, Issuing       *x509.Certificate
	rootKey, issuingKey *ecdsa.PrivateKey
}

// NewAuthority makes a CA whose certificates are valid now.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{rootKey: newKey(t), issuingKey: newKey(t)}
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: serial(t), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	root, issuing := ca("Test Root"), ca("Test Issuing")
	a.Root = sign(t, root, root, a.rootKey.Public(), a.rootKey)
	a.Issuing = sign(t, issuing, a.Root, a.issuingKey.Public(), a.rootKey)
	return a
}

// Pool holds the root.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Root)
	return p
}

// Sign issues a certificate for a template, which may leave out serial and validity.
func (a *Authority) Sign(t testing.TB, template *x509.Certificate, public any) *x509.Certificate {
	t.Helper()
	c := *template
	if c.SerialNumber == nil {
		c.SerialNumber = serial(t)
	}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().AddDate(0, 3, 0)
	}
	c.KeyUsage |= x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return sign(t, &c, a.Issuing, public, a.issuingKey)
}

// Bundle issues a TLS server certificate with a new key.
func (a *Authority) Bundle(t testing.TB, names ...string) connector.Bundle {
	t.Helper()
	key := newKey(t)
	c := a.Sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key.Public())
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return connector.Bundle{Certificate: c.Raw, Chain: [][]byte{a.Issuing.Raw}, Key: connector.NewSecret(der)}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		t.Fatal(err)
	}
	return n.Add(n, big.NewInt(1))
}

func sign(t testing.TB, template, parent *x509.Certificate, public, key any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nameOf(der []byte) string {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "nothing"
	}
	return c.Subject.CommonName
}
