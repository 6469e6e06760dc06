package directory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/accessdb"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/storagetest"
)

const (
	getSecret = access.Action(access.VaultPrefix + "secrets/getSecret/action")
	setSecret = access.Action(access.VaultPrefix + "secrets/setSecret/action")
)

func TestRoleHoldsAtItsScopeAndBelowAndNowhereElse(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	for _, c := range []struct{ at, asked access.Scope }{
		{"/", "/"}, {"/", "/vaults/a"}, {"/", "/vaults/a/secrets/x"},
		{"/vaults/a", "/vaults/a"}, {"/vaults/a", "/vaults/a/secrets/x"}, {"/vaults/A", "/vaults/a/secrets/X"},
		{"/vaults/a/secrets/x", "/vaults/a/secrets/x"}, {"/vaults/a/secrets/x", "/vaults/a/secrets/X"},
	} {
		who := f.Application(t, "in", "Key Vault Secrets User", c.at)
		if err := f.Directory.Authorize(t.Context(), who, getSecret, c.asked, "SecretGet"); err != nil {
			t.Errorf("role at %s, asked at %s: %v", c.at, c.asked, err)
		}
		if err := f.Directory.Authorize(t.Context(), who, setSecret, c.asked, "SecretSet"); !fault.Is(err, fault.Denied) {
			t.Errorf("role at %s allows what it does not name: %v", c.at, err)
		}
	}
	for _, c := range []struct{ at, asked access.Scope }{
		{"/vaults/a", "/"}, {"/vaults/a", "/vaults"}, {"/vaults/a", "/vaults/b"}, {"/vaults/a", "/vaults/ab"}, {"/vaults/a", "/vaults/ab/secrets/x"},
		{"/vaults/a/secrets/x", "/vaults/a"}, {"/vaults/a/secrets/x", "/vaults/a/secrets/xy"}, {"/vaults/a/secrets/x", "/vaults/a/keys/x"},
		{"/vaults/a/secrets/x", "/vaults/b/secrets/x"},
		{"/vaults/a", "/vaults/a/../b"}, {"/vaults/a", "/vaults/a//"}, {"/vaults/a", "/vaults/a/"}, {"/vaults/k", "/vaults/\u212A"}, {"/", ""}, {"/", "vaults/a"},
	} {
		who := f.Application(t, "out", "Key Vault Secrets User", c.at)
		if err := f.Directory.Authorize(t.Context(), who, getSecret, c.asked, "SecretGet"); !fault.Is(err, fault.Denied) {
			t.Errorf("role at %s, asked at %q: %v, want denied", c.at, c.asked, err)
		}
	}
}

func TestNobodyElseMay(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	disabled := f.Application(t, "disabled", "Key Vault Administrator", "/")
	if _, err := f.Directory.SetEnabled(t.Context(), f.Administrator(), disabled.Principal, false); err != nil {
		t.Fatal(err)
	}
	deleted := f.Application(t, "deleted", "Key Vault Administrator", "/")
	if err := f.Directory.DeletePrincipal(t.Context(), f.Administrator(), deleted.Principal); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]access.Caller{
		"anonymous": {}, "unknown": {Principal: "00000000-0000-0000-0000-000000000009"}, "named system": {Principal: "system", Name: "system"},
		"by client id": {Principal: f.Admin.ClientID}, "no role": f.Application(t, "none", "", "/"), "disabled": disabled, "deleted": deleted,
	} {
		if err := f.Directory.Authorize(t.Context(), c, getSecret, "/vaults/a/secrets/x", "SecretGet"); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v, want denied", name, err)
		}
	}
	if err := f.Directory.Authorize(t.Context(), access.System("renewal"), getSecret, "/vaults/a/secrets/x", "SecretGet"); err != nil {
		t.Errorf("the product itself: %v", err)
	}
}

func TestRefusalIsWordedAndRecorded(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		who := f.Application(t, "shop", "", "/")
		who.Issuer, who.Address, who.Correlation = "https://localhost/adfs", "192.0.2.7", "c-1"

		err := f.Directory.Authorize(t.Context(), who, getSecret, "/vaults/payroll/secrets/db", "SecretGet")

		var r *access.Refusal
		if !fault.HasCode(err, "ForbiddenByRbac") || !fault.Is(err, fault.Denied) || !errors.As(err, &r) || r.Action != getSecret || r.Scope != "/vaults/payroll/secrets/db" {
			t.Fatalf("error %v", err)
		}
		for _, part := range []string{
			"Caller is not authorized to perform action on resource.\r\n",
			"Caller: appid=" + who.Application + ";oid=" + who.Principal + ";iss=https://localhost/adfs\r\n",
			"Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\n", "Vault: payroll;",
		} {
			if !strings.Contains(fault.Of(err).Message, part) {
				t.Errorf("message lacks %q: %s", part, fault.Of(err).Message)
			}
		}
		recs := f.Records(t, "SecretGet")
		if len(recs) != 1 || recs[0].Outcome != audit.Denied || recs[0].Target != "/vaults/payroll/secrets/db" || recs[0].Principal != who.Principal ||
			recs[0].Address != "192.0.2.7" || recs[0].Correlation != "c-1" || recs[0].Details[audit.Action] != string(getSecret) || recs[0].Details[audit.Reason] != "ForbiddenByRbac" {
			t.Errorf("records %+v", recs)
		}

		f.FailAudit(true)
		if err := f.Directory.Authorize(t.Context(), who, getSecret, "/vaults/payroll/secrets/db", "SecretGet"); err == nil || fault.Is(err, fault.Denied) {
			t.Errorf("a refusal that was not recorded: %v", err)
		}
	})
}

func TestDirectoryIsTheSameAfterARestartAndOnEveryNode(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		other := f.Node(t)
		who := f.Application(t, "shop", "Key Vault Secrets User", "/vaults/a")
		if other.Allowed(who, getSecret, "/vaults/a") {
			t.Error("another node knows before it reloads")
		}

		if err := other.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}

		if !other.Allowed(who, getSecret, "/vaults/a") || !f.Node(t).Allowed(who, getSecret, "/vaults/a") {
			t.Error("the role is not there on another node or after a restart")
		}
		if a, made, err := f.Node(t).EnsureAdministrator(t.Context(), func(directory.Administrator) error { return errors.New("kept") }); err != nil || made || a.ClientID != f.Admin.ClientID || a.Tenant != f.Admin.Tenant {
			t.Errorf("second start: %+v %v %v", a, made, err)
		}
		// The stale node changes something: it must first see what it missed.
		stale := f.Node(t)
		f.Application(t, "later", "", "/")
		if _, err := stale.CreateApplication(t.Context(), f.Administrator(), "from a stale node"); err != nil {
			t.Fatal(err)
		}
		ps, _, err := f.Node(t).Principals(t.Context(), f.Administrator(), "", 0)
		if err != nil || len(ps) != 4 {
			t.Errorf("%d principals: %v", len(ps), err)
		}
	})
}

func TestChangesFromManyPlacesAreAllKept(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		nodes := []*directory.Directory{f.Directory, f.Node(t), f.Node(t)}
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				p, err := nodes[i%3].CreateApplication(t.Context(), f.Administrator(), fmt.Sprintf("app %02d", i))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := nodes[(i+1)%3].Assign(t.Context(), f.Administrator(), p.ID, "Auditor", "/"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()

		fresh := f.Node(t)
		var names []string
		for cursor, first := "", true; first || cursor != ""; first = false {
			page, next, err := fresh.Principals(t.Context(), f.Administrator(), cursor, 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				names = append(names, p.Name)
			}
			cursor = next
		}
		if len(names) != 31 || names[0] != "Administrator" || names[1] != "app 00" || names[30] != "app 29" {
			t.Errorf("names %q", names)
		}
		as, err := fresh.Assignments(t.Context(), f.Administrator(), directory.AssignmentQuery{})
		if err != nil || len(as) != 32 {
			t.Errorf("%d assignments: %v", len(as), err)
		}
		if n := len(f.Records(t, "PrincipalCreate")); n != 31 {
			t.Errorf("%d records of 31 principals", n)
		}
	})
}

func TestChangeInARolledBackTransactionDoesNotShow(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		who := f.Application(t, "shop", "", "/")
		assign := func(ctx context.Context) error {
			_, err := f.Directory.Assign(ctx, f.Administrator(), who.Principal, "Key Vault Secrets User", "/vaults/a")
			return err
		}

		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := assign(ctx); err != nil {
				return err
			}
			return errors.New("something else went wrong")
		})
		if err == nil || f.Directory.Allowed(who, getSecret, "/vaults/a") || f.Node(t).Allowed(who, getSecret, "/vaults/a") {
			t.Errorf("rolled back (%v), and yet it shows", err)
		}
		// And one that commits, with two changes of the directory in it.
		err = db.Transact(t.Context(), func(ctx context.Context) error {
			if err := assign(ctx); err != nil {
				return err
			}
			_, err := f.Directory.Assign(ctx, f.Administrator(), who.Principal, "Key Vault Reader", "/vaults/a")
			return err
		})
		if err != nil || !f.Directory.Allowed(who, getSecret, "/vaults/a") || !f.Node(t).Allowed(who, getSecret, "/vaults/a") {
			t.Errorf("committed (%v), and yet it does not show", err)
		}
	})
}

func TestWhatIsNotRecordedIsNotChanged(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	who := f.Application(t, "shop", "", "/")
	f.FailAudit(true)

	if _, err := f.Directory.Assign(t.Context(), f.Administrator(), who.Principal, "Key Vault Secrets User", "/"); err == nil {
		t.Error("assigned without a record")
	}

	f.FailAudit(false)
	if f.Directory.Allowed(who, getSecret, "/") || f.Node(t).Allowed(who, getSecret, "/") {
		t.Error("the assignment is there")
	}
}

func TestLastAdministratorStays(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		as, err := f.Directory.Assignments(t.Context(), f.Administrator(), directory.AssignmentQuery{Principal: f.Admin.ID})
		if err != nil || len(as) != 2 {
			t.Fatalf("%v %v", as, err)
		}
		var own string
		for _, a := range as {
			if a.Role == access.AdministratorRole {
				own = a.ID
			}
		}
		for name, change := range map[string]func() error{
			"unassign": func() error { return f.Directory.Unassign(t.Context(), f.Administrator(), own) },
			"disable": func() error {
				_, err := f.Directory.SetEnabled(t.Context(), f.Administrator(), f.Admin.ID, false)
				return err
			},
			"delete": func() error { return f.Directory.DeletePrincipal(t.Context(), f.Administrator(), f.Admin.ID) },
		} {
			if err := change(); !fault.HasCode(err, "LastAdministrator") {
				t.Errorf("%s: %v", name, err)
			}
		}
		second := f.Application(t, "second", "Administrator", "/")
		if err := f.Directory.DeletePrincipal(t.Context(), second, f.Admin.ID); err != nil {
			t.Errorf("with a second one: %v", err)
		}
	})
}

func TestOnlyWhoMayWriteAccessChangesIt(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	victim := f.Application(t, "victim", "", "/")
	added, _, err := f.Directory.AddCredential(t.Context(), f.Administrator(), victim.Principal, directory.NewCredential{Kind: directory.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	ctx, password := t.Context(), access.NewSecret("correct horse battery")
	changes := map[string]func(c access.Caller) error{
		"create user": func(c access.Caller) error {
			_, err := f.Directory.CreateUser(ctx, c, directory.NewUser{Name: "x", SignIn: "x", Password: password})
			return err
		},
		"create application": func(c access.Caller) error { _, err := f.Directory.CreateApplication(ctx, c, "x"); return err },
		"disable": func(c access.Caller) error {
			_, err := f.Directory.SetEnabled(ctx, c, victim.Principal, false)
			return err
		},
		"delete": func(c access.Caller) error { return f.Directory.DeletePrincipal(ctx, c, victim.Principal) },
		"add secret": func(c access.Caller) error {
			_, _, err := f.Directory.AddCredential(ctx, c, victim.Principal, directory.NewCredential{Kind: directory.ClientSecret})
			return err
		},
		"remove secret": func(c access.Caller) error { return f.Directory.RemoveCredential(ctx, c, victim.Principal, added.ID) },
		"set password":  func(c access.Caller) error { return f.Directory.SetPassword(ctx, c, victim.Principal, password) },
		"assign": func(c access.Caller) error {
			_, err := f.Directory.Assign(ctx, c, c.Principal, "Administrator", "/")
			return err
		},
		"rotate":  func(c access.Caller) error { return f.Directory.RotateSigningKey(ctx, c, time.Time{}) },
		"list":    func(c access.Caller) error { _, _, err := f.Directory.Principals(ctx, c, "", 0); return err },
		"get":     func(c access.Caller) error { _, err := f.Directory.Principal(ctx, c, victim.Principal); return err },
		"secrets": func(c access.Caller) error { _, err := f.Directory.Credentials(ctx, c, victim.Principal); return err },
		"assignments": func(c access.Caller) error {
			_, err := f.Directory.Assignments(ctx, c, directory.AssignmentQuery{})
			return err
		},
	}
	reads := map[string]bool{"list": true, "get": true, "secrets": true, "assignments": true}
	for _, role := range access.Roles() {
		if role.ID == access.AdministratorRole {
			continue
		}
		who := f.Application(t, role.Name, role.Name, "/")
		for name, change := range changes {
			if err := change(who); fault.Is(err, fault.Denied) != !(role.Name == "Auditor" && reads[name]) {
				t.Errorf("%s × %s: %v", role.Name, name, err)
			}
		}
	}
	// Access that one administers at a vault ends there.
	local := f.Application(t, "local", "Administrator", "/vaults/a")
	if _, err := f.Directory.Assign(ctx, local, victim.Principal, "Key Vault Secrets User", "/vaults/a/secrets/x"); err != nil {
		t.Errorf("within: %v", err)
	}
	for _, scope := range []access.Scope{"/", "/vaults/b", "/vaults"} {
		if _, err := f.Directory.Assign(ctx, local, local.Principal, "Key Vault Secrets User", scope); !fault.Is(err, fault.Denied) {
			t.Errorf("at %s: %v", scope, err)
		}
	}
}

func TestSignInNamesAreOneInAnyCase(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	create := func(name string) error {
		_, err := f.Directory.CreateUser(t.Context(), f.Administrator(), directory.NewUser{Name: "x", SignIn: name, Password: access.NewSecret("correct horse battery")})
		return err
	}
	if err := create("Ada@Example.com"); err != nil {
		t.Fatal(err)
	}
	if err := create("aDA@example.COM"); !fault.HasCode(err, "SignInTaken") {
		t.Errorf("another case: %v", err)
	}
	for _, name := range []string{
		"", " ada", "ada ", "ada.", ".ada", "a\u0430a", "ada\u200b", "\u212Aate", "Ａda", "ad\u0061\u0308", "ada\n", "ada\x00", "a b", "a/b", "a:b", "ROOT ", strings.Repeat("a", 129),
	} {
		if err := create(name); !fault.HasCode(err, "InvalidSignIn") {
			t.Errorf("%q: %v", name, err)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.String().Draw(r, "name")
		p, err := f.Directory.ProvePassword(cancelled(t), name, access.NewSecret("x"))
		if p.ID != "" && !strings.EqualFold(name, "ada@example.com") {
			r.Fatalf("%q is taken for %q (%v)", name, p.SignIn, err)
		}
	})
}

// cancelled is a context that lets no password be hashed: here only the look-up counts.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestCredentialsProveTheirPrincipalAlone(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		d, ctx := f.Directory, t.Context()
		shop, bank := f.Application(t, "shop", "", "/"), f.Application(t, "bank", "", "/")
		add := func(p string, n directory.NewCredential) (directory.Credential, access.Secret) {
			t.Helper()
			c, s, err := d.AddCredential(ctx, f.Administrator(), p, n)
			if err != nil {
				t.Fatal(err)
			}
			return c, s
		}
		first, secret := add(shop.Principal, directory.NewCredential{Kind: directory.ClientSecret, Expires: f.Time().Add(time.Hour)})
		_, second := add(shop.Principal, directory.NewCredential{Kind: directory.ClientSecret})
		_, header := add(shop.Principal, directory.NewCredential{Kind: directory.IdentityHeader})

		for name, proven := range map[string]func() (directory.Principal, directory.Credential, error){
			"secret": func() (directory.Principal, directory.Credential, error) {
				return d.ProveSecret(shop.Application, secret)
			},
			"second secret": func() (directory.Principal, directory.Credential, error) {
				return d.ProveSecret(shop.Application, second)
			},
			"client id in upper": func() (directory.Principal, directory.Credential, error) {
				return d.ProveSecret(strings.ToUpper(shop.Application), secret)
			},
			"header": func() (directory.Principal, directory.Credential, error) { return d.ProveHeader(header) },
		} {
			if p, _, err := proven(); err != nil || p.ID != shop.Principal {
				t.Errorf("%s: %v %v", name, p.ID, err)
			}
		}
		f.Advance(time.Hour)
		wrong := map[string]error{}
		_, _, wrong["expired"] = d.ProveSecret(shop.Application, secret)
		_, _, wrong["of another"] = d.ProveSecret(bank.Application, second)
		_, _, wrong["unknown client"] = d.ProveSecret("00000000-0000-0000-0000-000000000000", second)
		_, _, wrong["object id"] = d.ProveSecret(shop.Principal, second)
		_, _, wrong["no client"] = d.ProveSecret("", second)
		_, _, wrong["braces"] = d.ProveSecret("{"+shop.Application+"}", second)
		_, _, wrong["empty"] = d.ProveSecret(shop.Application, access.Secret{})
		_, _, wrong["header as secret"] = d.ProveSecret(shop.Application, header)
		_, _, wrong["secret as header"] = d.ProveHeader(second)
		_, _, wrong["no header"] = d.ProveHeader(access.Secret{})
		if err := d.RemoveCredential(ctx, f.Administrator(), bank.Principal, first.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("removed by way of another: %v", err)
		}
		if _, err := d.SetEnabled(ctx, f.Administrator(), shop.Principal, false); err != nil {
			t.Fatal(err)
		}
		_, _, wrong["disabled"] = d.ProveSecret(shop.Application, second)
		_, _, wrong["disabled header"] = d.ProveHeader(header)
		for name, err := range wrong {
			if !fault.HasCode(err, "InvalidClient") || fault.Of(err).Message != fault.Of(wrong["expired"]).Message {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestFirstAdministratorIsKeptBeforeItIsCommitted(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		// Another installation on the same kind of database: empty, and its disk is full.
		if _, err := db.Exec(t.Context(), `DELETE FROM access_entries`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `DELETE FROM access_state`); err != nil {
			t.Fatal(err)
		}
		a, b := f.Node(t), f.Node(t)
		if _, _, err := a.EnsureAdministrator(t.Context(), func(directory.Administrator) error { return errors.New("disk full") }); err == nil {
			t.Error("an administrator whose secret nobody has")
		}
		if a.Tenant() != "" {
			t.Error("something was committed")
		}

		var kept directory.Administrator
		got, made, err := a.EnsureAdministrator(t.Context(), func(x directory.Administrator) error { kept = x; return nil })
		if err != nil || !made || kept != got || got.Tenant != a.Tenant() {
			t.Fatalf("%+v, kept %+v: %v %v", got, kept, made, err)
		}
		if _, _, err := a.ProveSecret(kept.ClientID, kept.Secret); err != nil {
			t.Errorf("secret: %v", err)
		}
		if _, _, err := a.ProveHeader(kept.Header); err != nil {
			t.Errorf("header: %v", err)
		}
		// The other node began when there was none yet, not even a signing key.
		calls := 0
		late, made, err := b.EnsureAdministrator(t.Context(), func(directory.Administrator) error { calls++; return nil })
		if err != nil || made || late.ClientID != got.ClientID || late.Secret.Reveal() != "" || calls != 1 {
			t.Errorf("the slower node: %+v %v %v, kept %d times", late, made, err, calls)
		}
	})
}

// Two nodes that know each other's tenant already, because a signing key is there.
func TestOneOfTwoNodesMakesTheAdministrator(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	for _, table := range []string{"access_entries", "access_state"} {
		if _, err := f.DB.Exec(t.Context(), `DELETE FROM `+table); err != nil {
			t.Fatal(err)
		}
	}
	a := f.Node(t)
	if err := a.EnsureSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := f.Node(t)
	keep := func(directory.Administrator) error { return nil }
	first, made, err := a.EnsureAdministrator(t.Context(), keep)
	if err != nil || !made || first.Tenant != b.Tenant() {
		t.Fatalf("%+v %v %v", first, made, err)
	}

	second, made, err := b.EnsureAdministrator(t.Context(), keep)

	if err != nil || made || second.ID != first.ID {
		t.Errorf("%+v %v %v", second, made, err)
	}
	if ps, _, err := b.Principals(t.Context(), access.System("test"), "", 0); err != nil || len(ps) != 1 {
		t.Errorf("%d administrators: %v", len(ps), err)
	}
}

func TestListsShowEachViewerItsPart(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	who := f.Application(t, "x", "Auditor", "/applications/shop")
	if _, err := f.Directory.Assign(t.Context(), f.Administrator(), who.Principal, "Key Vault Reader", "/vaults/a"); err != nil {
		t.Fatal(err)
	}
	if got := f.Directory.Scopes(who, "Chatelaine/certificates/read"); len(got) != 1 || got[0] != "/applications/shop" {
		t.Errorf("scopes %v", got)
	}
	if got := f.Directory.Scopes(who, "Chatelaine/certificates/write"); len(got) != 0 {
		t.Errorf("scopes %v", got)
	}
	for scope, want := range map[access.Scope]int{"": 4, "/": 4, "/applications/shop": 1, "/vaults": 1, "/vaults/a": 1, "/vaults/a/keys/k": 0, "/application": 0} {
		as, err := f.Directory.Assignments(t.Context(), f.Administrator(), directory.AssignmentQuery{Scope: scope})
		if err != nil || len(as) != want {
			t.Errorf("at %q: %d assignments, want %d: %v", scope, len(as), want, err)
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	f := accesstest.New(b, storagetest.SQLite(b))
	who := f.Application(b, "bench", "Key Vault Crypto User", "/vaults/a")
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Directory.Authorize(ctx, who, access.VaultPrefix+"keys/sign/action", "/vaults/a/keys/x", "KeySign"); err != nil {
			b.Fatal(err)
		}
	}
}

// Two processes, each with its own connections, on one PostgreSQL: a lost race is run again.
func TestTwoProcessesChangeOneDirectory(t *testing.T) {
	url := storagetest.Postgres(t)
	f := accesstest.New(t, storagetest.Open(t, storage.Config{URL: url}))
	second := storagetest.Open(t, storage.Config{URL: url})
	deps := f.Deps()
	deps.Store, deps.Transact = accessdb.New(second), second.Transact
	deps.Audit = audit.New(audit.Config{Store: auditdb.New(second), Now: f.Time})
	other, err := directory.Open(t.Context(), deps)
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*directory.Directory{f.Directory, other}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := nodes[i%2].CreateApplication(t.Context(), f.Administrator(), fmt.Sprintf("app %02d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, d := range nodes {
		if err := d.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ps, _, err := d.Principals(t.Context(), f.Administrator(), "", 0); err != nil || len(ps) != 21 {
			t.Errorf("node %d knows %d principals: %v", i, len(ps), err)
		}
	}
	if n := len(f.Records(t, "PrincipalCreate")); n != 21 {
		t.Errorf("%d records", n)
	}
}
