package altered

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	_ "modernc.org/sqlite" // the trials write past the product

	"chatelaine.dev/internal/vault/object"
)

// flips are how many bytes are altered where; together 10,000 (reliability: D6).
const (
	flipsInRows    = 7000
	flipsInPages   = 800
	flipsInLog     = 300
	flipsInBackups = 1500
	flipsInExports = 400
)

// times is a number of trials, fewer with -short and under the race detector: "make proof"
// runs them all.
func times(n int) int {
	if testing.Short() || raced {
		return n / 20
	}
	return n
}

// source makes every trial repeatable: its seed is the number of the trial.
func source(trial int) *mrand.Rand { return mrand.New(mrand.NewPCG(6, uint64(trial))) }

// flip changes one bit, and returns where.
func flip(r *mrand.Rand, b []byte) int {
	at := r.IntN(len(b))
	b[at] ^= 1 << r.IntN(8)
	return at
}

const workers = 2

// trials runs n trials on copies of the golden folder, and wants nothing wrong. least is how
// many of a hundred must be detected: where every byte counts, all.
func trials(t *testing.T, n, least int, start func(t *testing.T, worker string) func(ctx context.Context, trial int) (detected bool, wrong []string)) {
	t.Helper()
	theGolden(t)
	var next, detected atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			one := start(t, t.TempDir())
			for !t.Failed() {
				trial := int(next.Add(1))
				if trial > n {
					return
				}
				noticed, wrong := guarded(t.Context(), func(ctx context.Context) (bool, []string) { return one(ctx, trial) })
				if noticed {
					detected.Add(1)
				}
				for _, w := range wrong {
					t.Errorf("trial %d: %s", trial, w)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d flips, %d detected", n, detected.Load())
	if !t.Failed() && detected.Load() < int64(n*least/100) {
		t.Errorf("of %d flips only %d were detected, want %d %%", n, detected.Load(), least)
	}
}

// column is a value of a row that a trial alters.
type column struct {
	table, name, where string
	args               []any
}

func (c column) get(db *sql.DB) (b []byte, err error) {
	err = db.QueryRow(`SELECT CAST(`+c.name+` AS BLOB) FROM `+c.table+` WHERE `+c.where, c.args...).Scan(&b)
	return b, err
}

func (c column) set(db *sql.DB, b []byte) error {
	done, err := db.Exec(`UPDATE `+c.table+` SET `+c.name+` = ? WHERE `+c.where, append([]any{b}, c.args...)...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("%d rows changed: %w", n, err)
	}
	return nil
}

// behind opens the database of a folder past the product.
func behind(folder string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "chatelaine.db")+"?_pragma=synchronous(OFF)&_pragma=busy_timeout(10000)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// rowsOf lists every sealed row of the vaults.
func rowsOf(db *sql.DB) (places []place, columns []column, err error) {
	rows, err := db.Query(`SELECT vault, kind, name, version FROM objects ORDER BY 1, 2, 3, 4`)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.vault, &p.kind, &p.name, &p.version); err != nil {
			return nil, nil, err
		}
		places = append(places, p)
		columns = append(columns, column{"objects", "sealed", "vault = ? AND kind = ? AND name = ? AND version = ?", []any{p.vault, string(p.kind), p.name, p.version}})
	}
	return places, columns, rows.Err()
}

// Every byte of a row is under its seal: whichever is altered, nothing of the row is read.
func TestAlteredRowIsRefused(t *testing.T) {
	t.Parallel()
	trials(t, times(flipsInRows), 100, func(t *testing.T, worker string) func(ctx context.Context, trial int) (bool, []string) {
		g := theGolden(t)
		s, db := stage(t, g, worker)
		places, columns, err := rowsOf(db)
		if err != nil {
			t.Fatal(err)
		}
		for _, vault := range vaults { // what opens the vault counts like a row of it
			for _, name := range []string{"datakey", "sealed", "ledger"} {
				places = append(places, place{vault, object.Secrets, "s0", ""})
				columns = append(columns, column{"vaults", name, "name = ?", []any{vault}})
			}
		}
		return func(ctx context.Context, trial int) (detected bool, wrong []string) {
			r := source(trial)
			i := trial % len(columns)
			was, err := columns[i].get(db)
			if err != nil {
				return false, []string{err.Error()}
			}
			altered := append([]byte(nil), was...)
			at := flip(r, altered)
			if err := columns[i].set(db, altered); err != nil {
				return false, []string{err.Error()}
			}
			s.reopen()
			got, err := s.read(ctx, places[i])
			if err == nil {
				wrong = append(wrong, fmt.Sprintf("%v with byte %d of %s altered: read as %.100s", places[i], at, columns[i].name, got))
			}
			if s.verify(ctx) == nil {
				wrong = append(wrong, fmt.Sprintf("%v with byte %d of %s altered: verify does not notice", places[i], at, columns[i].name))
			}
			if err := columns[i].set(db, was); err != nil {
				wrong = append(wrong, err.Error())
			}
			return err != nil || len(wrong) == 0, wrong
		}
	})
}

// stage opens a copy of the golden folder, for the product and past it.
func stage(t *testing.T, g golden, folder string) (*shelf, *sql.DB) {
	t.Helper()
	if err := copyFolder(folder, g.folder); err != nil {
		t.Fatal(err)
	}
	s, err := openShelf(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	db, err := behind(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(); s.close() })
	if err := s.verify(t.Context()); err != nil {
		t.Fatalf("before anything was altered: %v", err)
	}
	return s, db
}

// A row is where it was written, or it is refused: rows that are swapped between names,
// vaults, kinds and versions, moved, replayed, hidden or removed are all noticed.
func TestSwappedRowsAreRefused(t *testing.T) {
	t.Parallel()
	var swaps sync.Map
	trials(t, times(2000), 100, func(t *testing.T, worker string) func(ctx context.Context, trial int) (bool, []string) {
		g := theGolden(t)
		s, db := stage(t, g, worker)
		places, columns, err := rowsOf(db)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, trial int) (bool, []string) {
			r := source(trial)
			i, j := r.IntN(len(columns)), r.IntN(len(columns))
			if i == j {
				j = (i + 1) % len(columns)
			}
			also := trial%2 == 0 // with what says how new it is
			wrong := swap(db, columns[i], columns[j], also)
			s.reopen()
			for _, k := range []int{i, j} {
				if got, err := s.read(ctx, places[k]); err == nil {
					wrong = append(wrong, fmt.Sprintf("%v and %v swapped: %v is read as %.100s", places[i], places[j], places[k], got))
				}
			}
			if s.verify(ctx) == nil {
				wrong = append(wrong, fmt.Sprintf("%v and %v swapped: verify does not notice", places[i], places[j]))
			}
			for what, differs := range map[string]bool{
				"vaults": places[i].vault != places[j].vault, "kinds": places[i].kind != places[j].kind, "names": places[i].name != places[j].name,
				"versions": places[i].name == places[j].name && places[i].kind == places[j].kind && places[i].vault == places[j].vault,
			} {
				if differs {
					swaps.Store(what, true)
				}
			}
			return len(wrong) == 0, append(wrong, swap(db, columns[i], columns[j], also)...)
		}
	})
	for _, what := range []string{"vaults", "kinds", "names", "versions"} {
		if _, seen := swaps.Load(what); !seen && !testing.Short() && !raced {
			t.Errorf("no swap between %s was tried", what)
		}
	}
}

// swap exchanges what two rows hold, and with it, if wanted, their revisions.
func swap(db *sql.DB, a, b column, revisions bool) (wrong []string) {
	names := []string{"sealed"}
	if revisions {
		names = append(names, "revision")
	}
	for _, name := range names {
		a.name, b.name = name, name
		// As the engine has them: a number stays a number.
		var x, y any
		err := db.QueryRow(`SELECT `+name+` FROM objects WHERE `+a.where, a.args...).Scan(&x)
		if err == nil {
			err = db.QueryRow(`SELECT `+name+` FROM objects WHERE `+b.where, b.args...).Scan(&y)
		}
		if err == nil {
			_, err = db.Exec(`UPDATE objects SET `+name+` = ? WHERE `+a.where, append([]any{y}, a.args...)...)
		}
		if err == nil {
			_, err = db.Exec(`UPDATE objects SET `+name+` = ? WHERE `+b.where, append([]any{x}, b.args...)...)
		}
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// What else somebody who may write to the database could try. None of it needs a bit of the
// seal to be altered.
func TestWhatAWriterToTheDatabaseTriesIsNoticed(t *testing.T) {
	t.Parallel()
	const newest = `(SELECT version FROM objects WHERE vault = 'default' AND kind = 'secrets' AND name = 's2' ORDER BY position DESC LIMIT 1)`
	const oldest = `(SELECT version FROM objects WHERE vault = 'default' AND kind = 'secrets' AND name = 's2' AND version <> '' ORDER BY position LIMIT 1)`
	for name, statements := range map[string][]string{
		"remove an object":              {`DELETE FROM objects WHERE vault = 'default' AND kind = 'secrets' AND name = 's2'`},
		"remove the newest version":     {`DELETE FROM objects WHERE vault = 'default' AND name = 's2' AND version = ` + newest},
		"remove an old version":         {`DELETE FROM objects WHERE vault = 'default' AND name = 's2' AND version = ` + oldest},
		"remove a vault":                {`DELETE FROM vaults WHERE name = 'other'`, `DELETE FROM objects WHERE vault = 'other'`},
		"rename an object":              {`UPDATE objects SET name = 's9' WHERE vault = 'default' AND kind = 'secrets' AND name = 's2'`},
		"move an object":                {`UPDATE objects SET vault = 'other', name = 's9' WHERE vault = 'default' AND kind = 'secrets' AND name = 's2'`},
		"turn a secret into a key":      {`UPDATE objects SET kind = 'keys' WHERE vault = 'default' AND kind = 'secrets' AND name = 's2'`},
		"delete an object":              {`UPDATE objects SET deleted = 1 WHERE vault = 'default' AND kind = 'secrets' AND name = 's2' AND version = ''`},
		"recover an object":             {`UPDATE objects SET deleted = 0 WHERE vault = 'default' AND kind = 'secrets' AND name = 's6' AND version = ''`},
		"make an old version new":       {`UPDATE objects SET position = 1 WHERE vault = 'default' AND kind = 'secrets' AND name = 's2' AND version = ''`},
		"change the order of versions":  {`UPDATE objects SET position = 10 - position WHERE vault = 'default' AND kind = 'secrets' AND name = 's2' AND version <> ''`},
		"hide a version":                {`UPDATE objects SET position = -1 WHERE vault = 'default' AND kind = 'secrets' AND name = 's2' AND version = ` + oldest},
		"claim a newer revision":        {`UPDATE objects SET revision = revision + 1 WHERE vault = 'default' AND kind = 'secrets' AND name = 's2' AND version = ''`},
		"copy a version":                {`INSERT INTO objects SELECT vault, kind, name, '00000000000000000000000000000000', position + 5, deleted, purge, revision, sealed FROM objects WHERE vault = 'default' AND name = 's2' AND version = ` + newest},
		"copy an object":                {`INSERT INTO objects SELECT vault, kind, 'copy', version, position, deleted, purge, revision, sealed FROM objects WHERE vault = 'default' AND kind = 'secrets' AND name = 's2'`},
		"swap the keys of vaults":       {`UPDATE vaults SET datakey = (SELECT datakey FROM vaults v WHERE v.name = 'other') WHERE name = 'default'`},
		"swap vaults":                   {`UPDATE vaults SET name = 'third' WHERE name = 'other'`, `UPDATE vaults SET name = 'other' WHERE name = 'default'`, `UPDATE vaults SET name = 'default' WHERE name = 'third'`},
		"give a vault another's ledger": {`UPDATE vaults SET ledger = (SELECT ledger FROM vaults v WHERE v.name = 'other'), epoch = (SELECT epoch FROM vaults v WHERE v.name = 'other') WHERE name = 'default'`},
		"turn a vault's clock back":     {`UPDATE vaults SET epoch = epoch - 1 WHERE name = 'default'`},
		"delete a vault":                {`UPDATE vaults SET state = 1 WHERE name = 'default'`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := theGolden(t)
			s, db := stage(t, g, t.TempDir())
			for _, statement := range statements {
				if done, err := db.Exec(statement); err != nil {
					t.Fatal(err)
				} else if n, err := done.RowsAffected(); err != nil || n == 0 {
					t.Fatalf("%s changed nothing: %v", statement, err)
				}
			}
			s.reopen()
			detected, wrong := guarded(t.Context(), func(ctx context.Context) (bool, []string) { return s.judge(ctx, g.rows) })
			for _, w := range wrong {
				t.Error(w)
			}
			if !detected {
				t.Error("nobody noticed")
			}
		})
	}
}

// A page of the database file is altered anywhere: in rows, in trees, in lists of free pages.
func TestAlteredPageYieldsNothingWrong(t *testing.T) {
	t.Parallel()
	trials(t, times(flipsInPages), 3, func(_ *testing.T, worker string) func(ctx context.Context, trial int) (bool, []string) {
		return func(ctx context.Context, trial int) (bool, []string) {
			g := theGolden(t)
			if err := copyFolder(worker, g.folder); err != nil {
				return false, []string{err.Error()}
			}
			if err := settle(worker); err != nil {
				return false, []string{err.Error()}
			}
			if err := flipFile(source(trial), filepath.Join(worker, "chatelaine.db"), 0); err != nil {
				return false, []string{err.Error()}
			}
			return judgeFolder(ctx, worker, g.rows)
		}
	})
}

// settle moves the log into the database file, so that no page is read from elsewhere.
func settle(folder string) error {
	db, err := behind(folder)
	if err != nil {
		return err
	}
	if _, err := db.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return err
	}
	return db.Close()
}

// flipFile alters one byte of a file, behind its first from.
func flipFile(r *mrand.Rand, name string, from int) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if len(b) <= from {
		return fmt.Errorf("%s has only %d bytes", name, len(b))
	}
	flip(r, b[from:])
	return os.WriteFile(name, b, 0o600)
}

func judgeFolder(ctx context.Context, folder string, want content) (detected bool, wrong []string) {
	s, err := openShelf(ctx, folder)
	if err != nil {
		return true, nil
	}
	defer s.close()
	return s.judge(ctx, want)
}

// The log of the database is altered. SQLite then takes it for one that ends there: the
// last commits are gone, and what is left is what was there before them, whole.
func TestAlteredLogLosesOnlyItsEnd(t *testing.T) {
	t.Parallel()
	trials(t, times(flipsInLog), 50, func(_ *testing.T, worker string) func(ctx context.Context, trial int) (bool, []string) {
		return func(ctx context.Context, trial int) (bool, []string) {
			g := theGolden(t)
			if err := copyFolder(worker, g.folder); err != nil {
				return false, []string{err.Error()}
			}
			if err := flipLog(source(trial), worker); err != nil {
				return false, []string{err.Error()}
			}
			return judgePrefix(ctx, worker, g)
		}
	})
}

// flipLog alters the log where it is in use: a frame counts while it has the salt of the
// log's header, and what lies behind is left from before (SQLite's file format, §4.1).
func flipLog(r *mrand.Rand, folder string) error {
	name := filepath.Join(folder, "chatelaine.db-wal")
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	const header, frameHeader, salt = 32, 24, 8
	if len(b) < header {
		return fmt.Errorf("%s has only %d bytes", name, len(b))
	}
	frame, used := frameHeader+int(binary.BigEndian.Uint32(b[8:])), header
	for used+frame <= len(b) && bytes.Equal(b[used+8:][:salt], b[16:][:salt]) {
		used += frame
	}
	flip(r, b[:used])
	return os.WriteFile(name, b, 0o600)
}

// judgePrefix wants what was there at one moment: of the secrets that were set last, one
// after the other, the first ones and no other.
func judgePrefix(ctx context.Context, folder string, g golden) (detected bool, wrong []string) {
	s, err := openShelf(ctx, folder)
	if err != nil {
		return true, nil
	}
	defer s.close()
	if err := s.verify(ctx); err != nil { // the log may have lost the vaults themselves
		return true, nil
	}
	missing := false
	for _, name := range g.tail {
		p := place{"default", object.Secrets, name, ""}
		got, err := s.read(ctx, p)
		switch {
		case err != nil:
			missing = true
		case missing:
			wrong = append(wrong, name+" is there, and one before it is not")
		case got != g.rows[p]:
			wrong = append(wrong, fmt.Sprintf("%s holds %.200s", name, got))
		}
	}
	return missing, wrong
}
