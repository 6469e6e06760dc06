// Package client calls the control plane's REST API: tokens by client credentials, lists
// page by page, errors that say what to do next.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config says which server to call and as whom.
type Config struct {
	// URL of the control plane, https://host[:port].
	URL string
	// ClientID and Secret of an application.
	ClientID, Secret string
	// CAFile holds root certificates in PEM that count besides the system's; empty for none.
	CAFile string
	// Agent names the program to the server.
	Agent string
}

// FromEnvironment reads the variables that "chatelaine env" prints: CHATELAINE_URL,
// AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and SSL_CERT_FILE.
func FromEnvironment(getenv func(string) string) Config {
	return Config{
		URL: getenv("CHATELAINE_URL"), ClientID: getenv("AZURE_CLIENT_ID"), Secret: getenv("AZURE_CLIENT_SECRET"), CAFile: getenv("SSL_CERT_FILE"),
	}
}

// Client calls one server as one application. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	agent string
	http  *http.Client
	token source
}

const hint = `run: eval "$(chatelaine env)"`

// New makes a client. It does not call the server yet.
func New(c Config) (*Client, error) {
	for _, v := range []struct{ name, value string }{
		{"CHATELAINE_URL", c.URL}, {"AZURE_CLIENT_ID", c.ClientID}, {"AZURE_CLIENT_SECRET", c.Secret},
	} {
		if v.value == "" {
			return nil, fmt.Errorf("%s is not set; %s", v.name, hint)
		}
	}
	base, err := url.Parse(strings.TrimSuffix(c.URL, "/"))
	if err != nil || base.Scheme != "https" || base.Host == "" || base.Path != "" {
		return nil, fmt.Errorf("CHATELAINE_URL %q: want https://host[:port]", c.URL)
	}
	roots, err := rootsOf(c.CAFile)
	if err != nil {
		return nil, err
	}
	k := &Client{base: base, agent: c.Agent, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dial, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
		// A token goes where it was issued for, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	k.token = source{client: k, id: c.ClientID, secret: c.Secret}
	return k, nil
}

// URL is the address of the control plane.
func (c *Client) URL() string { return c.base.String() }

// rootsOf are the system's roots and those of a file. On Linux, Go itself takes
// SSL_CERT_FILE instead of the system's roots; elsewhere it does not look at it.
func rootsOf(file string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if file == "" {
		return roots, nil
	}
	pem, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("SSL_CERT_FILE: %w; %s", err, hint)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("SSL_CERT_FILE: there is no certificate in %s; %s", file, hint)
	}
	return roots, nil
}

// dial connects. Names below localhost are this machine (RFC 6761 section 6.3), whatever
// the resolver knows of them.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host = strings.TrimSuffix(strings.ToLower(host), "."); host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return d.DialContext(ctx, network, address)
	}
	conn, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		if six, errSix := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); errSix == nil {
			return six, nil
		}
	}
	return conn, err
}

// maxAnswer bounds an answer, in bytes: a page of 500 certificates with a thousand names each.
const maxAnswer = 64 << 20

// Do calls an operation, such as "GET /vaults": body, if not nil, is sent as JSON, and the
// answer is decoded into into, if not nil. Errors of the server are *Error.
func (c *Client) Do(ctx context.Context, route string, query url.Values, body, into any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	answer, err := c.call(ctx, route, query, content)
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized && c.token.forget() {
		answer, err = c.call(ctx, route, query, content) // the server has new signing keys, or was made anew
	}
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("answer of %s: %w; do client and server have the same version?", route, err)
	}
	return nil
}

func (c *Client) call(ctx context.Context, route string, query url.Values, content []byte) ([]byte, error) {
	token, err := c.token.get(ctx)
	if err != nil {
		return nil, err
	}
	method, path, _ := strings.Cut(route, " ")
	at := c.base.JoinPath("api/v1", path)
	at.RawQuery = query.Encode()
	var body io.Reader
	if content != nil {
		body = bytes.NewReader(content)
	}
	r, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/json")
	if content != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return c.send(r)
}

// send returns the body of an answer, or the error that it is.
func (c *Client) send(r *http.Request) ([]byte, error) {
	r.Header.Set("User-Agent", c.agent)
	res, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreached(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, c.unreached(err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s is larger than %d MiB", r.URL.Path, maxAnswer>>20)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return nil, problemOf(res, b)
	}
	return b, nil
}
