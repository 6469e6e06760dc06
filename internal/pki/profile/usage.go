package profile

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
)

// keyUsage turns names into bits. Those of an authority (keyCertSign, cRLSign) are not
// among them: no profile makes an authority.
func keyUsage(names []string) (x509.KeyUsage, error) {
	var bits x509.KeyUsage
	for _, n := range names {
		switch n {
		case "digitalSignature":
			bits |= x509.KeyUsageDigitalSignature
		case "contentCommitment":
			bits |= x509.KeyUsageContentCommitment
		case "keyEncipherment":
			bits |= x509.KeyUsageKeyEncipherment
		case "dataEncipherment":
			bits |= x509.KeyUsageDataEncipherment
		case "keyAgreement":
			bits |= x509.KeyUsageKeyAgreement
		default:
			return 0, fmt.Errorf("keyUsage: %q is unknown or not for a profile", n)
		}
	}
	return bits, nil
}

// purposes are the extended key usages that have a name.
func purposes() map[string]string {
	return map[string]string{
		"serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2", "codeSigning": "1.3.6.1.5.5.7.3.3",
		"emailProtection": "1.3.6.1.5.5.7.3.4", "timeStamping": "1.3.6.1.5.5.7.3.8", "OCSPSigning": "1.3.6.1.5.5.7.3.9",
		"ipsecIKE": "1.3.6.1.5.5.7.3.17", "documentSigning": "1.3.6.1.5.5.7.3.36",
		"smartcardLogon": "1.3.6.1.4.1.311.20.2.2", "encryptingFileSystem": "1.3.6.1.4.1.311.10.3.4",
		"kerberosClient": "1.3.6.1.5.2.3.4", "kerberosKDC": "1.3.6.1.5.2.3.5",
	}
}

// forbidden are purposes that no profile gives: any of them makes another authority of
// its holder.
func forbidden() map[string]string {
	return map[string]string{
		"2.5.29.37.0":            "it is good for any purpose",
		"1.3.6.1.4.1.311.20.2.1": "it is that of an enrolment agent, who asks in the name of everybody",
		"1.3.6.1.4.1.311.10.3.1": "its holder signs trust lists, which make roots",
		"1.3.6.1.4.1.311.21.6":   "it is that of a key recovery agent, who opens everybody's keys",
		"1.3.6.1.4.1.311.21.5":   "it is that of an authority's own exchange",
	}
}

// purpose returns the OID of an extended key usage by its name or by itself.
func purpose(name string) (asn1.ObjectIdentifier, error) {
	text, ok := purposes()[name]
	if !ok {
		text = name
	}
	oid, err := oidOf(text)
	if err != nil {
		return nil, fmt.Errorf("extendedKeyUsage: %q is unknown or not for a profile; use an object identifier", name)
	}
	if why, ok := forbidden()[oid.String()]; ok {
		return nil, fmt.Errorf("extendedKeyUsage: %q is not for a profile: %s", name, why)
	}
	return oid, nil
}

// extendedKeyUsage turns names and object identifiers into object identifiers, dotted.
func extendedKeyUsage(names []string) ([]string, error) {
	usages := make([]string, 0, len(names))
	for _, n := range names {
		oid, err := purpose(n)
		if err != nil {
			return nil, err
		}
		if slices.Contains(usages, oid.String()) {
			return nil, fmt.Errorf("extendedKeyUsage: %q is there twice", n)
		}
		usages = append(usages, oid.String())
	}
	return usages, nil
}

// gives reports whether the profile's certificates are good for a purpose of a name.
func (p Profile) gives(names ...string) bool {
	for _, u := range p.ExtendedKeyUsage {
		for _, n := range names {
			if u == n || u == purposes()[n] {
				return true
			}
		}
	}
	return false
}
