package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"chatelaine.dev/internal/lifecycle/discovery/scan"
)

// dialer is how connectors and verifications reach out: never to link-local addresses
// and metadata services, to this machine only where it was named, and to names below
// localhost without asking a resolver (RFC 6761 §6.3).
type dialer struct {
	// permit decides about the address that the socket gets; nil is scan.Permit. local says
	// that this machine was named expressly.
	permit func(a netip.Addr, local bool) error
	// resolver finds addresses; nil is the machine's.
	resolver *net.Resolver
}

// DialContext implements deployment.Dialer.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	local := name == "localhost" || strings.HasSuffix(name, ".localhost")
	if local {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		local = true
	}
	permit := d.permit
	if permit == nil {
		permit = scan.Permit
	}
	out := net.Dialer{
		Timeout: dialTimeout, Resolver: d.resolver,
		// The check is on the address that the socket gets, after the resolver has spoken.
		ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return fmt.Errorf("dial %s: %w", resolved, err)
			}
			return permit(a.Addr(), local)
		},
	}
	return out.DialContext(ctx, network, address)
}

// transport is the HTTP transport that connectors get.
func (d dialer) transport(c *tls.Config) http.RoundTripper {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext, TLSClientConfig: c, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
	}
}
