package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// ACME says how the ACME servers find out whom a name belongs to. Which profiles have one
// is said by the profiles themselves.
type ACME struct {
	// Resolvers are asked about the names that clients want certified, host:port each.
	// Default: those of the machine's /etc/resolv.conf. They are trusted: use your own.
	Resolvers []string `yaml:"resolvers"`
	// Networks are those that validation may reach although they are not public: 10.1.0.0/16,
	// or 192.168.7.20 for one host. Loopback must be named too. Link-local addresses and the
	// metadata services of clouds are never reached.
	Networks []string `yaml:"networks"`
	// HTTPPort and TLSPort are where http-01 and tls-alpn-01 look. Default 80 and 443; others
	// prove less, because anybody with an account on a machine can listen on high ports.
	HTTPPort int `yaml:"httpPort"`
	TLSPort  int `yaml:"tlsPort"`
	// CAA are the issuer domain names that mean us in CAA records. Default: Domain.
	CAA []string `yaml:"caa"`
	// Terms is the address of the terms that every account must agree to. Default: none.
	Terms string `yaml:"terms"`
	// Website is the address of a page about this CA, for clients to show. Default: none.
	Website string `yaml:"website"`
	// Limits are how much is taken from whom.
	Limits ACMELimits `yaml:"limits"`
}

// ACMELimits bound what each node takes in an hour; -1 takes a limit away.
type ACMELimits struct {
	// Orders are new orders of an account. Renewals that name the certificate that they
	// replace (ARI) do not count. Default 1000.
	Orders int `yaml:"orders"`
	// Accounts are new accounts from one address. Default 100.
	Accounts int `yaml:"accounts"`
	// Failures are failed validations of one name by one account. Default 10.
	Failures int `yaml:"failures"`
	// Validations are those at one time, of all accounts. Default 100.
	Validations int `yaml:"validations"`
}

// Prefixes are those of Networks.
func (a ACME) Prefixes() ([]netip.Prefix, error) {
	list, err := Webhooks{Allow: a.Networks}.Networks()
	if err != nil {
		return nil, fmt.Errorf("acme.networks %q: want networks, such as 10.1.0.0/16, or addresses", a.Networks)
	}
	return list, nil
}

func (a ACME) check() error {
	for _, r := range a.Resolvers {
		host, port, err := net.SplitHostPort(r)
		if err != nil || net.ParseIP(host) == nil || port == "" {
			return fmt.Errorf("acme.resolvers %q: want an address and a port, such as 10.0.0.53:53", r)
		}
	}
	for name, port := range map[string]int{"httpPort": a.HTTPPort, "tlsPort": a.TLSPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("acme.%s %d: want a port", name, port)
		}
	}
	for name, text := range map[string]string{"terms": a.Terms, "website": a.Website} {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
			return fmt.Errorf("acme.%s %q: want the address of a page", name, text)
		}
	}
	for _, d := range a.CAA {
		if !domain.MatchString(d) {
			return fmt.Errorf("acme.caa %q: want a DNS name in lower case, such as ca.example.com", d)
		}
	}
	for name, n := range map[string]int{"orders": a.Limits.Orders, "accounts": a.Limits.Accounts, "failures": a.Limits.Failures, "validations": a.Limits.Validations} {
		if n < -1 {
			return fmt.Errorf("acme.limits.%s %d: want a number, or -1 for no limit", name, n)
		}
	}
	_, err := a.Prefixes()
	return err
}
