package enrollment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
)

// Authorities makes issuers of our own authorities.
type Authorities struct {
	Issuance   *issuance.Service
	Revocation *revocation.Service
}

// Issuer implements Issuers. Which authorities a profile may name is checked when it issues.
func (a Authorities) Issuer(_ context.Context, authority string) (Issuer, error) {
	return own{a, authority}, nil
}

// own is one authority of ours, or the profile's first when it has no name.
type own struct {
	of        Authorities
	authority string
}

func (o own) caller(request string) access.Caller {
	c := access.System("enrollment")
	c.Correlation = request
	return c
}

// Issue implements Issuer. Our authorities answer at once, and know an order by its id.
func (o own) Issue(ctx context.Context, order connector.Order) (connector.Answer, error) {
	made, err := o.of.Issuance.Issue(ctx, o.caller(order.ID), issuance.Request{
		ID: order.ID, Profile: order.Profile, Authority: o.authority, CSR: order.CSR, Validity: order.Validity.Truncate(time.Second),
	})
	if err != nil {
		return connector.Answer{}, err
	}
	return connector.Answer{Certificate: made.DER, Chain: withoutRoot(made.Chain)}, nil
}

// Certify implements Own.
func (o own) Certify(ctx context.Context, c access.Caller, q issuance.Request) (issuance.Result, error) {
	q.Authority = o.authority
	return o.of.Issuance.Issue(ctx, c, q)
}

// Collect implements Issuer.
func (own) Collect(context.Context, string) (connector.Answer, error) {
	return connector.Answer{}, fault.New(fault.NotFound, "OrderNotFound", "our own authorities have no pending orders")
}

// Revoke implements Issuer.
func (o own) Revoke(ctx context.Context, r connector.Revocation) error {
	sum := sha256.Sum256(r.Certificate)
	_, err := o.of.Revocation.Revoke(ctx, o.caller(""), revocation.Request{SHA256: hex.EncodeToString(sum[:]), Reason: string(r.Reason)})
	if fault.HasCode(err, "AlreadyRevoked") {
		return nil
	}
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(err, fault.NotFound, "NotOurs", "the certificate was issued by none of our authorities; revoke it where it was issued")
	}
	return err
}

// withoutRoot drops a self-signed certificate from the end: whom a client trusts is not
// for the server to send.
func withoutRoot(chain [][]byte) [][]byte {
	if n := len(chain); n > 0 {
		if c, err := x509.ParseCertificate(chain[n-1]); err == nil && bytes.Equal(c.RawSubject, c.RawIssuer) {
			return chain[:n-1]
		}
	}
	return chain
}
