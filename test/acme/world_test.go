// Package acme has other people's ACME clients drive the whole product: each gets
// certificates for names that a small server of challenges answers for.
package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/lifecycle/acme"
)

// world is the product beside a machine that answers for every name below localhost: by
// HTTP, TLS and DNS.
type world struct {
	*apptest.Product
	answers
	httpPort, tlsPort, dnsPort int
}

// answers are what the machine shows.
type answers struct {
	mu     sync.Mutex
	tokens map[string]string           // of http-01, to key authorizations
	certs  map[string]*tls.Certificate // of tls-alpn-01, by server name
	texts  map[string][]string         // TXT records, by lower-case name with its final dot
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
	w := &world{answers: answers{tokens: map[string]string{}, certs: map[string]*tls.Certificate{}, texts: map[string][]string{}, web: t.TempDir()}}
	var lc net.ListenConfig
	web, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dns, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.httpPort, w.tlsPort, w.dnsPort = port(t, web.Addr()), port(t, secure.Addr()), port(t, dns.LocalAddr())
	plain := &http.Server{Handler: http.HandlerFunc(w.serveToken), ReadHeaderTimeout: time.Minute}
	go func() { _ = plain.Serve(web) }()
	go w.serveTLS(tls.NewListener(secure, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"acme-tls/1"}, GetCertificate: w.certificateFor}))
	go w.serveDNS(dns)
	t.Cleanup(func() {
		_ = plain.Close()
		_ = secure.Close()
		_ = dns.Close()
	})
	w.Product = apptest.Start(t, append([]func(*config.Config){func(c *config.Config) {
		c.ACME = config.ACME{
			Resolvers: []string{fmt.Sprintf("127.0.0.1:%d", w.dnsPort)}, Networks: []string{"127.0.0.0/8"}, HTTPPort: w.httpPort, TLSPort: w.tlsPort,
		}
	}}, adjust...)...)
	return w
}

func (a *answers) serveToken(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method == http.MethodPost { // as lego's httpreq has it: POST /present
		var in struct{ FQDN, Value string }
		if err := json.NewDecoder(r.Body).Decode(&in); err == nil && r.URL.Path == "/present" {
			a.texts[strings.ToLower(in.FQDN)] = append(a.texts[strings.ToLower(in.FQDN)], in.Value)
		}
		return
	}
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

// serveDNS answers with our texts, and for every name with this machine's address.
func (a *answers) serveDNS(c net.PacketConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		out := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
		a.mu.Lock()
		name := strings.ToLower(q.Name.String())
		if q.Type == dnsmessage.TypeTXT {
			for _, text := range a.texts[name] {
				out.Answers = append(out.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.TXTResource{TXT: []string{text}},
				})
			}
		}
		if q.Type == dnsmessage.TypeA {
			out.Answers = append(out.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			})
		}
		a.mu.Unlock()
		if packed, err := out.Pack(); err == nil {
			_, _ = c.WriteTo(packed, from)
		}
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

// control is where the machine is told what to show.
func (w *world) control() string { return fmt.Sprintf("http://127.0.0.1:%d", w.httpPort) }

func (w *world) resolver() string { return fmt.Sprintf("127.0.0.1:%d", w.dnsPort) }
