package status_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/pkitest"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/serve/status"
	"chatelaine.dev/internal/storage/storagetest"
)

// OpenSSL finds the CRL by itself, at the address that the certificate names, and sees a
// revocation in it. It has a clock of its own, so ours is the real one.
func TestOpenSSLFetchesTheCRLFromTheCertificatesAddress(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("this test needs openssl: %v", err)
	} else if err != nil {
		t.Skipf("needs openssl: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := pkitest.New(t, storagetest.SQLite(t), pkitest.Config{Now: time.Now().Add(-time.Second), StatusURL: "http://" + listener.Addr().String()})
	f.Rebuild(t)
	server := httptest.NewUnstartedServer(status.New(status.Config{CRLs: f.Revocation, Authorities: f.Authorities, OCSP: f.OCSP, Now: f.Clock, Log: f.Log()}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made, err := f.Issuance.Issue(t.Context(), access.System("test"), issuance.Request{Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: []string{"a.test.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, der := range map[string][]byte{"leaf.pem": made.DER, "root.pem": made.Chain[1], "issuing.pem": fetch(t, leaf.IssuingCertificateURL[0])} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), openssl, "verify", "-x509_strict", "-crl_check", "-crl_download", "-no-CApath", "-no-CAstore",
			"-CAfile", "root.pem", "-untrusted", "issuing.pem", "leaf.pem")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	if out, err := verify(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := f.Revocation.Revoke(t.Context(), access.System("test"), revocation.Request{SHA256: made.SHA256, Reason: "superseded"}); err != nil {
		t.Fatal(err)
	}
	if out, err := verify(); err == nil || !strings.Contains(out, "certificate revoked") {
		t.Errorf("after the revocation: %v: %s", err, out)
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", url, res.Status, err)
	}
	return body
}
