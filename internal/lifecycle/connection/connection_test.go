package connection_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/connection"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"github.com/google/go-cmp/cmp"
)

const canary = "canary-71ac"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func azure(change map[string]any) connector.Settings {
	m := map[string]any{"url": "https://a.vault.example", "tenant": "adfs", "clientId": "c", "clientSecret": canary}
	for k, v := range change {
		m[k] = v
		if v == nil {
			delete(m, k)
		}
	}
	b, _ := json.Marshal(m)
	return b
}

func create(t testing.TB, w *World, d connection.Draft) connection.Connection {
	t.Helper()
	c, err := w.Connections.Create(t.Context(), w.Caller, d)
	must(t, err)
	return c
}

func TestSecretsOfAConnectionAreNeverShown(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		made := create(t, w, connection.Draft{Name: "Payroll", Connector: "azurekeyvault", Settings: azure(nil)})

		got, err := w.Connections.Get(t.Context(), w.Caller, made.ID)
		must(t, err)
		list, err := w.Connections.List(t.Context(), w.Caller, "", 10)
		must(t, err)
		shown, err := json.Marshal([]any{made, got, list, w.Events(), w.Records(t, "")})
		must(t, err)

		if text := string(shown) + fmt.Sprintf("%+v %#v", got, got); strings.Contains(text, canary) {
			t.Errorf("the secret is shown: %s", text)
		}
		if d := cmp.Diff([]string{"clientSecret"}, got.Secrets); d != "" {
			t.Error(d)
		}
		if got.Settings["url"] != "https://a.vault.example" || len(list) != 1 || got.Kinds[0] != connector.SourceKind {
			t.Errorf("got %+v", got)
		}
		if len(w.Records(t, "ConnectionCreate")) != 1 || w.Count("Chatelaine.ConnectionCreated") != 1 {
			t.Error("nobody was told")
		}
	})
}

func TestUpdateKeepsTheSecretUnlessItWouldGoElsewhere(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	made := create(t, w, connection.Draft{Name: "Payroll", Connector: "azurekeyvault", Settings: azure(nil)})

	_, err := w.Connections.Update(t.Context(), w.Caller, made.ID, connection.Draft{Name: "Payroll 2", Settings: azure(map[string]any{"clientSecret": nil, "clientId": "d"})})
	must(t, err)
	stored, err := w.Store.Connection(t.Context(), made.ID)
	must(t, err)
	if !strings.Contains(string(stored.Settings), canary) || stored.Name != "Payroll 2" {
		t.Error("the secret is lost")
	}

	_, err = w.Connections.Update(t.Context(), w.Caller, made.ID, connection.Draft{Name: "Payroll", Settings: azure(map[string]any{"clientSecret": nil, "url": "https://thief.example"})})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want fault.Invalid", err)
	}
	_, err = w.Connections.Update(t.Context(), w.Caller, made.ID, connection.Draft{Name: "Payroll", Settings: azure(map[string]any{"url": "http://a"})})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("bad settings: got %v, want fault.Invalid", err)
	}
	_, err = w.Connections.Update(t.Context(), w.Caller, made.ID, connection.Draft{Name: "Payroll", Connector: "files", Settings: azure(nil)})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("other connector: got %v, want fault.Invalid", err)
	}
}

func TestBadConnectionsAreRefused(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	create(t, w, connection.Draft{Name: "Taken", Connector: "azurekeyvault", Settings: azure(nil)})
	for name, c := range map[string]struct {
		d    connection.Draft
		want fault.Kind
	}{
		"name":      {connection.Draft{Name: "", Connector: "azurekeyvault", Settings: azure(nil)}, fault.Invalid},
		"long name": {connection.Draft{Name: strings.Repeat("n", 65), Connector: "azurekeyvault", Settings: azure(nil)}, fault.Invalid},
		"markup":    {connection.Draft{Name: "<b>", Connector: "azurekeyvault", Settings: azure(nil)}, fault.Invalid},
		"taken":     {connection.Draft{Name: "taken", Connector: "azurekeyvault", Settings: azure(nil)}, fault.Conflict},
		"connector": {connection.Draft{Name: "a", Connector: "nonsense", Settings: azure(nil)}, fault.Invalid},
		"settings":  {connection.Draft{Name: "a", Connector: "azurekeyvault", Settings: azure(map[string]any{"url": "http://a"})}, fault.Invalid},
		"nothing":   {connection.Draft{Name: "a", Connector: "azurekeyvault"}, fault.Invalid},
	} {
		if _, err := w.Connections.Create(t.Context(), w.Caller, c.d); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestTestKeepsWhatCameOfIt(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")

	works, err := w.Connections.Test(t.Context(), w.Caller, p.Connection.ID)
	must(t, err)
	if works.Problem != "" || works.Checked.IsZero() {
		t.Errorf("got %+v", works)
	}

	must(t, os.RemoveAll(p.Dir+"/etc"))
	broken, err := w.Connections.Test(t.Context(), w.Caller, p.Connection.ID)
	must(t, err)
	again, err := w.Connections.Get(t.Context(), w.Caller, p.Connection.ID)
	must(t, err)
	if !strings.Contains(broken.Problem, "is not a directory") || again.Problem != broken.Problem {
		t.Errorf("got %q, then %q", broken.Problem, again.Problem)
	}
}

func TestConnectionInUseIsNotDeleted(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p)
	if err := w.Connections.Delete(t.Context(), w.Caller, p.Connection.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want fault.Conflict", err)
	}

	must(t, w.Lineages.Remove(t.Context(), w.Caller, l.ID))
	must(t, w.Connections.Delete(t.Context(), w.Caller, p.Connection.ID))

	if _, err := w.Connections.Get(t.Context(), w.Caller, p.Connection.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want fault.NotFound", err)
	}
}

func TestConnectionIsOpenedAsWhatItOffers(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	source := create(t, w, connection.Draft{Name: "Payroll", Connector: "azurekeyvault", Settings: azure(nil)})
	target := w.NewProgram(t, "shop.example").Connection
	ctx := t.Context()

	_, err := w.Connections.Source(ctx, source.ID)
	must(t, err)
	_, err = w.Connections.Target(ctx, target.ID)
	must(t, err)

	if _, err := w.Connections.Target(ctx, source.ID); !fault.HasCode(err, "KindNotOffered") {
		t.Errorf("got %v", err)
	}
	if _, err := w.Connections.Source(ctx, target.ID); !fault.HasCode(err, "KindNotOffered") {
		t.Errorf("got %v", err)
	}
	if err := w.Connections.CheckPlace(ctx, source.ID, connector.Settings(`{}`)); !fault.HasCode(err, "KindNotOffered") {
		t.Errorf("got %v", err)
	}
	if _, err := w.Connections.Source(ctx, "nonsense"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsDoneWithoutTheRight(t *testing.T) {
	for operation, c := range map[string]struct {
		action access.Action
		do     func(ctx context.Context, w *World, id string) error
	}{
		"create": {connection.Write, func(ctx context.Context, w *World, _ string) error {
			_, err := w.Connections.Create(ctx, w.Caller, connection.Draft{Name: "a", Connector: "azurekeyvault", Settings: azure(nil)})
			return err
		}},
		"get": {connection.Read, func(ctx context.Context, w *World, id string) error {
			_, err := w.Connections.Get(ctx, w.Caller, id)
			return err
		}},
		"list": {connection.Read, func(ctx context.Context, w *World, _ string) error {
			_, err := w.Connections.List(ctx, w.Caller, "", 10)
			return err
		}},
		"delete": {connection.Delete, func(ctx context.Context, w *World, id string) error { return w.Connections.Delete(ctx, w.Caller, id) }},
		"test": {connection.Run, func(ctx context.Context, w *World, id string) error {
			_, err := w.Connections.Test(ctx, w.Caller, id)
			return err
		}},
		"update": {connection.Write, func(ctx context.Context, w *World, id string) error {
			_, err := w.Connections.Update(ctx, w.Caller, id, connection.Draft{Name: "b", Settings: azure(nil)})
			return err
		}},
	} {
		w := New(t, storagetest.SQLite(t))
		made := create(t, w, connection.Draft{Name: "Payroll", Connector: "azurekeyvault", Settings: azure(nil)})
		before, err := w.Store.Connections(t.Context(), "", 10)
		must(t, err)
		w.Deny(c.action)

		if err := c.do(t.Context(), w, made.ID); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: got %v, want fault.Denied", operation, err)
		}

		after, err := w.Store.Connections(t.Context(), "", 10)
		must(t, err)
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("%s: something changed:\n%s", operation, d)
		}
	}
}
