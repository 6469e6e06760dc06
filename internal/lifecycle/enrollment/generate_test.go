package enrollment_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"testing"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

func making(f enrollment.Format) enrollment.Making {
	m := enrollment.Making{Ask: enrollment.Ask{Door: "rest", Profile: "tls-server", Names: profile.Names{DNS: []string{"a.example"}}}, Format: f}
	if f != enrollment.PEM {
		m.Password = access.NewSecret("correct horse")
	}
	return m
}

// opened reads a bundle as a client does: its key and the first certificate.
func opened(t testing.TB, f enrollment.Format, b []byte) (crypto.Signer, *x509.Certificate) {
	t.Helper()
	var key any
	var leaf *x509.Certificate
	var err error
	switch f {
	case enrollment.PFX:
		key, leaf, _, err = pkcs12.DecodeChain(b, "correct horse")
	case enrollment.PEM:
		block, rest := pem.Decode(b)
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		must(t, err)
		block, _ = pem.Decode(rest)
		leaf, err = x509.ParseCertificate(block.Bytes)
	case enrollment.JKS:
		ks := keystore.New()
		must(t, ks.Load(bytes.NewReader(b), []byte("correct horse")))
		var e keystore.PrivateKeyEntry
		e, err = ks.GetPrivateKeyEntry("key", []byte("correct horse"))
		must(t, err)
		if len(e.CertificateChain) != 2 {
			t.Errorf("the chain has %d certificates", len(e.CertificateChain))
		}
		key, err = x509.ParsePKCS8PrivateKey(e.PrivateKey)
		must(t, err)
		leaf, err = x509.ParseCertificate(e.CertificateChain[0].Content)
	}
	must(t, err)
	return key.(crypto.Signer), leaf
}

func TestMadeKeyComesWithItsCertificateInEveryFormatAndIsKeptNowhere(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	for _, f := range []enrollment.Format{enrollment.PFX, enrollment.PEM, enrollment.JKS} {
		for _, kind := range []string{"", "RSA 2048", "Ed25519"} {
			m := making(f)
			m.Key = kind

			made, err := w.Requests.Generate(t.Context(), w.Caller, m)
			must(t, err)

			key, leaf := opened(t, f, made.Bundle.Reveal())
			if !bytes.Equal(leaf.Raw, made.Certificate) || leaf.DNSNames[0] != "a.example" {
				t.Errorf("%s %s: another certificate", f, kind)
			}
			if !leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Errorf("%s %s: another key", f, kind)
			}
			e, err := w.Store.Request(t.Context(), made.Request)
			must(t, err)
			if len(e.Key) > 0 {
				t.Errorf("%s %s: the request has the key", f, kind)
			}
		}
	}
}

func TestMadeKeyIsKeptInAVaultOnlyWhenAsked(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	m := making(enrollment.PFX)
	m.Keep = &lineage.Keep{Vault: vaulttest.Vault, Name: "web"}

	made, err := w.Requests.Generate(t.Context(), w.Caller, m)
	must(t, err)

	got, err := w.Certificates.Get(t.Context(), w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "web"})
	if err != nil || !bytes.Equal(got.Body.Certificate, made.Certificate) {
		t.Errorf("the vault has another certificate: %v", err)
	}
	m.Keep = &lineage.Keep{Vault: "nowhere", Name: "web"}
	before := w.Issued(t)
	if made, err := w.Requests.Generate(t.Context(), w.Caller, m); err == nil || len(made.Bundle.Reveal()) > 0 {
		t.Errorf("a vault that is not there: %v", err)
	}
	if n := w.Issued(t); n != before {
		t.Errorf("%d certificates of lost keys are still good", n-before)
	}
}

func TestNoKeyIsMadeForWhoMayNotHaveTheCertificate(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	for name, c := range map[string]struct {
		edit func(*enrollment.Making)
		code string
	}{
		"short password":   {func(m *enrollment.Making) { m.Password = access.NewSecret("short") }, "InvalidPassword"},
		"password of PEM":  {func(m *enrollment.Making) { m.Format = enrollment.PEM }, "InvalidPassword"},
		"unknown format":   {func(m *enrollment.Making) { m.Format = "zip" }, "UnknownFormat"},
		"unknown key":      {func(m *enrollment.Making) { m.Key = "RSA 512" }, "KeyNotAllowed"},
		"no names":         {func(m *enrollment.Making) { m.Names = profile.Names{} }, "TooFewNames"},
		"against profile":  {func(m *enrollment.Making) { m.Names.Email = []string{"a@b.example"} }, "NameNotAllowed"},
		"needs a person":   {func(m *enrollment.Making) { m.Profile = ApprovedProfile }, "NotAtOnce"},
		"no such profile":  {func(m *enrollment.Making) { m.Profile = "none" }, "UnknownProfile"},
		"not an IP at all": {func(m *enrollment.Making) { m.Names.IP = []string{"x"} }, "BadName"},
	} {
		m := making(enrollment.PFX)
		c.edit(&m)
		if _, err := w.Requests.Generate(t.Context(), w.Caller, m); !fault.HasCode(err, c.code) {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
	w.Deny(issuance.IssueCertificates)
	if _, err := w.Requests.Generate(t.Context(), w.Caller, making(enrollment.PFX)); !fault.Is(err, fault.Denied) {
		t.Errorf("without the right: %v", err)
	}
	if n := w.Issued(t); n != 0 {
		t.Errorf("%d issued", n)
	}
}
