// Package directory keeps principals, their credentials, and which roles they hold where,
// and decides by them who may do what.
package directory

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

// Deps is what a Directory needs.
type Deps struct {
	Store    Store
	Transact audit.Transact
	Audit    audit.Recorder
	Sealer   Sealer
	Now      func() time.Time
	Log      *slog.Logger
}

// Directory knows every principal, credential, role and assignment. It answers from
// memory; a change commits first and shows then. It implements access.Guard, and is safe for
// concurrent use.
type Directory struct {
	store     Store
	transact  audit.Transact
	audit     audit.Recorder
	sealer    Sealer
	now       func() time.Time
	log       *slog.Logger
	passwords *passwords

	current   atomic.Pointer[snapshot]
	reloading sync.Mutex
}

var _ access.Guard = (*Directory)(nil)

// Open reads the directory. It is empty until EnsureAdministrator. A directory that was
// tampered with is refused with seal.ErrSealed.
func Open(ctx context.Context, d Deps) (*Directory, error) {
	dir := &Directory{
		store: d.Store, transact: d.Transact, audit: d.Audit, sealer: d.Sealer, now: d.Now, log: d.Log,
		passwords: newPasswords(),
	}
	dir.current.Store(newSnapshot())
	if err := dir.Reload(ctx); err != nil {
		return nil, err
	}
	return dir, nil
}

// Reload takes over what other nodes have changed. It costs one small read when nothing
// has. After an error the directory stays as it was.
func (d *Directory) Reload(ctx context.Context) error {
	d.reloading.Lock() // many who wait for one change read it once
	defer d.reloading.Unlock()
	state, err := d.store.State(ctx)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now := d.current.Load()
	if now.generation == state.Generation {
		return nil
	}
	next, err := d.read(ctx)
	if err != nil {
		return err
	}
	if next.generation < now.generation {
		d.log.WarnContext(ctx, "the directory went back: was the database restored?", "from", now.generation, "to", next.generation)
		d.current.CompareAndSwap(now, next)
		return nil
	}
	d.publish(next)
	return nil
}

// read returns the stored snapshot. The state is read before and after the entries: if it
// is the same, they belong together, whatever the engine's isolation.
func (d *Directory) read(ctx context.Context) (*snapshot, error) {
	for range 16 {
		before, err := d.store.State(ctx)
		if err != nil {
			return nil, err
		}
		entries, err := d.store.Entries(ctx)
		if err != nil {
			return nil, err
		}
		after, err := d.store.State(ctx)
		if err != nil {
			return nil, err
		}
		if before.Generation == after.Generation {
			return open(after, entries, d.sealer)
		}
	}
	return nil, fault.New(fault.Unavailable, "Busy", "the directory changes too fast to be read; try again")
}

// publish shows a snapshot, unless a newer one shows already.
func (d *Directory) publish(s *snapshot) {
	for {
		now := d.current.Load()
		if s.generation <= now.generation || d.current.CompareAndSwap(now, s) {
			return
		}
	}
}

// edit is a change of the directory: what is put, what is removed, what is recorded.
type edit struct {
	tenant  string // set by the very first
	put     []any  // Principal, Credential, Assignment, SigningKey
	remove  []ref
	records []audit.Record
}

func (e edit) empty() bool { return len(e.put) == 0 && len(e.remove) == 0 && len(e.records) == 0 }

// change commits what decide makes of the newest snapshot, and shows it when it is
// durable. decide may be called more than once and must do nothing slow: other writers
// wait.
func (d *Directory) change(ctx context.Context, decide func(now *snapshot) (edit, error)) error {
	return d.transact(ctx, func(ctx context.Context) error {
		now, err := d.newest(ctx)
		if err != nil {
			return err
		}
		e, err := decide(now)
		if err != nil || e.empty() {
			return err
		}
		if now.generation == 0 && e.tenant == "" {
			e.tenant = uuid.NewV4().String()
		}
		next, entries, state, err := now.next(e, d.sealer)
		if err != nil {
			return err
		}
		if now.administered() && !next.administered() {
			return fault.New(fault.Conflict, "LastAdministrator",
				"this would leave nobody with the role Administrator at /; assign it to somebody else first")
		}
		if err := d.write(ctx, e, entries, state); err != nil {
			return err
		}
		d.store.AfterCommit(ctx, func(committed bool) {
			if committed {
				d.publish(next)
			}
		})
		return nil
	})
}

func (d *Directory) write(ctx context.Context, e edit, entries []Entry, state State) error {
	if err := d.store.Advance(ctx, state); err != nil {
		return err
	}
	for _, r := range e.remove {
		if err := d.store.Remove(ctx, r.kind, r.id); err != nil {
			return err
		}
	}
	for _, entry := range entries {
		if err := d.store.Put(ctx, entry); err != nil {
			return err
		}
	}
	for _, r := range e.records {
		if err := d.audit.Record(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// newest returns the snapshot as the transaction of ctx sees it, which is newer than the
// one in memory when another node, or another change of the same commit, was first.
func (d *Directory) newest(ctx context.Context) (*snapshot, error) {
	state, err := d.store.State(ctx)
	if fault.Is(err, fault.NotFound) {
		return newSnapshot(), nil
	}
	if err != nil {
		return nil, err
	}
	if now := d.current.Load(); now.generation == state.Generation {
		return now, nil
	}
	return d.read(ctx)
}

// Tenant is the id of this installation as OAuth knows it, a GUID. It is empty before the
// first change.
func (d *Directory) Tenant() string { return d.current.Load().tenant }
