package profile

import (
	"crypto/x509"
	"fmt"
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

// extendedKeyUsage turns names into usages. Neither "any" nor that of an enrolment agent
// is among them.
func extendedKeyUsage(names []string) ([]x509.ExtKeyUsage, error) {
	usages := make([]x509.ExtKeyUsage, 0, len(names))
	for _, n := range names {
		switch n {
		case "serverAuth":
			usages = append(usages, x509.ExtKeyUsageServerAuth)
		case "clientAuth":
			usages = append(usages, x509.ExtKeyUsageClientAuth)
		case "codeSigning":
			usages = append(usages, x509.ExtKeyUsageCodeSigning)
		case "emailProtection":
			usages = append(usages, x509.ExtKeyUsageEmailProtection)
		default:
			return nil, fmt.Errorf("extendedKeyUsage: %q is unknown or not for a profile", n)
		}
	}
	return usages, nil
}
