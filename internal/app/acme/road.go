package acme

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
)

// Road leads to authorities of ours.
type Road struct{ Issuance *issuance.Service }

// Enroll implements acme.Road.
func (x Road) Enroll(ctx context.Context, c access.Caller, a acme.Ask) (acme.Issuance, error) {
	made, err := x.Issuance.Issue(ctx, c, issuance.Request{
		ID: a.Once, Profile: a.Profile, CSR: a.CSR, CommonName: a.CommonName, Names: a.Names, Validity: a.Validity,
	})
	return acme.Issuance{Request: a.Once, Status: acme.Valid, Certificate: made.DER, Chain: made.Chain}, err
}

// Collect implements acme.Road.
func (x Road) Collect(_ context.Context, _ access.Caller, request string) (acme.Issuance, error) {
	return acme.Issuance{}, fault.New(fault.NotFound, "RequestNotFound", "there is no request %.64q", request)
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
