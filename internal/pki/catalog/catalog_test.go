package catalog_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/eventdb"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/seal"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

var somebody = access.Caller{Principal: "11111111-2222-3333-4444-555555555555", Name: "Somebody"}

// node is a process on a database.
type node struct {
	*catalog.Service
	trail *audit.Trail
}

func newNode(t *testing.T, db *storage.DB, guard access.Guard) node {
	t.Helper()
	now, log := func() time.Time { return noon }, slog.New(slog.DiscardHandler)
	signer, err := audit.NewSigner("chatelaine/test/audit", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	trail := audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: now, Log: log})
	box, err := seal.NewBox(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	s, err := catalog.New(t.Context(), catalog.Deps{
		Store: pkidb.New(db), Sealer: sealer{box}, Transact: db.Transact, Audit: trail,
		Events: event.New(event.Config{Store: eventdb.New(db), Transact: db.Transact, Now: now, Log: log}),
		Guard:  guard, Check: issuance.CheckStandards, Now: now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return node{s, trail}
}

type sealer struct{ box *seal.Box }

func (s sealer) Seal(name string, plaintext []byte) []byte {
	return s.box.Seal(seal.Identity{Vault: "pki", Kind: "profile", Name: name}, plaintext)
}

func (s sealer) Open(name string, sealed []byte) ([]byte, error) {
	return s.box.Open(seal.Identity{Vault: "pki", Kind: "profile", Name: name}, sealed)
}

type everybody struct{}

func (everybody) Authorize(context.Context, access.Caller, access.Action, access.Scope, string) error {
	return nil
}

type nobody struct{}

func (nobody) Authorize(_ context.Context, c access.Caller, a access.Action, s access.Scope, _ string) error {
	return access.Refuse(c, a, s)
}

func text(t *testing.T, p profile.Profile) []byte {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAProfileIsMadeChangedAndDeletedAndEveryNodeSeesIt(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := t.Context()
		here, there := newNode(t, db, everybody{}), newNode(t, db, everybody{})

		made, err := here.Copy(ctx, somebody, "tls-server", "shop")
		if err != nil {
			t.Fatal(err)
		}
		if p, err := here.Get("shop"); err != nil || p.Name != "shop" || made.Revision != 1 || made.Updater != somebody.Principal {
			t.Errorf("%+v %v", made, err)
		}
		if _, err := there.Get("shop"); err == nil {
			t.Error("another node sees it before it looked")
		}
		if err := there.Reload(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := there.Get("shop"); err != nil {
			t.Errorf("another node: %v", err)
		}

		p := made.Profile
		p.Title, p.Approval = "Shop", true
		changed, err := there.Update(ctx, somebody, "shop", 1, text(t, p))
		if err != nil || changed.Revision != 2 {
			t.Fatalf("%+v %v", changed, err)
		}
		for name, n := range map[string]node{"one that has not seen the change": here, "one that has": there} {
			if _, err := n.Update(ctx, somebody, "shop", 1, text(t, p)); !fault.HasCode(err, "ProfileChanged") {
				t.Errorf("an update of an older revision at %s: %v", name, err)
			}
		}
		if err := here.Reload(ctx); err != nil {
			t.Fatal(err)
		}
		if p, err := here.Get("shop"); err != nil || !p.Approval {
			t.Errorf("%+v %v", p, err)
		}

		again := newNode(t, db, everybody{})
		if e, err := again.Entry(ctx, somebody, "shop"); err != nil || e.Revision != 2 || e.Profile.Title != "Shop" || !e.Updated.Equal(noon) {
			t.Errorf("after a start: %+v %v", e, err)
		}

		if err := here.Delete(ctx, somebody, "shop"); err != nil {
			t.Fatal(err)
		}
		if err := here.Delete(ctx, somebody, "shop"); !fault.Is(err, fault.NotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		if err := there.Reload(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := there.Get("shop"); err == nil {
			t.Error("a deleted profile is still there")
		}
		records, err := here.trail.List(ctx, audit.Query{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, r := range records {
			told = append(told, r.Operation)
		}
		if got := strings.Join(told, " "); got != "ProfileDelete ProfileUpdate ProfileCreate" {
			t.Errorf("the trail has %s", got)
		}
	})
}

func TestWhatComesWithTheProductStaysAsItIs(t *testing.T) {
	t.Parallel()
	n := newNode(t, storagetest.SQLite(t), everybody{})
	p, err := n.Get("tls-server")
	if err != nil {
		t.Fatal(err)
	}

	for what, err := range map[string]error{
		"changed": second(n.Update(t.Context(), somebody, "tls-server", 0, text(t, p))),
		"deleted": n.Delete(t.Context(), somebody, "tls-server"),
	} {
		if !fault.HasCode(err, "ProfileBuiltIn") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := n.Create(t.Context(), somebody, text(t, p)); !fault.HasCode(err, "NameTaken") {
		t.Errorf("made again: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAProfileThatCannotBeUsedIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	n := newNode(t, storagetest.SQLite(t), everybody{})
	good, err := n.Get("tls-server")
	if err != nil {
		t.Fatal(err)
	}
	good.Name = "mine"
	for _, c := range []struct{ change, want string }{
		{`{"standards":["CABF_XX"]}`, "CABF_XX"},
		{`{"keys":["RSA 1024"]}`, "RSA 1024"},
		{`{"name":"../mine"}`, "lower-case"},
		{`{"extendedKeyUsage":["any"]}`, "any"},
	} {
		p, err := profile.ParseOne(text(t, good)) // a copy that shares nothing
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.change), &p); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Create(t.Context(), somebody, text(t, p)); !fault.HasCode(err, "BadProfile") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.change, err)
		}
	}
	for _, bad := range []string{``, `null`, `{}`, `[]`, `{"name":"mine","wildcards":true}`, string(text(t, good)) + "," + string(text(t, good)), string(text(t, good)) + "] ["} {
		if _, err := n.Create(t.Context(), somebody, []byte(bad)); !fault.HasCode(err, "BadProfile") {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	if _, err := n.Create(t.Context(), somebody, text(t, good)); err != nil {
		t.Fatal(err)
	}
	good.Name = "other"
	if _, err := n.Update(t.Context(), somebody, "mine", 1, text(t, good)); !fault.HasCode(err, "NameChanged") {
		t.Errorf("another name: %v", err)
	}
}

// Somebody who writes into the database cannot widen a profile: a row that does not open
// issues nothing, and the others go on.
func TestARowThatWasTamperedWithIsNoProfile(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	n := newNode(t, db, everybody{})
	for _, name := range []string{"one", "two", "three"} {
		if _, err := n.Copy(t.Context(), somebody, "tls-server", name); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []string{
		`UPDATE pki_profiles SET sealed = (SELECT sealed FROM pki_profiles WHERE name = 'two') WHERE name = 'one'`,
		`UPDATE pki_profiles SET revision = 7 WHERE name = 'two'`,
		`UPDATE pki_profile_generation SET generation = generation + 1`,
	} {
		if _, err := db.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}

	if err := n.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}

	for name, want := range map[string]bool{"one": false, "two": false, "three": true, "tls-server": true} {
		if _, err := n.Get(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhoMayNotLearnsNothingAndChangesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t, storagetest.SQLite(t), nobody{})
	ctx := t.Context()
	for what, err := range map[string]error{
		"list": second(n.List(ctx, somebody)), "get": second(n.Entry(ctx, somebody, "tls-server")), "get none": second(n.Entry(ctx, somebody, "none")),
		"create": second(n.Create(ctx, somebody, nil)), "copy": second(n.Copy(ctx, somebody, "none", "x")),
		"update": second(n.Update(ctx, somebody, "none", 1, nil)), "delete": n.Delete(ctx, somebody, "none"),
	} {
		if !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
