package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// Many changes share commits: every event of one that was committed arrives, none of one
// that was rolled back does, and one that is refused holds up no other.
func TestEventsOfSharedCommitsArriveAndThoseOfUndoneChangesDoNot(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		l, start := newLog(t, db, time.Now)
		var mu sync.Mutex
		came, together := map[string]int{}, 0
		note := func(e event.Event) {
			mu.Lock()
			defer mu.Unlock()
			came[e.Subject]++
		}
		done := make(chan struct{}, 1000)
		refusals := 0
		l.Subscribe(event.Subscriber{
			Name: "test", Types: []string{"Chatelaine.Test"},
			Handle: func(_ context.Context, e event.Event) error {
				mu.Lock()
				refuse := e.Subject == "7" && refusals < 2
				if refuse {
					refusals++
				}
				mu.Unlock()
				if refuse {
					return errors.New("not yet")
				}
				note(e)
				done <- struct{}{}
				return nil
			},
			Within: func(_ context.Context, list []event.Event) error {
				for _, e := range list {
					if e.Subject == "7" {
						return errors.New("one of them is refused")
					}
				}
				mu.Lock()
				together += len(list)
				mu.Unlock()
				for _, e := range list {
					note(e)
					done <- struct{}{}
				}
				return nil
			},
		})
		const many = 60
		errUndone := errors.New("undone")

		err := db.Transact(t.Context(), func(ctx context.Context) error {
			for _, x := range []string{"a", "b", "c"} {
				if err := l.Emit(ctx, event.Event{Source: "/test", Type: "Chatelaine.Test", Subject: x}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				err := db.Transact(t.Context(), func(ctx context.Context) error {
					if err := l.Emit(ctx, event.Event{Source: "/test", Type: "Chatelaine.Test", Subject: fmt.Sprint(i)}); err != nil {
						return err
					}
					if i%5 == 0 {
						return errUndone
					}
					return nil
				})
				if (i%5 == 0) != errors.Is(err, errUndone) {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		wg.Wait()
		start()

		for range 3 + many - many/5 {
			select {
			case <-done:
			case <-time.After(patience):
				t.Fatalf("%d of %d arrived", len(came), many-many/5)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range many {
			if want := i%5 != 0; (came[fmt.Sprint(i)] == 1) != want {
				t.Errorf("event %d came %d times", i, came[fmt.Sprint(i)])
			}
		}
		if together < 3 || came["a"] != 1 || came["b"] != 1 || came["c"] != 1 {
			t.Errorf("%d events came together: %v", together, came)
		}
	})
}
