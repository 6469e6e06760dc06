package object

import (
	"context"
	"time"
)

// Row is a stored row: an object's head (Version empty) or one of its versions. Name is
// lower case. The columns beside Sealed exist for finding and ordering; what they say
// is checked against what is sealed.
type Row struct {
	Vault    string
	Kind     Kind
	Name     string
	Version  string
	Position int64 // versions count from 1; a head has its latest version's
	Deleted  bool
	Purge    time.Time
	Revision int64 // the vault's epoch at the last write
	Sealed   []byte
}

// Pair is a head with one of its versions. Version has no Sealed where the object has
// no (such) version.
type Pair struct {
	Head    Row
	Version Row
}

// Store keeps rows. Inside a transaction every method sees and joins it. A missing row
// is fault.NotFound.
type Store interface {
	// Get returns a head with the version asked for, or with the latest for "".
	Get(ctx context.Context, vault string, k Kind, name, version string) (Pair, error)
	// Heads returns heads with their latest versions, by name, after a name.
	Heads(ctx context.Context, vault string, k Kind, deleted bool, after string, limit int) ([]Pair, error)
	// Versions returns the versions of an object, oldest first, after a position.
	Versions(ctx context.Context, vault string, k Kind, name string, after int64, limit int) ([]Row, error)
	// Put inserts a row, or replaces the row of that identity.
	Put(ctx context.Context, r Row) error
	// Remove deletes the head and every version and returns what was removed, without Sealed.
	Remove(ctx context.Context, vault string, k Kind, name string) ([]Row, error)
	// RemoveVersion deletes the row of one version.
	RemoveVersion(ctx context.Context, r Row) error
	// Before returns the newest version of r's object that is older than r.
	Before(ctx context.Context, r Row) (Row, error)
	// Due returns heads of deleted objects whose purge date has passed, the longest due
	// first, after a row.
	Due(ctx context.Context, now time.Time, after Row, limit int) ([]Row, error)
	// AfterCommit calls fn when the fate of the running transaction is known.
	AfterCommit(ctx context.Context, fn func(committed bool))
}

// VaultState is where a vault is in its life.
type VaultState int

// The states of a vault.
const (
	VaultLive    VaultState = 0
	VaultDeleted VaultState = 1 // and can be recovered
	VaultPurging VaultState = 2 // without a data key: nothing of it can be read, and its rows are being removed
)

// VaultRow is a stored vault. State and Purge exist for finding; what they say is
// checked against what is sealed.
type VaultRow struct {
	Name       string
	DataKey    []byte // wrapped by the root key
	Sealed     []byte // settings
	Revision   int64  // of the settings
	Ledger     []byte // sealed sum over all rows
	Epoch      int64  // number of changes; the ledger's revision
	State      VaultState
	Purge      time.Time
	Generation int64 // of all vaults, at the last change of this one's settings; set by the store
}

// VaultMark says when the settings of a vault changed last.
type VaultMark struct {
	Name       string
	Generation int64
}

// RowID is what a ledger needs to know of a row.
type RowID struct {
	Kind     Kind
	Name     string
	Version  string
	Revision int64
}

// VaultStore keeps vaults and their ledgers. Inside a transaction every method but Ledger
// sees and joins it.
type VaultStore interface {
	// Vault returns one vault, whatever its state; fault.NotFound.
	Vault(ctx context.Context, name string) (VaultRow, error)
	// Vaults returns vaults of a state by name, after a name.
	Vaults(ctx context.Context, state VaultState, after string, limit int) ([]VaultRow, error)
	// DueVaults returns names, after a name, of deleted vaults whose purge date has passed,
	// and of all that are purging.
	DueVaults(ctx context.Context, now time.Time, after string, limit int) ([]string, error)
	// AddVault inserts a vault; fault.Conflict if the name is taken.
	AddVault(ctx context.Context, r VaultRow) error
	// PutVault replaces what a row says but for its ledger and epoch, and returns the new
	// generation. The vault must be locked.
	PutVault(ctx context.Context, r VaultRow) (generation int64, err error)
	// Erase removes up to limit rows of a vault that is purging, and the vault with the
	// last of them; then it reports true.
	Erase(ctx context.Context, name string, limit int) (done bool, err error)
	// Marks returns the generation of all vaults, and their marks unless it is since.
	Marks(ctx context.Context, since int64) (generation int64, marks []VaultMark, err error)
	// Advance locks the vault until the transaction ends, adds one to its epoch and
	// returns the ledger as it was with the new epoch. One that is purging is fault.NotFound.
	Advance(ctx context.Context, name string) (ledger []byte, epoch int64, err error)
	// PutLedger stores the ledger and the epoch that it was sealed with, the one that
	// Advance returned or a later one.
	PutLedger(ctx context.Context, name string, ledger []byte, epoch int64) error
	// Shared returns the value that all changes of the running commit have under a name:
	// what open makes for the first of them. close runs once, just before the commit. When
	// the change that opened it is rolled back, the next one opens it anew.
	Shared(ctx context.Context, name string, open func() (any, error), close func(ctx context.Context, value any) error) (any, error)
	// OnRollback calls fn if the running change is rolled back while others of its commit
	// are not, to put back what it changed in a shared value.
	OnRollback(ctx context.Context, fn func())
	// Ledger reads the committed ledger and calls fn for every committed row, all of
	// one moment, whatever transaction ctx is in. The vault's own row is one of them, from
	// its second revision on. A vault that is purging is fault.NotFound.
	Ledger(ctx context.Context, name string, fn func(RowID)) (ledger []byte, epoch int64, err error)
}
