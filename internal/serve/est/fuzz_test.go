package est

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"

	"chatelaine.dev/internal/serve/web"
)

// FuzzBody: whatever is sent, it is a body or an error of the client's, and never large.
func FuzzBody(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.example.test"}}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	f.Add([]byte(base64.StdEncoding.EncodeToString(csr)))
	f.Add([]byte("MIIB\r\n MIIB=\n"))
	f.Add(bytes.Repeat([]byte("A"), maxBody+4))
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(sent))
		got, err := body(httptest.NewRecorder(), r)
		if err != nil {
			if status := web.DetailsOf(r, err).Status; status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d: %v", status, err)
			}
			return
		}
		if len(got) > maxBody {
			t.Errorf("%d bytes are more than a body may have", len(got))
		}
	})
}

func TestABodyIsReadInEveryWayThatClientsWriteIt(t *testing.T) {
	der := []byte{0x30, 0x82, 0, 3, 2, 1, 5}
	text := base64.StdEncoding.EncodeToString(der)
	for name, sent := range map[string]string{"one line": text, "lines": text[:4] + "\r\n" + text[4:] + "\r\n", "DER": string(der)} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader([]byte(sent)))
		if got, err := body(httptest.NewRecorder(), r); err != nil || !bytes.Equal(got, der) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}
