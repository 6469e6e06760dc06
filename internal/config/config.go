// Package config is the configuration. Its structs are the operator's manual: what a
// field does, its unit and its default stand here and nowhere else.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Config is everything that can be set. Flags win over the environment (CHATELAINE_DATA,
// CHATELAINE_LISTEN, CHATELAINE_DOMAIN, CHATELAINE_DATABASE, CHATELAINE_STATUS, CHATELAINE_EST,
// CHATELAINE_SMTP_URL, CHATELAINE_SMTP_FROM), which wins over the YAML file that
// CHATELAINE_CONFIG names, which wins over the defaults.
type Config struct {
	// Data is the folder for everything that is kept: database, root key, bootstrap
	// credentials. Default ./data. It is made if missing, with mode 0700.
	Data string `yaml:"data"`

	// Listen is the address of the HTTPS listener, host:port. Default 127.0.0.1:8443.
	// Port 0 takes a free one.
	Listen string `yaml:"listen"`

	// Domain is the DNS name under which everything is reached: the control plane at
	// https://{domain}, a vault at https://{vault}.{domain}. Default localhost.
	Domain string `yaml:"domain"`

	// Database is the URL of a PostgreSQL database, postgres://user:password@host/name.
	// Default: SQLite in Data, which needs nothing installed.
	Database string `yaml:"database"`

	// Status is the address of the plain-HTTP listener for CRLs and CA certificates,
	// host:port. Certificates carry it, and clients that check revocation must reach it.
	// Default: the host of Listen with a port one higher; "off" to have none.
	Status string `yaml:"status"`

	// EST is the address of the HTTPS listener that asks enrolling machines for their
	// certificate (RFC 7030), host:port. It is a listener of its own because browsers would
	// ask their users for a certificate on the other. Default: the host of Listen with a
	// port two higher; "off" to have none. Without it machines enrol by password alone.
	EST string `yaml:"est"`

	// Limits widen what a vault takes. They are Azure's where they are left out.
	Limits Limits `yaml:"limits"`

	// Attestation says who is believed when a key is to be released.
	Attestation Attestation `yaml:"attestation"`

	// Webhooks bounds where subscriptions may send events.
	Webhooks Webhooks `yaml:"webhooks"`

	// SMTP is the server that takes mail.
	SMTP SMTP `yaml:"smtp"`
	// ACME says how ACME clients are validated.
	ACME ACME `yaml:"acme"`
}

// Limits are those of Key Vault's API that an operator may widen. A program that was
// written for Azure does not notice; one that uses what goes beyond cannot go back to it.
type Limits struct {
	// SecretBytes is how many bytes the value of a secret may have. Default 25600, at
	// most 1048576.
	SecretBytes int `yaml:"secretBytes"`

	// Tags is how many tags a version may have. Default 15, at most 200.
	Tags int `yaml:"tags"`

	// BackupVersions is how many versions the backup of an object may have. Default 500,
	// at most 10000. A backup has at most 32 MiB in any case.
	BackupVersions int `yaml:"backupVersions"`
}

// check refuses limits narrower than Azure's, which programs rely on, and wider than
// what was tried.
func (l Limits) check() error {
	for _, x := range []struct {
		name              string
		set, azure, limit int
	}{
		{"secretBytes", l.SecretBytes, 25_600, 1 << 20},
		{"tags", l.Tags, 15, 200},
		{"backupVersions", l.BackupVersions, 500, 10_000},
	} {
		if x.set != 0 && (x.set < x.azure || x.set > x.limit) {
			return fmt.Errorf("limits.%s %d: want %d to %d, or nothing for %d", x.name, x.set, x.azure, x.limit, x.azure)
		}
	}
	return nil
}

// Attestation says which attestation services the release policies of keys may name.
type Attestation struct {
	// Authorities are their URLs, such as https://sharedeus.eus.attest.azure.net. Without
	// any, policies may name every service that has a public address. With some, they may
	// name these and no others, and these may be inside: on private addresses, or here.
	Authorities []string `yaml:"authorities"`

	// Roots is a PEM file of CA certificates that they may have theirs from, beside those
	// that the machine trusts.
	Roots string `yaml:"roots"`
}

func (a Attestation) check() error {
	for _, x := range a.Authorities {
		if u, err := url.Parse(x); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("attestation.authorities %q: want the https:// URL of an attestation service", x)
		}
	}
	return nil
}

// Webhooks says which endpoints of subscriptions are reached. Whoever may subscribe names
// any address; without a line here only public ones are reached, over HTTPS.
type Webhooks struct {
	// Allow are networks that may be reached although they are not public: 10.1.0.0/16,
	// or 192.168.7.20 for one host. Loopback must be named too. Link-local addresses and
	// the metadata services of clouds are never reached.
	Allow []string `yaml:"allow"`

	// PlainHTTP allows endpoints that begin with http://. What is sent there can be read
	// and changed on its way. Default false.
	PlainHTTP bool `yaml:"plainHTTP"`

	// Roots is a PEM file of CA certificates that endpoints may have theirs from, beside
	// those that the machine trusts.
	Roots string `yaml:"roots"`
}

// Networks are those of Allow.
func (w Webhooks) Networks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range w.Allow {
		p, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("webhooks.allow %q: want a network, such as 10.1.0.0/16, or an address", text)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// Default is the configuration of a first start.
func Default() Config {
	return Config{Data: "./data", Listen: "127.0.0.1:8443", Domain: "localhost"}
}

// Load reads the file that CHATELAINE_CONFIG names, if it names one, and the environment.
func Load(getenv func(string) string) (Config, error) {
	c := Default()
	if file := getenv("CHATELAINE_CONFIG"); file != "" {
		b, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return c, fmt.Errorf("CHATELAINE_CONFIG: %w", err)
		}
		d := yaml.NewDecoder(strings.NewReader(string(b)))
		d.KnownFields(true)
		if err := d.Decode(&c); err != nil {
			return c, fmt.Errorf("configuration %s: %w", file, err)
		}
	}
	for name, field := range map[string]*string{
		"CHATELAINE_DATA": &c.Data, "CHATELAINE_LISTEN": &c.Listen, "CHATELAINE_DOMAIN": &c.Domain,
		"CHATELAINE_DATABASE": &c.Database, "CHATELAINE_STATUS": &c.Status, "CHATELAINE_EST": &c.EST,
		"CHATELAINE_SMTP_URL": &c.SMTP.URL, "CHATELAINE_SMTP_FROM": &c.SMTP.From,
	} {
		if v := getenv(name); v != "" {
			*field = v
		}
	}
	return c, nil
}

var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Check refuses what cannot work, and says what would.
func (c *Config) Check() error {
	c.Domain = strings.ToLower(strings.TrimSuffix(c.Domain, "."))
	if c.Data == "" {
		return errors.New("data: name a folder")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen %q: want host:port, such as 127.0.0.1:8443", c.Listen)
	}
	if !domain.MatchString(c.Domain) || len(c.Domain) > 200 {
		return fmt.Errorf("domain %q: want a DNS name, such as vault.example.com or localhost", c.Domain)
	}
	if net.ParseIP(c.Domain) != nil {
		return fmt.Errorf("domain %q: an address has no subdomains for vaults; want a DNS name", c.Domain)
	}
	for name, address := range map[string]string{"status": c.Status, "est": c.EST} {
		if address != "" && address != "off" {
			if _, _, err := net.SplitHostPort(address); err != nil {
				return fmt.Errorf("%s %q: want host:port, or off", name, address)
			}
		}
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if _, err := c.SMTP.Server(); err != nil {
		return err
	}
	if err := c.Attestation.check(); err != nil {
		return err
	}
	if err := c.ACME.check(); err != nil {
		return err
	}
	_, err := c.Webhooks.Networks()
	return err
}
