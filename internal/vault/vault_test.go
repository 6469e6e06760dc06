package vault_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
)

// world is a floor with the services of its vault.
type world struct {
	*vaulttest.Floor
	Service      *vault.Service
	Secrets      *secrets.Service
	Keys         *keys.Service
	Certificates *certificates.Service
	Sweeper      *vault.Sweeper
	roles        *roles
}

// roles notes where roles were taken away. The directory's own tests show that they are.
type roles struct{ forgotten []access.Scope }

// Forget implements vault.Assignments.
func (r *roles) Forget(_ context.Context, _ access.Caller, s access.Scope) error {
	r.forgotten = append(r.forgotten, s)
	return nil
}

func newWorld(t testing.TB, db *storage.DB) *world {
	t.Helper()
	w := &world{Floor: vaulttest.New(t, db), roles: &roles{}}
	w.services()
	return w
}

func (w *world) services() {
	d := w.Deps
	w.Service = vault.New(d)
	w.Service.Assignments = w.roles
	w.Secrets, w.Keys = secrets.New(d), keys.New(d, keystore.NewSoftware())
	w.Certificates = certificates.New(d, w.Keys, w.Secrets)
	store := vaultdb.New(w.DB)
	w.Sweeper = &vault.Sweeper{Vaults: w.Service, Rows: store, Stored: store, Purgers: map[object.Kind]vault.Purger{
		object.Keys: shelf{w.Keys.Shelf}, object.Secrets: shelf{w.Secrets.Shelf}, object.Certificates: w.Certificates,
	}}
}

// restart forgets what is in memory.
func (w *world) restart() {
	w.Reopen()
	w.services()
}

type shelf struct{ *object.Shelf }

func (s shelf) PurgeDue(ctx context.Context, c access.Caller, r object.Ref) error {
	return s.Shelf.PurgeDue(ctx, c, r)
}

func (w *world) set(t testing.TB, v, name, value string) {
	t.Helper()
	if _, err := w.Secrets.Set(t.Context(), w.Caller, object.Ref{Vault: v, Name: name}, secrets.SetRequest{Value: secrets.Value(value)}); err != nil {
		t.Fatalf("set %s/%s: %v", v, name, err)
	}
}

// secret returns a secret's value, or the code of the error.
func (w *world) secret(t testing.TB, c access.Caller, v, name string) string {
	t.Helper()
	_, b, err := w.Secrets.Get(t.Context(), c, object.Ref{Vault: v, Name: name})
	if err != nil {
		return fault.Of(err).Code
	}
	return string(b.Value)
}

func (w *world) must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// whole checks every row against its ledger, and the trail.
func (w *world) whole(t testing.TB) {
	t.Helper()
	if err := w.Service.Verify(t.Context(), w.Caller, nil); err != nil {
		t.Errorf("verify: %v", err)
	}
	w.Operations(t)
}

func on[T any](v T) *T { return &v }

func TestSettingsHoldAtOnceAndAfterARestart(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.set(t, vaulttest.Vault, "db", "one")

		v, err := w.Service.Update(ctx, w.Caller, "Payroll", vault.Change{
			Tags: map[string]string{"env": "prod"}, PurgeProtection: on(true), Premium: on(true), Deployment: on(true),
			Network: &settings.NetworkChange{DefaultAction: on("Allow"), IPRules: &[]string{"10.0.0.1"}},
		})
		w.must(t, err)
		check := func(when string, s object.Settings) {
			t.Helper()
			if s.Tags["env"] != "prod" || !s.PurgeProtection || !s.Premium || !s.Enabled.Deployment || s.RetentionDays != 90 ||
				!slices.Equal(s.Network.IPRules, []string{"10.0.0.1/32"}) || s.RecoveryLevel() != "Recoverable" {
				t.Errorf("%s: %+v", when, s)
			}
		}
		check("at once", v.Settings())
		open, err := w.Vaults.Open(ctx, vaulttest.Vault)
		w.must(t, err)
		if open != v {
			t.Error("the change opened the vault a second time")
		}
		w.restart()
		v, err = w.Service.Get(ctx, w.Caller, vaulttest.Vault)
		w.must(t, err)
		check("after a restart", v.Settings())

		for name, ch := range map[string]vault.Change{
			"protection off":      {PurgeProtection: on(false)},
			"another retention":   {RetentionDays: on(7)},
			"a rule that is none": {Network: &settings.NetworkChange{AddIPRules: []string{"x"}}},
			"too many tags":       {Tags: many(51)},
		} {
			if _, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, ch); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := w.secret(t, w.Caller, vaulttest.Vault, "db"); got != "one" {
			t.Errorf("secret: %s", got)
		}
		w.whole(t)
	})
}

func many(n int) map[string]string {
	tags := map[string]string{}
	for i := range n {
		tags[strings.Repeat("x", i+1)] = ""
	}
	return tags
}

// A node keeps vaults open, so it must hear of what others change.
func TestChangeReachesOtherNodes(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.set(t, vaulttest.Vault, "db", "one")
		store := vaultdb.New(db)
		other := object.NewVaults(object.Config{Vaults: store, Rows: store, Dues: store, Root: w.Root, Now: w.Time})
		at := func() *object.Vault {
			t.Helper()
			w.must(t, other.Reload(ctx))
			v, err := other.OpenAny(ctx, vaulttest.Vault)
			w.must(t, err)
			return v
		}
		first := at()

		_, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{PolicyMode: on(true)})
		w.must(t, err)
		if first.Settings().PolicyMode {
			t.Error("the other node knew before it looked")
		}
		if v := at(); v != first || !v.Settings().PolicyMode {
			t.Errorf("the other node: the same vault is %v, settings %+v", v == first, v.Settings())
		}
		_, err = w.Service.Delete(ctx, w.Caller, vaulttest.Vault)
		w.must(t, err)
		if v := at(); v.Settings().Deleted.IsZero() {
			t.Error("the other node still serves a deleted vault")
		}
		w.must(t, w.Service.Purge(ctx, w.Caller, vaulttest.Vault))
		_, err = w.Service.Create(ctx, w.Caller, vaulttest.Vault, object.Settings{})
		w.must(t, err)
		v := at()
		if v == first {
			t.Fatal("the other node serves the vault that was purged under the name of the new one")
		}
		if _, err := v.Read(ctx, object.Secrets, "db", ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("read in the new vault at the other node: %v", err)
		}
	})
}

// Who writes in the database cannot bring back settings of yesterday.
func TestReplayedSettingsAreRefused(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		store := vaultdb.New(db)
		var kept []object.VaultRow
		for i := range 3 {
			row, err := store.Vault(ctx, vaulttest.Vault)
			w.must(t, err)
			kept = append(kept, row)
			_, err = w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{Tags: map[string]string{"n": strings.Repeat("x", i+1)}})
			w.must(t, err)
		}
		now, err := store.Vault(ctx, vaulttest.Vault)
		w.must(t, err)
		for _, old := range kept {
			replay := now
			replay.Sealed, replay.Revision = old.Sealed, old.Revision
			w.must(t, db.Transact(ctx, func(ctx context.Context) error {
				_, err := store.PutVault(ctx, replay)
				return err
			}))
			w.restart()
			if _, err := w.Vaults.Open(ctx, vaulttest.Vault); !errors.Is(err, object.ErrReplayed) {
				t.Errorf("settings of revision %d in place of %d: %v", old.Revision, now.Revision, err)
			}
		}
		hidden := now
		hidden.State = object.VaultDeleted
		w.must(t, db.Transact(ctx, func(ctx context.Context) error {
			_, err := store.PutVault(ctx, hidden)
			return err
		}))
		if _, err := w.Vaults.Open(ctx, vaulttest.Vault); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("a vault whose column says deleted: %v", err)
		}
	})
}

func TestAccessPoliciesDecideInPolicyMode(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.set(t, vaulttest.Vault, "db", "one")
		const reader = "00000000-0000-0000-0000-00000000000a"
		_, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{PolicyMode: on(true), Policies: &[]settings.Policy{
			{ObjectID: reader, Permissions: settings.Permissions{Secrets: []string{"get"}}},
		}})
		w.must(t, err)
		who := access.Caller{Principal: reader, Application: "app-1", Issuer: "https://localhost/adfs"}
		ref := object.Ref{Vault: vaulttest.Vault, Name: "db"}

		if got := w.secret(t, who, vaulttest.Vault, "db"); got != "one" {
			t.Errorf("the reader gets %s", got)
		}
		if got := w.secret(t, w.Caller, vaulttest.Vault, "db"); got != "ForbiddenByPolicy" {
			t.Errorf("who has roles but no policy gets %s", got)
		}
		_, err = w.Secrets.Delete(ctx, who, ref)
		want := "The user, group or application 'appid=app-1;oid=" + reader + ";numgroups=0;iss=https://localhost/adfs' does not have secrets delete permission on key vault 'payroll;location=local'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"
		if f := fault.Of(err); f.Kind != fault.Denied || f.Code != "ForbiddenByPolicy" || f.Message != want {
			t.Errorf("delete: %v %s\n%s", f.Kind, f.Code, f.Message)
		}
		if _, err := w.Secrets.List(ctx, who, vaulttest.Vault, object.Page{Limit: 25}); !fault.HasCode(err, "ForbiddenByPolicy") || !strings.Contains(err.Error(), "secrets list") {
			t.Errorf("list: %v", err)
		}
		if _, err := w.Keys.List(ctx, who, vaulttest.Vault, object.Page{Limit: 25}); !fault.HasCode(err, "ForbiddenByPolicy") || !strings.Contains(err.Error(), "keys list") {
			t.Errorf("list keys: %v", err)
		}

		_, err = w.Service.SetPolicies(ctx, w.Caller, vaulttest.Vault, settings.Add, []settings.Policy{{ObjectID: reader, Permissions: settings.Permissions{Secrets: []string{"Delete", "List"}}}})
		w.must(t, err)
		if _, err := w.Secrets.Delete(ctx, who, ref); err != nil {
			t.Errorf("delete with a policy: %v", err)
		}
		if _, err := w.Secrets.GetDeleted(ctx, who, ref); err != nil {
			t.Errorf("reading what was deleted takes get: %v", err)
		}
		if _, err := w.Secrets.ListDeleted(ctx, who, vaulttest.Vault, object.Page{Limit: 25}); err != nil {
			t.Errorf("listing what was deleted takes list: %v", err)
		}
		if err := w.Secrets.Purge(ctx, who, ref); !fault.HasCode(err, "ForbiddenByPolicy") {
			t.Errorf("purge: %v", err)
		}
		_, err = w.Service.SetPolicies(ctx, w.Caller, vaulttest.Vault, settings.Remove, []settings.Policy{{ObjectID: reader}})
		w.must(t, err)
		if _, err := w.Secrets.GetDeleted(ctx, who, ref); !fault.HasCode(err, "ForbiddenByPolicy") {
			t.Errorf("after the policy is gone: %v", err)
		}
		_, err = w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{PolicyMode: on(false)})
		w.must(t, err)
		if _, err := w.Secrets.GetDeleted(ctx, w.Caller, ref); err != nil {
			t.Errorf("roles decide again: %v", err)
		}

		told := 0
		for _, e := range w.Events() {
			if e.Type == "Microsoft.KeyVault.VaultAccessPolicyChanged" {
				told++
			}
		}
		ops := w.Operations(t)
		count := func(op string) (n int) {
			for _, o := range ops {
				if o == op {
					n++
				}
			}
			return n
		}
		if told != 4 || count("VaultPatch") != 4 || count("VaultAccessPolicyChangedEventGridNotification") != 4 ||
			count("VaultAccessPolicyPut") != 2 || count("VaultAccessPolicyDelete") != 1 || count("SecretDelete denied") != 1 {
			t.Errorf("%d events, records %q", told, ops)
		}
	})
}

func TestWhoMayNotGiveAccessChangesNoPolicy(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	ctx := t.Context()
	mine := []settings.Policy{{ObjectID: w.Caller.Principal, Permissions: settings.Permissions{Secrets: []string{"get"}}}}
	_, err := w.Service.SetPolicies(ctx, w.Caller, vaulttest.Vault, settings.Add, mine)
	w.must(t, err)
	w.Deny(access.WriteAccess)

	for name, try := range map[string]func() error{
		"mode": func() error {
			_, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{PolicyMode: on(true)})
			return err
		},
		"policies": func() error {
			_, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{Policies: &[]settings.Policy{}})
			return err
		},
		"add": func() error {
			_, err := w.Service.SetPolicies(ctx, w.Caller, vaulttest.Vault, settings.Add, []settings.Policy{{ObjectID: "x", Permissions: settings.Permissions{Keys: []string{"sign"}}}})
			return err
		},
		"create": func() error {
			_, err := w.Service.Create(ctx, w.Caller, "other", object.Settings{PolicyMode: true})
			return err
		},
		"put": func() error {
			_, _, err := w.Service.Put(ctx, w.Caller, "other", object.Settings{}, vault.Change{Policies: &mine})
			return err
		},
	} {
		if err := try(); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := []settings.Policy{{ObjectID: w.Caller.Principal, Permissions: settings.Permissions{Secrets: []string{"GET"}}}}
	if _, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{Policies: &same, Tags: map[string]string{"a": "b"}}); err != nil {
		t.Errorf("tags beside the policies as they are: %v", err)
	}
}

func TestClientFromElsewhereIsShutOut(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.set(t, vaulttest.Vault, "db", "one")
		_, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{Network: &settings.NetworkChange{DefaultAction: on("Deny"), AddIPRules: []string{"192.0.2.0/24"}}})
		w.must(t, err)
		in, out := w.Caller, w.Caller
		in.Address, out.Address = "192.0.2.7", "203.0.113.7"
		out.Application, out.Issuer = "app-1", "https://localhost/adfs"

		if got := w.secret(t, in, vaulttest.Vault, "db"); got != "one" {
			t.Errorf("from inside: %s", got)
		}
		for _, name := range []string{"db", "nothing"} {
			_, _, err := w.Secrets.Get(ctx, out, object.Ref{Vault: vaulttest.Vault, Name: name})
			want := "Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.7\r\nCaller: appid=app-1;oid=" + out.Principal + ";iss=https://localhost/adfs\r\nVault: payroll;location=local"
			if f := fault.Of(err); f.Kind != fault.Denied || f.Code != "ForbiddenByFirewall" || f.Message != want {
				t.Errorf("from outside, %s: %v", name, err)
			}
		}
		if _, err := w.Service.Update(ctx, out, vaulttest.Vault, vault.Change{Network: &settings.NetworkChange{DefaultAction: on("Allow"), RemoveIPRules: []string{"192.0.2.9/24"}}}); err != nil {
			t.Errorf("the rules are the vault's, not of its management: %v", err)
		}
		if got := w.secret(t, out, vaulttest.Vault, "db"); got != "one" {
			t.Errorf("after the rules are gone: %s", got)
		}
		if ops := w.Operations(t); !slices.Contains(ops, "SecretGet denied") {
			t.Errorf("records %q", ops)
		}
	})
}

func TestDeletedVaultAnswersNobodyAndComesBackWhole(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.set(t, vaulttest.Vault, "db", "one")
		w.set(t, vaulttest.Vault, "old", "two")
		_, err := w.Secrets.Delete(ctx, w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "old"})
		w.must(t, err)

		v, err := w.Service.Delete(ctx, w.Caller, vaulttest.Vault)
		w.must(t, err)
		if s := v.Settings(); !s.Deleted.Equal(w.Time()) || !s.Purge.Equal(w.Time().AddDate(0, 0, 90)) {
			t.Errorf("deleted %s, goes %s", s.Deleted, s.Purge)
		}
		gone := func(when string) {
			t.Helper()
			if got := w.secret(t, w.Caller, vaulttest.Vault, "db"); got != "VaultNotFound" {
				t.Errorf("%s: get %s", when, got)
			}
			if _, err := w.Secrets.Set(ctx, w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "db"}, secrets.SetRequest{}); !fault.HasCode(err, "VaultNotFound") {
				t.Errorf("%s: set %v", when, err)
			}
			if _, err := w.Service.Get(ctx, w.Caller, vaulttest.Vault); !fault.HasCode(err, "VaultNotFound") {
				t.Errorf("%s: get vault %v", when, err)
			}
			if list, err := w.Service.List(ctx, w.Caller, "", 100); err != nil || len(list) != 0 {
				t.Errorf("%s: %d vaults, %v", when, len(list), err)
			}
			if list, err := w.Service.ListDeleted(ctx, w.Caller, "", 100); err != nil || len(list) != 1 || list[0].Name != vaulttest.Vault {
				t.Errorf("%s: %d deleted vaults, %v", when, len(list), err)
			}
			if _, err := w.Service.Create(ctx, w.Caller, "PAYROLL", object.Settings{}); !fault.HasCode(err, "VaultIsDeleted") || !fault.Is(err, fault.Conflict) {
				t.Errorf("%s: the name is taken: %v", when, err)
			}
		}
		gone("at once")
		w.restart()
		gone("after a restart")
		w.whole(t)

		_, err = w.Service.Recover(ctx, w.Caller, vaulttest.Vault)
		w.must(t, err)
		if got := w.secret(t, w.Caller, vaulttest.Vault, "db"); got != "one" {
			t.Errorf("recovered: %s", got)
		}
		if _, err := w.Secrets.Recover(ctx, w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "old"}); err != nil {
			t.Errorf("what was deleted in it: %v", err)
		}
		if _, err := w.Service.Recover(ctx, w.Caller, vaulttest.Vault); !fault.HasCode(err, "DeletedVaultNotFound") {
			t.Errorf("recover twice: %v", err)
		}
		w.whole(t)
		for _, want := range []string{"Chatelaine.VaultDeleted", "Chatelaine.VaultRecovered"} {
			if !slices.ContainsFunc(w.Events(), func(e event.Event) bool { return e.Type == want && e.Subject == vaulttest.Vault }) {
				t.Errorf("no event %s", want)
			}
		}
	})
}

func TestPurgedVaultIsGoneAndItsNameFree(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.set(t, vaulttest.Vault, "db", "one")
		if err := w.Service.Purge(ctx, w.Caller, vaulttest.Vault); !fault.HasCode(err, "DeletedVaultNotFound") {
			t.Errorf("purge of a live vault: %v", err)
		}
		_, err := w.Service.Delete(ctx, w.Caller, vaulttest.Vault)
		w.must(t, err)

		w.must(t, w.Service.Purge(ctx, w.Caller, vaulttest.Vault))

		if n := rows(t, db, "objects") + rows(t, db, "vaults"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		if !slices.Equal(w.roles.forgotten, []access.Scope{"/vaults/payroll"}) {
			t.Errorf("roles taken away at %q", w.roles.forgotten)
		}
		if err := w.Service.Purge(ctx, w.Caller, vaulttest.Vault); !fault.HasCode(err, "DeletedVaultNotFound") {
			t.Errorf("purge twice: %v", err)
		}
		_, err = w.Service.Create(ctx, w.Caller, vaulttest.Vault, object.Settings{RetentionDays: 7})
		w.must(t, err)
		if got := w.secret(t, w.Caller, vaulttest.Vault, "db"); got != "SecretNotFound" {
			t.Errorf("the new vault of that name: %s", got)
		}
		w.set(t, vaulttest.Vault, "db", "three")
		w.restart()
		if got := w.secret(t, w.Caller, vaulttest.Vault, "db"); got != "three" {
			t.Errorf("the new vault after a restart: %s", got)
		}
		w.whole(t)
	})
}

func rows(t testing.TB, db *storage.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPurgeProtectionHoldsUntilRetentionEnds(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	ctx := t.Context()
	_, err := w.Service.Update(ctx, w.Caller, vaulttest.Vault, vault.Change{PurgeProtection: on(true)})
	w.must(t, err)
	_, err = w.Service.Delete(ctx, w.Caller, vaulttest.Vault)
	w.must(t, err)
	if err := w.Service.Purge(ctx, w.Caller, vaulttest.Vault); !fault.HasCode(err, "PurgeProtected") || !fault.Is(err, fault.Denied) {
		t.Fatalf("purge: %v", err)
	}
	if ops := w.Operations(t); !slices.Contains(ops, "VaultPurge failed") {
		t.Errorf("records %q", ops)
	}
	w.Advance(90*24*time.Hour - time.Second)
	w.must(t, w.Sweeper.Sweep(ctx))
	if _, err := w.Service.GetDeleted(ctx, w.Caller, vaulttest.Vault); err != nil {
		t.Fatalf("a second before: %v", err)
	}
	w.Advance(time.Second)
	w.must(t, w.Sweeper.Sweep(ctx))
	if _, err := w.Service.GetDeleted(ctx, w.Caller, vaulttest.Vault); !fault.HasCode(err, "DeletedVaultNotFound") {
		t.Errorf("after its retention: %v", err)
	}
}
