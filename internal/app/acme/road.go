package acme

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
)

// Road is the one road of all requests.
type Road struct{ Requests *enrollment.Service }

// Enroll implements acme.Road.
func (x Road) Enroll(ctx context.Context, c access.Caller, a acme.Ask) (acme.Issuance, error) {
	return issuanceOf(x.Requests.Enroll(ctx, c, enrollment.Ask{
		Door: "acme", Profile: a.Profile, CSR: a.CSR, CommonName: a.CommonName, Names: a.Names, Validity: a.Validity, Once: a.Once, Owner: a.Owner,
		Also: func(ctx context.Context, made enrollment.Enrolled) error {
			got, _ := issuanceOf(made, nil)
			return a.Also(ctx, got)
		},
	}))
}

// Collect implements acme.Road.
func (x Road) Collect(ctx context.Context, c access.Caller, request string) (acme.Issuance, error) {
	return issuanceOf(x.Requests.Collect(ctx, c, request))
}

func issuanceOf(e enrollment.Enrolled, err error) (acme.Issuance, error) {
	out := acme.Issuance{Request: e.Request, Status: acme.Processing, Certificate: e.Certificate, Chain: e.Chain, Problem: e.Problem}
	switch e.State {
	case enrollment.Completed:
		out.Status = acme.Valid
	case enrollment.Pending:
		out.Status = acme.Pending
	case enrollment.Failed, enrollment.Denied, enrollment.Canceled, enrollment.Expired:
		out.Status = acme.Invalid
	}
	return out, err
}

// Ledger revokes what authorities of ours have issued.
type Ledger struct {
	Revocation   *revocation.Service
	Certificates revocation.Certificates
}

// Revoke implements acme.Ledger.
func (l Ledger) Revoke(ctx context.Context, c access.Caller, sha256, reason string) error {
	_, err := l.Revocation.Revoke(ctx, c, revocation.Request{SHA256: sha256, Reason: reason})
	return err
}

// Revoked implements acme.Ledger.
func (l Ledger) Revoked(ctx context.Context, sha256 string) (bool, error) {
	c, err := l.Certificates.CertificateBySHA256(ctx, sha256)
	if fault.Is(err, fault.NotFound) { // another CA's
		return false, nil
	}
	return c.State == issuance.Revoked, err
}
