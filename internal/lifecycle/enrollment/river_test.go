package enrollment_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// told closes a channel when an event of a type is committed.
type told struct {
	event.Emitter
	db   *storage.DB
	kind string
	done chan struct{}
}

func (e told) Emit(ctx context.Context, x event.Event) error {
	if x.Type == e.kind {
		e.db.AfterCommit(ctx, func(committed bool) {
			if committed {
				close(e.done)
			}
		})
	}
	return e.Emitter.Emit(ctx, x)
}

// The product's own queue, with its workers, does the same as the one of the other tests.
func TestTheProductsQueueTakesARequestToItsEnd(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		p := w.NewProgram(t, "shop.example")
		l := w.Adopt(t, p)
		queue, err := job.New(t.Context(), job.Config{
			Pool: db.Pool(), PostgreSQL: db.Dialect() == storage.PostgreSQL, Tx: storage.Tx, Transact: db.Transact, Now: w.Time, Log: slog.New(slog.DiscardHandler),
		})
		must(t, err)
		job.Handle(queue, w.Requests.HandleRun)
		job.Handle(queue, w.Deployments.HandleRun)
		completed := told{w.Floor, db, "Chatelaine.RequestCompleted", make(chan struct{})}
		w.Requests.Jobs, w.Deployments.Jobs, w.Requests.Events = queue, queue, completed
		must(t, queue.Start(t.Context()))
		defer func() { must(t, queue.Stop(context.WithoutCancel(t.Context()))) }()

		r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
		must(t, err)

		select {
		case <-completed.done:
		case <-time.After(time.Minute):
			t.Fatalf("the request is %+v", get(t, w, r.ID))
		}
		checkRenewed(t, w, p, l, get(t, w, r.ID))
	})
}
