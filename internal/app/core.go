package app

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/app/dir"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/accessdb"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/eventdb"
	"chatelaine.dev/internal/storage/settingsdb"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
)

// core is what all floors stand on.
type core struct {
	db       *storage.DB
	root     *seal.Root
	settings *settingsdb.Store
	trail    *audit.Trail
	events   *event.Log
	jobs     *job.River

	Directory *directory.Directory
	refusals  *access.Refusals
	Tokens    *token.Service
	sessions  *session.Service
}

func (a *App) openCore(ctx context.Context) (*core, error) {
	k := &core{}
	var err error
	k.db, err = storage.Open(ctx, storage.Config{URL: a.cfg.Database, Dir: a.dir.Path, Log: a.log, Check: a.checkRootKey})
	if err != nil {
		return nil, err
	}
	if err := a.fill(ctx, k); err != nil {
		return nil, errors.Join(err, k.db.Close())
	}
	return k, nil
}

// checkRootKey refuses a database that another root key has sealed, before anything is
// written to it.
func (a *App) checkRootKey(ctx context.Context, db *storage.DB) error {
	_, err := settingsdb.New(db).Get(ctx, "datakey/system")
	if fault.Is(err, fault.NotFound) {
		return nil // nothing was sealed yet
	}
	if err != nil {
		return err
	}
	root, err := a.dir.RootKey()
	if err != nil {
		return err
	}
	_, err = seal.OpenChest(ctx, root, settingsdb.New(db), "system")
	if errors.Is(err, seal.ErrSealed) {
		return fmt.Errorf("%s is not the root key of this database; put the right one back: %w", a.dir.File("root.key"), err)
	}
	return err
}

func (a *App) fill(ctx context.Context, k *core) (err error) {
	var made bool
	if k.root, made, err = a.dir.NewRootKey(); err != nil {
		return err
	}
	if made {
		a.log.Warn("a root key was made; keep a copy apart from the database, and better seal it outside this machine", "file", a.dir.File("root.key"))
	}
	k.settings = settingsdb.New(k.db)
	system, err := seal.OpenChest(ctx, k.root, k.settings, "system")
	if err != nil {
		return err
	}
	if k.trail, err = a.openTrail(ctx, k, system); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	k.jobs, err = job.New(ctx, job.Config{
		Pool: k.db.Pool(), Row: k.db.QueryRow, PostgreSQL: k.db.Dialect() == storage.PostgreSQL, Tx: storage.Tx, Transact: k.db.Transact, Now: a.now, Log: a.log,
	})
	if err != nil {
		return err
	}
	k.events = event.New(event.Config{Store: eventdb.New(k.db), Transact: k.db.Transact, Jobs: k.jobs, Commit: k.db, Now: a.now, Log: a.log})
	return a.openAccess(ctx, k)
}

// openTrail opens the audit trail and refuses a database that is older than the newest
// checkpoint in the data folder: it was restored or replaced.
func (a *App) openTrail(ctx context.Context, k *core, chest *seal.Chest) (*audit.Trail, error) {
	seed, err := chest.GetOrMake(ctx, "audit signer", func() ([]byte, error) {
		b := make([]byte, ed25519.SeedSize)
		_, err := rand.Read(b)
		return b, err
	})
	if err != nil {
		return nil, err
	}
	signer, err := audit.NewSigner("chatelaine/"+a.cfg.Domain+"/audit", seed)
	if err != nil {
		return nil, err
	}
	store := auditdb.New(k.db)
	head, err := store.Head(ctx)
	if err != nil {
		return nil, err
	}
	notes, err := a.checkpoints()
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		h, err := signer.Open(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.dir.File(checkpointFile), err)
		}
		if h.Sequence > head.Sequence {
			return nil, fmt.Errorf("the database ends at audit record %d, but %s vouches for record %d: an older database was put in place. If that is meant, move the file away",
				head.Sequence, a.dir.File(checkpointFile), h.Sequence)
		}
	}
	return audit.New(audit.Config{Store: store, Signer: signer, Now: a.now, Log: a.log}), nil
}

// checkpointFile holds the newest checkpoint outside the database.
const checkpointFile = "audit/checkpoint"

func (a *App) checkpoints() ([][]byte, error) {
	b, err := os.ReadFile(filepath.Clean(a.dir.File(checkpointFile)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return [][]byte{b}, err
}

func (a *App) checkpoint(ctx context.Context, trail *audit.Trail) error {
	note, err := trail.Checkpoint(ctx)
	if err != nil || note == nil {
		return err
	}
	return dir.WriteFile(a.dir.File(checkpointFile), note, 0o600)
}

func (a *App) openAccess(ctx context.Context, k *core) error {
	chest, err := seal.OpenChest(ctx, k.root, k.settings, "access")
	if err != nil {
		return err
	}
	store := accessdb.New(k.db)
	k.Directory, err = directory.Open(ctx, directory.Deps{
		Store: store, Transact: k.db.Transact, Audit: k.trail, Sealer: chest, Now: a.now, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("access: %w", err)
	}
	if err := k.Directory.EnsureSigningKey(ctx); err != nil {
		return fmt.Errorf("token signing key: %w", err)
	}
	k.refusals = access.NewRefusals(k.trail, a.now)
	k.Tokens = token.New(token.Config{
		Directory: k.Directory, Audit: k.trail, Refusals: k.refusals, Domain: a.cfg.Domain, Now: a.now, Log: a.log,
	})
	k.sessions = session.New(session.Deps{
		Directory: k.Directory, Store: store, Transact: k.db.Transact, Audit: k.trail, Refusals: k.refusals, Sealer: chest, Now: a.now, Log: a.log,
	})
	return nil
}

// rest gives memory back to the system when the collector has had nothing to do since the
// last time: what a busy hour left would else stay for good. It returns how often the
// collector has run.
func rest(before uint64) uint64 {
	cycles := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	if metrics.Read(cycles); cycles[0].Value.Uint64() == before {
		debug.FreeOSMemory()
		metrics.Read(cycles)
	}
	return cycles[0].Value.Uint64()
}

// housekeep does what is due every few seconds. Its errors are logged: each of them
// comes again, and none of them changes an answer.
func (a *App) housekeep(ctx context.Context) {
	for what, err := range map[string]error{
		"sign an audit checkpoint": a.checkpoint(ctx, a.trail),
		"record refusals":          a.refusals.Flush(ctx),
		"scrub the log":            a.db.Scrub(ctx),
	} {
		if err != nil && ctx.Err() == nil {
			a.log.Error(what, "error", err)
		}
	}
}

// catchUp takes over what other nodes have changed about who may do what, by two small
// reads. On SQLite there are no others.
func (a *App) catchUp(ctx context.Context) {
	if a.db.Dialect() == storage.SQLite {
		return
	}
	for what, err := range map[string]error{
		"reload the directory": a.Directory.Reload(ctx),
		"reload the vaults":    a.registry.Reload(ctx),
		"reload the profiles":  a.Profiles.Reload(ctx),
	} {
		if err != nil && ctx.Err() == nil {
			a.log.Error(what, "error", err)
		}
	}
}

// close stops the jobs, for which ctx gives the time, and then writes what is to be
// written at the end: a job that had to be interrupted has used that time up.
func (k *core) close(ctx context.Context, a *App) error {
	stopped := k.jobs.Stop(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	return errors.Join(stopped, k.refusals.Flush(ctx), a.checkpoint(ctx, k.trail), k.db.Close())
}

// auditReader lets those read the trail who may, and verifies it against the checkpoint
// outside the database too, and every row of every vault against its ledger.
type auditReader struct {
	access.AuditReader
	app *App
}

// Verify implements AuditReader. Tampering is no error of the verification but what it found.
func (r auditReader) Verify(ctx context.Context, c access.Caller) (audit.Report, error) {
	notes, err := r.app.checkpoints()
	if err != nil {
		return audit.Report{}, err
	}
	report, err := r.AuditReader.Verify(ctx, c, notes)
	if err == nil {
		err = r.app.Vaults.Verify(ctx, c, nil)
	}
	if errors.Is(err, audit.ErrTampered) || errors.Is(err, object.ErrReplayed) || errors.Is(err, seal.ErrSealed) {
		r.app.log.ErrorContext(ctx, "verification found tampering", "error", err)
		report.Problem, err = err.Error(), nil
	}
	return report, err
}

// duration of things that the floors share.
const day = 24 * time.Hour

// Audit reads the audit trail for callers who may.
func (a *App) Audit() AuditReader {
	return auditReader{AuditReader: access.AuditReader{Trail: a.trail, Guard: a.Directory}, app: a}
}

// AuditReader reads and verifies the audit trail.
type AuditReader interface {
	List(ctx context.Context, c access.Caller, q audit.Query) ([]audit.Record, error)
	Export(ctx context.Context, c access.Caller, after int64, q audit.Query) ([]audit.Record, int64, error)
	Verify(ctx context.Context, c access.Caller) (audit.Report, error)
}
