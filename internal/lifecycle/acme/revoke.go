package acme

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"chatelaine.dev/internal/fault"
)

// reasons are those of RFC 5280 section 5.3.1 that a subscriber may give, by their number.
func reasons() map[int]string {
	return map[int]string{0: "unspecified", 1: "keyCompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation", 9: "privilegeWithdrawn"}
}

// Revoke ends the trust in a certificate of this server (RFC 8555 section 7.6). It is asked
// for by the account that got it, by one that has shown control of all its names,
// or by whoever holds its key.
func (s *Service) Revoke(ctx context.Context, r Request, der []byte, reason int) error {
	why, ok := reasons()[reason]
	if !ok {
		return problem("badRevocationReason", "reason %d is none that can be given here; use 0, 1, 3, 4, 5 or 9", reason)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return problem("malformed", "the certificate is not readable; it is base64url of DER")
	}
	sum := sha256.Sum256(cert.Raw)
	o, err := s.Orders.OrderByCertificate(ctx, hex.EncodeToString(sum[:]))
	if fault.Is(err, fault.NotFound) || err == nil && o.Profile != r.Server.Profile.Name {
		return fault.New(fault.NotFound, "UnknownCertificate", "this server did not issue the certificate")
	}
	if err != nil {
		return err
	}
	if err := s.mayRevoke(ctx, r, cert, o); err != nil {
		return err
	}
	err = s.Ledger.Revoke(ctx, onRoad(r.Origin, r.Account.ID), o.Certificate.SHA256, why)
	if fault.HasCode(err, "AlreadyRevoked") {
		return problem("alreadyRevoked", "the certificate is revoked already")
	}
	return err
}

func (s *Service) mayRevoke(ctx context.Context, r Request, cert *x509.Certificate, o Order) error {
	if r.Account.ID == "" {
		if k, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(r.Key.Public) {
			return problem("unauthorized", "the request is signed neither by an account nor by the key of the certificate")
		}
		return nil
	}
	if o.Account == r.Account.ID {
		return nil
	}
	var bad []Problem
	for _, id := range o.Identifiers {
		a, err := s.Store.ValidAuthorization(ctx, r.Account.ID, id, s.Now())
		// A name that was authorised beforehand is anybody's to order: that shows nothing.
		if fault.Is(err, fault.NotFound) || err == nil && a.method() == "" {
			bad = append(bad, *problem("unauthorized", "the account has no valid authorization for %s", id.Value).about(id))
		} else if err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return several("unauthorized", "the certificate is another account's, and this one has no authorizations for all its names", bad)
	}
	return nil
}
