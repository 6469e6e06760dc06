package job

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

type hold struct{}

// LookOnce makes the start the only time at which jobs of dead processes are looked for.
func (r *River) LookOnce() { r.lookEvery = time.Hour }

func (hold) Kind() string { return "test.hold" }

// When PostgreSQL restarts, every process loses its lock for a moment. A neighbour that
// looks just then must not take the running jobs; a look later it may.
func TestProcessThatLostItsConnectionIsNotTakenForDeadAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		back  bool // the process enters again between the looks
		taken bool
	}{
		"it comes back": {true, false},
		"it is dead":    {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := storagetest.Open(t, storage.Config{URL: storagetest.Postgres(t)})
			began, finish := make(chan bool, 1), make(chan bool)
			worker := newRiver(t, db)
			worker.lookEvery = time.Hour // the test enters for it
			Handle(worker, func(context.Context, hold) error { began <- true; <-finish; return nil })
			if err := worker.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				close(finish)
				_ = worker.Stop(context.Background()) // its lock is gone, and that is what it says
			})
			neighbour := newRiver(t, db)
			if err := neighbour.rescue(t.Context()); err != nil { // the look at its start
				t.Fatal(err)
			}
			if err := worker.Enqueue(t.Context(), hold{}, Options{}); err != nil {
				t.Fatal(err)
			}
			<-began

			if _, err := db.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 30000) FROM pg_locks
				WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); err != nil {
				t.Fatal(err)
			}
			for look := range 2 {
				if look == 1 && c.back {
					if err := worker.presence.enter(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if err := neighbour.rescue(t.Context()); err != nil {
					t.Fatal(err)
				}
				if look == 0 && isTaken(t, db) {
					t.Error("the job was taken at the first look, want it left alone")
				}
			}

			if got := isTaken(t, db); got != c.taken {
				t.Errorf("the job was taken: %v, want %v", got, c.taken)
			}
		})
	}
}

func newRiver(t *testing.T, db *storage.DB) *River {
	t.Helper()
	r, err := New(t.Context(), Config{
		Pool: db.Pool(), PostgreSQL: true, Tx: storage.Tx, Transact: db.Transact,
		Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// isTaken reports whether a try of the job was ended from outside. Its state does not tell:
// whoever finds the job available may run it at once, here the very process that lost it.
func isTaken(t *testing.T, db *storage.DB) bool {
	t.Helper()
	var ended int
	if err := db.QueryRow(t.Context(), `SELECT coalesce(cardinality(errors), 0) FROM river_job WHERE kind = 'test.hold'`).Scan(&ended); err != nil {
		t.Fatal(err)
	}
	return ended > 0
}
