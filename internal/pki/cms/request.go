package cms

import (
	"crypto/x509"
	"encoding/asn1"
)

// maxAttributes of a CSR that are looked at.
const maxAttributes = 32

// Attribute returns the first value of an attribute of a CSR (RFC 2986 section 4.1), in
// DER. The standard library reads only those that hold extensions.
func Attribute(csr *x509.CertificateRequest, kind asn1.ObjectIdentifier) (der []byte, found bool) {
	var info struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []asn1.RawValue `asn1:"tag:0,set"`
	}
	if _, err := asn1.Unmarshal(csr.RawTBSCertificateRequest, &info); err != nil || len(info.Attributes) > maxAttributes {
		return nil, false
	}
	for _, raw := range info.Attributes {
		var a struct {
			Type   asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		}
		if _, err := asn1.Unmarshal(raw.FullBytes, &a); err == nil && a.Type.Equal(kind) && len(a.Values) > 0 {
			return a.Values[0].FullBytes, true
		}
	}
	return nil, false
}
