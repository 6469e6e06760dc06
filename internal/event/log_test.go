package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/eventdb"
	"chatelaine.dev/internal/storage/storagetest"
)

const patience = 20 * time.Second

// newLog makes a log on real jobs, which begin by start.
func newLog(t *testing.T, db *storage.DB, now func() time.Time) (l *event.Log, start func()) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	jobs, err := job.New(t.Context(), job.Config{
		Pool: db.Pool(), PostgreSQL: db.Dialect() == storage.PostgreSQL,
		Tx: storage.Tx, Transact: db.Transact, Now: time.Now, Log: log,
		Pause: func(int) time.Duration { return 10 * time.Millisecond },
	})
	if err != nil {
		t.Fatal(err)
	}
	l = event.New(event.Config{Store: eventdb.New(db), Transact: db.Transact, Jobs: jobs, Commit: db, Now: now, Log: log})
	job.Handle(jobs, l.Deliver)
	job.Handle(jobs, l.Prune)
	return l, func() {
		t.Helper()
		if err := jobs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := jobs.Stop(ctx); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
}

func emit(t *testing.T, l *event.Log, e event.Event) {
	t.Helper()
	if err := l.Emit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(patience):
		t.Fatal("no delivery in time")
		return ""
	}
}

func TestEventReachesTheSubscribersOfItsTypeUntilTheySucceed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		l, start := newLog(t, db, time.Now)
		got := make(chan string, 100)
		tries := 0
		l.Subscribe(event.Subscriber{Name: "notices", Types: []string{"Chatelaine.Nothing", "Chatelaine.Certificate"}, Handle: func(_ context.Context, e event.Event) error {
			if tries++; tries < 3 {
				return errors.New("the webhook answers 503")
			}
			got <- fmt.Sprint(e.Type, " ", e.Subject, " ", string(e.Data))
			return nil
		}})
		l.Subscribe(event.Subscriber{Name: "vaults", Types: []string{"Microsoft.KeyVault."}, Handle: func(context.Context, event.Event) error {
			got <- "vaults was told of what it does not want"
			return nil
		}})
		start()

		emit(t, l, event.Event{Source: "/certificates", Type: "Chatelaine.CertificateRevoked", Subject: "web", Data: json.RawMessage(`{"reason":1}`)})

		if said := next(t, got); said != `Chatelaine.CertificateRevoked web {"reason":1}` {
			t.Errorf("delivered %q", said)
		}
		if tries != 3 {
			t.Errorf("%d tries, want 3", tries)
		}
	})
}

func TestEventOfAFailedChangeIsNeitherStoredNorDelivered(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		l, start := newLog(t, db, time.Now)
		got := make(chan string, 100)
		l.Subscribe(event.Subscriber{Name: "all", Types: []string{""}, Handle: func(_ context.Context, e event.Event) error {
			got <- e.Subject
			return nil
		}})
		start()

		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := l.Emit(ctx, event.Event{Source: "/vaults/a", Type: "T", Subject: "undone"}); err != nil {
				t.Fatal(err)
			}
			return errors.New("the change fails")
		})
		if err == nil {
			t.Fatal("the change did not fail")
		}
		emit(t, l, event.Event{Source: "/vaults/a", Type: "T", Subject: "done"})

		if first := next(t, got); first != "done" {
			t.Errorf("delivered %q", first)
		}
		events, err := l.Find(t.Context(), event.Query{})
		if err != nil || len(events) != 1 || events[0].Subject != "done" {
			t.Errorf("stored %v, error %v, want the event of the committed change", events, err)
		}
	})
}

// A delivery that cannot be enqueued must take the event with it: a subscriber is never passed over.
func TestEventIsNotStoredWithoutItsDeliveries(t *testing.T) {
	db := storagetest.SQLite(t)
	l, start := newLog(t, db, time.Now)
	l.Subscribe(event.Subscriber{Name: "all", Types: []string{""}, Handle: func(context.Context, event.Event) error { return nil }})
	l.Jobs = full{}
	start()

	if err := l.Emit(t.Context(), event.Event{Source: "/vaults/a", Type: "T"}); err == nil {
		t.Error("emitted without its delivery")
	}

	if events, err := l.Find(t.Context(), event.Query{}); err != nil || len(events) != 0 {
		t.Errorf("stored %v, error %v", events, err)
	}
}

// full is a queue that takes nothing.
type full struct{}

func (full) Enqueue(context.Context, job.Args, job.Options) error { return errors.New("disk full") }

func TestEventsThatBreakCloudEventsAreRefused(t *testing.T) {
	l, _ := newLog(t, storagetest.SQLite(t), time.Now)

	for _, e := range []event.Event{
		{Type: "T"},
		{Source: "/vaults/a"},
		{Source: "/vaults/a", Type: "T", Subject: strings.Repeat("x", 1025)},
		{Source: "/vaults/a", Type: "T", Data: json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`)},
	} {
		if err := l.Emit(t.Context(), e); err == nil {
			t.Errorf("stored %.80v", e)
		}
	}
}

func TestListPagesThroughMatchingEventsNewestFirst(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		l, _ := newLog(t, db, func() time.Time { return now })
		for i := range 7 { // pairs share a time, so that the id must decide
			e := event.Event{ID: fmt.Sprint("id", i), Source: "/vaults/a", Type: "Chatelaine.Odd", Subject: fmt.Sprint("s", i%2)}
			if i%2 == 0 {
				e.Source, e.Type = "/vaults/a_b/secrets/c", "Chatelaine.Even"
			}
			emit(t, l, e)
			now = now.Add(time.Duration(i%2) * time.Second)
		}

		for name, c := range map[string]struct {
			query event.Query
			want  string
		}{
			"everything":            {event.Query{}, "id6 id5 id4 id3 id2 id1 id0"},
			"subject":               {event.Query{Subject: "s1"}, "id5 id3 id1"},
			"type by prefix":        {event.Query{Type: "Chatelaine.E"}, "id6 id4 id2 id0"},
			"source":                {event.Query{Source: "/vaults/a"}, "id5 id3 id1"},
			"source and below":      {event.Query{Source: "/vaults/a_b"}, "id6 id4 id2 id0"},
			"source is no pattern":  {event.Query{Source: "/vaults/%"}, ""},
			"source with its slash": {event.Query{Source: "/vaults/a_b/"}, "id6 id4 id2 id0"},
			"all filters":           {event.Query{Source: "/vaults", Type: "Chatelaine.Odd", Subject: "s1"}, "id5 id3 id1"},
		} {
			for _, size := range []int{0, 1, 2, 3, 7} {
				if got := list(t, l, c.query, size); got != c.want {
					t.Errorf("%s in pages of %d: %q, want %q", name, size, got, c.want)
				}
			}
		}
	})
}

// list reads every page as the system, which may do everything.
func list(t *testing.T, l *event.Log, q event.Query, size int) string {
	t.Helper()
	q.Limit = size
	var ids []string
	for {
		events, err := l.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if size == 0 || len(events) < size {
			return strings.Join(ids, " ")
		}
		q.Before = event.PositionOf(events[len(events)-1])
	}
}

func TestReaderShowsTheLogToThoseWhoMayReadTheTrail(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		floor := accesstest.New(t, db)
		l, _ := newLog(t, db, floor.Time)
		for i := range 5 {
			emit(t, l, event.Event{ID: fmt.Sprint("id", i), Source: "/vaults/a", Type: "T"})
		}
		r := event.Reader{Store: l.Store, Guard: floor.Directory}
		auditor := floor.Application(t, "auditor", "Auditor", "/")
		operator := floor.Application(t, "operator", "Operator", "/")

		var ids []string
		for cursor := ""; ; {
			p, err := r.List(t.Context(), auditor, event.Query{Limit: 2}, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Events {
				ids = append(ids, e.ID)
			}
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		_, denied := r.List(t.Context(), operator, event.Query{}, "")
		_, wrong := r.List(t.Context(), auditor, event.Query{}, "x")
		_, many := r.List(t.Context(), auditor, event.Query{Limit: 1001}, "")

		if want := []string{"id4", "id3", "id2", "id1", "id0"}; !cmp.Equal(ids, want) {
			t.Errorf("pages %v, want %v", ids, want)
		}
		if !fault.Is(denied, fault.Denied) {
			t.Errorf("an operator: %v, want denied", denied)
		}
		if !fault.Is(wrong, fault.Invalid) || !fault.Is(many, fault.Invalid) {
			t.Errorf("wrong cursor: %v, wrong limit: %v, want invalid", wrong, many)
		}
	})
}

func TestOldEventsArePruned(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		l, _ := newLog(t, db, func() time.Time { return now })
		l.Keep = 24 * time.Hour
		for age := range 5 {
			emit(t, l, event.Event{ID: fmt.Sprint("id", age), Source: "/", Type: "T", Time: now.Add(-time.Duration(age) * 12 * time.Hour)})
		}

		if err := l.Prune(t.Context(), event.Pruning{}); err != nil {
			t.Fatal(err)
		}

		if got := list(t, l, event.Query{}, 0); got != "id0 id1 id2" {
			t.Errorf("kept %s, want those of the last day", got)
		}
		if err := l.Deliver(t.Context(), event.Delivery{Event: "id4", Subscriber: "gone"}); err != nil {
			t.Errorf("a delivery of a pruned event fails for ever: %v", err)
		}
	})
}
