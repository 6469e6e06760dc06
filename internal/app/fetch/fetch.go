// Package fetch gets documents of other services over HTTPS, within limits.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	timeout     = 10 * time.Second // of a document
	maxDocument = 1 << 20
)

// Documents are fetched one by one; a redirect is no document.
type Documents struct{ client *http.Client }

// New makes Documents that reach out by dial alone. It uses no proxy: there the proxy
// would choose the address, and nobody would look at it.
func New(dial func(ctx context.Context, network, address string) (net.Conn, error), roots *x509.CertPool) Documents {
	return Documents{&http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			MaxIdleConns: 8, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Fetch returns the document at a URL.
func (d Documents) Fetch(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	res, err := d.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, res.Status)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%s is larger than %d bytes", url, maxDocument)
	}
	return b, nil
}

// Roots are the CA certificates of the machine, with those of a PEM file if one is named.
func Roots(file string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any: the file can name some
	}
	if file == "" {
		return roots, nil
	}
	pem, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}
