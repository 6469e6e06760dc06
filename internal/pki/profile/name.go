package profile

import (
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"chatelaine.dev/internal/fault"
)

// Names are the alternative names of a certificate, as people write them.
type Names struct {
	DNS   []string `json:"dns,omitempty"`
	IP    []string `json:"ip,omitempty"`
	Email []string `json:"email,omitempty"`
	URI   []string `json:"uri,omitempty"`
}

const (
	maxNames      = 1000
	maxCommonName = 64  // ub-common-name, RFC 5280 appendix A.1
	maxDNS        = 253 // RFC 1035 section 2.3.4, without the final dot
	maxLabel      = 63
	maxText       = 255 // e-mail addresses and URIs
)

// Count is the number of names.
func (n Names) Count() int { return len(n.DNS) + len(n.IP) + len(n.Email) + len(n.URI) }

// All returns every name, in the order DNS, IP, e-mail, URI.
func (n Names) All() []string { return slices.Concat(n.DNS, n.IP, n.Email, n.URI) }

// decide makes the names of a certificate of those that are asked for: each of them
// checked, and the fixed ones besides.
func (r NameRules) decide(asked Names) (Names, error) {
	out, err := r.normal(asked)
	if err != nil {
		return Names{}, err
	}
	if err := r.allowed(out); err != nil {
		return Names{}, err
	}
	if r.Fixed.Count() == 0 {
		return out, nil
	}
	every := NameRules{Max: maxNames, DNS: true, Wildcard: true, SingleLabel: true, IP: true, Email: true, URI: true}
	return every.normal(Names{
		DNS: slices.Concat(out.DNS, r.Fixed.DNS), IP: slices.Concat(out.IP, r.Fixed.IP),
		Email: slices.Concat(out.Email, r.Fixed.Email), URI: slices.Concat(out.URI, r.Fixed.URI),
	})
}

// allowed checks names in their one spelling against the lists of the profile. The fixed
// names are always allowed.
func (r NameRules) allowed(n Names) error {
	patterns := make([]*regexp.Regexp, 0, len(r.Patterns))
	for _, text := range r.Patterns {
		p, err := whole(text)
		if err != nil {
			return err
		}
		patterns = append(patterns, p)
	}
	fixed := r.Fixed.All()
	for _, name := range n.All() {
		if slices.Contains(fixed, name) {
			continue
		}
		if len(r.Allowed) > 0 && !Allowed(r.Allowed, hostOf(name)) {
			return fault.New(fault.Invalid, "NameNotAllowed", "this profile takes no certificate for %.64q; it takes names of %.20q", name, r.Allowed)
		}
		if len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) }) {
			return fault.New(fault.Invalid, "NameNotAllowed", "the name %.64q does not match what this profile takes: %.20q", name, r.Patterns)
		}
	}
	return nil
}

// hostOf is the part of an e-mail address or URI that says whose it is; other names are
// that themselves.
func hostOf(name string) string {
	if u, err := url.Parse(name); err == nil && u.IsAbs() && u.Host != "" {
		return u.Host
	}
	if _, domain, ok := strings.Cut(name, "@"); ok {
		return domain
	}
	return name
}

// normal checks every name against the rules and returns them in one spelling, without
// repetition and in the order of the request.
func (r NameRules) normal(n Names) (Names, error) {
	if n.Count() > r.Max {
		return Names{}, fault.New(fault.Invalid, "TooManyNames", "%d names; this profile takes at most %d", n.Count(), r.Max)
	}
	var out Names
	var err error
	if out.DNS, err = each(n.DNS, "DNS names", r.DNS, r.dns); err != nil {
		return Names{}, err
	}
	if out.IP, err = each(n.IP, "IP addresses", r.IP, ip); err != nil {
		return Names{}, err
	}
	if out.Email, err = each(n.Email, "e-mail addresses", r.Email, email); err != nil {
		return Names{}, err
	}
	if out.URI, err = each(n.URI, "URIs", r.URI, uri); err != nil {
		return Names{}, err
	}
	if out.Count() < r.Min {
		return Names{}, fault.New(fault.Invalid, "TooFewNames", "%d names; this profile wants at least %d", out.Count(), r.Min)
	}
	return out, nil
}

func each(names []string, kind string, allowed bool, rule func(string) (string, error)) ([]string, error) {
	if len(names) > 0 && !allowed {
		return nil, fault.New(fault.Invalid, "NameNotAllowed", "this profile takes no %s; remove %.64q", kind, names[0])
	}
	var out []string
	for _, n := range names {
		name, err := rule(n)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

func badName(name, why string) error {
	return fault.New(fault.Invalid, "BadName", "name %.64q: %s", name, why)
}

// dns returns a DNS name in lower case. Only letters, digits and hyphens are taken
// (RFC 1034 section 3.5); other scripts come as A-labels (xn--).
func (r NameRules) dns(name string) (string, error) {
	if !ascii(name) { // before folding: the Kelvin sign folds to a plain k
		return "", badName(name, "it has a character other than letters, digits and hyphens; write other scripts as xn--")
	}
	low := strings.ToLower(name)
	if len(low) > maxDNS {
		return "", badName(name, "longer than 253 characters")
	}
	labels := strings.Split(low, ".")
	if labels[0] == "*" {
		if !r.Wildcard {
			return "", badName(name, "this profile takes no wildcards")
		}
		if len(labels) < 3 {
			return "", badName(name, "a wildcard needs at least two labels behind it")
		}
		labels = labels[1:]
	}
	for _, l := range labels {
		if why := badLabel(l); why != "" {
			return "", badName(name, why)
		}
	}
	if len(labels) == 1 && !r.SingleLabel {
		return "", badName(name, "this profile takes full names only, such as www.example.com")
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return "", badName(name, "the last label is a number; ask for an IP address as such")
	}
	return low, nil
}

// badLabel tells what is wrong with a label, or nothing.
func badLabel(l string) string {
	switch {
	case l == "":
		return "it has an empty label; remove leading, doubled and final dots"
	case len(l) > maxLabel:
		return "it has a label longer than 63 characters"
	case l[0] == '-' || l[len(l)-1] == '-':
		return "a label begins or ends with a hyphen"
	case len(l) >= 4 && l[2:4] == "--" && l[:2] != "xn":
		return "a label has hyphens in its third and fourth place, which only xn-- may"
	}
	for i := 0; i < len(l); i++ {
		if c := l[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "it has a character other than letters, digits and hyphens; write other scripts as xn--"
		}
	}
	return ""
}

// ip returns the one spelling of an address (RFC 5952) of one host.
func ip(name string) (string, error) {
	a, err := netip.ParseAddr(name)
	if err != nil || a.Zone() != "" {
		return "", badName(name, "not an IP address")
	}
	a = a.Unmap()
	if a.IsUnspecified() || a.IsMulticast() {
		return "", badName(name, "not the address of one host")
	}
	return a.String(), nil
}

// email takes local@domain in ASCII (RFC 5280 section 4.2.1.6) and folds the domain.
func email(name string) (string, error) {
	a, err := mail.ParseAddress(name)
	local, domain, ok := strings.Cut(name, "@")
	if err != nil || a.Address != name || !ok || len(name) > maxText || !ascii(name) || strings.ContainsAny(local, `" `) {
		return "", badName(name, "not an e-mail address such as someone@example.com")
	}
	domain, err = NameRules{}.dns(domain)
	if err != nil {
		return "", err
	}
	return local + "@" + domain, nil
}

// uri takes an absolute URI whose host is a DNS name (RFC 5280 section 4.2.1.6), without
// user, query or fragment: what identifies a workload needs none of them.
func uri(name string) (string, error) {
	u, err := url.Parse(name)
	if err != nil || !u.IsAbs() || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(name) > maxText || !ascii(name) || u.String() != name {
		return "", badName(name, "not a URI such as spiffe://example.com/service")
	}
	if host, err := (NameRules{}).dns(u.Host); err != nil || host != u.Host {
		return "", badName(name, "the host of a URI is a full DNS name in lower case, without port")
	}
	return name, nil
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// commonName decides the subject's name.
func (r NameRules) commonName(asked string, n Names) (string, error) {
	if r.CommonName == CommonNameNone {
		if asked != "" {
			return "", fault.New(fault.Invalid, "NameNotAllowed", "this profile takes no common name; ask for alternative names")
		}
		return "", nil
	}
	pattern, err := whole(r.CommonNamePattern)
	if err != nil {
		return "", err
	}
	fits := func(name string) bool {
		return r.CommonName != CommonNameFree || pattern == nil || pattern.MatchString(name)
	}
	if asked == "" {
		for _, name := range n.All() {
			if len(name) <= maxCommonName && fits(name) {
				return name, nil
			}
		}
		if n.Count() == 0 {
			return "", fault.New(fault.Invalid, "TooFewNames", "the certificate would name nobody; ask for a common name or an alternative name")
		}
		return "", nil
	}
	if r.CommonName == CommonNameFree {
		if !fits(asked) {
			return "", fault.New(fault.Invalid, "BadName", "the common name %.64q does not match what this profile takes: %s", asked, r.CommonNamePattern)
		}
		return asked, checkText(asked)
	}
	for _, name := range n.All() {
		if strings.EqualFold(name, asked) && len(name) <= maxCommonName {
			return name, nil
		}
	}
	return "", fault.New(fault.Invalid, "BadName", "the common name %.64q is none of the alternative names, or longer than 64 characters", asked)
}

// checkText takes what people can read and see: no controls, no space at the ends, no
// characters that turn the direction of writing.
func checkText(s string) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxCommonName || strings.TrimSpace(s) != s {
		return badName(s, "a common name is up to 64 characters of UTF-8 without space at its ends")
	}
	for _, c := range s {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return badName(s, "a common name holds printable characters only")
		}
	}
	return nil
}
