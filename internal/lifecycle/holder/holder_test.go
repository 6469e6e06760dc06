package holder_test

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/holder"
	"chatelaine.dev/internal/pki/issuance"
)

// one is a ledger of one certificate.
type one issuance.Certificate

// CertificateBySHA256 implements holder.Issued.
func (o one) CertificateBySHA256(_ context.Context, sum string) (issuance.Certificate, error) {
	if sum != o.SHA256 {
		return issuance.Certificate{}, fault.New(fault.NotFound, "CertificateNotFound", "no")
	}
	return issuance.Certificate(o), nil
}

func TestOnlyAGoodCertificateOfOursSpeaksForItsHolder(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of "x"
	for why, c := range map[string]struct {
		change func(c *x509.Certificate, o *one)
		good   bool
	}{
		"good":               {func(*x509.Certificate, *one) {}, true},
		"in its last second": {func(c *x509.Certificate, _ *one) { c.NotAfter = now }, true},
		"expired":            {func(c *x509.Certificate, _ *one) { c.NotAfter = now.Add(-time.Second) }, false},
		"not yet valid":      {func(c *x509.Certificate, _ *one) { c.NotBefore = now.Add(time.Second) }, false},
		"of an authority":    {func(c *x509.Certificate, _ *one) { c.IsCA = true }, false},
		"other bytes":        {func(c *x509.Certificate, _ *one) { c.Raw = []byte("y") }, false},
		"revoked or held":    {func(_ *x509.Certificate, o *one) { o.State = issuance.Revoked }, false},
		"not issued":         {func(_ *x509.Certificate, o *one) { o.State = issuance.Intended }, false},
		"of no profile":      {func(_ *x509.Certificate, o *one) { o.Profile = "" }, false},
	} {
		cert := &x509.Certificate{Raw: []byte("x"), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
		ledger := one{SHA256: sum, State: issuance.Issued, Profile: "tls-client"}
		c.change(cert, &ledger)

		_, err := holder.Check(t.Context(), ledger, cert, now)

		if (err == nil) != c.good || err != nil && !fault.HasCode(err, "InvalidCertificate") {
			t.Errorf("%s: %v", why, err)
		}
	}
}
