package expiry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault/expiry"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

const day = 24 * time.Hour

// house is a vault whose end of things is told.
type house struct {
	*vaulttest.Floor
	agenda  *object.Agenda
	secrets *secrets.Service
	down    bool // events cannot be stored
}

func newHouse(t *testing.T, db *storage.DB) *house {
	t.Helper()
	h := &house{Floor: vaulttest.New(t, db)}
	d := h.Deps
	d.Events = h
	d.Address = func(vault string) string { return "https://" + vault + ".vault.example" }
	h.agenda = object.NewAgenda(d, vaultdb.New(db), slog.New(slog.DiscardHandler))
	expiry.Tell(d, h.agenda)
	h.secrets = secrets.New(d)
	return h
}

// Emit implements event.Emitter.
func (h *house) Emit(ctx context.Context, e event.Event) error {
	if h.down {
		return errors.New("the disk is full")
	}
	return h.Floor.Emit(ctx, e)
}

func (h *house) later(t *testing.T, d time.Duration) {
	t.Helper()
	h.Advance(d)
	if err := h.agenda.HandleDue(t.Context(), object.DueArgs{}); err != nil {
		t.Fatal(err)
	}
}

// told is what was said of ends: "SecretExpired name".
func (h *house) told() []string {
	list := []string{}
	for _, e := range h.Events() {
		if kind := strings.TrimPrefix(e.Type, "Microsoft.KeyVault."); strings.HasSuffix(kind, "Expiry") || strings.HasSuffix(kind, "Expired") {
			list = append(list, kind+" "+e.Subject)
		}
	}
	return list
}

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

func (h *house) set(t *testing.T, name string, a object.Attributes) object.Entry {
	t.Helper()
	e, err := h.secrets.Set(t.Context(), h.Caller, ref(name), secrets.SetRequest{Value: "v", Attributes: a})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// put writes a version of any kind, as its service would.
func (h *house) put(t *testing.T, k object.Kind, name string, expires time.Time, managed bool) {
	t.Helper()
	if err := h.Transact(t.Context(), func(ctx context.Context) error {
		v, err := h.Vaults.Open(ctx, vaulttest.Vault)
		if err != nil {
			return err
		}
		_, err = v.Append(ctx, k, name, object.Version{Expires: expires, Enabled: true, Managed: managed, Body: []byte("{}")}, func(x *object.Head, _ *object.Version) error {
			x.Managed = managed
			return nil
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestEndOfEachKindIsToldOnceAndInTime(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		end := h.Time().Add(100 * day)
		h.put(t, object.Keys, "k", end, false)
		h.put(t, object.Secrets, "s", end, false)
		h.put(t, object.Certificates, "c", end, false)
		h.put(t, object.Keys, "c", end, true) // the certificate stands for its key and secret
		h.put(t, object.Secrets, "c", end, true)
		h.put(t, object.Secrets, "forever", time.Time{}, false)
		near := []string{"SecretNearExpiry s", "CertificateNearExpiry c"}
		all := append(slices.Clone(near), "KeyExpired k", "SecretExpired s", "CertificateExpired c")

		for _, step := range []struct {
			wait time.Duration
			want []string
		}{
			{70*day - time.Second, []string{}},
			{2 * time.Second, near},
			{30*day - 2*time.Second, near},
			{2 * time.Second, all},
			{365 * day, all},
		} {
			h.later(t, step.wait)
			got := h.told()
			slices.Sort(got)
			want := slices.Clone(step.want)
			slices.Sort(want)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s later:\n%s", step.wait, d)
			}
		}
		ops := h.Operations(t)
		for _, op := range []string{"SecretNearExpiryEventGridNotification", "SecretExpiredEventGridNotification", "KeyExpiredEventGridNotification", "CertificateNearExpiryEventGridNotification"} {
			if n := len(slices.DeleteFunc(slices.Clone(ops), func(x string) bool { return x != op })); n != 1 {
				t.Errorf("%d records of %s", n, op)
			}
		}
	})
}

func TestEventHasAzuresFieldsAndARealAddress(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	begin, end := h.Time().Add(-day), h.Time().Add(day)
	e := h.set(t, "Db", object.Attributes{NotBefore: &begin, Expires: &end})
	h.later(t, time.Second)
	h.set(t, "open", object.Attributes{})

	events := h.Events()
	want := fmt.Sprintf(`{"Id":"https://payroll.vault.example/secrets/Db/%[1]s","VaultName":"payroll","ObjectType":"Secret","ObjectName":"Db","Version":"%[1]s","NBF":%d,"EXP":%d}`,
		e.Version.ID, begin.Unix(), end.Unix())
	var types []string
	for _, x := range events {
		types = append(types, x.Type+" "+x.Subject)
		if x.Source != "/vaults/payroll" || x.Subject == "Db" && string(x.Data) != want {
			t.Errorf("%s from %s: %s, want %s", x.Type, x.Source, x.Data, want)
		}
	}
	if d := cmp.Diff([]string{"Microsoft.KeyVault.SecretNewVersionCreated Db", "Microsoft.KeyVault.SecretNearExpiry Db", "Microsoft.KeyVault.SecretNewVersionCreated open"}, types); d != "" {
		t.Error(d)
	}
	var open map[string]any
	if err := json.Unmarshal(events[2].Data, &open); err != nil || open["EXP"] != nil || open["NBF"] != nil {
		t.Errorf("a version without an end: %s %v", events[2].Data, err)
	}
}

func TestToldTimeFollowsTheObject(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		soon, late := h.Time().Add(40*day), h.Time().Add(400*day)
		off := false
		for _, name := range []string{"moved", "replaced", "deleted", "recovered", "disabled", "kept"} {
			h.set(t, name, object.Attributes{Expires: &soon})
		}
		_, err := h.secrets.Update(t.Context(), h.Caller, ref("moved"), secrets.UpdateRequest{Attributes: object.Attributes{Expires: &late}})
		must(t, err)
		_, err = h.secrets.Update(t.Context(), h.Caller, ref("disabled"), secrets.UpdateRequest{Attributes: object.Attributes{Enabled: &off}})
		must(t, err)
		h.set(t, "replaced", object.Attributes{})
		for _, name := range []string{"deleted", "recovered"} {
			_, err = h.secrets.Delete(t.Context(), h.Caller, ref(name))
			must(t, err)
		}
		h.later(t, 41*day)
		_, err = h.secrets.Recover(t.Context(), h.Caller, ref("recovered"))
		must(t, err)
		h.later(t, time.Minute)

		got := h.told()
		slices.Sort(got)
		// The near end of what is over already is not told: its end is.
		if d := cmp.Diff([]string{"SecretExpired disabled", "SecretExpired kept", "SecretExpired recovered"}, got); d != "" {
			t.Error(d)
		}
		h.later(t, 365*day)
		if got := h.told(); !slices.Contains(got, "SecretExpired moved") {
			t.Errorf("told %q", got)
		}
	})
}

// A secret is often replaced by one that ends on the same day.
func TestSuccessorWithTheSameEndIsToldToo(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	end := h.Time().Add(40 * day)
	h.set(t, "a", object.Attributes{Expires: &end})
	h.later(t, 20*day)
	h.set(t, "a", object.Attributes{Expires: &end})
	h.later(t, time.Minute)
	h.later(t, 20*day)
	h.set(t, "a", object.Attributes{Expires: &end})
	h.later(t, time.Minute)

	if d := cmp.Diff([]string{"SecretNearExpiry a", "SecretNearExpiry a", "SecretExpired a", "SecretExpired a"}, h.told()); d != "" {
		t.Error(d)
	}
}

func TestWhatCouldNotBeToldIsToldLater(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		end := h.Time().Add(31 * day)
		h.set(t, "a", object.Attributes{Expires: &end})
		h.down = true
		h.later(t, 2*day)
		if got := h.told(); len(got) != 0 {
			t.Fatalf("told %q", got)
		}
		if ops := h.Operations(t); slices.Contains(ops, "SecretNearExpiryEventGridNotification") {
			t.Error("recorded what was not told")
		}
		h.down = false
		h.later(t, time.Hour)

		if d := cmp.Diff([]string{"SecretNearExpiry a"}, h.told()); d != "" {
			t.Error(d)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
