package acmedb

import (
	"context"
	"sync"

	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/storage"
)

// maxAccounts bounds the accounts that are kept in memory; then it begins anew.
const maxAccounts = 10_000

// accounts keeps those that were asked for: every request of a client reads its own. It
// does so on SQLite alone, where no other process writes.
type accounts struct {
	mu      sync.Mutex
	kept    map[string]acme.Account
	changes int // tells a reader that what it read may be old by now
}

func newAccounts(db *storage.DB) *accounts {
	if db.Dialect() != storage.SQLite {
		return &accounts{}
	}
	return &accounts{kept: map[string]acme.Account{}}
}

// get returns an account, read where it is not kept. A transaction reads its own.
func (x *accounts) get(ctx context.Context, id string, read func() (acme.Account, error)) (acme.Account, error) {
	if x.kept == nil || storage.InTransaction(ctx) {
		return read()
	}
	x.mu.Lock()
	a, ok := x.kept[id]
	seen := x.changes
	x.mu.Unlock()
	if ok {
		return a, nil
	}
	a, err := read()
	if err != nil {
		return a, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.changes != seen {
		return a, nil
	}
	if len(x.kept) >= maxAccounts {
		clear(x.kept)
	}
	x.kept[id] = a
	return a, nil
}

// forget drops an account that was changed. It is called when the change is on the disk,
// before anybody is told of it.
func (x *accounts) forget(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.kept, id)
	x.changes++
}
