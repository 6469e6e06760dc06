// Package holder says whether a certificate that somebody proves to hold is one of ours
// and still good, so that it may speak for what it names.
package holder

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
)

// Issued finds what our authorities issued.
type Issued interface {
	// CertificateBySHA256 returns one issued or revoked certificate, or fault.NotFound.
	CertificateBySHA256(ctx context.Context, sha256 string) (issuance.Certificate, error)
}

// Check returns what we know of a certificate whose key the caller has proved to hold. It
// is bound by its very bytes: another certificate for the same key or the same name, by us
// or by anybody, is not it. Whatever is wrong, the error is the same, fault.Unauthenticated.
func Check(ctx context.Context, in Issued, c *x509.Certificate, now time.Time) (issuance.Certificate, error) {
	sum := sha256.Sum256(c.Raw)
	found, err := in.CertificateBySHA256(ctx, hex.EncodeToString(sum[:]))
	switch {
	case fault.Is(err, fault.NotFound):
		return found, errWrong()
	case err != nil:
		return found, err
	case found.State != issuance.Issued, found.Profile == "", c.IsCA, now.Before(c.NotBefore), now.After(c.NotAfter):
		return found, errWrong()
	}
	return found, nil
}

func errWrong() error {
	return fault.New(fault.Unauthenticated, "InvalidCertificate", "the certificate is not one of ours, or is expired or revoked; enrol anew")
}

// IsClient reports whether a certificate is for its holder to sign in with.
func IsClient(c *x509.Certificate) bool {
	return slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
}
