package connector

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"

	"chatelaine.dev/internal/fault"
)

const (
	maxResponse    = 16 << 20        // bytes of one answer
	requestTimeout = 2 * time.Minute // of one exchange, where the context sets none
)

// Client makes an HTTP client for a connector: through the product's transport, with a
// bound on what an answer may hold, and without following redirects, which would carry
// credentials elsewhere.
func (e Env) Client(c *tls.Config) *http.Client {
	var rt http.RoundTripper
	if e.Transport != nil {
		rt = e.Transport(c)
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = c
		rt = t
	}
	return &http.Client{
		Transport:     bounded{rt},
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// TrustTLS makes a TLS configuration that trusts the system's roots and the certificates
// in pem, which may be empty.
func TrustTLS(pem string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if pem == "" {
		return c, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, fault.New(fault.Invalid, "InvalidSettings", "the CA certificates are not readable: paste them as PEM")
	}
	c.RootCAs = pool
	return c, nil
}

// bounded ends an answer that is larger than any that a connector expects.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxResponse)
	}
	return res, err
}
