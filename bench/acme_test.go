package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/app/logging"
	"chatelaine.dev/internal/config"
	rules "chatelaine.dev/internal/lifecycle/acme"
)

// serveACME is the product with an ACME server that validates at a port of loopback. The
// token of its greeting is an external account key: id and secret.
func serveACME(data string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	port, err := strconv.Atoi(os.Getenv(role + "_PORT"))
	if err != nil {
		return err
	}
	c := config.Default()
	c.Data, c.Listen, c.Status = data, "127.0.0.1:0", "127.0.0.1:0"
	c.ACME = config.ACME{Networks: []string{"127.0.0.0/8"}, HTTPPort: port, Limits: config.ACMELimits{Orders: -1, Accounts: -1}}
	debug.SetGCPercent(200) // as chatelaine serve does
	file, err := os.Create(filepath.Join(filepath.Dir(data), "server.log"))
	if err != nil {
		return err
	}
	log := logging.New(file)
	defer log.Close()
	a, err := app.Open(ctx, app.Config{Config: c, Log: log.Logger})
	if err != nil {
		return err
	}
	k, err := a.ACME.CreateExternalKey(ctx, apptest.System, rules.ExternalKeyDraft{Profile: "tls-server", Owner: "bench", Many: true})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(greeting{URL: a.URL(), Token: k.ID + " " + k.Secret.Reveal()}); err != nil {
		return err
	}
	if name := os.Getenv(role + "_PROFILE"); name != "" { // where each microsecond goes
		f, err := os.Create(filepath.Clean(name))
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return a.Run(ctx)
}

// tokens is a machine that shows key authorizations by http-01.
type tokens struct {
	sync.Mutex
	shown map[string]string
}

// ServeHTTP implements http.Handler.
func (s *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	_, _ = io.WriteString(w, s.shown[strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/")])
}

// BenchmarkACME is the whole flow, by Go's own client over TLS with durable storage: order,
// authorization, challenge by http-01, validation, finalization, download. It reports the
// CPU that a certificate costs the server, beside x509.CreateCertificate in the same run.
func BenchmarkACME(b *testing.B) {
	shown := &tokens{shown: map[string]string{}}
	var lc net.ListenConfig
	l, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	machine := &http.Server{Handler: shown}
	go func() { _ = machine.Serve(l) }()
	b.Cleanup(func() { _ = machine.Close() })
	s := start(b, "acme", b.TempDir(), fmt.Sprintf("%s_PORT=%d", role, l.Addr().(*net.TCPAddr).Port))
	s.settle(b)
	for _, connections := range []int{1, 16} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			clients := make([]*acmeClient, connections)
			for i := range clients {
				clients[i] = s.acmeClient(b, shown)
			}
			var next atomic.Int64
			var done sync.WaitGroup
			before := s.cpu(b)
			b.ResetTimer()
			for _, c := range clients {
				done.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if err := c.obtain(b.Context(), fmt.Sprintf("n%d-%d.localhost", n, os.Getpid())); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			done.Wait()
			b.StopTimer()
			cost := (s.cpu(b) - before) / float64(b.N)
			b.ReportMetric(cost*1000, "server-ms/certificate")
			b.ReportMetric(1/cost, "certificates/CPU-s")
			b.ReportMetric(cost/floorOfCertificate(b), "×CreateCertificate")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// floorOfCertificate is what one x509.CreateCertificate with P-256 takes, in seconds.
func floorOfCertificate(b *testing.B) float64 {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	t := &x509.Certificate{DNSNames: []string{"a.example.com"}}
	const rounds = 500 // testing.Benchmark inside a benchmark waits for itself
	begun := time.Now()
	for range rounds {
		if _, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begun).Seconds() / rounds
}

type acmeClient struct {
	*acme.Client
	shown *tokens
	key   *ecdsa.PrivateKey
}

// acmeClient makes a client with an account.
func (s server) acmeClient(b *testing.B, shown *tokens) *acmeClient {
	b.Helper()
	account, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	id, secret, _ := strings.Cut(s.Token, " ")
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		b.Fatal(err)
	}
	c := &acmeClient{&acme.Client{Key: account, HTTPClient: client(), DirectoryURL: s.URL + "/acme/tls-server/directory"}, shown, key}
	if _, err := c.Register(b.Context(), &acme.Account{ExternalAccountBinding: &acme.ExternalAccountBinding{KID: id, Key: raw}}, acme.AcceptTOS); err != nil {
		b.Fatal(err)
	}
	return c
}

func (c *acmeClient) obtain(ctx context.Context, name string) error {
	o, err := c.AuthorizeOrder(ctx, acme.DomainIDs(name))
	if err != nil {
		return err
	}
	z, err := c.GetAuthorization(ctx, o.AuthzURLs[0])
	if err != nil {
		return err
	}
	ch := z.Challenges[0]
	text, err := c.HTTP01ChallengeResponse(ch.Token)
	if err != nil {
		return err
	}
	c.shown.Lock()
	c.shown.shown[ch.Token] = text
	c.shown.Unlock()
	if _, err := c.Accept(ctx, ch); err != nil {
		return err
	}
	if _, err := c.WaitAuthorization(ctx, z.URI); err != nil {
		return err
	}
	if _, err := c.WaitOrder(ctx, o.URI); err != nil {
		return err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, c.key)
	if err != nil {
		return err
	}
	_, _, err = c.CreateOrderCert(ctx, o.FinalizeURL, request, false)
	return err
}
