package authority

import (
	"crypto/x509"
	"net"
	"net/mail"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

const (
	maxConstraints = 100 // permitted and excluded together; each certificate below is held to all of them
	maxBase        = 253 // RFC 1035 section 2.3.4
)

func (l Limits) none() bool {
	return l.PathLength == nil && l.Permitted.Count()+l.Excluded.Count() == 0
}

// apply writes the limits into a certificate of an authority. root says what no path
// length means.
func (l Limits) apply(t *x509.Certificate, root bool) error {
	t.MaxPathLen, t.MaxPathLenZero = -1, false
	switch {
	case l.PathLength != nil:
		if *l.PathLength < 0 || *l.PathLength >= maxDepth {
			return fault.New(fault.Invalid, "PathTooLong", "a path length is 0 to %d", maxDepth-1)
		}
		t.MaxPathLen = *l.PathLength
	case !root:
		t.MaxPathLen = 0
	}
	t.MaxPathLenZero = t.MaxPathLen == 0
	if n := l.Permitted.Count() + l.Excluded.Count(); n > maxConstraints {
		return fault.New(fault.Invalid, "BadConstraint", "%d name constraints; an authority has at most %d", n, maxConstraints)
	}
	t.PermittedDNSDomainsCritical = true // RFC 5280: must be critical, whatever the field's name says
	var err error
	if t.PermittedDNSDomains, t.PermittedEmailAddresses, t.PermittedURIDomains, t.PermittedIPRanges, err = bases(l.Permitted); err != nil {
		return err
	}
	t.ExcludedDNSDomains, t.ExcludedEmailAddresses, t.ExcludedURIDomains, t.ExcludedIPRanges, err = bases(l.Excluded)
	return err
}

// bases reads the constraints of one direction.
func bases(n profile.Names) (dns, email, uri []string, networks []*net.IPNet, err error) {
	for _, b := range n.DNS {
		if !host(b) {
			return nil, nil, nil, nil, badBase("DNS", b, "a name such as example.com, which stands for everything below as well")
		}
	}
	for _, b := range n.Email {
		if a, err := mail.ParseAddress(b); (err != nil || a.Address != b || len(b) > maxBase) && !host(strings.TrimPrefix(b, ".")) {
			return nil, nil, nil, nil, badBase("e-mail", b, "a mailbox, a host such as mail.example.com, or .example.com for all hosts below")
		}
	}
	for _, b := range n.URI {
		if !host(strings.TrimPrefix(b, ".")) {
			return nil, nil, nil, nil, badBase("URI", b, "a host such as www.example.com, or .example.com for all hosts below")
		}
	}
	for _, b := range n.IP {
		address, network, err := net.ParseCIDR(b)
		if err != nil || !address.Equal(network.IP) {
			return nil, nil, nil, nil, badBase("IP", b, "a network such as 10.0.0.0/8 or fd00::/8")
		}
		networks = append(networks, network)
	}
	return n.DNS, n.Email, n.URI, networks, nil
}

func badBase(kind, base, want string) error {
	return fault.New(fault.Invalid, "BadConstraint", "%.100q is no %s constraint; write %s", base, kind, want)
}

// host reports whether a name is one of lower-case labels.
func host(name string) bool {
	if name == "" || len(name) > maxBase {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
