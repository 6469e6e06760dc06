package secrets_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

func bundle(t *testing.T) pfx.Bundle {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pfx.Bundle{Key: key, Certificates: []*x509.Certificate{c}}
}

func TestCertificatesFileIsGivenOutInTheFormThatIsAskedFor(t *testing.T) {
	whole := bundle(t)
	for _, b := range []pfx.Bundle{whole, {Certificates: whole.Certificates}} { // a key that may not leave is not in it
		der, err := pfx.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		text, err := pfx.EncodePEM(b)
		if err != nil {
			t.Fatal(err)
		}
		for kept, value := range map[string]string{secrets.PEM: string(text), secrets.PKCS12: base64.StdEncoding.EncodeToString(der)} {
			f := vaulttest.New(t, storagetest.SQLite(t))
			s := secrets.New(f.Deps)
			r := object.Ref{Vault: vaulttest.Vault, Name: "web"}
			if _, err := s.Set(t.Context(), f.Caller, r, secrets.SetRequest{Value: secrets.Value(value), ContentType: kept}); err != nil {
				t.Fatal(err)
			}
			for _, form := range []string{"", secrets.PEM, secrets.PKCS12} {
				_, got, err := s.GetAs(t.Context(), f.Caller, r, form)
				if err != nil {
					t.Fatalf("%s as %q: %v", kept, form, err)
				}
				if form == "" || form == kept {
					if got.ContentType != kept || string(got.Value) != value {
						t.Errorf("%s as %q: it is not as it was kept", kept, form)
					}
					continue
				}
				read := pfx.Bundle{}
				if form == secrets.PEM {
					read, err = pfx.OpenPEM([]byte(got.Value), "")
				} else {
					raw, berr := base64.StdEncoding.DecodeString(string(got.Value))
					if berr != nil {
						t.Fatal(berr)
					}
					read, err = pfx.Open(raw, "")
				}
				if err != nil || got.ContentType != form || len(read.Certificates) != 1 || !read.Certificates[0].Equal(b.Certificates[0]) || (read.Key == nil) != (b.Key == nil) {
					t.Errorf("%s as %q: %v, %d certificates, content type %s", kept, form, err, len(read.Certificates), got.ContentType)
				}
			}
		}
	}
}

// What cannot be converted is not revealed, and the trail says so.
func TestConversionOfWhatIsNoCertificateIsRefused(t *testing.T) {
	f := vaulttest.New(t, storagetest.SQLite(t))
	s := secrets.New(f.Deps)
	r := object.Ref{Vault: vaulttest.Vault, Name: "a"}
	for _, c := range []struct{ contentType, value, form string }{
		{"text/plain", "x", secrets.PEM},
		{"", "x", secrets.PKCS12},
		{secrets.PKCS12, "no base64", secrets.PEM},
		{secrets.PKCS12, "AAAA", secrets.PEM},
		{secrets.PEM, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", secrets.PKCS12},
		{secrets.PKCS12, "AAAA", "application/zip"},
	} {
		if _, err := s.Set(t.Context(), f.Caller, r, secrets.SetRequest{Value: secrets.Value(c.value), ContentType: c.contentType}); err != nil {
			t.Fatal(err)
		}
		if _, b, err := s.GetAs(t.Context(), f.Caller, r, c.form); !fault.Is(err, fault.Invalid) || b.Value != "" {
			t.Errorf("%q as %s: %v", c.contentType, c.form, err)
		}
	}
	ops := f.Operations(t)
	if last := ops[len(ops)-1]; last != "SecretGet failed" {
		t.Errorf("the trail says %q", last)
	}
}
