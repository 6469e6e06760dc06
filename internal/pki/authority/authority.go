// Package authority keeps our own certification authorities: a certificate, a key that
// signs, and the one above.
package authority

import (
	"context"
	"time"

	"chatelaine.dev/internal/vault/keystore"
)

// State says whether an authority may issue.
type State string

// The states.
const (
	Active  State = "active"
	Revoked State = "revoked" // its own certificate is revoked; it still signs CRLs
)

// Authority is one CA of our own.
type Authority struct {
	ID          string // up to 63 lower-case letters, digits and hyphens; never used twice
	Parent      string // id of the authority that signed it; empty for a root
	Subject     string // RFC 2253
	Certificate []byte // DER
	Serial      string // hex
	SHA256      string // hex, of Certificate
	NotBefore   time.Time
	NotAfter    time.Time
	Keystore    string // name of the keystore that holds the key
	State       State
	CreatedAt   time.Time
}

// Spec is the authority to make.
type Spec struct {
	ID           string
	CommonName   string
	Organization string // may be empty
	Key          keystore.Spec
	Validity     time.Duration
}

// Store keeps authorities. Its writes join the transaction of ctx.
type Store interface {
	// InsertAuthority adds an authority and its sealed key. fault.Conflict when the id exists.
	InsertAuthority(ctx context.Context, a Authority, sealedKey []byte) error
	// Authority returns one authority, or fault.NotFound.
	Authority(ctx context.Context, id string) (Authority, error)
	// SealedKey returns an authority's key as it was inserted, or fault.NotFound.
	SealedKey(ctx context.Context, id string) ([]byte, error)
	// Authorities returns up to limit authorities by id, after the one given.
	Authorities(ctx context.Context, after string, limit int) ([]Authority, error)
}

// Sealer makes a row unreadable and unmovable at rest. name identifies the row and is
// bound to what is sealed.
type Sealer interface {
	Seal(name string, plaintext []byte) []byte
	// Open returns an error for bytes that were altered or belong to another name.
	Open(name string, sealed []byte) ([]byte, error)
}
