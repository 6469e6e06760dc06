package pfx

import (
	"crypto/x509"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// Encode writes PKCS#12 with the empty password, as a vault gives it out: the leaf first,
// then the rest in their order, and the certificates alone when there is no key. The
// ciphers are the old ones (triple DES, SHA-1), because programs that fetch certificates
// from a vault read them with libraries that know nothing newer; an empty password
// protects nothing either way, and the file is only ever sent inside TLS or kept sealed.
func Encode(b Bundle) ([]byte, error) {
	if b.Key == nil {
		out, err := pkcs12.LegacyDES.EncodeTrustStore(b.Certificates, "")
		if err != nil {
			return nil, fmt.Errorf("write PKCS#12 of certificates: %w", err)
		}
		return out, nil
	}
	leaf, err := b.Leaf()
	if err != nil {
		return nil, err
	}
	rest := make([]*x509.Certificate, 0, len(b.Certificates))
	for _, c := range b.Certificates {
		if !c.Equal(leaf) {
			rest = append(rest, c)
		}
	}
	out, err := pkcs12.LegacyDES.Encode(b.Key, leaf, rest, "")
	if err != nil {
		return nil, fmt.Errorf("write PKCS#12: %w", err)
	}
	return out, nil
}
