package connector

import (
	"context"
	"time"
)

// Issuer is a certification authority. Waiting is the normal case: many an authority
// answers only after a person or a validation has agreed.
type Issuer interface {
	Checker
	// Issue places an order. Order.ID is the idempotency key: a second call with the same
	// ID answers for the first order where the authority lets us tell. fault.Invalid and
	// fault.Denied are final; after fault.Unavailable the order may have been taken, and the
	// caller asks again with the same ID.
	Issue(ctx context.Context, o Order) (Answer, error)
	// Collect asks what became of a pending order.
	Collect(ctx context.Context, token string) (Answer, error)
	// Revoke ends the trust in a certificate that this issuer made. Revoking it twice is no
	// error; fault.NotFound means that the issuer does not know it.
	Revoke(ctx context.Context, r Revocation) error
}

// Order asks for one certificate.
type Order struct {
	ID       string        // of the request; stable over retries
	CSR      []byte        // PKCS #10 DER; names and key come from here
	Profile  string        // the issuer's name of what is wanted: profile, template, product
	Validity time.Duration // zero: as the profile says
	Replaces string        // SHA-256 (hex) of the certificate that this one follows; may be empty
}

// Answer is either a certificate or a promise of one: exactly one of Certificate and
// Pending is set.
type Answer struct {
	Certificate []byte   // DER
	Chain       [][]byte // DER, the issuer first, without the root
	Pending     *Pending
}

// Pending is an order that is not decided yet.
type Pending struct {
	Token string        // for Collect; at most 1 KiB, no secret
	After time.Duration // when to ask; zero means that the authority does not say
}

// Revocation names a certificate and says why it ends.
type Revocation struct {
	Certificate []byte // DER
	Reason      Reason
}

// Reason is why a certificate is revoked, in the words of RFC 5280 section 5.3.1.
type Reason string

// The reasons that a caller may give.
const (
	Unspecified          Reason = "unspecified"
	KeyCompromise        Reason = "keyCompromise"
	AffiliationChanged   Reason = "affiliationChanged"
	Superseded           Reason = "superseded"
	CessationOfOperation Reason = "cessationOfOperation"
	PrivilegeWithdrawn   Reason = "privilegeWithdrawn"
)
