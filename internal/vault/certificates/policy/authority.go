package policy

import (
	"encoding/asn1"
	"strings"
)

// CommonName is the subject's, or empty.
func (p Policy) CommonName() string {
	if p.X509 == nil {
		return ""
	}
	sequence, err := ParseName(p.X509.Subject)
	if err != nil {
		return ""
	}
	for _, set := range sequence {
		for _, a := range set {
			if name, ok := a.Value.(string); ok && a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
				return name
			}
		}
	}
	return ""
}

// ForAuthority is the policy as an authority is asked for it. Where there is no other
// name, a common name that is a host's also stands among the alternative names: clients
// look nowhere else (RFC 9525, section 2), and public CAs do the same.
func (p Policy) ForAuthority() Policy {
	name := p.CommonName()
	if p.X509 == nil || p.X509.Names.count() > 0 || !strings.Contains(name, ".") || !isDNS(name) {
		return p
	}
	x := *p.X509
	x.Names = &Names{DNS: []string{name}}
	p.X509 = &x
	return p
}
