package app

import (
	"log/slog"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// A program that plans otherwise than the one before asks every object anew, once.
func TestAnUpgradePlansAnew(t *testing.T) {
	c := config.Default()
	c.Data, c.Listen, c.Status = t.TempDir(), "127.0.0.1:0", "off"
	a, err := Open(t.Context(), Config{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	expires := time.Now().Add(1000 * day)
	if _, err := a.Keys.Create(ctx, access.System("test"), object.Ref{Vault: "default", Name: "a"}, keys.CreateRequest{
		Type: "EC", Attributes: object.Attributes{Expires: &expires},
	}); err != nil {
		t.Fatal(err)
	}
	dues := func() (n int) {
		if err := a.db.QueryRow(ctx, `SELECT count(*) FROM dues WHERE name = 'a'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := dues()
	if _, err := a.db.Exec(ctx, `DELETE FROM dues`); err != nil || want == 0 {
		t.Fatalf("%d rows, %v", want, err)
	}

	if err := a.handleRebuildAgenda(ctx, rebuildAgenda{Plans: "another program's"}); err != nil || dues() != 0 {
		t.Errorf("asked by another program, it made %d rows: %v", dues(), err)
	}
	if err := a.handleRebuildAgenda(ctx, rebuildAgenda{Plans: a.registry.Plans()}); err != nil || dues() != want {
		t.Errorf("%d rows, want %d: %v", dues(), want, err)
	}
	if last, err := a.settings.Get(ctx, plansSetting); err != nil || string(last) != a.registry.Plans() {
		t.Errorf("remembered %q: %v", last, err)
	}
}
