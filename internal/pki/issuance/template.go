package issuance

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"

	"chatelaine.dev/internal/pki/profile"
)

// template is the certificate of a plan.
func template(p profile.Profile, plan profile.Plan) (x509.Certificate, error) {
	t := x509.Certificate{
		Subject:   plan.Subject.Name(plan.CommonName),
		NotBefore: plan.NotBefore, NotAfter: plan.NotAfter,
		KeyUsage:              plan.KeyUsage,
		BasicConstraintsValid: true,
		DNSNames:              plan.Names.DNS, EmailAddresses: plan.Names.Email,
	}
	for _, a := range plan.Names.IP {
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(a))
	}
	for _, a := range plan.Names.URI {
		u, err := url.Parse(a)
		if err != nil {
			return t, err
		}
		t.URIs = append(t.URIs, u)
	}
	return t, extend(&t, p, plan)
}

// extend adds the extensions that the profile decides alone.
func extend(t *x509.Certificate, p profile.Profile, plan profile.Plan) error {
	var purposes []asn1.ObjectIdentifier
	for _, text := range plan.ExtendedKeyUsage {
		oid, err := object(text)
		if err != nil {
			return err
		}
		purposes = append(purposes, oid)
	}
	value, err := asn1.Marshal(purposes)
	if err != nil {
		return err
	}
	t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oidExtendedKeyUsage(), Critical: p.ExtendedKeyUsageCritical, Value: value})
	for _, text := range p.Policies {
		oid, err := x509.ParseOID(text)
		if err != nil {
			return err
		}
		t.Policies = append(t.Policies, oid)
	}
	if p.NoRevocation {
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oidNoRevAvail(), Value: asn1.NullBytes})
	}
	for _, e := range p.Extensions {
		x, err := e.Certificate()
		if err != nil {
			return err
		}
		t.ExtraExtensions = append(t.ExtraExtensions, x)
	}
	return nil
}

func object(text string) (asn1.ObjectIdentifier, error) {
	x, err := profile.Extension{OID: text}.Certificate()
	return x.Id, err
}

func oidExtendedKeyUsage() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 37} }

// oidNoRevAvail is of RFC 9608 section 2: the value is NULL, and it is not critical.
func oidNoRevAvail() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 56} }
