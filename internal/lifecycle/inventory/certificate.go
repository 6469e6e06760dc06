// Package inventory keeps every certificate that was seen anywhere, once, together with
// the places where it was seen. It drops nothing: a certificate that no parser reads is
// still a row with a fingerprint, a size and the reason.
package inventory

import (
	"time"
)

// Certificate is what can be read from the DER of one X.509 certificate. Texts come from
// strangers: they are valid UTF-8 without control characters, and cut at 2,048 bytes.
type Certificate struct {
	SHA256 string `json:"sha256"` // of the DER, lower-case hex; the identity
	SHA1   string `json:"sha1"`
	SPKI   string `json:"spki,omitempty"` // SHA-256 of the SubjectPublicKeyInfo: equal where a key is shared
	Size   int    `json:"size"`           // of the DER, in bytes

	Name         string      `json:"name"` // first DNS name, else common name, else first other name; for people
	Serial       string      `json:"serial,omitempty"`
	Subject      string      `json:"subject"` // RFC 4514
	SubjectParts []Attribute `json:"subjectParts,omitempty"`
	Issuer       string      `json:"issuer"` // RFC 4514
	IssuerParts  []Attribute `json:"issuerParts,omitempty"`
	SubjectKeyID string      `json:"subjectKeyId,omitempty"`   // hex
	AuthorityKey string      `json:"authorityKeyId,omitempty"` // hex
	ARI          string      `json:"ari,omitempty"`            // CertID of RFC 9773 section 4.1

	Names        []Name   `json:"names,omitempty"`        // of the subject alternative name, in its order
	NamesOmitted int      `json:"namesOmitted,omitempty"` // names beyond the first 1,000
	Domains      []string `json:"domains,omitempty"`      // registrable domains of the DNS names
	Wildcard     bool     `json:"wildcard"`

	Key       Key       `json:"key"`
	Signature Signature `json:"signature"`

	NotBefore time.Time `json:"notBefore,omitzero"` // zero where unreadable
	NotAfter  time.Time `json:"notAfter,omitzero"`

	KeyUsage    []string `json:"keyUsage,omitempty"`    // RFC 5280 names, such as digitalSignature
	ExtKeyUsage []string `json:"extKeyUsage,omitempty"` // names, such as serverAuth, or OIDs
	CA          bool     `json:"ca"`                    // basic constraints say so
	MaxPathLen  *int     `json:"maxPathLen,omitempty"`
	Policies    []string `json:"policies,omitempty"`   // OIDs
	Validation  string   `json:"validation,omitempty"` // DV, OV, IV or EV by the reserved policy OIDs
	CRLs        []string `json:"crls,omitempty"`
	OCSP        []string `json:"ocsp,omitempty"`
	CAIssuers   []string `json:"caIssuers,omitempty"`
	SCTs        int      `json:"scts,omitempty"` // embedded timestamps of transparency logs
	MustStaple  bool     `json:"mustStaple,omitempty"`
	Statements  []string `json:"qcStatements,omitempty"`      // OIDs of QC statements
	Template    string   `json:"microsoftTemplate,omitempty"` // name or OID
	Extensions  []string `json:"extensions,omitempty"`        // every OID there, "!" before it when critical

	SelfIssued bool `json:"selfIssued"` // subject and issuer are the same name
	SelfSigned bool `json:"selfSigned"` // and its own key made the signature

	Parser     Parser   `json:"parser"`
	ErrorClass string   `json:"errorClass,omitempty"` // what the standard parser refused: see classify
	ParseError string   `json:"parseError,omitempty"` // its words
	Defects    []string `json:"defects,omitempty"`    // what our own reader stumbled over

	DER []byte `json:"-"`

	raw raw
}

// raw are the encoded parts that comparisons and signature checks need.
type raw struct {
	tbs, signatureAlgorithm, signature []byte
	issuer, subject, spki, serial      []byte

	signer string // Observation.SignerKey
}

// Parser is the strictest of three readers that reads a certificate.
type Parser string

// The three tiers.
const (
	Standard Parser = "standard" // Go's crypto/x509
	Lenient  Parser = "lenient"  // zcrypto, which reads what is in the field
	Raw      Parser = "raw"      // neither; what is known is our own best effort
)

// Attribute is one part of a distinguished name.
type Attribute struct {
	Type  string `json:"type"` // short name, such as CN, or OID
	Value string `json:"value"`
}

// Kinds of a Name.
const (
	DNS       = "dns"
	IP        = "ip"
	URI       = "uri"
	Email     = "email"
	UPN       = "upn"  // Microsoft's user principal name
	GUID      = "guid" // of a domain controller
	SID       = "sid"  // Microsoft's security identifier (extension 1.3.6.1.4.1.311.25.2)
	Directory = "directory"
	Other     = "other"
)

// Name is one name that a certificate is for.
type Name struct {
	Kind    string `json:"kind"`
	Value   string `json:"value"`             // DNS names in lower case
	Unicode string `json:"unicode,omitempty"` // readable form of an internationalised DNS name
}

// Key is the public key.
type Key struct {
	Algorithm   string `json:"algorithm"`            // RSA, EC, Ed25519, DSA, ML-DSA-65… or an OID
	Parameters  string `json:"parameters,omitempty"` // curve
	Size        int    `json:"size"`                 // bits: modulus, field, or public key where neither fits; 0 unknown
	Exponent    string `json:"exponent,omitempty"`   // RSA public exponent, decimal
	PostQuantum bool   `json:"postQuantum"`
	Category    int    `json:"category,omitempty"` // NIST security category of a post-quantum key
}

// Signature is how the issuer signed.
type Signature struct {
	Algorithm string `json:"algorithm"` // such as SHA256-RSA, ECDSA-SHA384, ML-DSA-65, or an OID
	Hash      string `json:"hash,omitempty"`
	OID       string `json:"oid,omitempty"`
}

// Lifetime is the validity period as RFC 5280 counts it: both ends belong to it. It is
// zero where the dates are unreadable.
func (c *Certificate) Lifetime() time.Duration {
	if c.NotBefore.IsZero() || c.NotAfter.IsZero() {
		return 0
	}
	// Years that time.Duration cannot hold would wrap around, so seconds are compared first.
	s := c.NotAfter.Unix() - c.NotBefore.Unix() + 1
	return time.Duration(max(0, min(s, maxLifetimeSeconds))) * time.Second
}

const maxLifetimeSeconds = 290 * 365 * 24 * 3600

// DNSNames are the DNS names, in their order.
func (c *Certificate) DNSNames() []string { return c.namesOf(DNS) }

func (c *Certificate) namesOf(kind string) []string {
	var s []string
	for _, n := range c.Names {
		if n.Kind == kind {
			s = append(s, n.Value)
		}
	}
	return s
}

// CommonName is the last common name of the subject, or empty.
func (c *Certificate) CommonName() string {
	for i := len(c.SubjectParts) - 1; i >= 0; i-- {
		if c.SubjectParts[i].Type == "CN" {
			return c.SubjectParts[i].Value
		}
	}
	return ""
}
