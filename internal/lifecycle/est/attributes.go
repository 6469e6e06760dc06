package est

import (
	"context"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/pki/profile"
)

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEd25519     = asn1.ObjectIdentifier{1, 3, 101, 112}
)

func curves() map[string]asn1.ObjectIdentifier {
	return map[string]asn1.ObjectIdentifier{
		"P-256": {1, 2, 840, 10045, 3, 1, 7}, "P-384": {1, 3, 132, 0, 34}, "P-521": {1, 3, 132, 0, 35},
	}
}

// Attributes answers csrattrs, for anybody: which keys the profile certifies, as CsrAttrs
// in DER (RFC 7030 section 4.5.2). A kind of key is an attribute whose values are its
// curves, or its sizes in bits, smallest first.
func (s *Service) Attributes(_ context.Context, name string) ([]byte, error) {
	p, err := s.open(name)
	if err != nil {
		return nil, err
	}
	return attributes(p)
}

func attributes(p profile.Profile) ([]byte, error) {
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	ec, rsa := attribute{Type: oidECPublicKey}, attribute{Type: oidRSA}
	var list []any
	for _, k := range slices.Sorted(slices.Values(p.Keys)) {
		var value any
		to := &ec
		switch bits, isRSA := strings.CutPrefix(k, "RSA "); {
		case k == "Ed25519":
			list = append(list, oidEd25519)
			continue
		case isRSA:
			n, err := strconv.Atoi(bits)
			if err != nil {
				return nil, err
			}
			value, to = n, &rsa
		case curves()[k] != nil:
			value = curves()[k]
		default:
			continue // a kind that the protocol has no word for
		}
		der, err := asn1.Marshal(value)
		if err != nil {
			return nil, err
		}
		to.Values = append(to.Values, asn1.RawValue{FullBytes: der})
	}
	for _, a := range []attribute{ec, rsa} {
		if len(a.Values) > 0 {
			list = append(list, a)
		}
	}
	return asn1.Marshal(list)
}
