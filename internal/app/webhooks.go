package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/discovery/scan"
	armWire "chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/serve/webhook"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/eventdb"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
)

// openSubscriptions opens what sends events to webhooks, before the first event.
func (a *App) openSubscriptions(ctx context.Context, l listeners) (*subscription.Service, error) {
	chest, err := seal.OpenChest(ctx, a.root, a.settings, "events")
	if err != nil {
		return nil, err
	}
	transport, err := webhookTransport(a.cfg.Webhooks, nil)
	if err != nil {
		return nil, err
	}
	store := eventdb.NewSubscriptions(a.db, chest)
	s := subscription.New(subscription.Deps{
		Store: store, Deliveries: store, Events: a.events, Transact: a.db.Transact, Audit: a.trail, Refusals: a.refusals, Guard: a.Directory,
		Transport: transport, PlainHTTP: a.cfg.Webhooks.PlainHTTP, Origin: a.cfg.Domain,
		Callback: func(id, code string) string {
			return a.base(a.cfg.Domain, l) + webhook.Path(id) + "?" + url.Values{"code": {code}}.Encode()
		},
		Source: func(source string) string { return a.absoluteSource(source, l) },
		Holder: rand.Text(), Now: a.now, Log: a.log,
	})
	a.events.Forward(s)
	return s, s.Start(ctx, a.db.Dialect() == storage.SQLite)
}

// absoluteSource is the source of an event as the world sees it: of a vault the id of a
// resource, as Azure has it (contract §3), of everything else an address here.
func (a *App) absoluteSource(source string, l listeners) string {
	if name, ok := strings.CutPrefix(source, "/vaults/"); ok {
		name, _, _ = strings.Cut(name, "/")
		return a.resourceID(name)
	}
	return a.base(a.cfg.Domain, l) + source
}

// resourceID is a vault as Azure's resource manager names it; "" is the group of all.
func (a *App) resourceID(name string) string {
	subscription, group := "/subscriptions/"+armWire.SubscriptionOf(a.Directory.Tenant()), vault.DefaultGroup
	if name == "" {
		return subscription + "/resourceGroups/" + group
	}
	typ := "vaults"
	if v, err := a.registry.OpenAny(context.Background(), name); err == nil { // one that was purged may be named too
		group = vault.GroupOf(v.Settings())
		if v.Settings().Kind == object.ManagedHSM {
			typ = "managedHSMs"
		}
	}
	return subscription + "/resourceGroups/" + group + "/providers/Microsoft.KeyVault/" + typ + "/" + name
}

// address is where a vault is reached.
func (a *App) address(vault string) string { return a.base(vault+"."+a.cfg.Domain, a.listeners) }

// webhookTransport reaches public addresses and what the operator allows. It uses no
// proxy: there the proxy would choose the address, and nobody would look at it.
func webhookTransport(c config.Webhooks, resolver *net.Resolver) (http.RoundTripper, error) {
	networks, err := c.Networks()
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any: Roots can name some
	}
	if c.Roots != "" {
		pem, err := os.ReadFile(filepath.Clean(c.Roots))
		if err != nil {
			return nil, fmt.Errorf("webhooks.roots: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("webhooks.roots: %s holds no certificate in PEM", c.Roots)
		}
	}
	d := dialer{permit: reach{networks}.permit, resolver: resolver}
	return &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: time.Minute,
		MaxIdleConns: 200, MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
	}, nil
}

// reach is where webhooks may go: anybody may name an address, so none that trusts its
// neighbours, but for the networks that the operator allows.
type reach struct{ allowed []netip.Prefix }

// reserved are networks that are no public address of anybody (IANA's special-purpose
// registries), beside those that scan.Permit refuses to all.
func reserved() []string {
	return []string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"::1/128", "fc00::/7", "fec0::/10", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
	}
}

// permit decides about the address that the socket gets.
func (r reach) permit(a netip.Addr, _ bool) error {
	a = a.WithZone("").Unmap()
	if err := scan.Permit(a, true); err != nil { // metadata services and link-local ones: never, whatever is allowed
		return unreachable(a)
	}
	for _, n := range r.allowed {
		if n.Contains(a) {
			return nil
		}
	}
	for _, x := range []netip.Addr{a, scan.Embedded(a)} {
		for _, n := range reserved() {
			if netip.MustParsePrefix(n).Contains(x) {
				return unreachable(a)
			}
		}
	}
	return notOurs(a)
}

// notOurs refuses the addresses of this machine, public ones too: what listens on them
// may believe that only neighbours reach it.
func notOurs(a netip.Addr) error {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, x := range own {
		if p, err := netip.ParsePrefix(x.String()); err == nil && p.Addr().Unmap() == a {
			return unreachable(a)
		}
	}
	return nil
}

func unreachable(a netip.Addr) error {
	return fault.Wrap(errors.New(a.String()), fault.Denied, "AddressForbidden",
		"webhooks may not reach this address; the operator can allow its network under webhooks.allow of the configuration")
}
