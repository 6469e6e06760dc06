// Package revocation decides when a certificate stops being trusted and tells the world:
// it revokes certificates, holds and releases them, revokes in bulk, and publishes the
// CRLs of every authority: the whole list, a delta and, where they are wanted, parts.
package revocation

import (
	"context"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
)

// Hold is the reason that can be taken back.
const Hold = "certificateHold"

// reasons are the numbers of RFC 5280 section 5.3.1. removeFromCRL is not among them,
// because Release is how a hold ends, nor is aACompromise, which is about attribute
// certificates.
func reasons() map[string]int {
	return map[string]int{
		"unspecified": 0, "keyCompromise": 1, "cACompromise": 2, "affiliationChanged": 3, "superseded": 4,
		"cessationOfOperation": 5, Hold: 6, "privilegeWithdrawn": 9,
	}
}

// code returns the number of a reason; empty is unspecified.
func code(reason string) (int, error) {
	if n, ok := reasons()[reason]; ok || reason == "" {
		return n, nil
	}
	return 0, fault.New(fault.Invalid, "BadReason", "%.64q is no reason of RFC 5280 that can be used; use unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn or certificateHold", reason)
}

// ReasonCode returns the number of a stored reason; 0 for one that is not known.
func ReasonCode(reason string) int { return reasons()[reason] }

// Revocation is one to be stored.
type Revocation struct {
	Authority    string
	Serial       string // hex
	Reason       string
	At           time.Time
	InvalidSince time.Time // zero: not known
}

// Entry is one revoked certificate.
type Entry struct {
	Serial       string // hex
	RevokedAt    time.Time
	Reason       string
	InvalidSince time.Time
}

// Change is what happened to a certificate last: revoked as in Entry, or released.
type Change struct {
	Entry
	Count    int64 // the authority's, at that time
	Part     int
	Released bool
}

// Scope selects the entries of a list.
type Scope struct {
	Authority string
	Part      int // 0: all
	// Expires and Covered: certificates that expire at or after the moment, and those whose
	// count is above.
	Expires time.Time
	Covered int64
}

// Delta is the part of a CRL that is the delta. The parts of a partitioned list are
// called "1", "2" and so on, the whole list "".
const Delta = "delta"

// CRL is a published list.
type CRL struct {
	Authority  string
	Part       string
	Number     int64 // only grows
	Covers     int64 // the authority's count of changes when its entries were read
	Entries    int
	SHA256     string // hex, of DER
	ThisUpdate time.Time
	NextUpdate time.Time
	DER        []byte
	Base       Base // of a whole list
}

// Base is the whole list from which the deltas of an authority go on.
type Base struct {
	Number int64
	Covers int64
	At     time.Time // its thisUpdate
}

// DueQuery asks for authorities whose lists are to be made.
type DueQuery struct {
	ThisUpdate time.Time // older ones are due
	NextUpdate time.Time // those that end earlier are due
	Parts      bool      // so are those that lack a part
	After      string    // authorities after this one
	Limit      int
}

// Store keeps revocations and CRLs. Its writes join the transaction of ctx.
//
// Every authority counts its changes, revocations and releases: 1, 2, 3… in the order in
// which they commit. A CRL covers all changes up to a number, and a crash between a
// change and its CRL is seen by comparing the two.
type Store interface {
	// Revoke marks a certificate as revoked, whatever its state was, and counts it. One that
	// is on hold takes the new reason and keeps its date. If it is an authority's own, that
	// authority ends as well. It returns the certificate as it is then, and the count.
	// fault.NotFound; fault.Conflict when it is revoked already, or on hold and to be held.
	Revoke(ctx context.Context, r Revocation) (issuance.Certificate, int64, error)
	// Release ends a hold and counts that. The certificate is then what it was before.
	// fault.NotFound; fault.Conflict when it is not on hold.
	Release(ctx context.Context, authority, serial string) (issuance.Certificate, int64, error)
	// Revocations returns an authority's count, or fault.NotFound.
	Revocations(ctx context.Context, authority string) (int64, error)
	// Entries gives the revoked certificates of a scope, by serial.
	Entries(ctx context.Context, s Scope, each func(Entry) error) error
	// Changes returns up to limit changes whose count is above since, by count; of one
	// certificate perhaps several, of which the last holds.
	Changes(ctx context.Context, authority string, since int64, limit int) ([]Change, error)
	// Head returns a published list without its DER, or fault.NotFound.
	Head(ctx context.Context, authority, part string) (CRL, error)
	// CRL returns a published list, or fault.NotFound.
	CRL(ctx context.Context, authority, part string) (CRL, error)
	// Published returns all lists of an authority without their DER, the whole one first.
	Published(ctx context.Context, authority string) ([]CRL, error)
	// PublishCRL replaces the whole list whose number is previous (0: there is none), and
	// with it some others. fault.Conflict when another one is published by now.
	PublishCRL(ctx context.Context, whole CRL, others []CRL, previous int64) error
	// Due returns authorities by id that have no CRL, or one that does not cover all changes,
	// or for which the query says that something is due.
	Due(ctx context.Context, q DueQuery) ([]string, error)
	// Partitions returns in how many parts an authority's list is published; fault.NotFound.
	Partitions(ctx context.Context, authority string) (int, error)
	// SetPartitions raises that number. fault.Conflict when it is not higher than before.
	SetPartitions(ctx context.Context, authority string, n int) error
}
