// Package accesstest starts a directory, tokens and sessions for tests: on a real
// database, with a real audit trail, a clock that a test moves, and the first administrator.
package accesstest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/accessdb"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/vault/seal"
)

// Domain is what tokens are for.
const Domain = "localhost"

// Floor is access with what it stands on.
type Floor struct {
	DB        *storage.DB
	Box       *seal.Box
	Trail     *audit.Trail
	Refusals  *access.Refusals
	Directory *directory.Directory
	Tokens    *token.Service
	Sessions  *session.Service
	Admin     directory.Administrator

	mu   sync.Mutex
	now  time.Time
	full bool
}

// New makes a floor on db.
func New(t testing.TB, db *storage.DB) *Floor {
	t.Helper()
	key := make([]byte, seal.KeySize)
	_, _ = rand.Read(key)
	box, err := seal.NewBox(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := audit.NewSigner("chatelaine/test/audit", key)
	if err != nil {
		t.Fatal(err)
	}
	// Certificates of tests are good now, so the clock begins now.
	f := &Floor{DB: db, Box: box, now: time.Now().UTC().Truncate(time.Second)}
	f.Trail = audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: f.Time})
	f.Refusals = access.NewRefusals(f, f.Time)
	f.Directory = f.Node(t)
	f.Admin, _, err = f.Directory.EnsureAdministrator(t.Context(), func(directory.Administrator) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	f.Tokens = f.TokensOf(f.Directory)
	f.Sessions = session.New(session.Deps{
		Directory: f.Directory, Store: accessdb.New(db), Transact: db.Transact, Audit: f, Refusals: f.Refusals,
		Sealer: box, Now: f.Time, Log: slog.New(slog.DiscardHandler),
	})
	return f
}

// Node opens the directory once more, as a restart or another node does.
func (f *Floor) Node(t testing.TB) *directory.Directory {
	t.Helper()
	d, err := directory.Open(t.Context(), f.Deps())
	if err != nil {
		t.Fatalf("open directory: %v", err)
	}
	return d
}

// Deps are what a Directory of this floor is opened with.
func (f *Floor) Deps() directory.Deps {
	return directory.Deps{
		Store: accessdb.New(f.DB), Transact: f.DB.Transact, Audit: f, Sealer: f.Box, Now: f.Time, Log: slog.New(slog.DiscardHandler),
	}
}

// TokensOf makes the token service of a node.
func (f *Floor) TokensOf(d *directory.Directory) *token.Service {
	return token.New(token.Config{
		Directory: d, Audit: f, Refusals: f.Refusals, Domain: Domain, Now: f.Time, Log: slog.New(slog.DiscardHandler),
	})
}

// Administrator is the caller that the first administrator is.
func (f *Floor) Administrator() access.Caller {
	return access.Caller{Principal: f.Admin.ID, Name: "Administrator", Application: f.Admin.ClientID, Address: "127.0.0.1"}
}

// Application makes a program with a role at a scope; no role when it is empty.
func (f *Floor) Application(t testing.TB, name, role string, scope access.Scope) access.Caller {
	t.Helper()
	p, err := f.Directory.CreateApplication(t.Context(), f.Administrator(), name)
	if err != nil {
		t.Fatal(err)
	}
	if role != "" {
		if _, err := f.Directory.Assign(t.Context(), f.Administrator(), p.ID, role, scope); err != nil {
			t.Fatal(err)
		}
	}
	return p.Caller()
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

// FailAudit makes every record fail, as a full disk does, or no longer.
func (f *Floor) FailAudit(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = fail
}

// Record implements audit.Recorder.
func (f *Floor) Record(ctx context.Context, r audit.Record) error {
	f.mu.Lock()
	full := f.full
	f.mu.Unlock()
	if full {
		return context.DeadlineExceeded
	}
	return f.Trail.Record(ctx, r)
}

// Records returns the records of an operation, oldest first, after verifying the trail.
func (f *Floor) Records(t testing.TB, operation string) []audit.Record {
	t.Helper()
	if _, err := f.Trail.Verify(t.Context(), nil, nil); err != nil {
		t.Fatalf("audit trail: %v", err)
	}
	records, err := f.Trail.List(t.Context(), audit.Query{Operation: operation, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i, j := 0, len(records)-1; i < j; i, j = i+1, j-1 {
		records[i], records[j] = records[j], records[i]
	}
	return records
}
