package storage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func put(ctx context.Context, db *storage.DB, name string) error {
	_, err := db.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)`, name, []byte(name))
	return storage.Translate(err)
}

func count(t *testing.T, db *storage.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM settings`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFailedChangeLeavesItsNeighboursInTheBatch(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		var wg sync.WaitGroup
		errs := make([]error, 100)
		for i := range errs {
			wg.Go(func() {
				errs[i] = db.Transact(t.Context(), func(ctx context.Context) error {
					if err := put(ctx, db, fmt.Sprint(i)); err != nil {
						return err
					}
					switch {
					case i%10 == 3:
						return errors.New("refused")
					case i%10 == 7:
						panic("boom")
					case i%10 == 9: // a statement that the engine refuses
						return put(ctx, db, fmt.Sprint(i))
					}
					return nil
				})
			})
		}
		wg.Wait()

		for i, err := range errs {
			if want := i%10 == 3 || i%10 == 7 || i%10 == 9; (err != nil) != want {
				t.Errorf("change %d: error %v, want one: %v", i, err, want)
			}
			if i%10 == 9 && !fault.Is(err, fault.Conflict) {
				t.Errorf("change %d: %v, want a conflict", i, err)
			}
		}
		if n := count(t, db); n != 70 {
			t.Errorf("%d rows, want 70", n)
		}
	})
}

func TestFlushFailureFailsEveryChange(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		db.OnFlush(func(context.Context, []any) error { return errors.New("no room for the record") })
		var fate []bool

		err := db.Transact(t.Context(), func(ctx context.Context) error {
			db.Defer(ctx, "record")
			db.AfterCommit(ctx, func(ok bool) { fate = append(fate, ok) })
			return put(ctx, db, "a")
		})

		if !fault.Is(err, fault.Unavailable) || count(t, db) != 0 {
			t.Errorf("error %v with %d rows, want unavailable and none", err, count(t, db))
		}
		if len(fate) != 1 || fate[0] {
			t.Errorf("fate %v, want one false", fate)
		}
	})
}

func TestLostRaceIsRunAgain(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		runs := 0
		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if runs++; runs < 3 {
				_ = put(ctx, db, fmt.Sprint("lost", runs))
				return storage.ErrRace
			}
			return put(ctx, db, "won")
		})
		if err != nil || runs != 3 || count(t, db) != 1 {
			t.Errorf("error %v after %d runs with %d rows", err, runs, count(t, db))
		}
	})
}

func TestNestedTransactJoinsTheOuterOne(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := db.Transact(ctx, func(ctx context.Context) error { return put(ctx, db, "inner") }); err != nil {
				return err
			}
			return errors.New("outer fails")
		})
		if err == nil || count(t, db) != 0 {
			t.Errorf("error %v with %d rows, want an error and none", err, count(t, db))
		}
	})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := storage.Open(t.Context(), storage.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999999, true)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	_, err = storage.Open(t.Context(), storage.Config{Dir: dir})

	if !errors.Is(err, storage.ErrNewerSchema) {
		t.Errorf("open: %v, want ErrNewerSchema", err)
	}
}

func TestChangesShareACommitWithoutSavepoints(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		for _, fails := range []bool{false, true} {
			var runs, told [3]int
			hold, held := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() { // leads, so that the others meet in the next commit
				_ = db.Transact(t.Context(), func(context.Context) error { close(held); <-hold; return nil })
			})
			<-held
			errs := make([]error, len(runs))
			for i := range runs {
				wg.Go(func() {
					errs[i] = db.Transact(t.Context(), func(ctx context.Context) error {
						runs[i]++
						db.AfterCommit(ctx, func(bool) { told[i]++ })
						if err := put(ctx, db, fmt.Sprint(fails, i)); err != nil {
							return err
						}
						if fails && i == 1 {
							return errors.New("refused")
						}
						return nil
					})
				})
			}
			for db.Waiting() < len(runs) {
				time.Sleep(time.Millisecond)
			}
			close(hold)
			wg.Wait()

			most := 1
			if fails {
				most = 2
			}
			for i, err := range errs {
				if (err != nil) != (fails && i == 1) || runs[i] < 1 || runs[i] > most || told[i] != runs[i] {
					t.Errorf("one fails: %v; change %d: error %v, %d runs, told %d times", fails, i, err, runs[i], told[i])
				}
			}
			if fails && runs[1] != 2 {
				t.Errorf("what failed after it wrote ran %d times, want once more apart from the others", runs[1])
			}
		}
		if n := count(t, db); n != 5 {
			t.Errorf("%d rows, want 5", n)
		}
	})
}

func TestChangeThatFailsBeforeItWritesCostsItsNeighboursNothing(t *testing.T) {
	db := storagetest.SQLite(t)
	var wg sync.WaitGroup
	runs := make([]int, 100)
	for i := range runs {
		wg.Go(func() {
			_ = db.Transact(t.Context(), func(ctx context.Context) error {
				runs[i]++
				if i%2 == 0 {
					return errors.New("refused")
				}
				return put(ctx, db, fmt.Sprint(i))
			})
		})
	}
	wg.Wait()
	for i, n := range runs {
		if n != 1 {
			t.Errorf("change %d ran %d times", i, n)
		}
	}
	if n := count(t, db); n != 50 {
		t.Errorf("%d rows, want 50", n)
	}
}

func TestWhatIsTriedIsUndoneAloneWhenItFails(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		var flushed []any
		db.OnFlush(func(_ context.Context, items []any) error { flushed = append(flushed, items...); return nil })
		fate := map[string]bool{}
		do := func(ctx context.Context, name string, err error) error {
			if e := db.Try(ctx, func(ctx context.Context) error {
				db.Defer(ctx, name)
				db.AfterCommit(ctx, func(ok bool) { fate[name] = ok })
				if e := put(ctx, db, name); e != nil {
					return e
				}
				if name == "a statement" {
					return put(ctx, db, name) // which the engine refuses
				}
				return err
			}); (e != nil) != (err != nil) {
				t.Errorf("%s: %v", name, e)
			}
			return nil
		}
		refused := errors.New("refused")

		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := put(ctx, db, "outer"); err != nil {
				return err
			}
			_, err := db.Shared(ctx, "test", func() (any, error) { return 0, nil }, func(ctx context.Context, _ any) error {
				// At the end of a commit, what is shared may be opened once more.
				_, err := db.Shared(ctx, "test", func() (any, error) { return 0, nil }, func(ctx context.Context, _ any) error { return do(ctx, "at the end", nil) })
				return errors.Join(err, do(ctx, "a refusal at the end", refused))
			})
			return errors.Join(err, do(ctx, "kept", nil), do(ctx, "a refusal", refused), do(ctx, "a statement", refused))
		})

		if err != nil || count(t, db) != 3 {
			t.Errorf("%v, %d rows, want 3", err, count(t, db))
		}
		if !slices.Equal(flushed, []any{"kept", "at the end"}) {
			t.Errorf("flushed %v", flushed)
		}
		if want := map[string]bool{"kept": true, "at the end": true, "a refusal": false, "a statement": false, "a refusal at the end": false}; !maps.Equal(fate, want) {
			t.Errorf("told %v", fate)
		}
	})
}
