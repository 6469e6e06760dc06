package pki_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/storage/storagetest"
)

// openssl runs the program in a folder. Without it the test is skipped, and fails where
// CI=true.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this test needs openssl: %v", err)
		}
		t.Skipf("needs openssl: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func writePEM(t *testing.T, dir, name, kind string, ders ...[]byte) {
	t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// OpenSSL, strict, accepts a certificate of ours with the CRLs of the whole chain, and
// refuses it once it is revoked. OpenSSL has a clock of its own, so ours is the real one.
func TestOpenSSLAcceptsOurCertificatesAndCRLs(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.now = time.Now().Add(-time.Second) })
	dir := t.TempDir()
	good, bad := w.issue(request(t, "a.test.example")), w.issue(request(t, "b.test.example"))
	client := w.issue(issuance.Request{Profile: "tls-client", PublicKey: &newKey(t).PublicKey, CommonName: "Zoë"})
	for name, made := range map[string]issuance.Result{"good.pem": good, "bad.pem": bad, "client.pem": client} {
		writePEM(t, dir, name, "CERTIFICATE", made.DER)
	}
	writePEM(t, dir, "root.pem", "CERTIFICATE", w.certificate("root").Raw)
	writePEM(t, dir, "issuing.pem", "CERTIFICATE", w.certificate("issuing").Raw)
	verify := func(name, purpose string) (string, error) {
		writePEM(t, dir, "crls.pem", "X509 CRL", w.crl("root").Raw, w.crl("issuing").Raw)
		return openssl(t, dir, "verify", "-x509_strict", "-purpose", purpose, "-crl_check_all", "-no-CApath", "-no-CAstore",
			"-CAfile", "root.pem", "-untrusted", "issuing.pem", "-CRLfile", "crls.pem", name)
	}

	for name, purpose := range map[string]string{"good.pem": "sslserver", "bad.pem": "sslserver", "client.pem": "sslclient"} {
		if out, err := verify(name, purpose); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if out, err := verify("client.pem", "sslserver"); err == nil {
		t.Errorf("a client's certificate is good for a server: %s", out)
	}
	w.revoke(bad.Certificate, "keyCompromise")
	if out, err := verify("bad.pem", "sslserver"); err == nil || !strings.Contains(out, "certificate revoked") {
		t.Errorf("the revoked certificate: %v: %s", err, out)
	}
	if out, err := verify("good.pem", "sslserver"); err != nil {
		t.Errorf("the other one: %v: %s", err, out)
	}
	if out, err := openssl(t, dir, "crl", "-in", "crls.pem", "-noout", "-text", "-CAfile", "root.pem"); err != nil || !strings.Contains(out, "verify OK") {
		t.Errorf("%v: %s", err, out)
	}
}
