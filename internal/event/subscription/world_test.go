package subscription_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/eventdb"
)

// world is subscriptions on a real database, and a clock that a test moves.
type world struct {
	*subscription.Service
	*accesstest.Floor
	Log   *event.Log
	Store *eventdb.Subscriptions
	Admin access.Caller
	Said  *lockedBuffer // the log
}

// lockedBuffer is written by many at a time.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB, db *storage.DB) *world {
	t.Helper()
	w := &world{Floor: accesstest.New(t, db), Said: &lockedBuffer{}}
	w.Admin = w.Administrator()
	w.Store = eventdb.NewSubscriptions(db, w.Box)
	w.Log = event.New(event.Config{Store: eventdb.New(db), Transact: db.Transact, Now: w.Time, Log: slog.New(slog.DiscardHandler)})
	w.Service = w.node(t)
	w.Log.Forward(w.Service)
	return w
}

// node opens the service once more, as a restart or another process does.
func (w *world) node(t testing.TB) *subscription.Service {
	t.Helper()
	s := subscription.New(subscription.Deps{
		Store: w.Store, Deliveries: w.Store, Events: w.Log, Transact: w.DB.Transact, Audit: w.Floor, Refusals: w.Refusals, Guard: w.Directory,
		Transport: &http.Transport{}, PlainHTTP: true, Origin: "vault.example",
		Callback: func(id, code string) string { return "https://vault.example/agree/" + id + "/" + code },
		Source:   func(source string) string { return "https://vault.example" + source },
		Holder:   rand.Text(), Now: w.Time, Log: slog.New(slog.NewTextHandler(w.Said, nil)),
	})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) emit(t testing.TB, subject string) {
	t.Helper()
	e := event.Event{Source: "/vaults/a", Type: "Microsoft.KeyVault.SecretNewVersionCreated", Subject: subject, Data: json.RawMessage(`{"Version":"1"}`)}
	if err := w.Log.Emit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// deliver runs rounds until nothing is due.
func (w *world) deliver(t testing.TB, id string) {
	t.Helper()
	for {
		n, err := w.Deliver(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func (w *world) subscribe(t testing.TB, d subscription.Draft) subscription.Subscription {
	t.Helper()
	if d.Name == "" {
		d.Name = "n" + rand.Text()
	}
	if d.Source == "" {
		d.Source = "/vaults"
	}
	s, err := w.Create(t.Context(), w.Admin, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) counts(t testing.TB, id string) (waiting, dead int) {
	t.Helper()
	s, err := w.Get(t.Context(), w.Admin, id)
	if err != nil {
		t.Fatal(err)
	}
	return s.Waiting, s.Dead
}

// receiver is an endpoint that agrees to both handshakes, and notes what it is sent.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	status  int // of its answers to events; 0 is 200
	silent  bool
	header  http.Header // of its answers
	asked   []sent
	got     []sent
	arrived chan string // subjects of events
}

type sent struct {
	method string
	header http.Header
	body   string
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{header: http.Header{}, arrived: make(chan string, 10_000)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) endpoint() access.Secret {
	return access.NewSecret(r.URL + "/hook?code=canary-d3c1")
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) received() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]sent(nil), r.got...)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := sent{q.Method, q.Header.Clone(), string(body)}
	grid := q.Header.Get("aeg-event-type") == "SubscriptionValidation"
	if q.Method == http.MethodOptions || grid {
		r.asked = append(r.asked, s)
		switch {
		case r.silent:
		case grid:
			var events []struct {
				Data struct{ ValidationCode string }
			}
			_ = json.Unmarshal(body, &events)
			_ = json.NewEncoder(w).Encode(map[string]string{"validationResponse": events[0].Data.ValidationCode})
		default:
			w.Header().Set("WebHook-Allowed-Origin", q.Header.Get("WebHook-Request-Origin"))
		}
		return
	}
	r.got = append(r.got, s)
	for name, values := range r.header {
		w.Header()[name] = values
	}
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
	var one struct{ Subject string }
	_ = json.Unmarshal([]byte(strings.Trim(string(body), "[]")), &one)
	r.arrived <- one.Subject
}

const patience = 20 * time.Second

func next(t testing.TB, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(patience):
		t.Fatal("nothing arrived in time")
		return ""
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func subjects(list []sent) string {
	var all []string
	for _, s := range list {
		var one struct{ Subject string }
		_ = json.Unmarshal([]byte(strings.Trim(s.body, "[]")), &one)
		all = append(all, one.Subject)
	}
	return strings.Join(all, " ")
}

// transact runs fn in one transaction.
func (w *world) transact(t testing.TB, fn func(ctx context.Context) error) error {
	t.Helper()
	return w.DB.Transact(t.Context(), fn)
}

func name(i int) string { return fmt.Sprintf("s%03d", i) }
