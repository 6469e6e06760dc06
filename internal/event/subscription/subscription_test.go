package subscription_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestEventArrivesInTheSchemaThatWasAskedFor(t *testing.T) {
	for schema, want := range map[subscription.Schema]struct{ body, content string }{
		subscription.CloudEvents: {
			`{"id":"e1","source":"https://vault.example/vaults/a","subject":"db","type":"Microsoft.KeyVault.SecretExpired","time":"2026-03-01T12:00:00Z","data":{"EXP":1},"specversion":"1.0"}`,
			"application/cloudevents+json; charset=utf-8",
		},
		subscription.EventGrid: {
			`[{"id":"e1","topic":"https://vault.example/vaults/a","subject":"db","eventType":"Microsoft.KeyVault.SecretExpired","eventTime":"2026-03-01T12:00:00Z","data":{"EXP":1},"dataVersion":"1","metadataVersion":"1"}]`,
			"application/json; charset=utf-8",
		},
	} {
		t.Run(string(schema), func(t *testing.T) {
			storagetest.Each(t, func(t *testing.T, db *storage.DB) {
				w, r := newWorld(t, db), newReceiver(t)
				s := w.subscribe(t, subscription.Draft{Schema: schema, Endpoint: r.endpoint()})
				if s.State != subscription.Active || len(r.asked) != 1 {
					t.Fatalf("state %s (%s) after %d handshakes", s.State, s.Problem, len(r.asked))
				}

				must(t, w.Log.Emit(t.Context(), event.Event{
					ID: "e1", Source: "/vaults/a", Type: "Microsoft.KeyVault.SecretExpired", Subject: "db", Data: json.RawMessage(`{"EXP":1}`),
					Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
				}))
				w.deliver(t, s.ID)

				got := r.received()
				if len(got) != 1 {
					t.Fatalf("%d deliveries", len(got))
				}
				if d := cmp.Diff(want.body, got[0].body); d != "" {
					t.Error(d)
				}
				if c := got[0].header.Get("Content-Type"); c != want.content {
					t.Errorf("content type %q", c)
				}
				if schema == subscription.EventGrid && (got[0].header.Get("aeg-event-type") != "Notification" || got[0].header.Get("aeg-delivery-count") != "0") {
					t.Errorf("headers %v", got[0].header)
				}
				if waiting, dead := w.counts(t, s.ID); waiting != 0 || dead != 0 {
					t.Errorf("%d wait, %d dead", waiting, dead)
				}
			})
		})
	}
}

func TestNothingIsSentBeforeTheEndpointAgreed(t *testing.T) {
	for _, schema := range []subscription.Schema{subscription.CloudEvents, subscription.EventGrid} {
		t.Run(string(schema), func(t *testing.T) {
			storagetest.Each(t, func(t *testing.T, db *storage.DB) {
				w, r := newWorld(t, db), newReceiver(t)
				r.silent = true
				s := w.subscribe(t, subscription.Draft{Schema: schema, Endpoint: r.endpoint()})
				if s.State != subscription.Pending || s.Problem == "" {
					t.Fatalf("state %s, problem %q of an endpoint that did not agree", s.State, s.Problem)
				}
				w.emit(t, "early")
				w.deliver(t, s.ID)
				id, code := link(t, r.asked[0])

				for what, wrong := range map[string][2]string{"another code": {id, code + "x"}, "no code": {id, ""}, "another subscription": {"x", code}} {
					if err := w.Confirm(t.Context(), access.Origin{}, wrong[0], wrong[1]); !fault.Is(err, fault.NotFound) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if got := r.received(); len(got) != 0 {
					t.Fatalf("sent %v to an endpoint that did not agree", got)
				}
				must(t, w.Confirm(t.Context(), access.Origin{Address: "192.0.2.7"}, id, code))
				if err := w.Confirm(t.Context(), access.Origin{}, id, code); !fault.Is(err, fault.NotFound) {
					t.Errorf("the link works twice: %v", err)
				}
				w.emit(t, "wanted")
				w.deliver(t, s.ID)

				if got := subjects(r.received()); got != "wanted" {
					t.Errorf("sent %q", got)
				}
			})
		})
	}
}

// link finds what the handshake says for consent by hand.
func link(t *testing.T, s sent) (id, code string) {
	t.Helper()
	address := s.header.Get("WebHook-Request-Callback")
	if address == "" {
		var events []struct {
			Data struct{ ValidationURL string }
		}
		must(t, json.Unmarshal([]byte(s.body), &events))
		address = events[0].Data.ValidationURL
	}
	parts := strings.Split(address, "/")
	if len(parts) != 6 {
		t.Fatalf("link %q", address)
	}
	return parts[4], parts[5]
}

func TestLinkOfAnEndpointEnds(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	r.silent = true
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
	id, code := link(t, r.asked[0])
	w.Advance(10 * time.Minute)

	if err := w.Confirm(t.Context(), access.Origin{}, id, code); !fault.Is(err, fault.NotFound) {
		t.Fatalf("after its time: %v", err)
	}
	trial, err := w.Test(t.Context(), w.Admin, s.ID)
	must(t, err)
	if trial.State != subscription.Pending || trial.Problem == "" {
		t.Errorf("test of a silent endpoint: %+v", trial)
	}
	_, fresh := link(t, r.asked[1])
	if err := w.Confirm(t.Context(), access.Origin{}, id, code); fresh == code || !fault.Is(err, fault.NotFound) {
		t.Errorf("the old link works again: %v", err)
	}
	must(t, w.Confirm(t.Context(), access.Origin{}, id, fresh))
}

func TestTestSaysWhatTheEndpointAnswers(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})

	good, err := w.Test(t.Context(), w.Admin, s.ID)
	must(t, err)
	r.answer(http.StatusTeapot)
	bad, err := w.Test(t.Context(), w.Admin, s.ID)
	must(t, err)

	if good.Answer != "200 OK" || good.Problem != "" || !strings.Contains(r.received()[0].body, subscription.TestType) {
		t.Errorf("%+v", good)
	}
	if !strings.Contains(bad.Problem, "418") {
		t.Errorf("%+v", bad)
	}
}

func TestFilterLetsThroughWhatWasAskedFor(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	for what, c := range map[string]struct {
		filter subscription.Filter
		want   string
	}{
		"everything":              {subscription.Filter{Source: "/"}, "alpha beta gamma delta"},
		"one vault":               {subscription.Filter{Source: "/vaults/A"}, "alpha beta"},
		"no other of that prefix": {subscription.Filter{Source: "/vaults/a/"}, ""},
		"a type":                  {subscription.Filter{Source: "/", Types: []string{"Microsoft.KeyVault.SecretExpired"}}, "beta"},
		"beginnings":              {subscription.Filter{Source: "/", Types: []string{"Microsoft.KeyVault.Key*", "Chatelaine.*"}}, "gamma delta"},
		"no beginning by itself":  {subscription.Filter{Source: "/", Types: []string{"Microsoft.KeyVault.Secret"}}, ""},
		"subjects":                {subscription.Filter{Source: "/", SubjectPrefix: "AL", SubjectSuffix: "HA"}, "alpha"},
		"a long subject":          {subscription.Filter{Source: "/", SubjectPrefix: strings.Repeat("a", 100)}, ""},
	} {
		r.mu.Lock()
		r.got = nil
		r.mu.Unlock()
		s, err := w.Create(t.Context(), w.Admin, subscription.Draft{Name: "n", Filter: c.filter, Endpoint: r.endpoint()})
		if fault.HasCode(err, "InvalidScope") || fault.HasCode(err, "InvalidSource") {
			if c.want != "" {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		must(t, err)
		w.deliver(t, s.ID) // that it was made
		r.mu.Lock()
		r.got = nil
		r.mu.Unlock()
		for _, e := range []event.Event{
			{Source: "/vaults/a", Type: "Microsoft.KeyVault.SecretNewVersionCreated", Subject: "alpha"},
			{Source: "/vaults/a", Type: "Microsoft.KeyVault.SecretExpired", Subject: "beta"},
			{Source: "/vaults/ab", Type: "Microsoft.KeyVault.KeyExpired", Subject: "gamma"},
			{Source: "/certificates", Type: "Chatelaine.CertificateRevoked", Subject: "delta"},
		} {
			must(t, w.Log.Emit(t.Context(), e))
			w.deliver(t, s.ID)
		}
		if got := subjects(r.received()); got != c.want {
			t.Errorf("%s: sent %q, want %q", what, got, c.want)
		}
		must(t, w.Delete(t.Context(), w.Admin, s.ID))
	}
}

func TestAddressIsShownWithoutWhatMayBeAToken(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	for endpoint, want := range map[string]string{
		"https://hooks.example":                       "https://hooks.example/",
		"https://hooks.example/rotate":                "https://hooks.example/rotate",
		"https://hooks.example:8443/services/T0/B0/X": "https://hooks.example:8443/services/…",
		"https://app.example/eventgrid?code=a%20b":    "https://app.example/eventgrid?…",
		"https://app.example/a/b?c":                   "https://app.example/a/…?…",
	} {
		x := subscription.Stored{ID: want, Name: want, Endpoint: access.NewSecret(endpoint), Filter: subscription.Filter{Source: "/"}, Revision: 1}
		must(t, w.Store.InsertSubscription(t.Context(), x))
		shown, err := w.Get(t.Context(), w.Admin, x.ID)
		must(t, err)
		if shown.Endpoint != want {
			t.Errorf("%s is shown as %s, want %s", endpoint, shown.Endpoint, want)
		}
	}
}

func TestSecretsOfASubscriptionAreNeverShown(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		key := subscription.KeyPrefix + base64.StdEncoding.EncodeToString([]byte("canary-d3c1-canary-d3c1-canary-d3c1"))
		s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint(), Key: access.NewSecret(key)})
		r.Close() // now errors of the network come, which name addresses
		w.emit(t, "a")
		w.deliver(t, s.ID)
		trial, err := w.Test(t.Context(), w.Admin, s.ID)
		must(t, err)
		stored, err := w.Store.Subscription(t.Context(), s.ID)
		must(t, err)
		if stored.Key.Reveal() != key || !strings.Contains(stored.Endpoint.Reveal(), "canary-d3c1") {
			t.Fatal("what was stored is not what was given")
		}
		shown, err := w.Get(t.Context(), w.Admin, s.ID)
		must(t, err)
		if _, err := w.Create(t.Context(), w.Admin, subscription.Draft{Name: "x", Filter: subscription.Filter{Source: "/"}, Endpoint: access.NewSecret("ftp://canary-d3c1")}); err == nil {
			t.Error("took ftp")
		} else if strings.Contains(err.Error(), "canary-d3c1") {
			t.Errorf("the refusal repeats the address: %v", err)
		}

		var said []string
		for _, v := range []any{shown, trial, stored} {
			b, err := json.Marshal(v)
			must(t, err)
			said = append(said, string(b), fmt.Sprintf("%v %+v %#v", v, v, v))
		}
		for _, rec := range w.Records(t, "") {
			said = append(said, fmt.Sprintf("%+v", rec))
		}
		said = append(said, w.Said.String(), rows(t, db, `SELECT name_key || encode_hex(sealed) FROM event_subscriptions`), rows(t, db, `SELECT problem FROM event_deliveries`),
			rows(t, db, `SELECT source || type || subject || data FROM events`))
		for _, text := range said {
			if strings.Contains(text, "canary-d3c1") || strings.Contains(text, key[len(subscription.KeyPrefix):]) {
				t.Errorf("a secret is in %.300s", text)
			}
		}
		if trial.Problem == "" || !strings.Contains(shown.Endpoint, "/hook?") {
			t.Errorf("trial %+v, endpoint %q", trial, shown.Endpoint)
		}
	})
}

// rows reads a column of text; sealed bytes as they are.
func rows(t *testing.T, db *storage.DB, query string) string {
	t.Helper()
	query = strings.ReplaceAll(query, "name_key || encode_hex(sealed)", "sealed")
	found, err := db.Query(t.Context(), query)
	must(t, err)
	defer found.Close()
	var all strings.Builder
	for found.Next() {
		var b []byte
		must(t, found.Scan(&b))
		all.Write(b)
	}
	must(t, found.Err())
	return all.String()
}

func TestSubscriberOfOneVaultHearsOfThatVaultAlone(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		ctx := t.Context()
		one := w.Application(t, "one", "Subscriber", "/vaults/a")
		auditor := w.Application(t, "auditor", "Auditor", "/")
		draft := func(name, source string) subscription.Draft {
			return subscription.Draft{Name: name, Filter: subscription.Filter{Source: source}, Endpoint: r.endpoint()}
		}
		own, err := w.Create(ctx, one, draft("own", "/vaults/a/secrets"))
		must(t, err)
		all := w.subscribe(t, draft("all", "/"))
		for _, source := range []string{"/", "/vaults", "/vaults/b", "/vaults/ab"} {
			if _, err := w.Create(ctx, one, draft("x", source)); !fault.Is(err, fault.Denied) {
				t.Errorf("subscribed to %s: %v", source, err)
			}
		}

		for what, do := range map[string]func(c access.Caller, id string) error{
			"get":    func(c access.Caller, id string) error { _, err := w.Get(ctx, c, id); return err },
			"letter": func(c access.Caller, id string) error { _, err := w.DeadLetters(ctx, c, id, "", 10); return err },
			"test":   func(c access.Caller, id string) error { _, err := w.Test(ctx, c, id); return err },
			"again":  func(c access.Caller, id string) error { _, err := w.Redeliver(ctx, c, id, nil); return err },
			"delete": func(c access.Caller, id string) error { return w.Delete(ctx, c, id) },
		} {
			foreign, absent := do(one, all.ID), do(one, "00000000-0000-4000-8000-000000000000")
			if !fault.Is(foreign, fault.Denied) || !fault.Is(absent, fault.Denied) {
				t.Errorf("%s: another's %v, none %v; want denied for both", what, foreign, absent)
			}
			reads := what == "get" || what == "letter"
			if err := do(auditor, all.ID); reads != (err == nil) {
				t.Errorf("%s by an auditor: %v", what, err)
			}
			if err := do(w.Admin, "00000000-0000-4000-8000-000000000000"); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s of none by the administrator: %v", what, err)
			}
		}
		if _, err := w.List(ctx, one, "/", "", 10); !fault.Is(err, fault.Denied) {
			t.Errorf("listed everything: %v", err)
		}
		list, err := w.List(ctx, one, "/vaults/a", "", 10)
		must(t, err)
		if len(list) != 1 || list[0].ID != own.ID {
			t.Errorf("listed %+v", list)
		}
		must(t, w.Delete(ctx, one, own.ID))
	})
}

func TestEveryChangeOfASubscriptionIsRecorded(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	r.silent = true
	s := w.subscribe(t, subscription.Draft{Endpoint: r.endpoint()})
	_, err := w.Test(t.Context(), w.Admin, s.ID)
	must(t, err)
	id, code := link(t, r.asked[1])
	must(t, w.Confirm(t.Context(), access.Origin{Address: "192.0.2.7"}, id, code))
	_, err = w.Redeliver(t.Context(), w.Admin, s.ID, nil)
	must(t, err)
	must(t, w.Delete(t.Context(), w.Admin, s.ID))

	var got []string
	for _, rec := range w.Records(t, "") {
		if strings.HasPrefix(rec.Operation, "Subscription") {
			got = append(got, fmt.Sprint(rec.Operation, " ", rec.Outcome))
			if rec.Target != subscription.Path(s.ID) {
				t.Errorf("%s of %s", rec.Operation, rec.Target)
			}
		}
	}
	want := []string{
		"SubscriptionCreate success", "SubscriptionValidate failed", "SubscriptionTest success", "SubscriptionValidate failed",
		"SubscriptionConfirm success", "SubscriptionRedeliver success", "SubscriptionDelete success",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	w.FailAudit(true)
	_, err = w.Create(t.Context(), w.Admin, subscription.Draft{Name: "x", Filter: subscription.Filter{Source: "/"}, Endpoint: r.endpoint()})
	w.FailAudit(false)
	if err == nil {
		t.Error("made without a record")
	}
	if list, err := w.List(t.Context(), w.Admin, "/", "", 10); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

func TestSubscriptionsThatMakeNoSenseAreRefused(t *testing.T) {
	w, r := newWorld(t, storagetest.SQLite(t)), newReceiver(t)
	w.PlainHTTP = false
	good := subscription.Draft{Name: "a", Filter: subscription.Filter{Source: "/"}, Endpoint: access.NewSecret("https://hooks.example/a")}
	for what, edit := range map[string]func(d *subscription.Draft){
		"no name":          func(d *subscription.Draft) { d.Name = "" },
		"a name of tricks": func(d *subscription.Draft) { d.Name = "a\nb" },
		"no source":        func(d *subscription.Draft) { d.Source = "vaults" },
		"two stars":        func(d *subscription.Draft) { d.Types = []string{"*.*"} },
		"an empty type":    func(d *subscription.Draft) { d.Types = []string{""} },
		"many types":       func(d *subscription.Draft) { d.Types = make([]string, 51) },
		"a long subject":   func(d *subscription.Draft) { d.SubjectPrefix = strings.Repeat("x", 513) },
		"plain http":       func(d *subscription.Draft) { d.Endpoint = r.endpoint() },
		"another scheme":   func(d *subscription.Draft) { d.Endpoint = access.NewSecret("file:///etc/passwd") },
		"no host":          func(d *subscription.Draft) { d.Endpoint = access.NewSecret("https:///a") },
		"a password":       func(d *subscription.Draft) { d.Endpoint = access.NewSecret("https://a:b@hooks.example/") },
		"a fragment":       func(d *subscription.Draft) { d.Endpoint = access.NewSecret("https://hooks.example/#a") },
		"a long address": func(d *subscription.Draft) {
			d.Endpoint = access.NewSecret("https://hooks.example/" + strings.Repeat("x", 2048))
		},
		"another schema": func(d *subscription.Draft) { d.Schema = "x" },
		"a short key":    func(d *subscription.Draft) { d.Key = access.NewSecret("whsec_AAAA") },
		"a bare key": func(d *subscription.Draft) {
			d.Key = access.NewSecret(base64.StdEncoding.EncodeToString(make([]byte, 32)))
		},
	} {
		d := good
		edit(&d)
		if _, err := w.Create(t.Context(), w.Admin, d); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(r.asked) != 0 {
		t.Error("asked an endpoint that was refused")
	}
}

// A flood of events for an endpoint that is down must not become a flood of requests.
