// Package blobtest is a small Azure Blob Storage: one account with one container, over TLS,
// opened by one shared access signature. It checks what the real service checks of the
// requests that package blob sends.
package blobtest

import (
	"crypto/md5" // #nosec G501 -- Content-MD5
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Container is the path of the container.
const Container = "/devstoreaccount1/backups"

// Token is the signature that opens it.
const Token = "sv=2021-12-02&sr=c&sp=rcwdl&se=2099-01-01T00%3A00%3A00Z&sig=" + signature + "%3D"

const signature = "c2lnbmF0dXJlLW9mLXRoZS10ZXN0cw"

// Server is the running service.
type Server struct {
	*httptest.Server

	mu    sync.Mutex
	blobs map[string][]byte
	fail  func(method, name string) int
}

// New starts a service that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{blobs: map[string][]byte{}}
	s.Server = httptest.NewTLSServer(s.Handler())
	t.Cleanup(s.Close)
	return s
}

// URL is the address of the container.
func (s *Server) URL() string { return s.Server.URL + Container }

// Roots trust the service.
func (s *Server) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.Certificate())
	return p
}

// Fail makes requests for which status is not 0 fail with it; nil ends that.
func (s *Server) Fail(status func(method, name string) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = status
}

// Names are those of all blobs, in order.
func (s *Server) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n := range s.blobs {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Blob returns a blob, and Set replaces one, as somebody with access to the storage can.
func (s *Server) Blob(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.blobs[name])
}

// Set replaces a blob.
func (s *Server) Set(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[name] = data
}

// Handler is the service without its listener.
func (s *Server) Handler() http.Handler {
	if s.blobs == nil {
		s.blobs = map[string][]byte{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("X-Ms-Request-Id", "00000000-0000-0000-0000-000000000000")
		w.Header().Set("X-Ms-Version", r.Header.Get("X-Ms-Version"))
		name, ok := strings.CutPrefix(r.URL.Path, Container+"/")
		if code := s.authorize(r.URL.Query()); code != "" {
			refuse(w, http.StatusForbidden, code)
			return
		}
		if !ok || name == "" {
			refuse(w, http.StatusNotFound, "ContainerNotFound")
			return
		}
		if s.fail != nil {
			if status := s.fail(r.Method, name); status != 0 {
				refuse(w, status, "ServerBusy")
				return
			}
		}
		s.serve(w, r, name)
	})
}

// authorize holds the parameters of the signature against the one that is good.
func (s *Server) authorize(q url.Values) string {
	good, _ := url.ParseQuery(Token)
	for _, p := range []string{"sv", "sr", "sp", "se", "sig"} {
		if q.Get(p) != good.Get(p) {
			return "AuthenticationFailed"
		}
	}
	if end, err := time.Parse(time.RFC3339, q.Get("se")); err != nil || time.Now().After(end) {
		return "AuthenticationFailed"
	}
	return ""
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, name string) {
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
		sum := md5.Sum(body) // #nosec G401 -- Content-MD5
		switch {
		case err != nil:
			refuse(w, http.StatusBadRequest, "IncompleteBody")
		case r.Header.Get("X-Ms-Blob-Type") == "":
			refuse(w, http.StatusBadRequest, "MissingRequiredHeader")
		case r.Header.Get("X-Ms-Blob-Type") != "BlockBlob" || r.Header.Get("X-Ms-Version") == "":
			refuse(w, http.StatusBadRequest, "InvalidHeaderValue")
		case r.ContentLength < 0:
			refuse(w, http.StatusLengthRequired, "MissingContentLengthHeader")
		case r.Header.Get("Content-Md5") != "" && r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]):
			refuse(w, http.StatusBadRequest, "Md5Mismatch")
		default:
			s.blobs[name] = body
			w.Header().Set("Etag", `"0x1"`)
			w.WriteHeader(http.StatusCreated)
		}
	case http.MethodGet:
		b, ok := s.blobs[name]
		if !ok {
			refuse(w, http.StatusNotFound, "BlobNotFound")
			return
		}
		w.Header().Set("X-Ms-Blob-Type", "BlockBlob")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
	case http.MethodDelete:
		if _, ok := s.blobs[name]; !ok {
			refuse(w, http.StatusNotFound, "BlobNotFound")
			return
		}
		delete(s.blobs, name)
		w.WriteHeader(http.StatusAccepted)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UnsupportedHttpVerb")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Error-Code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, code)
}
