// Package apptest starts the product for a test, as an operator would, on free ports and
// with an empty data folder.
package apptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/config"
)

// Product is a running product.
type Product struct {
	*app.App
	Data   string
	URL    string
	Port   string
	Client *http.Client // trusts the root, and finds every host on loopback
	Roots  *x509.CertPool
}

// System is a caller that may do everything.
var System = access.System("test")

// Start starts the product; adjust, if any, changes its configuration first. It stops
// when the test ends.
func Start(t testing.TB, adjust ...func(*config.Config)) *Product {
	t.Helper()
	c := config.Default()
	c.Data, c.Listen, c.Status = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
	for _, f := range adjust {
		f(&c)
	}
	out := io.Discard
	if testing.Verbose() {
		out = t.Output()
	}
	a, err := app.Open(t.Context(), app.Config{Config: c, Log: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		t.Fatalf("start the product: %v", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stop the product: %v", err)
		}
	})
	p := &Product{App: a, Data: c.Data, URL: a.URL()}
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.Port = u.Port()
	root, err := os.ReadFile(filepath.Join(c.Data, "bootstrap", "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p.Roots = x509.NewCertPool()
	p.Roots.AppendCertsFromPEM(root)
	p.Client = &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: p.Roots, MinVersion: tls.VersionTLS12},
		DialContext: Loopback,
	}}
	return p
}

// Loopback dials the port of an address on loopback, whatever its host.
func Loopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// VaultURL is the address of a vault.
func (p *Product) VaultURL(vault string) string { return "https://" + vault + ".localhost:" + p.Port }

// Application makes an application that holds the roles at the scope, and returns a
// token for it.
func (p *Product) Application(t testing.TB, name string, scope access.Scope, roles ...string) (bearer string) {
	t.Helper()
	ctx := t.Context()
	who, err := p.Directory.CreateApplication(ctx, System, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles {
		if _, err := p.Directory.Assign(ctx, System, who.ID, r, scope); err != nil {
			t.Fatal(err)
		}
	}
	_, secret, err := p.Directory.AddCredential(ctx, System, who.ID, directory.NewCredential{Kind: directory.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := p.Tokens.ForClient(ctx, token.ClientCredentials{
		ClientID: who.ClientID, Secret: secret, Resource: p.URL, Base: p.URL, Form: token.ADFS,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tok.Text.Reveal()
}
