package policy

import (
	"encoding/asn1"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/fault"
)

// The limits of a policy.
const (
	MaxNames          = 100  // subject alternative names together
	MaxNameSize       = 2048 // bytes of one name or of the subject
	MaxExtendedUsages = 50
	MaxValidityMonths = 1200
	daysPerMonth      = 27 // contract §2.6: days_before_expiry ≤ months × 27
)

// Check refuses a complete policy that no certificate could follow. The error is of kind
// Invalid and names the field.
func (p Policy) Check() error {
	for _, check := range []func(Policy) error{checkIssuer, checkKey, checkSecret, checkX509, checkNames, checkLifetime} {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

// CheckSent refuses only what was sent of a policy whose rest was read from an imported
// certificate: a certificate may hold what Check would not let us make.
func (p Policy) CheckSent(sent Policy) error {
	checks := []func(Policy) error{checkIssuer, checkSecret, checkLifetime}
	if sent.Key != nil {
		checks = append(checks, checkKey)
	}
	if sent.X509 != nil {
		checks = append(checks, checkX509, checkNames)
	}
	for _, check := range checks {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", "Property policy has invalid value: "+format+".", args...)
}

func checkIssuer(p Policy) error {
	if p.Issuer == nil || p.Issuer.Name == "" {
		return bad("issuer.name is missing; send Self, Unknown, or a registered issuer")
	}
	if len(p.Issuer.Name) > MaxNameSize || len(p.Issuer.Type) > MaxNameSize {
		return bad("issuer.name or issuer.cty is longer than %d bytes", MaxNameSize)
	}
	return nil
}

// checkKey takes what the contract allows. Whether the vault's keystore can make it is
// found out when a key is made.
func checkKey(p Policy) error {
	k := p.Key
	switch k.Type {
	case rsaType, rsaType + hsm:
		if !slices.Contains([]int{2048, 3072, 4096}, k.Size) {
			return bad("key_props.key_size is %d; an RSA key has 2048, 3072 or 4096 bits", k.Size)
		}
		return nil
	case ecType, ecType + hsm:
		bits := curveBits(k.Curve)
		if bits == 0 {
			return bad("key_props.crv is %q; use P-256, P-256K, P-384 or P-521", k.Curve)
		}
		if k.Size != 0 && k.Size != bits {
			return bad("key_props.key_size is %d, but curve %s has %d bits", k.Size, k.Curve, bits)
		}
		return nil
	}
	return bad("key_props.kty is %q; use RSA, RSA-HSM, EC or EC-HSM", k.Type)
}

// curveBits is the size of a curve; 0 for one that no key may have.
func curveBits(curve string) int {
	return map[string]int{"P-256": 256, "P-256K": 256, "P-384": 384, "P-521": 521}[curve]
}

func checkSecret(p Policy) error {
	if t := p.Secret.ContentType; t != PKCS12 && t != PEM {
		return bad("secret_props.contentType is %q; use %s or %s", t, PKCS12, PEM)
	}
	return nil
}

func checkX509(p Policy) error {
	x := p.X509
	if x.Subject == "" && x.Names.count() == 0 {
		return bad("x509_props has neither subject nor sans; send one")
	}
	if len(x.Subject) > MaxNameSize {
		return bad("x509_props.subject is longer than %d bytes", MaxNameSize)
	}
	if _, err := ParseName(x.Subject); err != nil {
		return err
	}
	if x.ValidityMonths < 1 || x.ValidityMonths > MaxValidityMonths {
		return bad("x509_props.validity_months is %d; use 1 to %d", x.ValidityMonths, MaxValidityMonths)
	}
	for _, u := range x.Usage {
		if !slices.ContainsFunc(usageBits(), func(b usageBit) bool { return b.name == u }) {
			return bad("x509_props.key_usage holds %.40q, which is no key usage", u)
		}
	}
	if len(x.ExtendedUsage) > MaxExtendedUsages {
		return bad("x509_props.ekus has %d entries; at most %d are allowed", len(x.ExtendedUsage), MaxExtendedUsages)
	}
	for _, e := range x.ExtendedUsage {
		if _, ok := parseOID(e); !ok {
			return bad("x509_props.ekus holds %.40q, which is no object identifier", e)
		}
	}
	if b := x.BasicConstraints; b.PathLen != nil && (!b.CA || *b.PathLen < 0 || *b.PathLen > 255) {
		return bad("x509_props.basic_constraints.path_len_constraint needs ca true and a value from 0 to 255")
	}
	return nil
}

func (n *Names) count() int {
	if n == nil {
		return 0
	}
	return len(n.Emails) + len(n.DNS) + len(n.UPNs) + len(n.URIs) + len(n.IPs)
}

func checkNames(p Policy) error {
	n := p.X509.Names
	if c := n.count(); c > MaxNames {
		return bad("x509_props.sans has %d names; at most %d are allowed", c, MaxNames)
	}
	for _, list := range []struct {
		field  string
		values []string
		ok     func(string) bool
	}{
		{"emails", n.Emails, isEmail},
		{"dns_names", n.DNS, isDNS},
		{"upns", n.UPNs, func(s string) bool { return strings.Contains(s, "@") && isText(s) }},
		{"uris", n.URIs, isURI},
		{"ipAddresses", n.IPs, isIP},
	} {
		for _, v := range list.values {
			if v == "" || len(v) > MaxNameSize || !list.ok(v) {
				return bad("x509_props.sans.%s holds %.80q, which is not of that kind", list.field, v)
			}
		}
	}
	return nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isText refuses control characters, among them the zero that C programs stop at.
func isText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F || r == 0xFFFD })
}

func isEmail(s string) bool {
	local, host, ok := strings.Cut(s, "@")
	return ok && local != "" && isASCII(s) && isDNS(host)
}

// isDNS takes host names as they stand in certificates: a wildcard only as the whole
// first label, underscores because internal names have them.
func isDNS(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && isASCII(s)
}

func isIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// parseOID reads "1.2.3". Arcs have at most 31 bits, as encoding/asn1 keeps them.
func parseOID(s string) (asn1.ObjectIdentifier, bool) {
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 40 {
		return nil, false
	}
	oid := make(asn1.ObjectIdentifier, 0, len(parts))
	for _, p := range parts {
		n, err := strconv.ParseInt(p, 10, 32)
		if err != nil || n < 0 || p != strconv.FormatInt(n, 10) {
			return nil, false
		}
		oid = append(oid, int(n))
	}
	return oid, oid[0] <= 2 && (oid[0] == 2 || oid[1] < 40)
}

func checkLifetime(p Policy) error {
	seen := map[string]bool{}
	for _, a := range p.Lifetime {
		if a.Trigger == nil || a.Action == nil {
			return bad("each of lifetime_actions needs a trigger and an action")
		}
		switch {
		case strings.EqualFold(a.Action.Type, AutoRenew):
			if p.Issuer.IsUnknown() {
				return bad("lifetime_actions holds AutoRenew, which issuer Unknown cannot do; use EmailContacts")
			}
		case !strings.EqualFold(a.Action.Type, EmailContacts):
			return bad("lifetime_actions.action.action_type is %.40q; use AutoRenew or EmailContacts", a.Action.Type)
		}
		if name := strings.ToLower(a.Action.Type); seen[name] {
			return bad("lifetime_actions holds %s twice", a.Action.Type)
		} else {
			seen[name] = true
		}
		if err := a.Trigger.check(p.X509.ValidityMonths); err != nil {
			return err
		}
	}
	return nil
}

func (t Trigger) check(months int) error {
	percentage, days := t.LifetimePercentage, t.DaysBeforeExpiry
	switch {
	case (percentage == nil) == (days == nil):
		return bad("a trigger of lifetime_actions has either lifetime_percentage or days_before_expiry")
	case percentage != nil && (*percentage < 1 || *percentage > 99):
		return bad("lifetime_percentage is %d; use 1 to 99", *percentage)
	case days != nil && (*days < 1 || *days > months*daysPerMonth):
		return bad("days_before_expiry is %d; use 1 to %d, which is validity_months × %d", *days, months*daysPerMonth, daysPerMonth)
	}
	return nil
}
