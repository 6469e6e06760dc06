package role_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/hsm/hsmtest"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
)

const hsmName = hsmtest.HSM

type world struct{ *hsmtest.World }

func start(t *testing.T, db *storage.DB) world { return world{hsmtest.New(t, db)} }

func ref(name string) object.Ref { return object.Ref{Vault: hsmName, Name: name} }

func (w world) create(ctx context.Context, c access.Caller, name string) error {
	_, err := w.Keys.Create(ctx, c, ref(name), keys.CreateRequest{Type: "EC"})
	return err
}

func TestWhoeverMakesAnHSMIsItsAdministratorAndUsesNoKey(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := start(t, db)

		list, err := w.Roles.Assignments(t.Context(), w.Caller, hsmName, "/", "")

		if err != nil || len(list) != 1 || list[0].Principal != w.Caller.Principal || list[0].Role != role.Administrator || list[0].Scope != "/" {
			t.Fatalf("assignments %+v, %v", list, err)
		}
		if err := w.create(t.Context(), w.Caller, "a"); !fault.Is(err, fault.Denied) {
			t.Errorf("an Administrator made a key: %v", err)
		}
	})
}

// The guard of the floor allows everything, as roles of the control plane could.
func TestControlPlaneRolesDoNotReachIntoAnHSM(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	c := hsmtest.Someone()

	if err := w.create(t.Context(), c, "a"); !fault.HasCode(err, access.CodeForbidden) {
		t.Errorf("without a local role a key was made: %v", err)
	}
	if _, err := w.Roles.Assignments(t.Context(), c, hsmName, "/", ""); !fault.Is(err, fault.Denied) {
		t.Errorf("without a local role the assignments were listed: %v", err)
	}
}

func TestLocalRoleHoldsAtItsScopeAndBelow(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	everywhere, keysOnly, oneKey := hsmtest.Someone(), hsmtest.Someone(), hsmtest.Someone()
	w.Assign(t, everywhere, role.CryptoUser, "/")
	w.Assign(t, keysOnly, role.CryptoUser, "/keys")
	w.Assign(t, oneKey, role.CryptoUser, "/keys/mine")

	for _, c := range []struct {
		who  access.Caller
		name string
		may  bool
	}{
		{everywhere, "a", true}, {keysOnly, "b", true}, {oneKey, "Mine", true}, {oneKey, "mine2", false}, {oneKey, "a", false},
	} {
		if err := w.create(t.Context(), c.who, c.name); (err == nil) != c.may || err != nil && !fault.Is(err, fault.Denied) {
			t.Errorf("%s makes %s: %v, want %v", c.who.Name, c.name, err, c.may)
		}
	}
	if _, err := w.Keys.List(t.Context(), keysOnly, hsmName, object.Page{Limit: 25}); err != nil {
		t.Errorf("list with a role at /keys: %v", err)
	}
	if _, err := w.Keys.List(t.Context(), oneKey, hsmName, object.Page{Limit: 25}); !fault.Is(err, fault.Denied) {
		t.Errorf("list with a role at one key: %v", err)
	}
	if _, err := w.Roles.Assignments(t.Context(), keysOnly, hsmName, "/", ""); !fault.Is(err, fault.Denied) {
		t.Errorf("a role at /keys read assignments at /: %v", err)
	}
}

func TestHSMHasKeysAndNothingElse(t *testing.T) {
	w := start(t, storagetest.SQLite(t))

	_, err := secrets.New(w.Deps).Set(t.Context(), w.Caller, ref("a"), secrets.SetRequest{Value: "x"})

	if !fault.Is(err, fault.NotFound) {
		t.Errorf("set a secret: %v", err)
	}
}

func TestOnlyAnHSMHasRolesOfItsOwn(t *testing.T) {
	w := start(t, storagetest.SQLite(t))

	_, err := w.Roles.Assignments(t.Context(), w.Caller, vaulttest.Vault, "/", "")
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("a key vault: %v", err)
	}

	w.Deny("Chatelaine/vaults/read")
	_, vaultErr := w.Roles.Assignments(t.Context(), w.Caller, vaulttest.Vault, "/", "")
	_, noneErr := w.Roles.Assignments(t.Context(), w.Caller, "nothing", "/", "")
	if !fault.Is(vaultErr, fault.Denied) || !fault.Is(noneErr, fault.Denied) {
		t.Errorf("whoever may not see vaults is told: %v, %v", vaultErr, noneErr)
	}
}

func TestChangeOfRolesShowsAtOnceAndElsewhereWithinSeconds(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := start(t, db)
		c := hsmtest.Someone()
		other := w.Node()
		read := func(s *role.Service) error {
			_, err := s.Assignments(t.Context(), c, hsmName, "/", "")
			return err
		}
		if read(w.Roles) == nil || read(other) == nil {
			t.Fatal("allowed without a role")
		}

		a := w.Assign(t, c, "4bd23610-cdcf-4971-bdee-bdc562cc28e4", "/")
		if err := read(w.Roles); err != nil {
			t.Errorf("here, at once: %v", err)
		}
		w.Advance(3 * time.Second)
		if err := read(other); err != nil {
			t.Errorf("elsewhere, after three seconds: %v", err)
		}

		if _, err := w.Roles.Unassign(t.Context(), w.Caller, hsmName, "/", a.ID); err != nil {
			t.Fatal(err)
		}
		if read(w.Roles) == nil {
			t.Error("here the role still holds")
		}
		w.Advance(3 * time.Second)
		if read(other) == nil {
			t.Error("elsewhere the role still holds after three seconds")
		}
	})
}

// Whoever can write to the database puts back what was taken away.
func TestRevokedAssignmentDoesNotComeBack(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	c := hsmtest.Someone()
	a := w.Assign(t, c, role.CryptoUser, "/")
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := w.DB.Exec(t.Context(), q, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TEMP TABLE kept AS SELECT * FROM objects WHERE name = '` + a.ID + `'`)
	if _, err := w.Roles.Unassign(t.Context(), w.Caller, hsmName, "/", a.ID); err != nil {
		t.Fatal(err)
	}

	exec(`INSERT INTO objects SELECT * FROM kept`)
	_, err := w.Node().Assignments(t.Context(), c, hsmName, "/", "")

	if !errors.Is(err, object.ErrReplayed) {
		t.Errorf("an assignment came back: %v", err)
	}
}

func TestLastAdministratorStays(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	list, err := w.Roles.Assignments(t.Context(), w.Caller, hsmName, "/", "")
	if err != nil {
		t.Fatal(err)
	}

	_, err = w.Roles.Unassign(t.Context(), w.Caller, hsmName, "/", list[0].ID)
	if !fault.HasCode(err, "LastAdministrator") {
		t.Errorf("the last Administrator: %v", err)
	}

	w.Assign(t, hsmtest.Someone(), role.Administrator, "/keys") // does not rule the HSM
	if _, err = w.Roles.Unassign(t.Context(), w.Caller, hsmName, "/", list[0].ID); !fault.HasCode(err, "LastAdministrator") {
		t.Errorf("beside an Administrator of the keys: %v", err)
	}
	w.Assign(t, hsmtest.Someone(), role.Administrator, "/")
	if _, err = w.Roles.Unassign(t.Context(), w.Caller, hsmName, "/", list[0].ID); err != nil {
		t.Errorf("beside another: %v", err)
	}
}

func TestCustomRoleGrantsWhatItNamesAndCannotGoWhileHeld(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	c := hsmtest.Someone()
	define := func(data, not []access.Action) role.Definition {
		t.Helper()
		d, err := w.Roles.Define(t.Context(), w.Caller, hsmName, "/", role.Definition{
			ID: "6F1A2B3C-0000-4000-8000-000000000001", Name: "signer",
			Permissions: []role.Permission{{DataActions: data, NotDataActions: not}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := define([]access.Action{"microsoft.keyvault/MANAGEDHSM/keys/create", "Microsoft.KeyVault/managedHsm/keys/delete"}, []access.Action{"Microsoft.KeyVault/managedHsm/keys/delete"})
	a := w.Assign(t, c, d.ID, "/keys")

	if err := w.create(t.Context(), c, "a"); err != nil {
		t.Errorf("what it names: %v", err)
	}
	if _, err := w.Keys.Delete(t.Context(), c, ref("a")); !fault.Is(err, fault.Denied) {
		t.Errorf("what it excepts: %v", err)
	}
	if _, err := w.Roles.Undefine(t.Context(), w.Caller, hsmName, "/", d.ID); !fault.HasCode(err, "RoleDefinitionHasAssignments") {
		t.Errorf("deleted while held: %v", err)
	}
	define([]access.Action{"Microsoft.KeyVault/managedHsm/keys/read/action"}, nil)
	if err := w.create(t.Context(), c, "b"); !fault.Is(err, fault.Denied) {
		t.Errorf("what it no longer names: %v", err)
	}
	if _, err := w.Roles.Unassign(t.Context(), w.Caller, hsmName, "/keys", a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Roles.Undefine(t.Context(), w.Caller, hsmName, "/", d.ID); err != nil {
		t.Errorf("deleted when nobody holds it: %v", err)
	}
}

func TestRolesThatCannotBeKeptAreRefused(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	const id = "6f1a2b3c-0000-4000-8000-000000000001"
	for name, d := range map[string]role.Definition{
		"no GUID":          {ID: "signer"},
		"built-in id":      {ID: role.CryptoUser},
		"built-in name":    {ID: id, Name: "managed hsm crypto user"},
		"unknown action":   {ID: id, Permissions: []role.Permission{{DataActions: []access.Action{"Microsoft.KeyVault/managedHsm/*"}}}},
		"a vault's action": {ID: id, Permissions: []role.Permission{{DataActions: []access.Action{"Microsoft.KeyVault/vaults/keys/read"}}}},
		"scope of a key":   {ID: id, AssignableScopes: []access.Scope{"/keys/a"}},
	} {
		if _, err := w.Roles.Define(t.Context(), w.Caller, hsmName, "/", d); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Roles.Define(t.Context(), w.Caller, hsmName, "/keys", role.Definition{ID: id}); !fault.Is(err, fault.Invalid) {
		t.Errorf("defined at /keys: %v", err)
	}
	keysOnly, err := w.Roles.Define(t.Context(), w.Caller, hsmName, "/", role.Definition{ID: id, AssignableScopes: []access.Scope{"/keys"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]role.Assignment{
		"no GUID":              {ID: "x", Principal: "p", Role: role.CryptoUser, Scope: "/"},
		"no principal":         {ID: id, Role: role.CryptoUser, Scope: "/"},
		"no such role":         {ID: id, Principal: "p", Role: "00000000-0000-0000-0000-000000000000", Scope: "/"},
		"no role":              {ID: id, Principal: "p", Scope: "/"},
		"not assignable there": {ID: id, Principal: "p", Role: keysOnly.ID, Scope: "/"},
	} {
		if _, err := w.Roles.Assign(t.Context(), w.Caller, hsmName, a); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAssignmentIsMadeOnceAndNeverChanged(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	c := hsmtest.Someone()
	a := w.Assign(t, c, role.CryptoUser, "/keys")

	if _, err := w.Roles.Assign(t.Context(), w.Caller, hsmName, a); err != nil {
		t.Errorf("the same once more: %v", err)
	}
	again := a
	again.ID = uuid.NewV4().String()
	if _, err := w.Roles.Assign(t.Context(), w.Caller, hsmName, again); !fault.HasCode(err, "RoleAssignmentExists") {
		t.Errorf("the same under another name: %v", err)
	}
	changed := a
	changed.Role = role.Administrator
	if _, err := w.Roles.Assign(t.Context(), w.Caller, hsmName, changed); !fault.HasCode(err, "RoleAssignmentUpdateNotPermitted") {
		t.Errorf("another role under that name: %v", err)
	}
	if _, err := w.Roles.Assignment(t.Context(), w.Caller, hsmName, "/", a.ID); !fault.HasCode(err, "RoleAssignmentNotFound") {
		t.Errorf("found at another scope: %v", err)
	}
}

func TestFiltersChooseByScopePrincipalAndType(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	c := hsmtest.Someone()
	global := w.Assign(t, c, role.CryptoUser, "/")
	all := w.Assign(t, c, role.CryptoUser, "/keys")
	one := w.Assign(t, hsmtest.Someone(), role.CryptoUser, "/keys/a")

	for _, x := range []struct {
		at     access.Scope
		filter string
		want   []string
	}{
		{"/keys", "", []string{global.ID, all.ID, one.ID}},
		{"/keys", "atScope()", []string{global.ID, all.ID}},
		{"/keys/a", "atScope()", []string{global.ID, all.ID, one.ID}},
		{"/keys/b", "", []string{global.ID, all.ID}},
		{"/", "principalId eq '" + c.Principal + "'", []string{global.ID, all.ID}},
		{"/", "principalId eq " + c.Principal, []string{global.ID, all.ID}},
		{"/keys/a", "atScope() and assignedTo('" + c.Principal + "')", []string{global.ID, all.ID}},
	} {
		list, err := w.Roles.Assignments(t.Context(), w.Caller, hsmName, x.at, x.filter)
		if err != nil {
			t.Fatalf("%s %s: %v", x.at, x.filter, err)
		}
		var got []string
		for _, a := range list {
			if a.Principal != w.Caller.Principal {
				got = append(got, a.ID)
			}
		}
		slices.Sort(got)
		slices.Sort(x.want)
		if !slices.Equal(got, x.want) {
			t.Errorf("at %s, %q: %v, want %v", x.at, x.filter, got, x.want)
		}
	}
	if _, err := w.Roles.Assignments(t.Context(), w.Caller, hsmName, "/", "name eq 'x'"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a filter that is not understood: %v", err)
	}
	for filter, want := range map[string]int{"": 9, "atScopeAndBelow()": 9, "type eq 'CustomRole'": 0, "type eq 'AKVBuiltInRole'": 9, "roleName eq 'Managed HSM Administrator'": 1} {
		list, err := w.Roles.Definitions(t.Context(), w.Caller, hsmName, "/", filter)
		if err != nil || len(list) != want {
			t.Errorf("definitions %q: %d, %v, want %d", filter, len(list), err, want)
		}
	}
}

// Its roles were in memory, and a look at the database within two seconds is not made.
func TestHSMOfTheSameNameInheritsNoRoles(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	if _, err := w.Roles.Assignments(t.Context(), w.Caller, hsmName, "/", ""); err != nil {
		t.Fatal(err)
	}
	vaults := vault.New(w.Deps)
	vaults.Founded = w.Roles.Appoint
	if _, err := vaults.Delete(t.Context(), w.Caller, hsmName); err != nil {
		t.Fatal(err)
	}
	if err := vaults.Purge(t.Context(), w.Caller, hsmName); err != nil {
		t.Fatal(err)
	}
	w.Advance(time.Millisecond)
	if _, err := vaults.Create(t.Context(), access.System("test"), hsmName, object.Settings{Kind: object.ManagedHSM}); err != nil {
		t.Fatal(err)
	}

	if _, err := w.Roles.Assignments(t.Context(), w.Caller, hsmName, "/", ""); !fault.Is(err, fault.Denied) {
		t.Errorf("who made the one before: %v", err)
	}
}

func TestNetworkRulesHoldForAnHSM(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	err := w.Transact(t.Context(), func(ctx context.Context) error {
		_, err := w.Vaults.Edit(ctx, hsmName, func(s *object.Settings) error {
			s.Network = settings.Network{DefaultAction: "Deny", IPRules: []string{"10.0.0.0/8"}}
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	inside := w.Caller
	inside.Address = "10.1.2.3"

	if _, err := w.Roles.Assignments(t.Context(), w.Caller, hsmName, "/", ""); !fault.HasCode(err, "ForbiddenByFirewall") {
		t.Errorf("from outside: %v", err)
	}
	if _, err := w.Roles.Assignments(t.Context(), inside, hsmName, "/", ""); err != nil {
		t.Errorf("from inside: %v", err)
	}
}

func TestMessagesOfAnHSMEndWithTheRequest(t *testing.T) {
	w := start(t, storagetest.SQLite(t))
	c := hsmtest.Someone()
	c.Correlation = "6f1a2b3c-0000-4000-8000-00000000000f"
	const end = " (Activity ID: 6f1a2b3c-0000-4000-8000-00000000000f)"

	_, list := w.Roles.Assignments(t.Context(), c, hsmName, "/", "")
	for _, err := range []error{w.create(t.Context(), c, "a"), list} {
		if f := fault.Of(err); f.Kind != fault.Denied || !strings.HasSuffix(f.Message, end) {
			t.Errorf("%s %q", f.Kind, f.Message)
		}
	}
}

func TestRefusalsOfAnHSMAreRecorded(t *testing.T) {
	w := start(t, storagetest.SQLite(t))

	_ = w.create(t.Context(), hsmtest.Someone(), "a")

	if ops := w.Operations(t); ops[len(ops)-1] != "KeyCreate denied" {
		t.Errorf("recorded %v", ops)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	w := hsmtest.New(b, storagetest.SQLite(b))
	v, err := w.Vaults.Open(b.Context(), hsmName)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 500 {
		w.Assign(b, access.Caller{Principal: fmt.Sprint("p", i)}, role.CryptoUser, "/")
	}
	c := access.Caller{Principal: "p77"}
	for b.Loop() {
		if err := w.Roles.Authorize(b.Context(), v, c, "Microsoft.KeyVault/managedHsm/keys/sign/action", "/keys/a", "KeySign"); err != nil {
			b.Fatal(err)
		}
	}
}
