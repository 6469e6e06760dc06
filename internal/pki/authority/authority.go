// Package authority keeps our own certification authorities: a certificate, a key that
// signs, and the one above.
package authority

import (
	"context"
	"crypto/x509"
	"time"

	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/keystore"
)

// State says whether an authority may issue.
type State string

// The states. An authority in any but Pending signs CRLs.
const (
	Pending    State = "pending"    // it has a key and a CSR; the certificate is to come from outside
	Active     State = "active"     // it issues
	Disabled   State = "disabled"   // it issues nothing, until it is enabled
	Superseded State = "superseded" // its successor issues in its place
	Revoked    State = "revoked"    // its own certificate is revoked
)

// Authority is one CA of our own.
type Authority struct {
	ID          string // up to 63 lower-case letters, digits and hyphens; never used twice
	Parent      string // id of the authority that signed it; empty for a root, and when one of somebody else did
	Subject     string // RFC 2253
	Certificate []byte // DER; empty while it is pending
	Above       []byte // certificates from outside over this one, DER after DER, the root last; empty when Parent says it
	Serial      string // hex
	SHA256      string // hex, of Certificate
	NotBefore   time.Time
	NotAfter    time.Time
	Keystore    string // name of the keystore that holds the key
	State       State
	Successor   string // id of the authority that issues in its place
	Partitions  int    // parts of its CRL, which package revocation sets
	Severed     bool   // an authority of ours above it is revoked: nobody trusts what it would issue
	CreatedAt   time.Time
}

// Outside returns the certificates of Above one by one.
func (a Authority) Outside() [][]byte {
	list, err := x509.ParseCertificates(a.Above)
	if err != nil {
		return nil // they were parsed before they were kept
	}
	out := make([][]byte, len(list))
	for i, c := range list {
		out[i] = c.Raw
	}
	return out
}

// Cross is a further certificate for the name and the key of an authority: another way up.
type Cross struct {
	Authority   string // whom it certifies
	Issuer      string // id of the authority of ours that signed it, or empty
	Certificate []byte // DER
	Above       []byte // as in Authority, when Issuer is empty
	Serial      string // hex
	SHA256      string // hex, of Certificate
	NotBefore   time.Time
	NotAfter    time.Time
	CreatedAt   time.Time
	Revoked     bool // by the authority of ours that signed it
}

// Spec is the authority to make.
type Spec struct {
	ID           string
	CommonName   string
	Organization string // may be empty
	Key          keystore.Spec
	Validity     time.Duration
	Limits
}

// Origin says who certifies a new authority: itself, when it is empty.
type Origin struct {
	Parent   string // id of an authority of ours
	External bool   // a CA of somebody else, later
}

// Limits are what those below an authority may do.
type Limits struct {
	// PathLength is how many authorities there may be on a way down from this one. nil: any
	// number below a root, none below others.
	PathLength *int
	// Permitted and Excluded are its name constraints (RFC 5280 section 4.2.1.10), always
	// critical: DNS names with everything below, networks such as 10.0.0.0/8, mailboxes,
	// hosts or .domains of e-mail, and hosts or .domains of URIs.
	Permitted profile.Names
	Excluded  profile.Names
}

// Store keeps authorities. Its writes join the transaction of ctx.
type Store interface {
	// InsertAuthority adds an authority and its sealed key. fault.Conflict when the id exists.
	InsertAuthority(ctx context.Context, a Authority, sealedKey []byte) error
	// InsertPending adds one without a certificate, with its CSR in DER. fault.Conflict as above.
	InsertPending(ctx context.Context, a Authority, request, sealedKey []byte) error
	// Complete gives a pending authority its certificate. fault.Conflict unless it is pending.
	Complete(ctx context.Context, a Authority) error
	// SetState changes what an authority does from one state to another, and who succeeds
	// it. fault.Conflict unless it is in the first.
	SetState(ctx context.Context, id string, from, to State, successor string) error
	// Authority returns one authority, pending or not, or fault.NotFound.
	Authority(ctx context.Context, id string) (Authority, error)
	// SealedKey returns an authority's key as it was inserted, or fault.NotFound.
	SealedKey(ctx context.Context, id string) ([]byte, error)
	// PendingRequest returns the CSR of a pending authority, or fault.NotFound.
	PendingRequest(ctx context.Context, id string) ([]byte, error)
	// Authorities returns up to limit authorities by id, after the one given.
	Authorities(ctx context.Context, after string, limit int) ([]Authority, error)
	// InsertCross adds a further certificate. fault.Conflict when it is there.
	InsertCross(ctx context.Context, x Cross) error
	// Crosses returns an authority's further certificates by SHA-256, at most MaxCrosses.
	Crosses(ctx context.Context, authority string) ([]Cross, error)
}

// MaxCrosses bounds the further certificates of one authority.
const MaxCrosses = 32

// Sealer makes a row unreadable and unmovable at rest. name identifies the row and is
// bound to what is sealed.
type Sealer interface {
	Seal(name string, plaintext []byte) []byte
	// Open returns an error for bytes that were altered or belong to another name.
	Open(name string, sealed []byte) ([]byte, error)
}
