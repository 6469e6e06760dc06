// Package policy is the management policy of a vault's certificate (contract §2.6): what
// it may hold, what the service fills in, and the X.509 names, extensions, requests and
// self-signed certificates that follow from it. Nothing here stores or authorises.
package policy

import (
	"slices"
	"strings"
	"time"
)

// Policy says how the next version of a certificate is made. Its JSON is the wire's and
// the stored row's. A section that was not sent is nil; what was sent comes back as sent.
type Policy struct {
	Key      *KeyProperties  `json:"key_props,omitempty"`
	Secret   *Secret         `json:"secret_props,omitempty"`
	X509     *X509Properties `json:"x509_props,omitempty"`
	Lifetime []Action        `json:"lifetime_actions,omitzero"`
	Issuer   *Issuer         `json:"issuer,omitempty"`

	Attributes *Attributes `json:"attributes,omitempty"`
}

// Attributes of the policy itself. A client may set enabled; the times, in seconds since
// 1970, are the service's.
type Attributes struct {
	Enabled *bool `json:"enabled,omitempty"`
	Created int64 `json:"created,omitempty"`
	Updated int64 `json:"updated,omitempty"`
}

// KeyProperties describe the key behind the certificate.
type KeyProperties struct {
	Exportable *bool  `json:"exportable,omitempty"` // the secret holds the private key
	Type       string `json:"kty,omitempty"`        // RSA, RSA-HSM, EC, EC-HSM
	Size       int    `json:"key_size,omitempty"`   // bits
	Reuse      *bool  `json:"reuse_key,omitempty"`  // the next version keeps the key
	Curve      string `json:"crv,omitempty"`
}

// Secret describes the secret of the same name.
type Secret struct {
	ContentType string `json:"contentType,omitempty"` // PKCS12 or PEM
}

// X509Properties are the contents of the certificate.
type X509Properties struct {
	Subject          string            `json:"subject,omitempty"` // X.500 name, most specific part first: "CN=a, O=b"
	Names            *Names            `json:"sans,omitempty"`
	ExtendedUsage    []string          `json:"ekus,omitzero"` // object identifiers
	Usage            []string          `json:"key_usage,omitzero"`
	ValidityMonths   int               `json:"validity_months,omitempty"`
	BasicConstraints *BasicConstraints `json:"basic_constraints,omitempty"`
}

// Names are the subject alternative names.
type Names struct {
	Emails []string `json:"emails,omitzero"`
	DNS    []string `json:"dns_names,omitzero"`
	UPNs   []string `json:"upns,omitzero"`
	URIs   []string `json:"uris,omitzero"`
	IPs    []string `json:"ipAddresses,omitzero"`
}

// BasicConstraints say whether the certificate may sign others.
type BasicConstraints struct {
	CA      bool `json:"ca"`
	PathLen *int `json:"path_len_constraint,omitempty"`
}

// Action is done when its trigger comes.
type Action struct {
	Trigger *Trigger    `json:"trigger,omitempty"`
	Action  *ActionType `json:"action,omitempty"`
}

// Trigger is one of its two fields.
type Trigger struct {
	LifetimePercentage *int `json:"lifetime_percentage,omitempty"` // 1 to 99
	DaysBeforeExpiry   *int `json:"days_before_expiry,omitempty"`  // 1 to months of validity × 27
}

// ActionType names the action: AutoRenew or EmailContacts.
type ActionType struct {
	Type string `json:"action_type,omitempty"`
}

// Issuer names who issues.
type Issuer struct {
	Name         string `json:"name,omitempty"` // Self, Unknown, or a registered issuer; any case
	Type         string `json:"cty,omitempty"`  // certificate type in the issuer's words
	Transparency *bool  `json:"cert_transparency,omitempty"`
}

// The words that a policy is written in.
const (
	Self    = "Self"    // the certificate signs itself
	Unknown = "Unknown" // the caller takes the request to a CA and merges what it issued

	PKCS12 = "application/x-pkcs12"
	PEM    = "application/x-pem-file"

	AutoRenew     = "AutoRenew"
	EmailContacts = "EmailContacts"

	rsaType = "RSA"
	ecType  = "EC"
	hsm     = "-HSM"
)

// IsSelf reports whether the certificate signs itself.
func (i *Issuer) IsSelf() bool { return i != nil && strings.EqualFold(i.Name, Self) }

// IsUnknown reports whether the caller brings the certificate.
func (i *Issuer) IsUnknown() bool { return i != nil && strings.EqualFold(i.Name, Unknown) }

// CanExport reports whether the private key may leave the vault.
func (p Policy) CanExport() bool {
	return p.Key != nil && p.Key.Exportable != nil && *p.Key.Exportable
}

// ReusesKey reports whether the next version keeps the key of the last.
func (p Policy) ReusesKey() bool { return p.Key != nil && p.Key.Reuse != nil && *p.Key.Reuse }

// WantsPEM reports whether the secret is PEM rather than PKCS#12.
func (p Policy) WantsPEM() bool { return p.Secret != nil && p.Secret.ContentType == PEM }

// Merge returns p with the sections of change in place of its own (contract §2.6).
func (p Policy) Merge(change Policy) Policy {
	if change.Key != nil {
		p.Key = change.Key
	}
	if change.Secret != nil {
		p.Secret = change.Secret
	}
	if change.X509 != nil {
		p.X509 = change.X509
	}
	if change.Lifetime != nil {
		p.Lifetime = change.Lifetime
	}
	if change.Issuer != nil {
		p.Issuer = change.Issuer
	}
	if change.Attributes != nil && change.Attributes.Enabled != nil {
		p.Attributes = p.stamped(change.Attributes.Enabled)
	}
	return p
}

func (p Policy) stamped(enabled *bool) *Attributes {
	a := Attributes{}
	if p.Attributes != nil {
		a = *p.Attributes
	}
	a.Enabled = enabled
	return &a
}

// Stamp sets the times of the policy: created as was has it, updated now. A policy is
// enabled unless it was sent otherwise.
func (p Policy) Stamp(was Policy, now time.Time) Policy {
	enabled := true
	if p.Attributes == nil || p.Attributes.Enabled == nil {
		p.Attributes = p.stamped(&enabled)
	}
	a := *p.Attributes
	a.Created, a.Updated = now.Unix(), now.Unix()
	if was.Attributes != nil {
		a.Created = was.Attributes.Created
	}
	p.Attributes = &a
	return p
}

// defaults are what the service fills in where nothing was sent.
type defaults struct {
	exportable, reuse bool
	keyType           string
	bits              int
	curve             string
	contentType       string
	months            int
	usage             map[string][]string // by key type
	extendedUsage     []string
	percentage        int
	action            map[bool]string // by whether the issuer can renew
}

// serviceDefaults are those of contract §2.6. An EC key enciphers nothing, so its default
// usage is to sign (RFC 8813).
func serviceDefaults() defaults {
	return defaults{
		exportable: true, keyType: rsaType, bits: 2048, curve: "P-256",
		contentType: PKCS12, months: 12, percentage: 80,
		usage:         map[string][]string{rsaType: {"digitalSignature", "keyEncipherment"}, ecType: {"digitalSignature"}},
		extendedUsage: []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}, // server and client authentication
		action:        map[bool]string{true: AutoRenew, false: EmailContacts},
	}
}

// Complete returns p with the service's defaults wherever it says nothing. The issuer and
// the subject have none.
func (p Policy) Complete() Policy {
	d := serviceDefaults()
	p.Key = d.key(p.Key)
	if p.Secret == nil || p.Secret.ContentType == "" {
		p.Secret = &Secret{ContentType: d.contentType}
	}
	p.X509 = d.x509(p.X509, strings.TrimSuffix(p.Key.Type, hsm))
	if p.Lifetime == nil {
		p.Lifetime = []Action{{
			Trigger: &Trigger{LifetimePercentage: &d.percentage},
			Action:  &ActionType{Type: d.action[!p.Issuer.IsUnknown()]},
		}}
	}
	return p
}

func (d defaults) key(sent *KeyProperties) *KeyProperties {
	var k KeyProperties
	if sent != nil {
		k = *sent
	}
	if k.Exportable == nil {
		k.Exportable = &d.exportable
	}
	if k.Reuse == nil {
		k.Reuse = &d.reuse
	}
	if k.Type == "" {
		k.Type = d.keyType
		if k.Curve != "" {
			k.Type = ecType
		}
	}
	switch strings.TrimSuffix(k.Type, hsm) {
	case rsaType:
		if k.Size == 0 {
			k.Size = d.bits
		}
	case ecType:
		if k.Curve == "" {
			k.Curve = curveOfSize(k.Size, d.curve)
		}
	}
	return &k
}

// curveOfSize is the curve that a size of an EC key means.
func curveOfSize(bits int, other string) string {
	switch bits {
	case 384:
		return "P-384"
	case 521:
		return "P-521"
	}
	return other
}

func (d defaults) x509(sent *X509Properties, keyType string) *X509Properties {
	var x X509Properties
	if sent != nil {
		x = *sent
	}
	if x.Names == nil {
		x.Names = &Names{}
	}
	if x.ExtendedUsage == nil {
		x.ExtendedUsage = slices.Clone(d.extendedUsage)
	}
	if x.Usage == nil {
		x.Usage = slices.Clone(d.usage[keyType])
	}
	if x.ValidityMonths == 0 {
		x.ValidityMonths = d.months
	}
	if x.BasicConstraints == nil {
		x.BasicConstraints = &BasicConstraints{}
	}
	return &x
}
