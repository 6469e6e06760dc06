package profile

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
)

// Extension is a part of every certificate that the profile brings along itself.
type Extension struct {
	OID      string `json:"oid"` // dotted
	Critical bool   `json:"critical,omitempty"`
	Value    []byte `json:"value"` // DER, base64 in JSON
}

const (
	maxExtensions = 20
	maxValue      = 4096 // bytes of one extension
	maxOIDs       = 20
)

// reserved are extensions that the ceremony writes, or that would give a certificate
// powers or an identity that nobody checked: those of RFC 5280 section 4.2 (id-ce and
// the access to authority and subject), poison and time stamps of RFC 6962, noRevAvail of
// RFC 9608, which is a field of its own, and the account of Active Directory that a domain
// controller logs on (szOID_NTDS_CA_SECURITY_EXT).
func reserved() []string {
	return []string{"2.5.29.", "1.3.6.1.5.5.7.1.1.", "1.3.6.1.5.5.7.1.11.", "1.3.6.1.4.1.11129.2.4.", "1.3.6.1.4.1.311.25.2."}
}

// Certificate turns an Extension into what a certificate takes.
func (e Extension) Certificate() (pkix.Extension, error) {
	oid, err := oidOf(e.OID)
	return pkix.Extension{Id: oid, Critical: e.Critical, Value: e.Value}, err
}

func (e Extension) valid() error {
	if _, err := oidOf(e.OID); err != nil {
		return fmt.Errorf("extensions: %w", err)
	}
	for _, r := range reserved() {
		if strings.HasPrefix(e.OID+".", r) {
			return fmt.Errorf("extensions: %s is written by the issuance itself or by nobody", e.OID)
		}
	}
	var v asn1.RawValue
	if rest, err := asn1.Unmarshal(e.Value, &v); err != nil || len(rest) > 0 || len(e.Value) > maxValue {
		return fmt.Errorf("extensions: the value of %s is not one DER value of at most %d bytes, in base64", e.OID, maxValue)
	}
	return nil
}

// oidOf reads an object identifier such as 1.3.6.1.5.5.7.3.17. It takes the one spelling
// alone: the rules compare texts, and 2.5.29.019 is basicConstraints too.
func oidOf(text string) (asn1.ObjectIdentifier, error) {
	bad := fmt.Errorf("%.64q is no object identifier such as 1.3.6.1.4.1.311.20.2.2", text)
	parsed, err := x509.ParseOID(text)
	if err != nil || len(text) > 128 || parsed.String() != text {
		return nil, bad
	}
	der, err := parsed.MarshalBinary()
	if err != nil {
		return nil, bad
	}
	var oid asn1.ObjectIdentifier
	full := append([]byte{asn1.TagOID, byte(len(der))}, der...)
	if rest, err := asn1.Unmarshal(full, &oid); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w; its arcs are below 2³¹", bad)
	}
	return oid, nil
}

// anyPolicy is for authorities: RFC 5280 section 4.2.1.4.
const anyPolicy = "2.5.29.32.0"

func validExtensions(p Profile) error {
	var errs []error
	if len(p.Extensions) > maxExtensions || len(p.Policies) > maxOIDs {
		errs = append(errs, fmt.Errorf("at most %d extensions and %d policies", maxExtensions, maxOIDs))
	}
	seen := map[string]bool{}
	for _, e := range p.Extensions {
		errs = append(errs, e.valid())
		if seen[e.OID] {
			errs = append(errs, fmt.Errorf("extensions: %s is there twice", e.OID))
		}
		seen[e.OID] = true
	}
	for _, o := range p.Policies {
		if _, err := oidOf(o); err != nil {
			errs = append(errs, fmt.Errorf("policies: %w", err))
		}
		if o == anyPolicy || seen[o] {
			errs = append(errs, fmt.Errorf("policies: %s is anyPolicy, which is for authorities, or there twice", o))
		}
		seen[o] = true
	}
	return errors.Join(errs...)
}
