package directory

import (
	"context"

	"chatelaine.dev/internal/vault/seal"
)

// Entry is one principal, credential, assignment or signing key as it is stored. What it
// says is sealed; the table alone tells nobody who may do what, and nobody who writes in
// it gains a right.
type Entry struct {
	Kind     string
	ID       string
	Revision int64 // generation of the directory that wrote it
	Sealed   []byte
}

// State is the directory's one row of its own: its generation, and sealed with it the
// tenant id and the sum of all entries' tags, so that an entry that was removed, or put
// back from an old copy, is noticed.
type State struct {
	Generation int64 // 1, 2, 3…
	Sealed     []byte
}

// Store keeps the directory. Everything joins the transaction of ctx.
type Store interface {
	// State returns the directory's row, or fault.NotFound before the first change.
	State(ctx context.Context) (State, error)
	// Entries returns all entries, in no order.
	Entries(ctx context.Context) ([]Entry, error)
	// Advance replaces the state of the generation before s by s. When another node was
	// faster it returns an error that makes Transact run again.
	Advance(ctx context.Context, s State) error
	// Put inserts or replaces an entry.
	Put(ctx context.Context, e Entry) error
	// Remove deletes an entry, or returns fault.NotFound.
	Remove(ctx context.Context, kind, id string) error
	// AfterCommit calls fn when the fate of ctx's transaction is known.
	AfterCommit(ctx context.Context, fn func(committed bool))
}

// Sealer seals rows and tags them; *seal.Box is one.
type Sealer interface {
	Seal(id seal.Identity, plaintext []byte) []byte
	Open(id seal.Identity, sealed []byte) ([]byte, error)
	Tag(id seal.Identity) [32]byte
}

// Kinds of entries.
const (
	principalKind  = "principal"
	credentialKind = "credential"
	assignmentKind = "assignment"
	signingKeyKind = "signing key"
	stateKind      = "state"
)

// holder is the "vault" of the directory's rows in their sealed identity.
const holder = "access"

func (e Entry) identity() seal.Identity {
	return seal.Identity{Vault: holder, Kind: e.Kind, Name: e.ID, Revision: e.Revision}
}

func (s State) identity() seal.Identity {
	return seal.Identity{Vault: holder, Kind: stateKind, Revision: s.Generation}
}

// sum adds up tags modulo 2^256. Adding, unlike exclusive or, does not let a row that is
// there twice vanish.
type sum [32]byte

func (s *sum) add(tag [32]byte) {
	carry := 0
	for i := len(s) - 1; i >= 0; i-- {
		carry += int(s[i]) + int(tag[i])
		s[i] = byte(carry)
		carry >>= 8
	}
}

func (s *sum) subtract(tag [32]byte) {
	borrow := 0
	for i := len(s) - 1; i >= 0; i-- {
		d := int(s[i]) - int(tag[i]) - borrow
		borrow = 0
		if d < 0 {
			borrow = 1
		}
		s[i] = byte(d)
	}
}
