package certificates_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/pfx"
)

// imported is a leaf of a CA with its key.
func imported(t *testing.T) (issuer ca, b pfx.Bundle) {
	t.Helper()
	issuer = newCA(t)
	key := ecKey(t)
	return issuer, pfx.Bundle{Key: key, Certificates: []*x509.Certificate{issuer.cert, issuer.issue(t, key.Public())}}
}

func TestImportedCertificateComesBackWithItsKeyAndChain(t *testing.T) {
	issuer, b := imported(t)
	text, err := pfx.EncodePEM(b)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pfx.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		request certificates.ImportRequest
		content string
		first   *x509.Certificate
	}{
		"pem":             {certificates.ImportRequest{Value: certificates.Encoded(text)}, policy.PEM, b.Certificates[1]},
		"pem as it is":    {certificates.ImportRequest{Value: certificates.Encoded(text), PreserveOrder: true}, policy.PEM, issuer.cert},
		"pkcs12":          {certificates.ImportRequest{Value: certificates.Encoded(base64.StdEncoding.EncodeToString(der))}, policy.PKCS12, b.Certificates[1]},
		"pem in base64":   {certificates.ImportRequest{Value: certificates.Encoded(base64.StdEncoding.EncodeToString(text))}, policy.PEM, b.Certificates[1]},
		"bundle":          {certificates.ImportRequest{Bundle: b}, policy.PKCS12, b.Certificates[1]},
		"pem into pkcs12": {certificates.ImportRequest{Value: certificates.Encoded(text), Policy: &policy.Policy{Secret: &policy.Secret{ContentType: policy.PKCS12}}}, policy.PKCS12, b.Certificates[1]},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, storagetest.SQLite(t))

			c, err := h.certs.Import(t.Context(), h.Caller, ref("web"), test.request)

			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Body.Certificate, b.Certificates[1].Raw) || len(c.Body.Chain) != 1 || c.Operation != nil {
				t.Errorf("%d chain certificates, operation %v", len(c.Body.Chain), c.Operation)
			}
			p := c.Policy
			if p.Issuer.Name != policy.Unknown || p.X509.Subject != "CN=web" || p.Key.Curve != "P-256" || p.X509.ValidityMonths != 120 {
				t.Errorf("policy %+v %+v %+v", p.Issuer, p.X509, p.Key)
			}
			body, bundle := h.revealed(c)
			if body.ContentType != test.content || !bundle.Certificates[0].Equal(test.first) {
				t.Errorf("secret %s begins with %v", body.ContentType, bundle.Certificates[0].Subject)
			}
			out, err := h.certs.Export(t.Context(), access.System("deployment"), ref("web"))
			if err != nil || !b.Key.(*ecdsa.PrivateKey).Equal(out.Key) || len(out.Certificates) != 2 {
				t.Errorf("export: %v", err)
			}
			if ops := h.Operations(t); ops[len(ops)-1] != "CertificateExport" {
				t.Errorf("the export is not recorded: %v", ops)
			}
		})
	}
}

func TestImportIntoACertificateKeepsItsPolicy(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	_, b := imported(t)
	h.create("web", `{"issuer":{"name":"Self"},"secret_props":{"contentType":"application/x-pem-file"},"key_props":{"reuse_key":true},
		"lifetime_actions":[{"trigger":{"days_before_expiry":20},"action":{"action_type":"AutoRenew"}}],"x509_props":{"subject":"CN=old"}}`)

	c, err := h.certs.Import(t.Context(), h.Caller, ref("web"), certificates.ImportRequest{Bundle: b})

	if err != nil {
		t.Fatal(err)
	}
	p := c.Policy
	if p.Issuer.Name != "Self" || !p.WantsPEM() || !p.ReusesKey() || *p.Lifetime[0].Trigger.DaysBeforeExpiry != 20 || p.X509.Subject != "CN=web" || p.Key.Type != "EC" {
		t.Errorf("policy %+v", p)
	}
	if body, _ := h.revealed(c); body.ContentType != policy.PEM {
		t.Errorf("secret is %s", body.ContentType)
	}
}

func TestKeyThatMayNotBeExportedStaysInside(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	for name, contentType := range map[string]string{"a": policy.PKCS12, "b": policy.PEM} {
		h.create(name, `{"issuer":{"name":"Self"},"key_props":{"kty":"EC","exportable":false},"secret_props":{"contentType":"`+contentType+`"},"x509_props":{"subject":"CN=a"}}`)

		body, bundle := h.revealed(h.get(name))
		_, err := h.certs.Export(t.Context(), access.System("deployment"), ref(name))

		if bundle.Key != nil || strings.Contains(string(body.Value), "PRIVATE KEY") || body.Value == "" {
			t.Errorf("%s: the secret holds the key", contentType)
		}
		if !fault.HasCode(err, "KeyNotExportable") {
			t.Errorf("%s: export: %v", contentType, err)
		}
		digest := sha256.Sum256(nil)
		if _, err := h.keys.Sign(t.Context(), h.Caller, ref(name), keys.Input{Algorithm: "ES256", Input: algorithm.Input{Value: digest[:]}}); err != nil {
			t.Errorf("%s: the key does not sign: %v", contentType, err)
		}
	}
}
