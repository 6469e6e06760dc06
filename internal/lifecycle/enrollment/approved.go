package enrollment

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
)

// Approved implements issuance.Approvals: it tells our authorities whether a person other
// than the requester has agreed to exactly this certificate.
func (s *Service) Approved(ctx context.Context, a issuance.Approval) error {
	e, err := s.Store.Request(ctx, a.Request)
	if err != nil {
		return err
	}
	refused := func(why string) error {
		return fault.New(fault.Denied, "NotApproved", "the request's approval does not cover this certificate: %s", why)
	}
	agreed := slices.ContainsFunc(e.Decisions, func(d Decision) bool { return d.Approved && d.Principal != e.Requester })
	csr, err := x509.ParseCertificateRequest(e.CSR)
	if err != nil {
		return refused("it has no key yet")
	}
	key := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	switch {
	case e.Kind == Revocation || e.State != InProgress && e.State != Approved:
		return refused("it is not under way")
	case !agreed:
		return refused("nobody has agreed to it")
	case hex.EncodeToString(key[:]) != a.KeySHA256:
		return refused("another key")
	case e.Wanted.Profile != a.Profile || e.Wanted.Authority != "" && e.Wanted.Authority != a.Authority:
		return refused("another profile or authority")
	case !SameNames(together(e.Wanted.Names, s.fixed(a.Profile)), a.Names):
		return refused("other names")
	case e.Wanted.CommonName != "" && !strings.EqualFold(e.Wanted.CommonName, a.CommonName):
		return refused("another common name")
	case e.Wanted.Validity > 0 && a.NotAfter.After(s.Now().Add(time.Duration(e.Wanted.Validity)+clockSkew)):
		return refused("a longer life")
	}
	return nil
}
