package session

import (
	"context"
	"encoding/hex"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/seal"
)

// Row is a sign-in link or session as it is stored. Hash is of what the browser holds;
// whose it is and until when is sealed, so that whoever writes in the table signs in as
// nobody.
type Row struct {
	Hash      access.Digest
	Principal string    // a copy, to end all sessions of one
	Expires   time.Time // a copy, to clean up by
	Seen      time.Time // of a session: the last use, to the minute
	Sealed    []byte
}

// Store keeps links and sessions. Everything joins the transaction of ctx.
type Store interface {
	// PutLink adds a link.
	PutLink(ctx context.Context, r Row) error
	// UseLink marks a link as used and returns it, or fault.NotFound when there is none
	// that is unused. Of two at the same time one gets it.
	UseLink(ctx context.Context, hash access.Digest) (Row, error)
	// PutSession adds a session.
	PutSession(ctx context.Context, r Row) error
	// Session returns a session, or fault.NotFound.
	Session(ctx context.Context, hash access.Digest) (Row, error)
	// Touch sets when a session was last used.
	Touch(ctx context.Context, hash access.Digest, seen time.Time) error
	// End deletes a session, if it is there.
	End(ctx context.Context, hash access.Digest) error
	// EndAll deletes every session of a principal.
	EndAll(ctx context.Context, principal string) error
	// Purge deletes links and sessions that expired by the time, and sessions that
	// were last used by idle.
	Purge(ctx context.Context, before, idle time.Time) error
}

// Sealer seals rows; *seal.Box is one.
type Sealer interface {
	Seal(id seal.Identity, plaintext []byte) []byte
	Open(id seal.Identity, sealed []byte) ([]byte, error)
}

// content is what is sealed of a row.
type content struct {
	Principal string    `json:"principal"`
	Epoch     int64     `json:"epoch"` // of the principal, at that time
	Began     time.Time `json:"began"`
	Expires   time.Time `json:"expires"`
}

// Kinds of rows, as they are sealed.
const (
	linkKind    = "sign-in link"
	sessionKind = "session"
)

func identity(kind string, hash access.Digest) seal.Identity {
	return seal.Identity{Vault: "access", Kind: kind, Name: hex.EncodeToString(hash[:])}
}
