// Package acme has other people's ACME clients drive the whole product: each gets
// certificates for names that a small server of challenges answers for.
package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/lifecycle/acme"
)

// world is the product beside a machine that answers for every name by HTTP and TLS, and
// pebble-challtestsrv, which says that every name is this machine's.
type world struct {
	*apptest.Product
	answers
	names             names
	httpPort, tlsPort int
}

// answers are what the machine shows.
type answers struct {
	mu     sync.Mutex
	tokens map[string]string           // of http-01, to key authorizations
	certs  map[string]*tls.Certificate // of tls-alpn-01, by server name
	web    string                      // folder whose files are shown too
}

func port(t testing.TB, a net.Addr) int {
	t.Helper()
	_, text, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := net.LookupPort("tcp", text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func start(t testing.TB, adjust ...func(*config.Config)) *world {
	t.Helper()
	w := &world{answers: answers{tokens: map[string]string{}, certs: map[string]*tls.Certificate{}, web: t.TempDir()}}
	var lc net.ListenConfig
	web, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.httpPort, w.tlsPort, w.names = port(t, web.Addr()), port(t, secure.Addr()), startNames(t)
	plain := &http.Server{Handler: http.HandlerFunc(w.serveToken), ReadHeaderTimeout: time.Minute}
	go func() { _ = plain.Serve(web) }()
	go w.serveTLS(tls.NewListener(secure, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"acme-tls/1"}, GetCertificate: w.certificateFor}))
	t.Cleanup(func() {
		_ = plain.Close()
		_ = secure.Close()
	})
	w.Product = apptest.Start(t, append([]func(*config.Config){func(c *config.Config) {
		c.ACME = config.ACME{
			Resolvers: []string{w.names.resolver}, Networks: []string{"127.0.0.0/8"}, HTTPPort: w.httpPort, TLSPort: w.tlsPort,
		}
	}}, adjust...)...)
	return w
}

func (a *answers) serveToken(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	authorization, ok := a.tokens[strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/")]
	if !ok {
		http.FileServer(http.Dir(a.web)).ServeHTTP(w, r)
		return
	}
	_, _ = io.WriteString(w, authorization)
}

func (a *answers) certificateFor(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.certs[h.ServerName], nil
}

func (a *answers) serveTLS(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}()
	}
}

// key makes an external account key for any number of accounts.
func (w *world) key(t testing.TB) (id, secret string) {
	t.Helper()
	k, err := w.ACME.CreateExternalKey(t.Context(), apptest.System, acme.ExternalKeyDraft{Profile: "tls-server", Owner: "shop", Many: true})
	if err != nil {
		t.Fatal(err)
	}
	return k.ID, k.Secret.Reveal()
}

func (w *world) directory() string { return w.URL + "/acme/tls-server/directory" }

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// trusted reads a chain and verifies it for the name, as a client that trusts our root.
func (w *world) trusted(t testing.TB, chain []byte, name string) *x509.Certificate {
	t.Helper()
	var list []*x509.Certificate
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	if len(list) < 2 {
		t.Fatalf("a chain of %d", len(list))
	}
	between := x509.NewCertPool()
	for _, c := range list[1:] {
		between.AddCert(c)
	}
	if _, err := list[0].Verify(x509.VerifyOptions{DNSName: name, Roots: w.Roots, Intermediates: between}); err != nil {
		t.Fatal(err)
	}
	return list[0]
}
