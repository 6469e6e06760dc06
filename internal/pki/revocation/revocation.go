// Package revocation decides when a certificate stops being trusted and tells the world:
// it marks certificates as revoked and publishes a CRL for every authority.
package revocation

import (
	"context"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
)

// code returns the number of a reason (RFC 5280 section 5.3.1). certificateHold and
// removeFromCRL are not among them, because a certificate once revoked stays so, nor is
// aACompromise, which is about attribute certificates.
func code(reason string) (int, error) {
	switch reason {
	case "", "unspecified":
		return 0, nil
	case "keyCompromise":
		return 1, nil
	case "cACompromise":
		return 2, nil
	case "affiliationChanged":
		return 3, nil
	case "superseded":
		return 4, nil
	case "cessationOfOperation":
		return 5, nil
	case "privilegeWithdrawn":
		return 9, nil
	}
	return 0, fault.New(fault.Invalid, "BadReason", "%.64q is no reason of RFC 5280 that can be used; use unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn", reason)
}

// Entry is one line of a CRL.
type Entry struct {
	Serial    string // hex
	RevokedAt time.Time
	Reason    string
}

// CRL is the published list of an authority.
type CRL struct {
	Authority  string
	Number     int64 // only grows
	Covers     int64 // the authority's count of revocations when its entries were read
	Entries    int
	SHA256     string // hex, of DER
	ThisUpdate time.Time
	NextUpdate time.Time
	DER        []byte
}

// Store keeps revocations and CRLs. Its writes join the transaction of ctx.
//
// Every authority counts its revocations: 1, 2, 3… in the order in which they commit. A
// CRL covers all revocations up to a number, and a crash between a revocation and its
// CRL is seen by comparing the two.
type Store interface {
	// Revoke marks a certificate as revoked, whatever its state was, and counts it. If it
	// is an authority's own, that authority ends as well. It returns the certificate as it
	// is then, and the count. fault.NotFound; fault.Conflict when it is revoked already.
	Revoke(ctx context.Context, authority, serial, reason string, at time.Time) (issuance.Certificate, int64, error)
	// Revocations returns an authority's count, or fault.NotFound.
	Revocations(ctx context.Context, authority string) (int64, error)
	// Entries returns the revoked certificates of an authority by serial: those that expire
	// at or after the moment given, and those whose count is above covered.
	Entries(ctx context.Context, authority string, expires time.Time, covered int64) ([]Entry, error)
	// CRL returns the published list of an authority, or fault.NotFound.
	CRL(ctx context.Context, authority string) (CRL, error)
	// PublishCRL replaces the list whose number is previous (0: there is none). fault.Conflict
	// when another one is published by now.
	PublishCRL(ctx context.Context, c CRL, previous int64) error
	// Due returns up to limit authorities, after the one given, that have no CRL, or one
	// that does not cover all revocations, or whose thisUpdate is before the moment given
	// or nextUpdate before the other.
	Due(ctx context.Context, thisUpdate, nextUpdate time.Time, after string, limit int) ([]string, error)
}
