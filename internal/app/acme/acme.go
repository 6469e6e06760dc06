// Package acme puts the ACME servers together: rules, validation, the one road to
// certificates, and the front door.
package acme

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/acme/nonce"
	"chatelaine.dev/internal/pki/validation/caa"
	"chatelaine.dev/internal/pki/validation/challenge"
	"chatelaine.dev/internal/pki/validation/resolver"
	acmeDoor "chatelaine.dev/internal/serve/acme"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/acmedb"
	"chatelaine.dev/internal/vault/seal"
)

// Dial is the product's one dialer, with a decision about each address and a resolver.
type Dial func(permit func(a netip.Addr, local bool) error, r *net.Resolver) func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what the servers need.
type Config struct {
	Settings config.ACME
	Domain   string
	DB       *storage.DB
	Chest    *seal.Chest
	Profiles acme.Profiles
	Road     acme.Road
	Ledger   acme.Ledger
	Chains   acme.Chains // may be nil
	// Permit decides whether validation may reach an address, given the networks that the
	// operator allows.
	Permit func(networks []netip.Prefix) func(a netip.Addr, local bool) error
	Dial   Dial
	Audit  audit.Recorder
	Guard  access.Guard
	Now    func() time.Time
	Log    *slog.Logger
}

// Servers are the ACME servers and their door.
type Servers struct {
	*acme.Service
	Door http.Handler
}

// Open opens the servers.
func Open(ctx context.Context, c Config) (Servers, error) {
	key, err := c.Chest.GetOrMake(ctx, "nonce key", func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
	if err != nil {
		return Servers{}, err
	}
	floor := time.Time{}
	if c.DB.Dialect() == storage.SQLite { // alone: what was made before is not taken, because what was taken before is not known
		floor = c.Now()
	}
	nonces := nonce.New(key, floor, c.Now)
	validator, records, err := Validation(c)
	if err != nil {
		return Servers{}, err
	}
	identities := c.Settings.CAA
	if len(identities) == 0 {
		identities = []string{c.Domain}
	}
	store := acmedb.New(c.DB, c.Chest)
	s := acme.New(acme.Deps{
		Store: store, Orders: store, Keys: store, Profiles: c.Profiles, Validator: validator, CAA: caa.Checker{Lookup: records, Identities: identities},
		Road: c.Road, Ledger: c.Ledger, Chains: c.Chains, Nonces: nonces, Transact: c.DB.Transact, Audit: c.Audit, Guard: c.Guard,
		Limits: acme.Limits(c.Settings.Limits), Terms: c.Settings.Terms, Now: c.Now, Log: c.Log,
	})
	return Servers{s, acmeDoor.New(acmeDoor.Deps{
		Service: s, Nonces: nonces, Domain: c.Domain, Terms: c.Settings.Terms, Website: c.Settings.Website, CAA: identities,
	})}, nil
}

// Validation is what asks servers and the DNS.
func Validation(c Config) (*challenge.Validator, Records, error) {
	servers := c.Settings.Resolvers
	if len(servers) == 0 {
		servers = machineResolvers("/etc/resolv.conf")
	}
	// The resolvers are the operator's: loopback is the usual place of one.
	toResolver := c.Dial(func(netip.Addr, bool) error { return nil }, nil)
	var asked Records
	if len(servers) > 0 {
		r, err := resolver.New(resolver.Config{Servers: servers, Dial: toResolver})
		if err != nil {
			return nil, asked, err
		}
		asked.Resolver = r
	}
	var names *net.Resolver // nil: the machine's, with its hosts file
	if len(c.Settings.Resolvers) > 0 {
		names = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return toResolver(ctx, network, c.Settings.Resolvers[0])
		}}
	}
	networks, err := c.Settings.Prefixes()
	if err != nil {
		return nil, asked, err
	}
	permit := c.Permit(networks)
	dial := c.Dial(func(a netip.Addr, local bool) error {
		if err := permit(a, local); err != nil {
			return fault.Wrap(err, fault.Denied, "AddressForbidden",
				"validation may not reach this address; the operator can allow its network under acme.networks of the configuration")
		}
		return nil
	}, names)
	return challenge.New(challenge.Config{Dial: dial, TXT: asked.TXT, HTTPPort: c.Settings.HTTPPort, TLSPort: c.Settings.TLSPort}), asked, nil
}

// Records asks for TXT and CAA records; without a resolver there is nobody to ask.
type Records struct{ *resolver.Resolver }

var errNoResolver = errors.New("this machine names no resolver; set acme.resolvers in the configuration")

// TXT is that of resolver.Resolver.
func (r Records) TXT(ctx context.Context, name string) ([]string, error) {
	if r.Resolver == nil {
		return nil, errNoResolver
	}
	return r.Resolver.TXT(ctx, name)
}

// CAA is that of resolver.Resolver.
func (r Records) CAA(ctx context.Context, name string) ([]resolver.Record, error) {
	if r.Resolver == nil {
		return nil, errNoResolver
	}
	return r.Resolver.CAA(ctx, name)
}

// maxResolvers is how many of a resolv.conf count (resolv.conf(5)).
const maxResolvers = 3

// machineResolvers reads the nameservers of a resolv.conf.
func machineResolvers(file string) []string {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" || len(list) == maxResolvers {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			list = append(list, netip.AddrPortFrom(a, 53).String())
		}
	}
	return list
}
