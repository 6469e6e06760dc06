package issuance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	zrsa "github.com/zmap/zcrypto/rsa"
	zx509 "github.com/zmap/zcrypto/x509"
	"golang.org/x/net/publicsuffix"
)

// ownRule is a rule of ours. It returns what is wrong, or nothing.
type ownRule struct {
	name  string
	check func(c *zx509.Certificate) string
}

// own are rules that verifiers differ about: what some accept and others refuse, so that
// a certificate of ours must keep to the strict side. They decide the cases of x509-limbo
// that Go's own verifier lets pass, and that zlint leaves to publicly trusted authorities.
func own() []ownRule {
	return []ownRule{
		{"own_serial", serial},
		{"own_authority_key_id", authorityKeyID},
		{"own_subject_key_id", subjectKeyID},
		{"own_basic_constraints", basicConstraints},
		{"own_key_usage", keyUsageRule},
		{"own_extended_key_usage", extendedKeyUsageRule},
		{"own_name_constraints", nameConstraints},
		{"own_policy_constraints", policyConstraints},
		{"own_subject", subjectRule},
		{"own_names_critical", namesCritical},
		{"own_dns_names", dnsNames},
		{"own_common_name", commonNameRule},
		{"own_key", keyRule},
		{"own_extension_twice", extensionTwice},
		{"own_status", statusRule},
	}
}

func ownRules(c *zx509.Certificate) []Broken {
	var broken []Broken
	for _, r := range own() {
		if why := r.check(c); why != "" {
			broken = append(broken, Broken{r.name, why})
		}
	}
	return broken
}

// The extensions that the rules look at, by the last arc of id-ce.
const (
	ceSubjectKeyID      = 14
	ceBasicConstraints  = 19
	ceAltName           = 17
	ceNameConstraints   = 30
	ceDistribution      = 31
	ceAuthorityKeyID    = 35
	cePolicyConstraints = 36
	ceExtendedKeyUsage  = 37
	ceNoRevAvail        = 56
)

// extension returns the value of an extension of id-ce.
func extension(c *zx509.Certificate, arc int) (value []byte, critical, ok bool) {
	for _, e := range c.Extensions {
		if id := e.Id; len(id) == 4 && id[0] == 2 && id[1] == 5 && id[2] == 29 && id[3] == arc {
			return e.Value, e.Critical, true
		}
	}
	return nil, false, false
}

// root reports whether a certificate names itself as its issuer. Its signature is not
// looked at: a draft has none.
func root(c *zx509.Certificate) bool { return c.IsCA && bytes.Equal(c.RawSubject, c.RawIssuer) }

// serial: positive and of at most 20 octets (RFC 5280 section 4.1.2.2).
func serial(c *zx509.Certificate) string {
	if c.SerialNumber.Sign() <= 0 || len(c.SerialNumber.Bytes()) > 20 || c.SerialNumber.BitLen() > 159 {
		return "the serial is not positive, or longer than 20 octets"
	}
	return ""
}

// authorityKeyID: in all but roots, with the key id alone; in a root, if at all, its own
// (RFC 5280 section 4.2.1.1).
func authorityKeyID(c *zx509.Certificate) string {
	value, critical, ok := extension(c, ceAuthorityKeyID)
	switch {
	case !ok && root(c):
		return ""
	case !ok:
		return "there is no authority key identifier"
	case critical:
		return "the authority key identifier is critical"
	}
	var aki struct {
		ID     []byte        `asn1:"optional,tag:0"`
		Issuer asn1.RawValue `asn1:"optional,tag:1"`
		Serial asn1.RawValue `asn1:"optional,tag:2"`
	}
	if rest, err := asn1.Unmarshal(value, &aki); err != nil || len(rest) > 0 || len(aki.ID) == 0 {
		return "the authority key identifier has no key identifier"
	}
	if len(aki.Issuer.FullBytes) > 0 || len(aki.Serial.FullBytes) > 0 {
		return "the authority key identifier names an issuer and serial besides the key"
	}
	if root(c) && len(c.SubjectKeyId) > 0 && !bytes.Equal(aki.ID, c.SubjectKeyId) {
		return "a root's authority key identifier is not its own"
	}
	return ""
}

// subjectKeyID: in every authority (RFC 5280 section 4.2.1.2).
func subjectKeyID(c *zx509.Certificate) string {
	_, critical, ok := extension(c, ceSubjectKeyID)
	if c.IsCA && (!ok || len(c.SubjectKeyId) == 0) || critical {
		return "an authority has no subject key identifier, or it is critical"
	}
	return ""
}

// basicConstraints: critical in authorities (RFC 5280 section 4.2.1.9), and the same in
// what else says that it is one.
func basicConstraints(c *zx509.Certificate) string {
	_, critical, ok := extension(c, ceBasicConstraints)
	signs := c.KeyUsage&zx509.KeyUsageCertSign != 0
	switch {
	case c.IsCA && (!ok || !critical):
		return "the basic constraints of an authority are not critical"
	case c.IsCA != signs:
		return "the certificate signs others by its key usage or by its basic constraints, but not by both"
	}
	return ""
}

func keyUsageRule(c *zx509.Certificate) string {
	if c.KeyUsage == 0 {
		return "there is no key usage"
	}
	switch c.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey, *zx509.AugmentedECDSA:
		if c.KeyUsage&(zx509.KeyUsageKeyEncipherment|zx509.KeyUsageDataEncipherment) != 0 { // RFC 5480 section 3, RFC 8813
			return "a key that cannot encipher is given the usage to encipher"
		}
	}
	return ""
}

// extendedKeyUsageRule: end certificates name their purposes; roots do not.
func extendedKeyUsageRule(c *zx509.Certificate) string {
	_, _, ok := extension(c, ceExtendedKeyUsage)
	switch {
	case root(c) && ok:
		return "a root has an extended key usage, which verifiers apply differently"
	case c.IsCA:
		return ""
	case !ok || len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0:
		return "there is no purpose in the extended key usage"
	case slices.Contains(c.ExtKeyUsage, zx509.ExtKeyUsageAny):
		return "the certificate is good for any purpose"
	}
	return ""
}

// maxConstraints bounds the names of a constraint: verifiers compare each with each name
// of a chain, and give up, or do not.
const maxConstraints = 128

// nameConstraints: in authorities, critical, and without the leading dot of URIs before
// DNS names (RFC 5280 section 4.2.1.10).
func nameConstraints(c *zx509.Certificate) string {
	_, critical, ok := extension(c, ceNameConstraints)
	switch {
	case !ok:
		return ""
	case !c.IsCA:
		return "an end certificate has name constraints"
	case !critical:
		return "the name constraints are not critical"
	}
	dns := slices.Concat(c.PermittedDNSNames, c.ExcludedDNSNames)
	if len(dns)+len(c.PermittedIPAddresses)+len(c.ExcludedIPAddresses) > maxConstraints {
		return fmt.Sprintf("there are more than %d constraints", maxConstraints)
	}
	for _, n := range dns {
		if strings.HasPrefix(n.Data, ".") || strings.Contains(n.Data, "*") {
			return fmt.Sprintf("the constraint %.64q is no DNS name", n.Data)
		}
	}
	return ""
}

// policyConstraints are critical (RFC 5280 section 4.2.1.11).
func policyConstraints(c *zx509.Certificate) string {
	if _, critical, ok := extension(c, cePolicyConstraints); ok && (!critical || !c.IsCA) {
		return "the policy constraints are not critical, or not of an authority"
	}
	return ""
}

// emptyName is the DER of a name without attributes.
var emptyName = []byte{0x30, 0}

func subjectRule(c *zx509.Certificate) string {
	if c.IsCA && bytes.Equal(c.RawSubject, emptyName) {
		return "an authority has no subject"
	}
	if bytes.Equal(c.RawIssuer, emptyName) {
		return "there is no issuer"
	}
	return ""
}

// namesCritical: critical exactly when the subject is empty (RFC 5280 section 4.2.1.6).
func namesCritical(c *zx509.Certificate) string {
	_, critical, ok := extension(c, ceAltName)
	empty := bytes.Equal(c.RawSubject, emptyName)
	if empty && !ok || ok && critical != empty {
		return "alternative names are critical when the subject is empty, and only then"
	}
	return ""
}

// dnsNames: letters, digits and hyphens, and no wildcard over a whole public suffix.
func dnsNames(c *zx509.Certificate) string {
	for _, name := range c.DNSNames {
		below, wildcard := strings.CutPrefix(name, "*.")
		if strings.ContainsAny(below, "_*") {
			return fmt.Sprintf("the name %.64q has an underscore, or an asterisk that is no first label", name)
		}
		if suffix, icann := publicsuffix.PublicSuffix(below); wildcard && suffix == below && (icann || strings.Contains(below, ".")) {
			return fmt.Sprintf("the wildcard %.64q covers the names of many owners", name)
		}
	}
	return ""
}

// commonNameRule: a server's common name is one of its names, in the same spelling.
func commonNameRule(c *zx509.Certificate) string {
	cn := c.Subject.CommonName
	if c.IsCA || cn == "" || !slices.Contains(c.ExtKeyUsage, zx509.ExtKeyUsageServerAuth) {
		return ""
	}
	if slices.Contains(c.DNSNames, cn) {
		return ""
	}
	if a, err := netip.ParseAddr(cn); err == nil && a.String() == cn {
		for _, ip := range c.IPAddresses {
			if b, ok := netip.AddrFromSlice(ip); ok && b.Unmap() == a {
				return ""
			}
		}
	}
	for _, u := range c.URIs {
		if u == cn {
			return ""
		}
	}
	return fmt.Sprintf("the common name %.64q of a server is none of its names", cn)
}

// keyRule: RSA of at least 2048 bits in whole octets, and curves that everyone knows.
func keyRule(c *zx509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *zrsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n%8 != 0 {
			return fmt.Sprintf("an RSA key of %d bits", n)
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return "a key on the curve P-224"
		}
	}
	if c.PublicKeyAlgorithm == zx509.DSA {
		return "a DSA key"
	}
	return ""
}

func extensionTwice(c *zx509.Certificate) string {
	for i, e := range c.Extensions {
		for _, f := range c.Extensions[:i] {
			if e.Id.Equal(f.Id) {
				return "the extension " + e.Id.String() + " is there twice"
			}
		}
	}
	return ""
}

// statusRule: noRevAvail and addresses of revocation information exclude each other, and
// no authority has it (RFC 9608 section 2).
func statusRule(c *zx509.Certificate) string {
	_, _, none := extension(c, ceNoRevAvail)
	_, _, crl := extension(c, ceDistribution)
	if none && (crl || c.IsCA || len(c.OCSPServer) > 0) {
		return "the certificate says that there is no revocation information, and where it is"
	}
	return ""
}
