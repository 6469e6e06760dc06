package enrol

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"os"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/lifecycle/passcode"
)

// curl asks the EST door and returns status, content type and body.
func (w *world) curl(t testing.TB, base, operation string, args ...string) (status, kind string, body []byte) {
	t.Helper()
	line := w.run(t, "curl", append([]string{
		"-sS", "--cacert", w.root(), "-o", "answer", "-w", "%{http_code} %{content_type}", base + "/.well-known/est/" + operation,
	}, args...)...)
	status, kind, _ = strings.Cut(line, " ")
	body, err := os.ReadFile(w.path("answer"))
	must(t, err)
	return status, kind, body
}

// csr makes a key and a CSR in base64 by openssl.
func (w *world) csr(t testing.TB, name, key string, san ...string) {
	t.Helper()
	w.run(t, "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", name,
		"-outform", "DER", "-subj", "/CN="+san[0], "-addext", "subjectAltName=DNS:"+strings.Join(san, ",DNS:"))
	der, err := os.ReadFile(w.path(name))
	must(t, err)
	must(t, os.WriteFile(w.path(name), []byte(base64.StdEncoding.EncodeToString(der)), 0o600))
}

// unpack has openssl take the certificate out of an answer.
func (w *world) unpack(t testing.TB, body []byte, name string) {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	must(t, err)
	must(t, os.WriteFile(w.path("p7"), der, 0o600))
	w.run(t, "openssl", "pkcs7", "-inform", "DER", "-in", "p7", "-print_certs", "-out", name)
}

func TestCurlAndOpenSSLEnrolByEST(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := w.client + ":" + w.secret.Reveal()

	status, kind, body := w.curl(t, w.URL, "tls-server/cacerts")
	if status != "200" || kind != "application/pkcs7-mime" {
		t.Fatalf("cacerts: %s %s %s", status, kind, body)
	}
	w.unpack(t, body, "ca.pem")
	if text, err := os.ReadFile(w.path("ca.pem")); err != nil || strings.Count(string(text), "BEGIN CERTIFICATE") != 2 {
		t.Errorf("cacerts has not both authorities: %v", err)
	}

	w.csr(t, "csr", "key.pem", "a.example.test")
	post := []string{"-H", "Content-Type: application/pkcs10", "--data-binary", "@csr"}
	if status, _, body := w.curl(t, w.URL, "tls-server/simpleenroll", post...); status != "401" {
		t.Errorf("without a credential: %s %s", status, body)
	}
	if status, _, body := w.curl(t, w.URL, "tls-server/simpleenroll", append(post, "-u", w.client+":wrong")...); status != "401" {
		t.Errorf("with a wrong secret: %s %s", status, body)
	}
	status, kind, body = w.curl(t, w.URL, "tls-server/simpleenroll", append(post, "-u", secret)...)
	if status != "200" || kind != "application/pkcs7-mime; smime-type=certs-only" {
		t.Fatalf("simpleenroll: %s %s %s", status, kind, body)
	}
	w.unpack(t, body, "cert.pem")
	if c := w.certificate(t, "cert.pem"); !slices.Equal(c.DNSNames, []string{"a.example.test"}) {
		t.Errorf("it is for %v", c.DNSNames)
	}

	// The certificate renews itself, at the listener that asks for it.
	w.csr(t, "csr", "key2.pem", "a.example.test")
	mutual := []string{"--cert", "cert.pem", "--key", "key.pem"}
	status, _, body = w.curl(t, w.ESTURL(), "tls-server/simplereenroll", append(post, mutual...)...)
	if status != "200" {
		t.Fatalf("simplereenroll: %s %s", status, body)
	}
	w.unpack(t, body, "cert2.pem")
	w.certificate(t, "cert2.pem")
	if status, _, body := w.curl(t, w.URL, "tls-server/simplereenroll", append(post, mutual...)...); status != "401" {
		t.Errorf("simplereenroll where no certificate is asked for: %s %s", status, body)
	}
	w.csr(t, "csr", "key3.pem", "b.example.test")
	if status, _, body := w.curl(t, w.ESTURL(), "tls-server/simplereenroll", append(post, mutual...)...); status != "403" {
		t.Errorf("simplereenroll for another name: %s %s", status, body)
	}
	if status, _, body := w.curl(t, w.URL, "tls-server/fullcmc", "-d", "x"); status != "501" {
		t.Errorf("fullcmc: %s %s", status, body)
	}
}

func TestOpenSSLReadsKeysMadeByEST(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := w.passcode(t, passcode.EST, "clients", "*.devices.example.test")
	w.csr(t, "csr", "unused.pem", "d1.devices.example.test")

	status, kind, body := w.curl(t, w.URL, "clients/serverkeygen", "-u", "device:"+secret.Reveal(), "-H", "Content-Type: application/pkcs10", "--data-binary", "@csr")

	if status != "200" {
		t.Fatalf("%s %s", status, body)
	}
	_, params, err := mime.ParseMediaType(kind)
	must(t, err)
	parts := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
	for _, want := range []string{"application/pkcs8", "application/pkcs7-mime; smime-type=certs-only"} {
		p, err := parts.NextPart()
		must(t, err)
		text, err := io.ReadAll(p)
		must(t, err)
		if got := p.Header.Get("Content-Type"); got != want {
			t.Fatalf("part %s, want %s", got, want)
		}
		if want == "application/pkcs8" {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
			must(t, err)
			must(t, os.WriteFile(w.path("key.der"), der, 0o600))
			continue
		}
		w.unpack(t, text, "cert.pem")
	}
	w.certificate(t, "cert.pem")
	of := w.run(t, "openssl", "x509", "-in", "cert.pem", "-noout", "-pubkey")
	if key := w.run(t, "openssl", "pkey", "-inform", "DER", "-in", "key.der", "-pubout"); key != of {
		t.Errorf("the key is not the certificate's:\n%s\n%s", key, of)
	}

	w.csr(t, "csr", "unused.pem", "d1.devices.example.test")
	if status, _, body := w.curl(t, w.URL, "clients/simpleenroll", "-u", "device:"+secret.Reveal(), "--data-binary", "@csr"); status != "401" {
		t.Errorf("the password a second time: %s %s", status, body)
	}
}

func TestEstclientEnrols(t *testing.T) {
	t.Parallel()
	w := start(t)
	server := strings.TrimPrefix(w.ESTURL(), "https://")
	base := []string{"-server", server, "-aps", "tls-server", "-explicit", w.root()}
	w.run(t, "estclient", append([]string{"cacerts", "-out", "ca.pem"}, base...)...)
	w.run(t, "estclient", append([]string{"csrattrs"}, base...)...)
	w.run(t, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem")
	w.run(t, "estclient", "csr", "-key", "key.pem", "-cn", "c.example.test", "-dnsnames", "c.example.test", "-out", "csr.pem")

	w.run(t, "estclient", append([]string{"enroll", "-csr", "csr.pem", "-user", w.client, "-pass", w.secret.Reveal(), "-out", "cert.pem"}, base...)...)
	first := w.certificate(t, "cert.pem")
	w.run(t, "estclient", append([]string{"reenroll", "-csr", "csr.pem", "-certs", "cert.pem", "-key", "key.pem", "-out", "cert2.pem"}, base...)...)

	if second := w.certificate(t, "cert2.pem"); second.Subject.String() != first.Subject.String() || second.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Errorf("renewed %s %s from %s %s", second.Subject, second.SerialNumber, first.Subject, first.SerialNumber)
	}
}

func TestStrongswanEnrolsByEST(t *testing.T) {
	t.Parallel()
	w := start(t)
	url := w.ESTURL() // it knows no labels
	w.run(t, "openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "csr.der", "-outform", "DER",
		"-subj", "/CN=s.example.test", "-addext", "subjectAltName=DNS:s.example.test")
	secret := w.passcode(t, passcode.EST, "tls-server", "s.example.test")

	first := w.output(t, "pki", "--est", "--url", url, "--in", "csr.der", "--cacert", w.root(), "--userpass", "s:"+secret.Reveal(), "--outform", "pem")
	must(t, os.WriteFile(w.path("cert.pem"), []byte(first), 0o600))
	if c := w.certificate(t, "cert.pem"); !slices.Equal(c.DNSNames, []string{"s.example.test"}) {
		t.Errorf("it is for %v", c.DNSNames)
	}

	second := w.output(t, "pki", "--est", "--url", url, "--in", "csr.der", "--cacert", w.root(), "--cert", "cert.pem", "--key", "key.pem", "--outform", "pem")
	must(t, os.WriteFile(w.path("cert2.pem"), []byte(second), 0o600))
	if w.certificate(t, "cert2.pem"); first == second {
		t.Error("it was not renewed")
	}
}
