// Package pkitest starts our own CA for the tests of other floors: a root and an issuing
// authority with their CRLs, on a real database with its audit trail and event log.
package pkitest

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/eventdb"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/seal"
)

// Floor is the CA. Its guard lets everybody do everything.
type Floor struct {
	Trail       *audit.Trail
	Authorities *authority.Service
	Ceremony    *issuance.Ceremony
	Issuance    *issuance.Service
	Revocation  *revocation.Service
	OCSP        *ocsp.Responder

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

// Config of a Floor. The zero value will do.
type Config struct {
	StatusURL string    // in the certificates; may be empty
	Now       time.Time // where the clock stands; zero: noon on 1 September 2026
}

// New makes a floor on db. The CRLs are published first with the first Rebuild.
func New(t testing.TB, db *storage.DB, c Config) *Floor {
	t.Helper()
	f := &Floor{now: c.Now}
	if f.now.IsZero() {
		f.now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	}
	key := make([]byte, seal.KeySize)
	_, _ = rand.Read(key)
	signer, err := audit.NewSigner("chatelaine/test/audit", key)
	must(t, err)
	box, err := seal.NewBox(key)
	must(t, err)
	linter, err := issuance.NewLinter()
	must(t, err)
	profiles, err := profile.BuiltIn()
	must(t, err)
	log, store := f.Log(), pkidb.New(db)
	f.Trail = audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: f.Clock, Log: log})
	events := event.New(event.Config{Store: eventdb.New(db), Transact: db.Transact, Now: f.Clock, Log: log})
	ceremony, err := issuance.NewCeremony(issuance.CeremonyConfig{
		Store: store, InTransaction: storage.InTransaction, Transact: db.Transact, Audit: f.Trail, Events: events, Linter: linter, StatusURL: c.StatusURL, Now: f.Clock, Log: log,
	})
	must(t, err)
	f.Ceremony = ceremony
	f.Authorities = authority.New(authority.Deps{
		Store: store, Ceremony: ceremony, Transact: db.Transact, Audit: f.Trail, Keystore: keystore.NewSoftware(), Sealer: sealer{box}, Guard: everybody{}, Now: f.Clock,
	})
	f.Issuance, err = issuance.New(issuance.Deps{
		Ceremony: ceremony, Authorities: f.Authorities, Profiles: profiles, Store: store, Guard: everybody{}, Now: f.Clock,
	})
	must(t, err)
	f.OCSP = ocsp.New(ocsp.Deps{Store: store, Authorities: f.Authorities, Ceremony: ceremony, Now: f.Clock, Log: log})
	f.Revocation = revocation.New(revocation.Config{
		StatusURL: c.StatusURL, Changed: f.OCSP.Changed, Sweeps: store, Enqueue: func(context.Context, revocation.SweepArgs) error { return nil },
		Store: store, Certificates: store, Authorities: f.Authorities, Transact: db.Transact, Audit: f.Trail, Events: events,
		Guard: everybody{}, Now: f.Clock, Log: log,
	})
	root, issuing := authority.Defaults("test.example")
	_, err = f.Authorities.Establish(t.Context(), access.System("test"), root, issuing)
	must(t, err)
	return f
}

// Rebuild publishes the CRLs that are due.
func (f *Floor) Rebuild(t testing.TB) {
	t.Helper()
	must(t, f.Revocation.RebuildDue(t.Context()))
}

// Clock is the floor's time.
func (f *Floor) Clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Set moves the clock.
func (f *Floor) Set(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
}

// Log is a logger whose lines Logged returns.
func (f *Floor) Log() *slog.Logger { return slog.New(slog.NewTextHandler(lines{f}, nil)) }

// Logged returns what was logged.
func (f *Floor) Logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.String()
}

type lines struct{ f *Floor }

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	return l.f.log.Write(p)
}

type everybody struct{}

// Authorize implements access.Guard.
func (everybody) Authorize(context.Context, access.Caller, access.Action, access.Scope, string) error {
	return nil
}

type sealer struct{ box *seal.Box }

// Seal implements authority.Sealer.
func (s sealer) Seal(name string, plaintext []byte) []byte {
	return s.box.Seal(seal.Identity{Vault: "pki", Name: name}, plaintext)
}

// Open implements authority.Sealer.
func (s sealer) Open(name string, sealed []byte) ([]byte, error) {
	return s.box.Open(seal.Identity{Vault: "pki", Name: name}, sealed)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
