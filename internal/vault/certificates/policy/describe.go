package policy

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/vault/keystore"
)

// Spec is the key that the policy asks for, without its protection.
func (k *KeyProperties) Spec() keystore.Spec {
	if k.Type == ecType || k.Type == ecType+hsm {
		return keystore.Spec{Type: keystore.EC, Curve: k.Curve}
	}
	return keystore.Spec{Type: keystore.RSA, Bits: k.Size}
}

// Describe is the policy of a certificate that was imported without one: issuer Unknown,
// everything else as the certificate has it. contentType is that of the imported file, or "" for the default.
func Describe(c *x509.Certificate, contentType string) (Policy, error) {
	key, err := describeKey(c.PublicKey)
	if err != nil {
		return Policy{}, err
	}
	subject, err := FormatName(c.RawSubject)
	if err != nil {
		return Policy{}, err
	}
	x := &X509Properties{
		Subject: subject, Names: describeNames(c),
		ExtendedUsage:    describeExtendedUsage(c),
		Usage:            usageNames(c.KeyUsage),
		ValidityMonths:   months(c.NotBefore, c.NotAfter),
		BasicConstraints: &BasicConstraints{CA: c.IsCA},
	}
	if c.IsCA && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
		x.BasicConstraints.PathLen = &c.MaxPathLen
	}
	p := Policy{Key: key, Secret: &Secret{ContentType: contentType}, X509: x, Issuer: &Issuer{Name: Unknown}}
	return p.Complete(), nil
}

func describeKey(pub crypto.PublicKey) (*KeyProperties, error) {
	s, err := keystore.SpecOf(pub)
	if err != nil {
		return nil, err
	}
	switch s.Type {
	case keystore.RSA:
		return &KeyProperties{Type: rsaType, Size: s.Bits}, nil
	case keystore.EC:
		return &KeyProperties{Type: ecType, Size: curveBits(s.Curve), Curve: s.Curve}, nil
	}
	return nil, bad("the certificate has a key of type %s; use RSA or EC", s)
}

// Inherit gives the policy of an imported version what the certificate's policy was says
// of lifetime, issuer and export; also of the secret, unless a content type was imported.
func (p Policy) Inherit(was Policy, contentType string) Policy {
	p.Lifetime, p.Issuer, p.Attributes = was.Lifetime, was.Issuer, was.Attributes
	key := *p.Key
	key.Exportable, key.Reuse = was.Key.Exportable, was.Key.Reuse
	p.Key = &key
	if contentType == "" {
		p.Secret = was.Secret
	}
	return p
}

// Fits refuses a key that is not of the kind that the policy asks for.
func (k *KeyProperties) Fits(pub crypto.PublicKey) error {
	s, err := keystore.SpecOf(pub)
	if err != nil {
		return err
	}
	if want := k.Spec(); s != want {
		return bad("key_props asks for %s, but the certificate's key is %s", want, s)
	}
	return nil
}

func describeExtendedUsage(c *x509.Certificate) []string {
	list := []string{}
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidExtendedUsage()) {
			continue
		}
		s := cryptobyte.String(e.Value)
		var usages cryptobyte.String
		if !s.ReadASN1(&usages, der.SEQUENCE) {
			return list
		}
		for !usages.Empty() && len(list) < MaxExtendedUsages {
			var oid cryptobyte.String
			if !usages.ReadASN1(&oid, der.OBJECT_IDENTIFIER) {
				return list
			}
			var parsed x509.OID
			if err := parsed.UnmarshalBinary(oid); err != nil {
				return list
			}
			list = append(list, parsed.String())
		}
	}
	return list
}

// describeNames reads what of the alternative names a policy can say.
func describeNames(c *x509.Certificate) *Names {
	n := &Names{Emails: nonEmpty(c.EmailAddresses), DNS: nonEmpty(c.DNSNames), UPNs: upns(c)}
	for _, u := range c.URIs {
		n.URIs = append(n.URIs, u.String())
	}
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			n.IPs = append(n.IPs, a.Unmap().String())
		}
	}
	return n
}

func nonEmpty(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func upns(c *x509.Certificate) []string {
	var list []string
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidNames()) {
			continue
		}
		s := cryptobyte.String(e.Value)
		var names cryptobyte.String
		if !s.ReadASN1(&names, der.SEQUENCE) {
			return list
		}
		for !names.Empty() {
			var name cryptobyte.String
			var tag der.Tag
			if !names.ReadAnyASN1(&name, &tag) {
				return list
			}
			if tag == der.Tag(0).ContextSpecific().Constructed() {
				if upn, ok := readUPN(name); ok {
					list = append(list, upn)
				}
			}
		}
	}
	return list
}

func readUPN(other cryptobyte.String) (string, bool) {
	var oid asn1.ObjectIdentifier
	var outer, inner cryptobyte.String
	ok := other.ReadASN1ObjectIdentifier(&oid) && oid.Equal(oidUPN()) &&
		other.ReadASN1(&outer, der.Tag(0).ContextSpecific().Constructed()) &&
		outer.ReadASN1(&inner, der.UTF8String)
	return string(inner), ok
}
