// Package vaulttest starts the floor below a vault's services for their tests: a real
// database, a root key, an audit trail, one vault, and a guard whose answer a test sets.
package vaulttest

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
)

// Floor is a vault with what it stands on.
type Floor struct {
	object.Deps
	DB     *storage.DB
	Trail  *audit.Trail
	Root   *seal.Root
	Caller access.Caller

	mu     sync.Mutex
	now    time.Time
	denied map[access.Action]bool
	events []event.Event
}

// Vault is the name of the vault that New makes.
const Vault = "payroll"

// New makes a floor on db, with the vault "payroll".
func New(t testing.TB, db *storage.DB) *Floor {
	t.Helper()
	key := make([]byte, seal.KeySize)
	_, _ = rand.Read(key)
	root, err := seal.NewRoot(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := audit.NewSigner("chatelaine/test/audit", key)
	if err != nil {
		t.Fatal(err)
	}
	f := &Floor{
		DB: db, Root: root, denied: map[access.Action]bool{},
		now:    time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Caller: access.Caller{Principal: "00000000-0000-0000-0000-000000000001", Name: "tester", Address: "127.0.0.1"},
	}
	f.Trail = audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: f.Time})
	f.Deps = object.Deps{Transact: db.Transact, Audit: f.Trail, Guard: f, Events: f, Now: f.Time,
		Address: func(vault string) string { return "https://" + vault + ".example.com:8443" },
	}
	f.Reopen()
	if err := db.Transact(t.Context(), func(ctx context.Context) error {
		return f.Vaults.Create(ctx, Vault, object.Settings{RetentionDays: 90})
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

// Reopen forgets what is in memory, as a restart does.
func (f *Floor) Reopen() {
	s := vaultdb.New(f.DB)
	f.Vaults = object.NewVaults(object.Config{Vaults: s, Rows: s, Dues: s, Root: f.Root, Now: f.Time, Memory: memory(f.DB)})
}

// Time is the floor's clock.
func (f *Floor) Time() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the clock.
func (f *Floor) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// Deny makes Authorize refuse an action.
func (f *Floor) Deny(a access.Action) { f.denied[a] = true }

// Authorize implements access.Guard.
func (f *Floor) Authorize(_ context.Context, _ access.Caller, a access.Action, s access.Scope, _ string) error {
	if f.denied[a] {
		return fault.New(fault.Denied, "ForbiddenByRbac", "action %s at %s", a, s)
	}
	return nil
}

// Emit implements event.Emitter.
func (f *Floor) Emit(_ context.Context, e event.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	return nil
}

// Events returns what was emitted.
func (f *Floor) Events() []event.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]event.Event(nil), f.events...)
}

// Operations returns the operations of the audit trail, oldest first, after verifying it.
func (f *Floor) Operations(t testing.TB) []string {
	t.Helper()
	if _, err := f.Trail.Verify(t.Context(), nil, nil); err != nil {
		t.Fatalf("audit trail: %v", err)
	}
	records, err := f.Trail.List(t.Context(), audit.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for i := len(records) - 1; i >= 0; i-- {
		op := records[i].Operation
		if records[i].Outcome != audit.Success {
			op += " " + string(records[i].Outcome)
		}
		ops = append(ops, op)
	}
	return ops
}

// memory is what the product keeps of opened entries: nothing where others may write.
func memory(db *storage.DB) int {
	if db.Dialect() == storage.PostgreSQL {
		return 0
	}
	return 8 << 20
}
