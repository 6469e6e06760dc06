package certificates_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/keystore/p256k"
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
	"chatelaine.dev/internal/vault/vaulttest"
)

// Every key that a policy may ask for makes a certificate, whose file holds the key and is
// imported again.
func TestEveryTypeOfKeyMakesACertificate(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	for i, c := range []struct {
		properties string
		spec       keystore.Spec
	}{
		{`"kty":"RSA"`, keystore.Spec{Type: keystore.RSA, Bits: 2048}},
		{`"kty":"RSA-HSM","key_size":3072`, keystore.Spec{Type: keystore.RSA, Bits: 3072}},
		{`"kty":"RSA","key_size":4096`, keystore.Spec{Type: keystore.RSA, Bits: 4096}},
		{`"kty":"EC"`, keystore.Spec{Type: keystore.EC, Curve: "P-256"}},
		{`"kty":"EC","key_size":384`, keystore.Spec{Type: keystore.EC, Curve: "P-384"}},
		{`"kty":"EC-HSM","crv":"P-521"`, keystore.Spec{Type: keystore.EC, Curve: "P-521"}},
		{`"kty":"EC","key_size":256,"crv":"P-256K"`, keystore.Spec{Type: keystore.EC, Curve: "P-256K"}},
	} {
		for _, form := range []string{policy.PKCS12, policy.PEM} {
			t.Run(c.spec.String()+" "+form, func(t *testing.T) {
				name := fmt.Sprintf("c%d-%d", i, len(form))
				h.create(name, `{"issuer":{"name":"self"},"key_props":{`+c.properties+`},"secret_props":{"contentType":"`+form+`"},"x509_props":{"subject":"CN=web"}}`)

				made := h.get(name)

				leaf, err := certificate.Parse(made.Body.Certificate)
				if err != nil {
					t.Fatal(err)
				}
				if s, err := keystore.SpecOf(leaf.PublicKey); err != nil || s != c.spec {
					t.Errorf("its key is %s: %v", s, err)
				}
				body, b := h.revealed(made)
				own, err := b.Leaf()
				if err != nil || !own.Equal(leaf) {
					t.Fatalf("the secret's key is not the certificate's: %v", err)
				}
				again, err := h.certs.Import(t.Context(), h.Caller, ref(name+"-again"), certificates.ImportRequest{Value: certificates.Encoded(body.Value)})
				if err != nil {
					t.Fatal(err)
				}
				if d := again.Policy.Key; d.Spec() != c.spec || again.Policy.Secret.ContentType != form {
					t.Errorf("imported, the policy says %s in %s", d.Spec(), again.Policy.Secret.ContentType)
				}
			})
		}
	}
}

// Keys on P-256K are unknown to crypto/x509, so other programs must say whether all is
// right: OpenSSL reads the request, issues for it, and reads the file.
func TestOpenSSLWorksWithCertificatesOnP256K(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	dir := t.TempDir()
	openssl := func(args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "openssl", args...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	op := h.create("web", `{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC","crv":"P-256K","reuse_key":true},"x509_props":{"subject":"CN=web","sans":{"dns_names":["web.example"]}}}`)
	if err := os.WriteFile(filepath.Join(dir, "csr.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: op.Request}), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "2")
	openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "9", "-copy_extensions", "copyall", "-outform", "DER", "-out", "leaf.der")
	der, err := os.ReadFile(filepath.Join(dir, "leaf.der"))
	if err != nil {
		t.Fatal(err)
	}

	merged, err := h.certs.Merge(t.Context(), h.Caller, ref("web"), certificates.MergeRequest{Certificates: [][]byte{der}})
	if err != nil {
		t.Fatal(err)
	}

	body, _ := h.revealed(merged)
	file, err := base64.StdEncoding.DecodeString(string(body.Value))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "web.p12"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	openssl("pkcs12", "-in", "web.p12", "-passin", "pass:", "-noenc", "-out", "web.pem")
	if text := openssl("x509", "-in", "web.pem", "-noout", "-text"); !strings.Contains(text, "secp256k1") || !strings.Contains(text, "DNS:web.example") {
		t.Errorf("openssl reads\n%s", text)
	}
	openssl("verify", "-CAfile", "ca.pem", "web.pem")
	if a, b := openssl("pkey", "-in", "web.pem", "-pubout"), openssl("x509", "-in", "web.pem", "-pubkey", "-noout"); a != b {
		t.Errorf("the key in the file is not the certificate's:\n%s%s", a, b)
	}

	// Its key signs in the vault, and stays for the next version, as reuse_key says.
	h.Advance(merged.Version.NotBefore.Sub(h.Time()) + time.Hour) // openssl's clock is the machine's
	digest := sha256.Sum256([]byte("x"))
	signed, err := h.keys.Sign(t.Context(), h.Caller, ref("web"), keys.Input{Algorithm: "ES256K", Input: algorithm.Input{Value: digest[:]}})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := certificate.Parse(merged.Body.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if !leaf.PublicKey.(*p256k.PublicKey).Verify(digest[:], signed.Value[:32], signed.Value[32:]) {
		t.Error("the vault signs with another key")
	}
	next := h.create("web", `{"issuer":{"name":"self"},"key_props":{"kty":"EC","crv":"P-256K","reuse_key":true},"x509_props":{"subject":"CN=web"}}`)
	second, err := certificate.Parse(h.get("web").Body.Certificate)
	if err != nil || !pfx.Same(second.PublicKey, leaf.PublicKey) || len(next.Request) == 0 {
		t.Errorf("the key was not kept: %v", err)
	}

	blob, err := h.certs.Backup(t.Context(), h.Caller, ref("web"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.certs.Delete(t.Context(), h.Caller, ref("web")); err != nil {
		t.Fatal(err)
	}
	if err := h.certs.Purge(t.Context(), h.Caller, ref("web")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.certs.Restore(t.Context(), h.Caller, vaulttest.Vault, blob); err != nil {
		t.Fatal(err)
	}
	if b, err := h.certs.Export(t.Context(), h.Caller, object.Ref{Vault: vaulttest.Vault, Name: "web"}); err != nil || b.Key.(crypto.Signer).Public() == nil {
		t.Error(err)
	}
}
