package subscription_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestDeliveryIsRepeatedRarerAndRarerForADay(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
		r.answer(http.StatusServiceUnavailable)
		w.emit(t, "a")

		var waits []time.Duration
		last := w.Time()
		w.deliver(t, s.ID)
		for before := 1; ; {
			if _, dead := w.counts(t, s.ID); dead == 1 {
				break
			}
			w.Advance(time.Second)
			if n, err := w.Deliver(t.Context(), s.ID); err != nil || n == 0 && len(waits) > 40 {
				t.Fatal(n, err)
			}
			if tries := len(r.received()); tries > before {
				waits, before = append(waits, w.Time().Sub(last)), tries
				last = w.Time()
			}
			if len(waits) > 6 { // the rest is hourly
				w.Advance(4 * time.Minute)
			}
		}

		tries := len(r.received())
		if tries < 24 || tries > 30 {
			t.Errorf("%d tries", tries)
		}
		for i, want := range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute} {
			if waits[i] < want || waits[i] > want*13/10+5*time.Minute { // a sick endpoint is asked up to five minutes later
				t.Errorf("wait %d: %s, want about %s", i+1, waits[i], want)
			}
		}
		letters, err := w.DeadLetters(t.Context(), w.Admin, s.ID, "", 10)
		must(t, err)
		if l := letters.Letters; len(l) != 1 || l[0].Tries != tries || l[0].Problem != "the endpoint answered 503 Service Unavailable" || l[0].Event.Subject != "a" {
			t.Fatalf("dead letters %+v", l)
		}

		r.answer(http.StatusOK)
		w.Advance(time.Hour)
		n, err := w.Redeliver(t.Context(), w.Admin, s.ID, []string{letters.Letters[0].Event.ID})
		must(t, err)
		w.deliver(t, s.ID)
		if waiting, dead := w.counts(t, s.ID); n != 1 || waiting != 0 || dead != 0 || len(r.received()) != tries+1 {
			t.Errorf("redelivered %d: %d wait, %d dead, %d sent", n, waiting, dead, len(r.received())-tries)
		}
	})
}

func TestHopelessAnswersAreNotRepeated(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		for _, status := range []int{400, 413, 415} {
			r := newReceiver(t)
			s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
			r.answer(status)
			w.emit(t, "a")
			w.deliver(t, s.ID)
			w.Advance(time.Hour)
			w.deliver(t, s.ID)

			if waiting, dead := w.counts(t, s.ID); waiting != 0 || dead != 1 || len(r.received()) != 1 {
				t.Errorf("%d: %d wait, %d dead after %d tries", status, waiting, dead, len(r.received()))
			}
			must(t, w.Delete(t.Context(), w.Admin, s.ID))
		}
	})
}

func TestEndpointThatIsGoneIsToldNothingMore(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
	r.answer(http.StatusGone)
	w.emit(t, "a")
	w.deliver(t, s.ID)
	w.emit(t, "b")
	w.Advance(time.Hour)
	w.deliver(t, s.ID)

	shown, err := w.Get(t.Context(), w.Admin, s.ID)
	must(t, err)
	if shown.State != subscription.Gone || shown.Problem == "" || len(r.received()) != 1 || shown.Dead != 1 || shown.Waiting != 0 {
		t.Errorf("%+v after %d deliveries", shown, len(r.received()))
	}
	if _, err := w.Redeliver(t.Context(), w.Admin, s.ID, nil); !fault.Is(err, fault.Conflict) {
		t.Errorf("redelivered to an endpoint that is gone: %v", err)
	}
	r.answer(http.StatusOK)
	trial, err := w.Test(t.Context(), w.Admin, s.ID)
	must(t, err)
	if trial.State != subscription.Active {
		t.Errorf("%+v of an endpoint that is back", trial)
	}
}

func TestEndpointMayAskForTime(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
	r.header.Set("Retry-After", "900")
	r.answer(http.StatusTooManyRequests)
	w.emit(t, "a")
	w.deliver(t, s.ID)

	w.Advance(899 * time.Second)
	w.deliver(t, s.ID)
	early := len(r.received())
	w.Advance(2 * time.Second)
	w.deliver(t, s.ID)

	if early != 1 || len(r.received()) != 2 {
		t.Errorf("%d tries before the time it asked for, %d after", early, len(r.received()))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.header.Set("Location", elsewhere.URL)
		r.answer(status)
		trial, err := w.Test(t.Context(), w.Admin, s.ID)
		must(t, err)
		if !strings.Contains(trial.Problem, "redirects are not followed") {
			t.Errorf("%d: %+v", status, trial)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("followed %d redirects", reached.Load())
	}
}

func TestSlowEndpointHoldsUpNobody(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, quick := newWorld(t, db), newReceiver(t)
		var slow atomic.Int32
		stuck, release := make(chan string, 1000), make(chan struct{})
		hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
			if q.Method == http.MethodOptions {
				rw.Header().Set("WebHook-Allowed-Origin", "*")
				return
			}
			slow.Add(1)
			stuck <- "one more"
			<-release
		}))
		defer hook.Close()
		defer close(release)
		w.subscribe(t, subscription.Draft{Name: "slow", Endpoint: access.NewSecret(hook.URL)})
		w.subscribe(t, subscription.Draft{Name: "quick", Endpoint: quick.endpoint()})
		want := map[string]bool{}
		emit := func(from, to int) {
			for i := from; i < to; i++ {
				w.emit(t, name(i))
				want[name(i)] = true
			}
		}
		emit(0, 20)
		must(t, w.Start(t.Context(), true))
		defer w.Stop()
		for range 4 {
			next(t, stuck)
		}

		emit(20, 60)
		for len(want) > 0 {
			delete(want, next(t, quick.arrived))
		}

		if n := slow.Load(); n != 4 {
			t.Errorf("%d requests at a time to one endpoint, want 4", n)
		}
	})
}

func TestEventOfAFailedChangeIsSentToNobody(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
		must(t, w.Start(t.Context(), true))
		defer w.Stop()

		err := w.transact(t, func(ctx context.Context) error {
			must(t, w.Log.Emit(ctx, event.Event{Source: "/vaults/a", Type: "T", Subject: "undone"}))
			return errors.New("the change fails")
		})
		if err == nil {
			t.Fatal("the change did not fail")
		}
		w.emit(t, "done")

		if got := next(t, r.arrived); got != "done" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestTwoNodesDeliverEachEventOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
		for i := range 100 {
			w.emit(t, name(i))
		}
		ended := make(chan error, 2)
		for _, node := range []*subscription.Service{w.Service, w.node(t)} {
			go func() {
				for {
					if n, err := node.Deliver(t.Context(), s.ID); n == 0 || err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		must(t, <-ended)
		must(t, <-ended)

		got := strings.Fields(subjects(r.received()))
		slices.Sort(got)
		if len(got) != 100 || len(slices.Compact(got)) != 100 {
			t.Errorf("%d deliveries of 100 events", len(got))
		}
	})
}

func TestWhatADeadProcessHeldIsDeliveredByAnother(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
		w.emit(t, "a")
		now := w.Time()
		must(t, w.transact(t, func(ctx context.Context) error { // and then it dies
			held, err := w.Store.Claim(ctx, subscription.Claim{Subscription: s.ID, Holder: "dead", Now: now, Lease: now.Add(3 * time.Minute), Limit: 10})
			if len(held) != 1 {
				t.Errorf("claimed %d", len(held))
			}
			return err
		}))
		other := w.node(t)
		if n, err := other.Deliver(t.Context(), s.ID); n != 0 || err != nil {
			t.Fatalf("delivered what another holds: %d %v", n, err)
		}

		if db.Dialect() == storage.SQLite { // nobody else can live: at once
			must(t, other.Start(t.Context(), true))
			defer other.Stop()
			next(t, r.arrived)
			return
		}
		w.Advance(3 * time.Minute)
		if n, err := other.Deliver(t.Context(), s.ID); n != 1 || err != nil {
			t.Errorf("delivered %d, %v after the lease", n, err)
		}
	})
}

func TestOtherNodesSeeANewSubscriptionAtTheirNextLook(t *testing.T) {
	db := storagetest.Open(t, storage.Config{URL: storagetest.Postgres(t)})
	w, r := newWorld(t, db), newReceiver(t)
	other := w.node(t)
	must(t, other.Start(t.Context(), false))
	defer other.Stop()
	w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})

	w.emit(t, "a") // by this node, which does not deliver

	if got := next(t, r.arrived); got != "a" {
		t.Errorf("delivered %q", got)
	}
}

func TestDeliveryIsSignedAsStandardWebhooksWantIt(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	raw := []byte("canary-key-of-exactly-32-bytes!!")
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint(), Key: access.NewSecret(subscription.KeyPrefix + base64.StdEncoding.EncodeToString(raw))})
	w.emit(t, "a")
	w.deliver(t, s.ID)

	got := r.received()[0]
	m := hmac.New(sha256.New, raw)
	fmt.Fprintf(m, "%s.%s.%s", got.header.Get("webhook-id"), got.header.Get("webhook-timestamp"), got.body)
	if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); got.header.Get("webhook-signature") != want {
		t.Errorf("signature %q, want %q", got.header.Get("webhook-signature"), want)
	}
	if at := got.header.Get("webhook-timestamp"); at != fmt.Sprint(w.Time().Unix()) {
		t.Errorf("signed at %s", at)
	}
	if !s.Signed {
		t.Error("the subscription does not say that it signs")
	}
}

func TestWhatWaitsAndWhatIsDeadStaysWithinBounds(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
		gone := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
		for i := range 8 {
			w.emit(t, name(i))
			w.Advance(time.Hour)
		}
		must(t, w.Delete(t.Context(), w.Admin, gone.ID))
		tidy := func(r subscription.Rule) (total int) {
			for {
				r.Now = w.Time()
				n, err := w.Store.Tidy(t.Context(), r, 3)
				must(t, err)
				if total += n; n < 3 {
					return total
				}
			}
		}

		if n := tidy(subscription.Rule{Orphans: true}); n < 8 {
			t.Errorf("forgot %d deliveries of a subscription that is gone", n)
		}
		if n := tidy(subscription.Rule{Subscription: s.ID, Keep: 5}); n != 3 {
			t.Errorf("gave up %d, want the 3 beyond", n)
		}
		if n := tidy(subscription.Rule{Expired: w.Time().Add(-3*time.Hour - time.Minute)}); n != 2 {
			t.Errorf("gave up %d, want 2 that are too old", n)
		}
		letters, err := w.DeadLetters(t.Context(), w.Admin, s.ID, "", 10)
		must(t, err)
		var dead []string
		for _, l := range letters.Letters {
			dead = append(dead, l.Event.Subject)
		}
		slices.Sort(dead)
		if want := []string{"s000", "s001", "s002", "s003", "s004"}; !slices.Equal(dead, want) {
			t.Errorf("dead are %v, want the oldest", dead)
		}
		if n := tidy(subscription.Rule{Subscription: s.ID, Keep: 2, Dead: true}); n != 3 {
			t.Errorf("forgot %d, want the 3 beyond", n)
		}
		w.Advance(time.Hour)
		if n := tidy(subscription.Rule{Forgotten: w.Time()}); n != 2 {
			t.Errorf("forgot %d, want 2", n)
		}
		if waiting, left := w.counts(t, s.ID); waiting != 3 || left != 0 {
			t.Errorf("%d wait, %d dead", waiting, left)
		}
		must(t, w.HandleTidy(t.Context(), subscription.TidyArgs{}))
	})
}

func TestDeadLettersAreReadInPages(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
		r.answer(http.StatusBadRequest)
		for i := range 7 {
			w.emit(t, name(i))
			if i%2 == 0 {
				w.Advance(time.Second)
				w.deliver(t, s.ID)
			}
		}

		seen := map[string]bool{}
		for cursor, pages := "", 0; ; pages++ {
			l, err := w.DeadLetters(t.Context(), w.Admin, s.ID, cursor, 2)
			must(t, err)
			for _, x := range l.Letters {
				seen[x.Event.Subject] = true
			}
			if cursor = l.Next; cursor == "" || pages > 10 {
				break
			}
		}
		if len(seen) != 7 {
			t.Errorf("saw %v", seen)
		}
		if _, err := w.DeadLetters(t.Context(), w.Admin, s.ID, "x", 2); !fault.Is(err, fault.Invalid) {
			t.Errorf("a cursor of nobody: %v", err)
		}
		r.answer(http.StatusOK)
		n, err := w.Redeliver(t.Context(), w.Admin, s.ID, nil)
		must(t, err)
		w.deliver(t, s.ID)
		if _, dead := w.counts(t, s.ID); n != 7 || dead != 0 {
			t.Errorf("sent %d again, %d stay dead", n, dead)
		}
	})
}

func TestSickEndpointIsAskedOneAtATime(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
	r.answer(http.StatusBadGateway)
	for i := range 200 {
		w.emit(t, name(i))
	}
	w.deliver(t, s.ID)
	down := len(r.received())
	for range 60 {
		w.Advance(10 * time.Second)
		w.deliver(t, s.ID)
	}
	asked := len(r.received()) - down
	if down > 48 || asked > 12 {
		t.Errorf("%d requests at once, then %d in ten minutes", down, asked)
	}

	r.answer(http.StatusOK)
	for range 8 {
		w.Advance(time.Minute)
		w.deliver(t, s.ID)
	}
	w.Advance(time.Hour)
	w.deliver(t, s.ID)
	if waiting, dead := w.counts(t, s.ID); waiting != 0 || dead != 0 {
		t.Errorf("%d wait, %d dead though it is back", waiting, dead)
	}
}

func TestEventThatNobodyWantsCostsItsRowAlone(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	w.subscribe(t, subscription.Draft{Filter: subscription.Filter{Source: "/vaults/other"}, Endpoint: r.endpoint()})
	before := rows(t, w.DB, `SELECT COUNT(*) FROM event_deliveries`)
	for range 10 {
		w.emit(t, "a")
	}
	if after := rows(t, w.DB, `SELECT COUNT(*) FROM event_deliveries`); after != before {
		t.Errorf("deliveries before %s, after %s", before, after)
	}
}
