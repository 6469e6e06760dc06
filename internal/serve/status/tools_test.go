package status_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"net"
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

// street is the door on a real port, with the addresses of that port in the certificates,
// for programs of others. They have a clock of their own, so ours is the real one.
type street struct {
	*pkitest.Floor
	t   *testing.T
	url string
	dir string
}

func newStreet(t *testing.T) *street {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &street{t: t, url: "http://" + listener.Addr().String(), dir: t.TempDir()}
	s.Floor = pkitest.New(t, storagetest.SQLite(t), pkitest.Config{Now: time.Now().Add(-5 * time.Second), StatusURL: s.url})
	s.Rebuild(t)
	server := httptest.NewUnstartedServer(status.New(status.Config{CRLs: s.Revocation, Authorities: s.Authorities, OCSP: s.OCSP, Now: s.Clock, Log: s.Log()}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	s.file("root.pem", fetch(t, s.url+"/ca/root.cer"))
	s.file("issuing.pem", fetch(t, s.url+"/ca/issuing.cer"))
	return s
}

// issue makes a certificate and writes it to name.pem.
func (s *street) issue(name string) issuance.Result {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	made, err := s.Issuance.Issue(s.t.Context(), access.System("test"), issuance.Request{
		Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: []string{name + ".test.example"}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.file(name+".pem", made.DER)
	return made
}

func (s *street) file(name string, der []byte) {
	s.t.Helper()
	kind := "CERTIFICATE"
	if strings.HasSuffix(name, ".crl.pem") {
		kind = "X509 CRL"
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a program in the folder, and reports whether it ended well.
func (s *street) run(program string, args ...string) (string, bool) {
	s.t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") == "true" {
		s.t.Fatalf("this test needs %s: %v", program, err)
	} else if err != nil {
		s.t.Skipf("needs %s: %v", program, err)
	}
	cmd := exec.CommandContext(s.t.Context(), path, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func (s *street) revoke(c issuance.Result, reason string) {
	s.t.Helper()
	if _, err := s.Revocation.Revoke(s.t.Context(), access.System("test"), revocation.Request{SHA256: c.SHA256, Reason: reason}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *street) release(c issuance.Result) {
	s.t.Helper()
	if _, err := s.Revocation.Release(s.t.Context(), access.System("test"), revocation.Request{SHA256: c.SHA256}); err != nil {
		s.t.Fatal(err)
	}
}

// OpenSSL asks about several certificates at once, with a nonce and without, by SHA-1 and
// by SHA-256, and believes each answer.
func TestOpenSSLBelievesTheAnswers(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	good, bad, held := s.issue("good"), s.issue("bad"), s.issue("held")
	s.revoke(bad, "keyCompromise")
	s.revoke(held, revocation.Hold)
	_ = good

	for _, hash := range []string{"-sha1", "-sha256"} {
		for _, nonce := range []string{"-nonce", "-no_nonce"} {
			out, ok := s.run("openssl", "ocsp", "-issuer", "issuing.pem", hash, "-cert", "good.pem", "-cert", "bad.pem", "-cert", "held.pem", "-serial", "0x1234",
				nonce, "-url", s.url+"/ocsp/issuing", "-CAfile", "root.pem", "-verify_other", "issuing.pem", "-no-CApath", "-no-CAstore")
			for _, want := range []string{"Response verify OK", "good.pem: good", "bad.pem: revoked", "Reason: keyCompromise", "held.pem: revoked", "Reason: certificateHold", "0x1234: unknown"} {
				if !ok || !strings.Contains(out, want) {
					t.Errorf("%s %s: no %q in %s", hash, nonce, want, out)
				}
			}
			if strings.Contains(out, "WARNING") {
				t.Errorf("%s %s: %s", hash, nonce, out)
			}
		}
	}
	s.release(held)
	if out, _ := s.run("openssl", "ocsp", "-issuer", "issuing.pem", "-cert", "held.pem", "-url", s.url+"/ocsp/issuing", "-CAfile", "root.pem", "-verify_other", "issuing.pem"); !strings.Contains(out, "held.pem: good") {
		t.Errorf("after the release: %s", out)
	}
	if out, _ := s.run("openssl", "ocsp", "-issuer", "root.pem", "-cert", "issuing.pem", "-url", s.url+"/ocsp/root", "-CAfile", "root.pem"); !strings.Contains(out, "issuing.pem: good") || !strings.Contains(out, "Response verify OK") {
		t.Errorf("the authority itself: %s", out)
	}
}

// GnuTLS asks at the address that the certificate names.
func TestGnuTLSBelievesTheAnswersAndLists(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	s.issue("good")
	bad := s.issue("bad")
	s.revoke(bad, "superseded")

	for name, want := range map[string]string{"good": "Certificate Status: good", "bad": "Certificate Status: revoked"} {
		out, _ := s.run("ocsptool", "--ask", "--load-cert", name+".pem", "--load-issuer", "issuing.pem", "--load-trust", "issuing.pem")
		if !strings.Contains(out, want) || !strings.Contains(out, "Verifying OCSP Response: Success") {
			t.Errorf("%s: %s", name, out)
		}
	}
	s.file("issuing.crl.pem", fetch(t, s.url+"/crl/issuing.crl"))
	s.file("root.crl.pem", fetch(t, s.url+"/crl/root.crl"))
	if out, ok := s.run("certtool", "--verify-crl", "--load-ca-certificate", "issuing.pem", "--infile", "issuing.crl.pem"); !ok || !strings.Contains(out, "Verified") {
		t.Errorf("the list: %s", out)
	}
	s.bundle("crls.pem", "issuing.crl.pem", "root.crl.pem")
	for name, want := range map[string]string{"good": "The certificate is trusted", "bad": "revoked"} {
		s.bundle(name+"-chain.pem", name+".pem", "issuing.pem", "root.pem")
		out, _ := s.run("certtool", "--verify", "--load-ca-certificate", "root.pem", "--load-crl", "crls.pem", "--infile", name+"-chain.pem")
		if !strings.Contains(out, want) {
			t.Errorf("%s by certtool: %s", name, out)
		}
	}
}

// bundle puts files together.
func (s *street) bundle(name string, files ...string) {
	s.t.Helper()
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(s.dir, f))
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, b...)
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), all, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// NSS, with which Firefox is built, asks by OCSP and by the CRL.
func TestNSSBelievesTheAnswersAndLists(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	s.issue("good")
	bad := s.issue("bad")
	s.revoke(bad, "")
	if out, ok := s.run("certutil", "-N", "-d", s.dir, "--empty-password"); !ok {
		t.Fatal(out)
	}
	if out, ok := s.run("certutil", "-A", "-d", s.dir, "-n", "root", "-t", "CT,,", "-i", "root.pem", "-a"); !ok {
		t.Fatal(out)
	}
	for _, method := range []string{"ocsp", "crl"} {
		for name, want := range map[string]bool{"good": true, "bad": false} {
			out, ok := s.run("vfychain", "-d", s.dir, "-pp", "-u", "1", "-g", "leaf", "-h", "requireFreshInfo", "-m", method, "-s", "failIfNoInfo", "-a", name+".pem", "issuing.pem")
			if ok != want || want && !strings.Contains(out, "Chain is good!") || !want && !strings.Contains(out, "has been revoked") {
				t.Errorf("%s by %s: %v %s", name, method, ok, out)
			}
		}
	}
}

// OpenSSL takes a delta to a list that it has: a revocation, and the end of a hold.
func TestOpenSSLGoesByDeltas(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	good, bad, held := s.issue("good"), s.issue("bad"), s.issue("held")
	_ = good
	s.revoke(held, revocation.Hold)
	whole := fetch(t, s.url+"/crl/issuing.crl")
	s.file("issuing.crl.pem", whole)
	s.file("root.crl.pem", fetch(t, s.url+"/crl/root.crl"))
	s.Set(s.Clock().Add(2 * time.Second))
	s.revoke(bad, "keyCompromise")
	s.release(held)
	s.file("delta.crl.pem", fetch(t, s.url+"/crl/issuing/delta.crl"))

	check := func(delta bool, name string) (string, bool) {
		args := []string{"verify", "-crl_check_all", "-no-CApath", "-no-CAstore", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-CRLfile", "issuing.crl.pem", "-CRLfile", "root.crl.pem"}
		if delta {
			args = append(args, "-use_deltas", "-CRLfile", "delta.crl.pem")
		}
		return s.run("openssl", append(args, name+".pem")...)
	}
	for _, c := range []struct {
		name        string
		alone, with bool
	}{{"good", true, true}, {"bad", true, false}, {"held", false, true}} {
		if out, ok := check(false, c.name); ok != c.alone {
			t.Errorf("%s by the old list: %v %s", c.name, ok, out)
		}
		if out, ok := check(true, c.name); ok != c.with {
			t.Errorf("%s with the delta: %v %s", c.name, ok, out)
		}
	}
}

// A certificate names its part of the list, and OpenSSL takes that part for it and no other.
func TestOpenSSLGoesByTheNamedPart(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	before := s.issue("before")
	if _, err := s.Revocation.Partition(t.Context(), access.System("test"), "issuing", 3); err != nil {
		t.Fatal(err)
	}
	s.file("root.crl.pem", fetch(t, s.url+"/crl/root.crl"))
	var leaf issuance.Result
	for range 100 { // serials are random, and so are the parts
		if leaf = s.issue("leaf"); leaf.Part == 2 {
			break
		}
	}
	verify := func(name, part string) (string, bool) {
		t.Helper()
		s.file("part.crl.pem", fetch(t, s.url+"/crl/issuing"+part+".crl"))
		return s.run("openssl", "verify", "-crl_check_all", "-extended_crl", "-no-CApath", "-no-CAstore", "-CAfile", "root.pem", "-untrusted", "issuing.pem",
			"-CRLfile", "part.crl.pem", "-CRLfile", "root.crl.pem", name+".pem")
	}

	if out, ok := verify("leaf", "/2"); !ok {
		t.Errorf("its part: %s", out)
	}
	if out, ok := verify("leaf", "/1"); ok || !strings.Contains(out, "scope") {
		t.Errorf("another part was taken for it: %s", out)
	}
	s.revoke(leaf, "superseded")
	s.revoke(before, "superseded")
	for _, c := range [][2]string{{"leaf", "/2"}, {"leaf", ""}, {"before", ""}} {
		if out, ok := verify(c[0], c[1]); ok || !strings.Contains(out, "certificate revoked") {
			t.Errorf("%s by %q: %s", c[0], c[1], out)
		}
	}
}
