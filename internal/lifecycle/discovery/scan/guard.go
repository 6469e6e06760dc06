package scan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"chatelaine.dev/internal/fault"
)

// forbidden are the networks that no scan may touch, whoever asks for it: what lives
// there trusts its neighbours, or is everybody.
func forbidden() []struct{ network, what string } {
	return []struct{ network, what string }{
		{"0.0.0.0/8", "this host"},
		{"::/128", "this host"},
		{"169.254.0.0/16", "link-local addresses and cloud metadata services"},
		{"fe80::/10", "link-local addresses"},
		{"fd00:ec2::254/128", "the metadata service of AWS"},
		{"fd20:ce::254/128", "the metadata service of Google Cloud"},
		{"100.100.100.200/32", "the metadata service of Alibaba Cloud"},
		{"168.63.129.16/32", "the host service of Azure"},
		{"192.0.0.192/32", "the metadata service of Oracle Cloud"},
		{"224.0.0.0/4", "multicast"},
		{"ff00::/8", "multicast"},
		{"240.0.0.0/4", "reserved and broadcast addresses"},
	}
}

// guard decides which addresses may be connected to. It is immutable.
type guard struct {
	networks []netip.Prefix
	what     []string
}

func newGuard() *guard {
	g := &guard{}
	for _, f := range forbidden() {
		g.networks = append(g.networks, netip.MustParsePrefix(f.network))
		g.what = append(g.what, f.what)
	}
	return g
}

// permit returns why an address may not be connected to, or nil. loopback says that the
// user named this machine expressly.
func (g *guard) permit(a netip.Addr, loopback bool) error {
	inner, embedded := a.WithZone("").Unmap(), false
	if v4, ok := embeddedIPv4(inner); ok {
		inner, embedded = v4, true
	}
	for _, x := range []netip.Addr{a.WithZone("").Unmap(), inner} {
		for i, n := range g.networks {
			if n.Contains(x) {
				return refuse(a, g.what[i])
			}
		}
	}
	if inner.IsLoopback() && (!loopback || embedded) {
		return refuse(a, "this machine, which a target must name expressly (localhost, 127.0.0.1 or ::1)")
	}
	return nil
}

func refuse(a netip.Addr, what string) error {
	return fault.New(fault.Denied, "AddressForbidden", "%s is not scanned: it belongs to %s", a, what)
}

// embeddedIPv4 finds the IPv4 address that a translator would connect to: NAT64 (RFC
// 6052), 6to4 (RFC 3056) and the deprecated compatible form (RFC 4291).
func embeddedIPv4(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return a, false
	}
	b := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a), netip.MustParsePrefix("64:ff9b:1::/48").Contains(a),
		netip.MustParsePrefix("::/96").Contains(a) && a != netip.IPv6Loopback():
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return a, false
}

// dial connects to an address. The check is made by the Control hook, on the address that
// the socket really gets, so that no code path can slip past it.
func (g *guard) dial(ctx context.Context, to netip.AddrPort, loopback bool, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{
		Timeout: timeout, KeepAlive: -1,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("dial %s: %w", address, err)
			}
			return g.permit(a.Addr(), loopback)
		},
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// Permit returns why no part of the product may connect to an address, or nil. loopback
// says that whoever asked named this machine expressly.
func Permit(a netip.Addr, loopback bool) error { return newGuard().permit(a, loopback) }

// Embedded returns the IPv4 address that a translator would make of an address, or the
// address itself.
func Embedded(a netip.Addr) netip.Addr {
	inner, _ := embeddedIPv4(a)
	return inner
}
