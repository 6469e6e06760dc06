package challenge

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 10
	maxBody      = 1 << 10 // a key authorization has 87 bytes
	maxHeader    = 16 << 10
	agent        = "chatelaine-validation"
)

// errRedirect begins what refuses a redirect.
var errRedirect = errors.New("redirect")

// http01 looks for the key authorization at a well-known path (RFC 8555 section 8.3).
func (v *Validator) http01(ctx context.Context, p Proof) error {
	host := p.host()
	if p.Name == "" && p.IP.Is6() {
		host = "[" + host + "]"
	}
	if v.c.HTTPPort != 80 {
		host += ":" + strconv.Itoa(v.c.HTTPPort)
	}
	target := "http://" + host + "/.well-known/acme-challenge/" + p.Token
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return &Failure{Connection, "the address of the challenge cannot be made", err}
	}
	r.Header.Set("User-Agent", agent)
	transport := v.transport()
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error { return v.follow(p, next, via) }}
	res, err := client.Do(r)
	if errors.Is(err, errRedirect) {
		return &Failure{Connection, "a " + reason(err, errRedirect), err}
	}
	if err != nil {
		return unreached(target, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return &Failure{Kind: Unauthorized, Detail: fmt.Sprintf("%s answers with status %d", target, res.StatusCode)}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return &Failure{Connection, "the answer of " + target + " broke off", err}
	}
	if len(body) > maxBody {
		return &Failure{Kind: Unauthorized, Detail: fmt.Sprintf("%s answers with more than %d bytes", target, maxBody)}
	}
	// "The response may have whitespace at its end" (RFC 8555 section 8.3).
	if subtle.ConstantTimeCompare([]byte(strings.TrimRight(string(body), " \t\r\n")), []byte(p.Authorization)) != 1 {
		return &Failure{Kind: Unauthorized, Detail: target + " does not show the key authorization of this account and token"}
	}
	return nil
}

// reason is the part of an error's text that begins with another's.
func reason(err, begins error) string {
	text := err.Error()
	return text[max(0, strings.Index(text, begins.Error())):]
}

// transport is for one validation: nothing is kept, no proxy chooses the address.
func (v *Validator) transport() *http.Transport {
	return &http.Transport{
		DialContext: v.c.Dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 8 * time.Second,
		// A redirect may lead to a server whose certificate is just what is being asked for.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // G402: the proof is the key authorization
	}
}

// follow decides about a redirect. The dialer decides once more about its address.
func (v *Validator) follow(p Proof, next *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w: more than %d of them", errRedirect, maxRedirects)
	}
	next.Header.Del("Referer") // it would tell a third party whose challenge this is
	return v.redirect(p, next.URL)
}

func (v *Validator) redirect(p Proof, u *url.URL) error {
	port, known := u.Port(), map[string]int{"http": v.c.HTTPPort, "https": v.c.TLSPort}
	standard := map[string]string{"http": "80", "https": "443"}
	if _, ok := known[u.Scheme]; !ok {
		return fmt.Errorf("%w leads to the scheme %.20q; only http and https are followed", errRedirect, u.Scheme)
	}
	if port == "" {
		port = standard[u.Scheme]
	}
	if port != "80" && port != "443" && port != strconv.Itoa(v.c.HTTPPort) && port != strconv.Itoa(v.c.TLSPort) {
		return fmt.Errorf("%w leads to port %.10s, where no challenge is looked for", errRedirect, port)
	}
	host := u.Hostname()
	if u.User != nil || host == "" || len(host) > 253 {
		return fmt.Errorf("%w has no proper host", errRedirect)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if p.Name != "" || a.Unmap() != p.IP {
			return fmt.Errorf("%w leads to an address; only names are followed", errRedirect)
		}
		return nil
	}
	if numeric(host) { // 2130706433, 0x7f.1: what some resolvers take for an address
		return fmt.Errorf("%w leads to a number; only names are followed", errRedirect)
	}
	return nil
}

// numeric reports whether the last label is a number in any notation.
func numeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if net.ParseIP(host) != nil || last == "" {
		return true
	}
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || strings.Trim(last, "0123456789") == ""
}
