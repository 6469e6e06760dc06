package rotation_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

const day = 24 * time.Hour

// house is a vault whose keys rotate.
type house struct {
	*vaulttest.Floor
	keys     *keys.Service
	rotation *rotation.Service
	agenda   *object.Agenda
}

func newHouse(t *testing.T, db *storage.DB) *house {
	t.Helper()
	h := &house{Floor: vaulttest.New(t, db)}
	h.open()
	return h
}

// open makes the services, as a start does.
func (h *house) open() {
	h.Reopen()
	h.keys = keys.New(h.Deps, keystore.NewSoftware())
	h.rotation = rotation.New(h.Deps, h.keys)
	h.agenda = object.NewAgenda(h.Deps, vaultdb.New(h.DB), slog.New(slog.DiscardHandler))
	h.rotation.Handle(h.agenda)
}

func ref(name string) object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: name} }

func (h *house) create(t *testing.T, name string, a object.Attributes) object.Entry {
	t.Helper()
	e, err := h.keys.Create(t.Context(), h.Caller, ref(name), keys.CreateRequest{Type: "EC-HSM", Curve: "P-384", Ops: []keys.Operation{"sign"}, Attributes: a})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (h *house) set(t *testing.T, name string, d rotation.Draft) rotation.Policy {
	t.Helper()
	p, _, err := h.rotation.SetPolicy(t.Context(), h.Caller, ref(name), d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// later moves the clock and does what is due then.
func (h *house) later(t *testing.T, d time.Duration) {
	t.Helper()
	h.Advance(d)
	if err := h.agenda.HandleDue(t.Context(), object.DueArgs{}); err != nil {
		t.Fatal(err)
	}
}

func (h *house) versions(t *testing.T, name string) []object.Entry {
	t.Helper()
	l, err := h.keys.Versions(t.Context(), h.Caller, ref(name), object.Page{Limit: 25})
	if err != nil {
		t.Fatal(err)
	}
	return l.Entries
}

// told are the events about keys, without their prefix.
func (h *house) told() []string {
	var list []string
	for _, e := range h.Events() {
		list = append(list, strings.TrimPrefix(e.Type, "Microsoft.KeyVault.")+" "+e.Subject)
	}
	return list
}

func TestARotatedKeyIsLikeTheOneBefore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		expires := h.Time().Add(400 * day)
		first := h.create(t, "Payroll", object.Attributes{Tags: map[string]string{"env": "prod"}, Expires: &expires})
		h.Advance(time.Hour)

		plain, err := h.rotation.Rotate(t.Context(), h.Caller, ref("payroll"))
		if err != nil {
			t.Fatal(err)
		}
		h.set(t, "payroll", rotation.Draft{Expiry: "P90D"})
		second, err := h.rotation.Rotate(t.Context(), h.Caller, ref("payroll"))
		if err != nil {
			t.Fatal(err)
		}

		was, _ := keys.DetailsOf(first.Version)
		is, err := keys.DetailsOf(second.Version)
		if err != nil {
			t.Fatal(err)
		}
		if is.Type != was.Type || is.Curve != was.Curve || !slices.Equal(is.Ops, was.Ops) || second.Version.Tags["env"] != "prod" || second.Head.Name != "Payroll" {
			t.Errorf("the new version is %+v with the tags %v, the old one was %+v", is, second.Version.Tags, was)
		}
		if string(is.X) == string(was.X) {
			t.Error("the new version has the old key")
		}
		if !plain.Version.Expires.IsZero() {
			t.Errorf("without a policy it expires on %s", plain.Version.Expires)
		}
		if want := h.Time().Add(90 * day); !second.Version.Expires.Equal(want) {
			t.Errorf("it expires on %s, want %s", second.Version.Expires, want)
		}
		if got := h.Operations(t); !slices.Equal(got, []string{"KeyCreate", "KeyRotate", "KeyRotationPolicySet", "KeyRotate"}) {
			t.Errorf("recorded: %q", got)
		}
		if got := h.told(); !slices.Equal(got, []string{"KeyNewVersionCreated Payroll", "KeyNewVersionCreated Payroll", "KeyNewVersionCreated Payroll"}) {
			t.Errorf("told: %q", got)
		}
	})
}

func TestAKeyRotatesByItselfWhenItsPolicySays(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		h.create(t, "a", object.Attributes{})
		h.create(t, "other", object.Attributes{})
		h.set(t, "a", rotation.Draft{Expiry: "P60D", Actions: []rotation.Action{{Type: "ROTATE", AfterCreate: "P30D"}}})

		h.later(t, 30*day-time.Second)
		if n := len(h.versions(t, "a")); n != 1 {
			t.Fatalf("%d versions before the time", n)
		}
		h.later(t, time.Second)
		h.later(t, time.Minute) // and not again
		if n := len(h.versions(t, "a")); n != 2 {
			t.Fatalf("%d versions, want 2", n)
		}
		h.open() // a restart
		h.later(t, 30*day)

		list := h.versions(t, "a")
		if len(list) != 3 || len(h.versions(t, "other")) != 1 {
			t.Fatalf("%d versions, want 3; the other key has %d", len(list), len(h.versions(t, "other")))
		}
		// The second version was made at day 30 to last 60 days; the third at day 60 and a minute.
		if want := h.Time().Add(60 * day); !list[2].Version.Expires.Equal(want) {
			t.Errorf("the last version expires on %s, want %s", list[2].Version.Expires, want)
		}
		n := 0
		for _, op := range h.Operations(t) {
			if op == "KeyRotateIfDue" {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d rotations are recorded, want 2", n)
		}
	})
}

func TestAKeyRotatesBeforeItExpires(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	expires := h.Time().Add(50 * day)
	h.create(t, "a", object.Attributes{Expires: &expires})
	h.set(t, "a", rotation.Draft{Expiry: "P90D", Actions: []rotation.Action{{Type: "Rotate", BeforeExpiry: "P10D"}}})

	h.later(t, 40*day)
	h.later(t, 79*day)
	if n := len(h.versions(t, "a")); n != 2 {
		t.Errorf("%d versions after 119 days, want 2", n)
	}
	h.later(t, day)
	if n := len(h.versions(t, "a")); n != 3 {
		t.Errorf("%d versions after 120 days, want 3", n)
	}
}

func TestWhoExpiresIsAnnouncedOnceAndInTime(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		expires := h.Time().Add(100 * day)
		h.create(t, "default", object.Attributes{Expires: &expires})
		h.create(t, "own", object.Attributes{Expires: &expires})
		h.create(t, "never", object.Attributes{})
		h.set(t, "own", rotation.Draft{Actions: []rotation.Action{{Type: "notify", BeforeExpiry: "P60D"}}})
		near := func() (list []string) {
			for _, e := range h.told() {
				if name, ok := strings.CutPrefix(e, "KeyNearExpiry "); ok {
					list = append(list, name)
				}
			}
			return list
		}
		for _, step := range []struct {
			wait time.Duration
			want []string
		}{
			{40*day - time.Second, nil},
			{time.Second, []string{"own"}},
			{30*day - time.Second, []string{"own"}},
			{time.Second, []string{"own", "default"}},
			{100 * day, []string{"own", "default"}},
		} {
			if h.later(t, step.wait); !slices.Equal(near(), step.want) {
				t.Errorf("%s later: told of %q, want %q", step.wait, near(), step.want)
			}
		}
		later := h.Time().Add(10 * day) // a new life: it is near its end at once
		if _, err := h.keys.Update(t.Context(), h.Caller, ref("default"), keys.UpdateRequest{Attributes: object.Attributes{Expires: &later}}); err != nil {
			t.Fatal(err)
		}
		if h.later(t, time.Minute); !slices.Equal(near(), []string{"own", "default", "default"}) {
			t.Errorf("told of %q", near())
		}
		if ops := h.Operations(t); !slices.Contains(ops, "KeyNearExpiryEventGridNotification") {
			t.Errorf("not recorded: %q", ops)
		}
	})
}

func TestADisabledOrDeletedKeyDoesNotRotate(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	off, on := false, true
	draft := rotation.Draft{Actions: []rotation.Action{{Type: "Rotate", AfterCreate: "P7D"}}}
	for _, name := range []string{"off", "gone"} {
		h.create(t, name, object.Attributes{})
		h.set(t, name, draft)
	}
	enable := func(b *bool) {
		if _, err := h.keys.Update(t.Context(), h.Caller, ref("off"), keys.UpdateRequest{Attributes: object.Attributes{Enabled: b}}); err != nil {
			t.Fatal(err)
		}
	}
	enable(&off)
	if _, err := h.keys.Delete(t.Context(), h.Caller, ref("gone")); err != nil {
		t.Fatal(err)
	}

	h.later(t, 10*day)

	if n := len(h.versions(t, "off")); n != 1 {
		t.Errorf("the disabled key has %d versions", n)
	}
	enable(&on)
	if _, err := h.keys.Recover(t.Context(), h.Caller, ref("gone")); err != nil {
		t.Fatal(err)
	}
	h.later(t, time.Minute)
	for _, name := range []string{"off", "gone"} {
		if n := len(h.versions(t, name)); n != 2 {
			t.Errorf("%s: %d versions after it came back, want 2", name, n)
		}
	}
}

// Two nodes see the same key due at the same moment; a third dies before its commit.
func TestManyNodesRotateAKeyOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		h.create(t, "a", object.Attributes{})
		h.set(t, "a", rotation.Draft{Actions: []rotation.Action{{Type: "Rotate", AfterCreate: "P7D"}}})
		h.Advance(7 * day)
		dead := h.Deps
		dead.Transact = func(ctx context.Context, fn func(ctx context.Context) error) error {
			return db.Transact(ctx, func(ctx context.Context) error {
				if err := fn(ctx); err != nil {
					return err
				}
				return fault.New(fault.Unavailable, "", "the node dies before its commit")
			})
		}
		k := keys.New(dead, keystore.NewSoftware())
		a := object.NewAgenda(dead, vaultdb.New(db), slog.New(slog.DiscardHandler))
		rotation.New(dead, k).Handle(a)
		if err := a.HandleDue(t.Context(), object.DueArgs{}); err != nil {
			t.Fatal(err)
		}
		if n := len(h.versions(t, "a")); n != 1 {
			t.Fatalf("%d versions after a commit that never was", n)
		}
		h.Advance(time.Hour)

		var nodes sync.WaitGroup
		for range 3 {
			a := object.NewAgenda(h.Deps, vaultdb.New(db), slog.New(slog.DiscardHandler))
			h.rotation.Handle(a)
			nodes.Go(func() {
				if err := a.HandleDue(t.Context(), object.DueArgs{}); err != nil {
					t.Error(err)
				}
			})
		}
		nodes.Wait()

		if n := len(h.versions(t, "a")); n != 2 {
			t.Errorf("%d versions, want 2", n)
		}
	})
}

func TestThePolicySurvivesBackupAndRestore(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	h.create(t, "a", object.Attributes{})
	want := h.set(t, "a", rotation.Draft{Expiry: "P40D", Actions: []rotation.Action{{Type: "Rotate", AfterCreate: "P20D"}}})
	blob, err := h.keys.Backup(t.Context(), h.Caller, ref("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.keys.Delete(t.Context(), h.Caller, ref("a")); err != nil {
		t.Fatal(err)
	}
	if err := h.keys.Purge(t.Context(), h.Caller, ref("a")); err != nil {
		t.Fatal(err)
	}
	h.later(t, 20*day)
	if _, err := h.keys.Restore(t.Context(), h.Caller, vaulttest.Vault, blob); err != nil {
		t.Fatal(err)
	}

	if got, _, err := h.rotation.Policy(t.Context(), h.Caller, ref("a")); err != nil || got != want {
		t.Errorf("the policy is %+v, want %+v: %v", got, want, err)
	}
	h.later(t, time.Minute)
	if n := len(h.versions(t, "a")); n != 2 {
		t.Errorf("%d versions: what was restored did not rotate", n)
	}
}

func TestEachOperationNeedsItsAction(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	h.create(t, "a", object.Attributes{})
	for action, call := range map[access.Action]func() error{
		"keys/rotate/action": func() error { _, err := h.rotation.Rotate(t.Context(), h.Caller, ref("a")); return err },
		"keyrotationpolicies/read": func() error {
			_, _, err := h.rotation.Policy(t.Context(), h.Caller, ref("a"))
			return err
		},
		"keyrotationpolicies/write": func() error {
			_, _, err := h.rotation.SetPolicy(t.Context(), h.Caller, ref("a"), rotation.Draft{})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", action, err)
		}
		h.Deny("Microsoft.KeyVault/vaults/" + action)
		if err := call(); !fault.Is(err, fault.Denied) {
			t.Errorf("without %s: %v", action, err)
		}
	}
}

func TestTheLimitsOfAPolicyAreAzures(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	expires := h.Time().Add(365 * day)
	h.create(t, "a", object.Attributes{Expires: &expires})
	h.create(t, "b", object.Attributes{})
	rotate := func(after, before string) rotation.Action {
		return rotation.Action{Type: "Rotate", AfterCreate: after, BeforeExpiry: before}
	}
	notify := func(before string) rotation.Action {
		return rotation.Action{Type: "Notify", BeforeExpiry: before}
	}
	actions := func(a ...rotation.Action) []rotation.Action { return a }
	for _, c := range []struct {
		name  string
		draft rotation.Draft
		ok    bool
	}{
		{"nothing", rotation.Draft{}, true},
		{"expiry 28 days", rotation.Draft{Expiry: "P28D"}, true},
		{"expiry four weeks", rotation.Draft{Expiry: "P4W"}, true},
		{"expiry 27 days and 24 hours", rotation.Draft{Expiry: "P27DT24H"}, true},
		{"expiry below 28 days", rotation.Draft{Expiry: "P27DT23H"}, false},
		{"after 7 days", rotation.Draft{Actions: actions(rotate("P7D", ""))}, true},
		{"after less", rotation.Draft{Actions: actions(rotate("PT167H", ""))}, false},
		{"after, 7 days before the end", rotation.Draft{Expiry: "P28D", Actions: actions(rotate("P21D", ""))}, true},
		{"after, nearer to the end", rotation.Draft{Expiry: "P28D", Actions: actions(rotate("P22D", ""))}, false},
		{"before, without an expiry", rotation.Draft{Actions: actions(rotate("", "P30D"))}, false},
		{"before", rotation.Draft{Expiry: "P90D", Actions: actions(rotate("", "P30D"))}, true},
		{"before, 7 days after the making", rotation.Draft{Expiry: "P28D", Actions: actions(rotate("", "P21D"))}, true},
		{"before, nearer to the making", rotation.Draft{Expiry: "P28D", Actions: actions(rotate("", "P22D"))}, false},
		{"before, less than 7 days", rotation.Draft{Expiry: "P90D", Actions: actions(rotate("", "P6D"))}, false},
		{"both triggers", rotation.Draft{Expiry: "P90D", Actions: actions(rotate("P30D", "P30D"))}, false},
		{"no trigger", rotation.Draft{Actions: actions(rotate("", ""))}, false},
		{"notify", rotation.Draft{Actions: actions(notify("P7D"))}, true},
		{"notify later", rotation.Draft{Actions: actions(notify("P6D"))}, false},
		{"two rotations", rotation.Draft{Actions: actions(rotate("P30D", ""), rotation.Action{Type: "rotate", AfterCreate: "P60D"})}, false},
		{"two notices", rotation.Draft{Actions: actions(notify("P30D"), notify("P60D"))}, false},
		{"one of each", rotation.Draft{Actions: actions(notify("P30D"), rotate("P60D", ""))}, true},
		{"three", rotation.Draft{Actions: actions(notify("P30D"), rotate("P60D", ""), rotate("P60D", ""))}, false},
	} {
		_, _, err := h.rotation.SetPolicy(t.Context(), h.Caller, ref("a"), c.draft)
		if (err == nil) != c.ok || (err != nil && !fault.Is(err, fault.Invalid)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, _, err := h.rotation.SetPolicy(t.Context(), h.Caller, ref("b"), rotation.Draft{Expiry: "P90D", Actions: actions(rotate("", "P30D"))}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a rotation before an expiry that the key does not have: %v", err)
	}
}

// anybody is an attestation service wherever one is named.
type anybody struct{}

func (anybody) Check(context.Context, string) error { return nil }

func TestEveryTypeOfKeyRotates(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	h.keys.Authorities = anybody{}
	yes := true
	leaves := keys.Exposure{Exportable: &yes, Policy: &keys.PolicyClause{
		Data: []byte(`{"version":"1.0.0","anyOf":[{"authority":"https://attest.example","allOf":[{"claim":"a","equals":"b"}]}]}`),
	}}
	for name, q := range map[string]keys.CreateRequest{
		"rsa":      {Type: "RSA", Bits: 2048, Ops: []keys.Operation{"wrapKey"}},
		"exchange": {Type: "RSA-HSM", Ops: []keys.Operation{keys.Import}},
		"ec":       {Type: "EC", Curve: "P-256K"},
		"oct":      {Type: "oct-HSM", Bits: 192},
		"mac":      {Type: "oct", Bits: 256, Ops: []keys.Operation{"sign", "verify"}},
		"akp":      {Type: "AKP", Algorithm: "ML-DSA-65"},
		"leaves":   {Type: "EC-HSM", Curve: "P-521", Ops: []keys.Operation{"sign", keys.Export}, Exposure: leaves},
	} {
		first, err := h.keys.Create(t.Context(), h.Caller, ref(name), q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		second, err := h.rotation.Rotate(t.Context(), h.Caller, ref(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		was, _ := keys.DetailsOf(first.Version)
		is, err := keys.DetailsOf(second.Version)
		if err != nil {
			t.Fatal(err)
		}
		if is.Type != was.Type || is.Curve != was.Curve || is.Algorithm != was.Algorithm || is.Bits != was.Bits || len(is.N) != len(was.N) || !slices.Equal(is.Ops, was.Ops) {
			t.Errorf("%s: %+v became %+v", name, was, is)
		}
		if string(first.Head.Extra) != string(second.Head.Extra) {
			t.Errorf("%s: what holds for all versions changed from %s to %s", name, first.Head.Extra, second.Head.Extra)
		}
	}
	if _, err := h.keys.Import(t.Context(), h.Caller, ref("public"), keys.ImportRequest{Key: keys.PrivateJWK{JWK: keys.JWK{
		Type: "EC", Curve: "P-256", X: bytesOf("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"), Y: bytesOf("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"),
	}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.rotation.Rotate(t.Context(), h.Caller, ref("public")); !fault.Is(err, fault.Denied) {
		t.Errorf("a key whose private half is elsewhere: %v", err)
	}
}

func bytesOf(text string) (b keys.Bytes) {
	_ = b.UnmarshalText([]byte(text))
	return b
}
