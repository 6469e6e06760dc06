package lineage_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
	"github.com/google/go-cmp/cmp"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wanted(name string) lineage.Wanted {
	return lineage.Wanted{
		Name: name, Owner: "shop", Profile: "tls-server", Names: profile.Names{DNS: []string{"shop.example"}},
		Keep: lineage.Keep{Vault: vaulttest.Vault, Name: name},
	}
}

func TestAdoptionTakesWhatTheCertificateSays(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		p := w.NewProgram(t, "shop.example")

		l := w.Adopt(t, p)

		if l.Name != "shop.example" || l.Key != "P-256" || l.Current.SHA256 != SHA256(p.First) || l.Due.IsZero() {
			t.Errorf("got %+v", l)
		}
		got, err := w.Lineages.Get(t.Context(), w.Caller, l.ID)
		must(t, err)
		if d := cmp.Diff(l, got); d != "" {
			t.Errorf("stored otherwise:\n%s", d)
		}
		found, err := w.Inventory.Get(t.Context(), w.Caller, SHA256(p.First))
		must(t, err)
		if found.Lineage != l.ID || found.Stage != inventory.Managed || found.Owner != "shop" {
			t.Errorf("in the inventory: %+v", found.Annotations)
		}
		members, err := w.Lineages.Members(t.Context(), w.Caller, l.ID)
		if err != nil || len(members) != 1 || members[0].SHA256 != l.Current.SHA256 {
			t.Errorf("members %+v, %v", members, err)
		}
		_, err = w.Lineages.Adopt(t.Context(), w.Caller, lineage.Adoption{SHA256: SHA256(p.First), Wanted: wanted("again")})
		if !fault.HasCode(err, "AlreadyAdopted") {
			t.Errorf("adopted twice: %v", err)
		}
	})
}

func TestBadLineagesAreRefused(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	_, err := w.Lineages.Create(t.Context(), w.Caller, wanted("Taken"), nil)
	must(t, err)
	good := p.Target(p.Endpoint())
	for name, c := range map[string]struct {
		spoil func(*lineage.Wanted, *lineage.Target)
		want  fault.Kind
	}{
		"no name":              {func(l *lineage.Wanted, _ *lineage.Target) { l.Name = "" }, fault.Invalid},
		"control character":    {func(l *lineage.Wanted, _ *lineage.Target) { l.Name = "a\nb" }, fault.Invalid},
		"long owner":           {func(l *lineage.Wanted, _ *lineage.Target) { l.Owner = strings.Repeat("o", 201) }, fault.Invalid},
		"vault's object taken": {func(l *lineage.Wanted, _ *lineage.Target) { l.Keep.Name = "tAKEN" }, fault.Conflict},
		"name taken":           {func(l *lineage.Wanted, _ *lineage.Target) { l.Name = "tAKEN" }, fault.Conflict},
		"no profile":           {func(l *lineage.Wanted, _ *lineage.Target) { l.Profile = "" }, fault.Invalid},
		"unknown profile":      {func(l *lineage.Wanted, _ *lineage.Target) { l.Profile = "nonsense" }, fault.Invalid},
		"unknown authority":    {func(l *lineage.Wanted, _ *lineage.Target) { l.Authority = "nonsense" }, fault.Invalid},
		"no names":             {func(l *lineage.Wanted, _ *lineage.Target) { l.Names = profile.Names{} }, fault.Invalid},
		"bad names":            {func(l *lineage.Wanted, _ *lineage.Target) { l.Names.DNS = []string{"a b"} }, fault.Invalid},
		"long life":            {func(l *lineage.Wanted, _ *lineage.Target) { l.Validity = profile.Duration(1e6 * 3600e9) }, fault.Invalid},
		"weak key":             {func(l *lineage.Wanted, _ *lineage.Target) { l.Key = "RSA 1024" }, fault.Invalid},
		"unknown key":          {func(l *lineage.Wanted, _ *lineage.Target) { l.Key = "RSA many" }, fault.Invalid},
		"bad rule":             {func(l *lineage.Wanted, _ *lineage.Target) { l.Rule.Percent = 99 }, fault.Invalid},
		"no vault":             {func(l *lineage.Wanted, _ *lineage.Target) { l.Keep.Vault = "" }, fault.Invalid},
		"unknown vault":        {func(l *lineage.Wanted, _ *lineage.Target) { l.Keep.Vault = "nowhere" }, fault.NotFound},
		"vault's object":       {func(l *lineage.Wanted, _ *lineage.Target) { l.Keep.Name = "../x" }, fault.Invalid},
		"unknown place":        {func(_ *lineage.Wanted, x *lineage.Target) { x.Place = map[string]any{"a": 1} }, fault.Invalid},
		"no connection":        {func(_ *lineage.Wanted, x *lineage.Target) { x.Connection = "nonsense" }, fault.NotFound},
		"target's id":          {func(_ *lineage.Wanted, x *lineage.Target) { x.ID = "a/b" }, fault.Invalid},
		"port":                 {func(_ *lineage.Wanted, x *lineage.Target) { x.Endpoints[0].Port = 0 }, fault.Invalid},
		"host":                 {func(_ *lineage.Wanted, x *lineage.Target) { x.Endpoints[0].Host = "a b" }, fault.Invalid},
		"address":              {func(_ *lineage.Wanted, x *lineage.Target) { x.Endpoints[0].IP = "1.2.3" }, fault.Invalid},
		"nowhere":              {func(_ *lineage.Wanted, x *lineage.Target) { x.Endpoints[0] = lineage.Endpoint{Port: 443} }, fault.Invalid},
		"server name":          {func(_ *lineage.Wanted, x *lineage.Target) { x.Endpoints[0].SNI = "a\x00b" }, fault.Invalid},
		"many endpoints":       {func(_ *lineage.Wanted, x *lineage.Target) { x.Endpoints = make([]lineage.Endpoint, 51) }, fault.Invalid},
	} {
		l, x := wanted("new"), good
		x.Endpoints = slices.Clone(x.Endpoints)
		c.spoil(&l, &x)

		if _, err := w.Lineages.Create(t.Context(), w.Caller, l, []lineage.Target{x}); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, err := w.Lineages.Create(t.Context(), w.Caller, wanted("new"), make([]lineage.Target, 51)); !fault.Is(err, fault.Invalid) {
		t.Errorf("many targets: %v", err)
	}
	_, err = w.Lineages.Create(t.Context(), w.Caller, wanted("new"), []lineage.Target{good})
	must(t, err)
}

func TestUpdateNeedsTheLatestRevision(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	l := w.Adopt(t, w.NewProgram(t, "shop.example"))
	due := l.Due
	l.Rule, l.Owner = lineage.Rule{Percent: 95}, "bank"

	updated, err := w.Lineages.Update(t.Context(), w.Caller, l)
	must(t, err)
	if !updated.Due.After(due) || updated.Revision != l.Revision+1 {
		t.Errorf("due at %s, before %s", updated.Due, due)
	}
	if found, err := w.Inventory.Get(t.Context(), w.Caller, l.Current.SHA256); err != nil || found.Owner != "bank" {
		t.Errorf("owner in the inventory: %q, %v", found.Owner, err)
	}
	if _, err := w.Lineages.Update(t.Context(), w.Caller, l); !fault.HasCode(err, "Changed") {
		t.Errorf("got %v, want Changed", err)
	}

	updated.Paused = true
	paused, err := w.Lineages.Update(t.Context(), w.Caller, updated)
	if err != nil || !paused.Due.IsZero() {
		t.Errorf("paused, but due at %s, %v", paused.Due, err)
	}
}

func TestCallerCannotMoveTheCurrentCertificate(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	l := w.Adopt(t, w.NewProgram(t, "shop.example"))
	forged := l
	forged.Current.SHA256, forged.Failures = strings.Repeat("0", 64), 7

	updated, err := w.Lineages.Update(t.Context(), w.Caller, forged)

	if err != nil || updated.Current != l.Current || updated.Failures != 0 {
		t.Errorf("got %+v, %v", updated, err)
	}
}

func TestRemovedLineageLetsItsCertificatesGo(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	l := w.Adopt(t, w.NewProgram(t, "shop.example"))
	_, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	if err := w.Lineages.Remove(t.Context(), w.Caller, l.ID); !fault.HasCode(err, "RequestUnderWay") {
		t.Errorf("removed while a request is under way: %v", err)
	}
	w.Queue.Drain(t)

	must(t, w.Lineages.Remove(t.Context(), w.Caller, l.ID))

	found, err := w.Inventory.Get(t.Context(), w.Caller, l.Current.SHA256)
	if err != nil || found.Lineage != "" || found.Stage != inventory.Monitored {
		t.Errorf("in the inventory: %+v, %v", found.Annotations, err)
	}
	if _, err := w.Lineages.Get(t.Context(), w.Caller, l.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want fault.NotFound", err)
	}
}

// A lineage acts for its writer later on, so its writer must hold every right that it uses.
func TestNothingIsDoneWithoutTheRight(t *testing.T) {
	create := func(ctx context.Context, w *World, p *Program, _ lineage.Lineage) error {
		_, err := w.Lineages.Create(ctx, w.Caller, wanted("new"), []lineage.Target{p.Target()})
		return err
	}
	update := func(ctx context.Context, w *World, _ *Program, l lineage.Lineage) error {
		l.Owner = "thief"
		_, err := w.Lineages.Update(ctx, w.Caller, l)
		return err
	}
	adopt := func(ctx context.Context, w *World, p *Program, _ lineage.Lineage) error {
		_, err := w.Lineages.Adopt(ctx, w.Caller, lineage.Adoption{SHA256: SHA256(p.First), Wanted: wanted("new"), Targets: []lineage.Target{p.Target()}})
		return err
	}
	for name, c := range map[string]struct {
		action access.Action
		do     func(ctx context.Context, w *World, p *Program, l lineage.Lineage) error
	}{
		"create":               {lineage.Write, create},
		"create, into a vault": {"Microsoft.KeyVault/vaults/certificates/import/action", create},
		"create, at a target":  {"Chatelaine/connections/run", create},
		"update":               {lineage.Write, update},
		"update, into a vault": {"Microsoft.KeyVault/vaults/certificates/import/action", update},
		"update, at a target":  {"Chatelaine/connections/run", update},
		"adopt":                {lineage.Write, adopt},
		"adopt, a certificate": {"Chatelaine/certificates/write", adopt},
		"adopt, into a vault":  {"Microsoft.KeyVault/vaults/certificates/import/action", adopt},
		"adopt, at a target":   {"Chatelaine/connections/run", adopt},
		"get": {lineage.Read, func(ctx context.Context, w *World, _ *Program, l lineage.Lineage) error {
			_, err := w.Lineages.Get(ctx, w.Caller, l.ID)
			return err
		}},
		"members": {lineage.Read, func(ctx context.Context, w *World, _ *Program, l lineage.Lineage) error {
			_, err := w.Lineages.Members(ctx, w.Caller, l.ID)
			return err
		}},
		"list": {lineage.Read, func(ctx context.Context, w *World, _ *Program, _ lineage.Lineage) error {
			_, err := w.Lineages.List(ctx, w.Caller, lineage.Query{Limit: 10})
			return err
		}},
		"next": {lineage.Read, func(ctx context.Context, w *World, _ *Program, l lineage.Lineage) error {
			_, err := w.Renewal.Next(ctx, w.Caller, l.ID)
			return err
		}},
		"remove": {lineage.Delete, func(ctx context.Context, w *World, _ *Program, l lineage.Lineage) error {
			return w.Lineages.Remove(ctx, w.Caller, l.ID)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t, storagetest.SQLite(t))
			p, other := w.NewProgram(t, "shop.example"), w.NewProgram(t, "other.example")
			l := w.Adopt(t, p)
			w.Discover(t, other)
			before, err := w.Store.Lineages(t.Context(), lineage.Query{Limit: 10})
			must(t, err)
			w.Deny(c.action)

			if err := c.do(t.Context(), w, other, l); !fault.Is(err, fault.Denied) {
				t.Errorf("got %v, want fault.Denied", err)
			}

			after, err := w.Store.Lineages(t.Context(), lineage.Query{Limit: 10})
			must(t, err)
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("something changed:\n%s", d)
			}
		})
	}
}

func TestRevocationThatIsHeardOfMakesTheLineageDue(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	l := w.Adopt(t, w.NewProgram(t, "shop.example"), func(a *lineage.Adoption) { a.Rule.Percent = 95 })
	if !l.Due.After(w.Time()) {
		t.Fatalf("due at %s already", l.Due)
	}
	must(t, w.Lineages.Revoked(t.Context(), strings.Repeat("0", 64)))
	if got, err := w.Store.Lineage(t.Context(), l.ID); err != nil || !got.Due.Equal(l.Due) {
		t.Errorf("another certificate made it due at %s, %v", got.Due, err)
	}

	for range 2 {
		must(t, w.Lineages.Revoked(t.Context(), l.Current.SHA256))
	}

	got, err := w.Store.Lineage(t.Context(), l.ID)
	if err != nil || got.Due.After(w.Time()) || len(w.Records(t, "LineageHasten")) != 1 {
		t.Errorf("due at %s, %v, %d records", got.Due, err, len(w.Records(t, "LineageHasten")))
	}
}

// In a vault where access policies decide, a role does not let anybody have certificates put into it.
func TestLineageKeepsToTheAccessPoliciesOfItsVault(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	decide := func(policies ...settings.Policy) {
		t.Helper()
		if err := w.DB.Transact(t.Context(), func(ctx context.Context) error {
			_, err := w.Vaults.Edit(ctx, vaulttest.Vault, func(s *object.Settings) error {
				s.PolicyMode, s.Policies = true, policies
				return nil
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	decide()
	if _, err := w.Lineages.Create(t.Context(), w.Caller, wanted("one"), nil); !fault.HasCode(err, "ForbiddenByPolicy") {
		t.Errorf("without a policy: %v", err)
	}
	decide(settings.Policy{ObjectID: w.Caller.Principal, Permissions: settings.Permissions{Certificates: []string{"import"}}})
	if _, err := w.Lineages.Create(t.Context(), w.Caller, wanted("two"), nil); err != nil {
		t.Errorf("with a policy: %v", err)
	}
}
