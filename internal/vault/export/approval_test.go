package export_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/settings"
	"chatelaine.dev/internal/vault/vaulttest"
)

func TestExportTakesTwoPeople(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		w.allow(settings.ExportAll)
		r := w.ask(true)
		verdict := export.Verdict{Vault: r.Vault, Request: r.ID, Digest: r.Digest}
		w.made[[2]string{"alice", "carol"}] = true
		w.made[[2]string{"dave", "alice"}] = true

		for _, c := range []struct {
			who  access.Caller
			code string
		}{
			{w.alice, "OwnRequest"},
			{access.System("renewal"), "OwnRequest"},
			{access.Caller{Principal: "carol"}, "NotIndependent"}, // Alice has made Carol
			{access.Caller{Principal: "dave"}, "NotIndependent"},  // Dave has made Alice
		} {
			if _, err := w.exports.Approve(t.Context(), c.who, verdict); !fault.HasCode(err, c.code) {
				t.Errorf("approved by %q: %v, want %s", c.who.Principal, err, c.code)
			}
		}
		if _, err := w.exports.Download(t.Context(), w.alice, r.Vault, r.ID); !fault.HasCode(err, "NotApproved") {
			t.Errorf("fetched before the approval: %v", err)
		}

		got, err := w.approve(r)
		if err != nil || got.State != export.Approved || got.Decision.Principal != "bob" {
			t.Fatalf("%+v: %v", got, err)
		}
		if _, err := w.approve(r); !fault.HasCode(err, "NotPending") {
			t.Errorf("approved twice: %v", err)
		}
		if _, err := w.exports.Download(t.Context(), w.bob, r.Vault, r.ID); !fault.HasCode(err, "ExportNotFound") {
			t.Errorf("fetched by the approver: %v", err)
		}
		w.decrypt(w.fetch(r))
		if _, err := w.exports.Download(t.Context(), w.alice, r.Vault, r.ID); !fault.HasCode(err, "NotApproved") {
			t.Errorf("fetched twice: %v", err)
		}
	})
}

func TestEveryStepOfAnExportIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	r := w.ask(true)
	_, _ = w.exports.Approve(t.Context(), w.alice, export.Verdict{Vault: r.Vault, Request: r.ID, Digest: r.Digest})
	must[export.Request](t)(w.approve(r))
	w.fetch(r)

	got := strings.Join(w.Operations(t), ", ")

	const want = "VaultExportPolicySet, VaultExportRequest, VaultExportApprove denied, VaultExportApprove, VaultExportDownload, VaultExportComplete"
	if got != want {
		t.Errorf("records %s\nwant %s", got, want)
	}
	records := must[[]audit.Record](t)(w.Trail.List(t.Context(), audit.Query{Operation: "VaultExportApprove", Outcome: audit.Success}))
	if len(records) != 1 || records[0].Details[audit.Digest] != r.Digest || records[0].Details[audit.Request] != r.ID || records[0].Principal != "bob" {
		t.Errorf("the approval's record %+v", records)
	}
	var types []string
	for _, e := range w.Events() {
		types = append(types, e.Type)
	}
	if got := strings.Join(types, ", "); got != "Chatelaine.VaultExportRequested, Chatelaine.VaultExportApproved, Chatelaine.VaultExported" {
		t.Errorf("events %s", got)
	}
}

func TestNothingLeavesAVaultThatDoesNotAllowIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	draft := export.Draft{Vault: vaulttest.Vault, Recipients: []string{w.identity.Recipient().String()}}
	if _, err := w.exports.Ask(t.Context(), w.alice, draft); !fault.HasCode(err, "ExportNotAllowed") {
		t.Errorf("with the settings of a new vault: %v", err)
	}
	w.allow(settings.ExportWithoutKeys)
	must[export.Request](t)(w.exports.Ask(t.Context(), w.alice, draft))
	draft.Keys = true
	if _, err := w.exports.Ask(t.Context(), w.alice, draft); !fault.HasCode(err, "ExportNotAllowed") {
		t.Errorf("private keys, without being allowed: %v", err)
	}
	w.allow(settings.ExportAll)
	r := must[export.Request](t)(w.exports.Ask(t.Context(), w.alice, draft))
	must[export.Request](t)(w.approve(r))

	for _, e := range []settings.Export{settings.ExportNothing, settings.ExportWithoutKeys} {
		w.allow(e)
		if _, err := w.exports.Download(t.Context(), w.alice, r.Vault, r.ID); !fault.HasCode(err, "ExportNotAllowed") {
			t.Errorf("forbidden after the approval (%q): %v", e, err)
		}
	}
}

func TestApprovalIsOfExactlyWhatWasSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	r, other := w.ask(true), w.ask(false)

	for name, digest := range map[string]string{"none": "", "of another request": other.Digest} {
		if _, err := w.exports.Approve(t.Context(), w.bob, export.Verdict{Vault: r.Vault, Request: r.ID, Digest: digest}); !fault.HasCode(err, "OtherRequest") {
			t.Errorf("approved with the digest %s: %v", name, err)
		}
	}
	if _, err := w.exports.Approve(t.Context(), w.bob, export.Verdict{Vault: "other-vault", Request: r.ID, Digest: r.Digest}); !fault.HasCode(err, "ExportNotFound") {
		t.Errorf("approved at another vault: %v", err)
	}
}

func TestRequestsAndApprovalsExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	late, early := w.ask(true), w.ask(true)
	must[export.Request](t)(w.approve(early))
	w.Advance(25 * time.Hour)

	if _, err := w.exports.Download(t.Context(), w.alice, early.Vault, early.ID); !fault.HasCode(err, "NotApproved") {
		t.Errorf("fetched a day after the approval: %v", err)
	}
	w.Advance(48 * time.Hour)
	if _, err := w.approve(late); !fault.HasCode(err, "NotPending") {
		t.Errorf("approved after three days: %v", err)
	}
	if got := must[export.Request](t)(w.exports.Get(t.Context(), w.alice, late.Vault, late.ID)); got.State != export.Expired {
		t.Errorf("the request is %s, want expired", got.State)
	}
}

func TestRequestsAreDeniedAndCanceled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	denied, canceled := w.ask(true), w.ask(true)

	if got := must[export.Request](t)(w.exports.Deny(t.Context(), w.bob, export.Verdict{Vault: denied.Vault, Request: denied.ID, Comment: "why?"})); got.State != export.Denied {
		t.Errorf("%+v", got)
	}
	if _, err := w.exports.Cancel(t.Context(), w.bob, canceled.Vault, canceled.ID); !fault.HasCode(err, "ExportNotFound") {
		t.Errorf("canceled by another: %v", err)
	}
	if got := must[export.Request](t)(w.exports.Cancel(t.Context(), w.alice, canceled.Vault, canceled.ID)); got.State != export.Canceled {
		t.Errorf("%+v", got)
	}
	for _, r := range []export.Request{denied, canceled} {
		if _, err := w.approve(r); !fault.HasCode(err, "NotPending") {
			t.Errorf("approved afterwards: %v", err)
		}
	}
	list := must[[]export.Request](t)(w.exports.List(t.Context(), w.bob, vaulttest.Vault, "", 10))
	if len(list) != 2 || list[0].ID != canceled.ID || list[1].ID != denied.ID {
		t.Errorf("list %+v", list)
	}
	if list = must[[]export.Request](t)(w.exports.List(t.Context(), w.bob, vaulttest.Vault, canceled.ID, 10)); len(list) != 1 {
		t.Errorf("second page %+v", list)
	}
}

func TestExportNeedsTheRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	r := w.ask(true)
	ctx := t.Context()
	for action, try := range map[access.Action]func() error{
		export.Take: func() error {
			_, err := w.exports.Ask(ctx, w.alice, export.Draft{Vault: r.Vault, Recipients: r.Recipients})
			return err
		},
		export.Approve:   func() error { _, err := w.approve(r); return err },
		export.SetPolicy: func() error { return w.exports.SetPolicy(ctx, w.alice, r.Vault, settings.ExportNothing) },
		export.Read:      func() error { _, err := w.exports.List(ctx, w.alice, r.Vault, "", 1); return err },
		export.Put:       func() error { _, err := w.exports.Import(ctx, w.alice, r.Vault, strings.NewReader("")); return err },
	} {
		w.Deny(action)
		if err := try(); !fault.HasCode(err, "ForbiddenByRbac") {
			t.Errorf("without %s: %v", action, err)
		}
	}
	if _, err := w.exports.Download(ctx, w.alice, r.Vault, r.ID); !fault.HasCode(err, "ForbiddenByRbac") {
		t.Errorf("fetched without %s: %v", export.Take, err)
	}
	if got := must[export.Request](t)(w.exports.Get(ctx, w.alice, r.Vault, r.ID)); got.ID != r.ID {
		t.Error("the requester cannot look at her own request")
	}
	if _, err := w.exports.Get(ctx, w.bob, r.Vault, r.ID); !fault.HasCode(err, "ForbiddenByRbac") {
		t.Errorf("read by another without %s: %v", export.Read, err)
	}
}

func TestRecipientsAreCheckedWhenTheyAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	hybrid := must[*age.HybridIdentity](t)(age.GenerateHybridIdentity()).Recipient().String()
	classic := w.identity.Recipient().String()
	for name, list := range map[string][]string{
		"none":         nil,
		"no key":       {"alice@example.com"},
		"a secret key": {w.identity.String()},
		"one of each":  {classic, hybrid},
		"a typo":       {classic[:len(classic)-1] + "x"},
	} {
		if _, err := w.exports.Ask(t.Context(), w.alice, export.Draft{Vault: vaulttest.Vault, Recipients: list}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want a refusal", name, err)
		} else if strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("%s: the error tells the secret key", name)
		}
	}
	r := must[export.Request](t)(w.exports.Ask(t.Context(), w.alice, export.Draft{Vault: vaulttest.Vault, Recipients: []string{hybrid, hybrid}}))
	if len(r.Recipients) != 1 || r.Recipients[0] != hybrid {
		t.Errorf("recipients %q", r.Recipients)
	}
}

// cut is a client that goes away in the middle.
type cut struct{ left int }

func (c *cut) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func TestExportThatBrokeOffIsFetchedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	for _, name := range []string{"a", "b", "c"} {
		if _, err := w.secrets.Set(t.Context(), w.Caller, w.ref(name), secrets.SetRequest{Value: secrets.Value(strings.Repeat("v", 25_000))}); err != nil {
			t.Fatal(err)
		}
	}
	r := w.ask(false)
	must[export.Request](t)(w.approve(r))
	f := must[*export.File](t)(w.exports.Download(t.Context(), w.alice, r.Vault, r.ID))
	if err := f.Write(t.Context(), &cut{left: 10_000}); err == nil {
		t.Fatal("a broken connection is no error")
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	f = must[*export.File](t)(w.exports.Download(t.Context(), w.alice, r.Vault, r.ID))
	if err := f.Write(gone, io.Discard); err == nil {
		t.Fatal("a client that is gone is no error")
	}

	w.decrypt(w.fetch(r))

	if got := must[export.Request](t)(w.exports.Get(t.Context(), w.alice, r.Vault, r.ID)); got.State != export.Fetched {
		t.Errorf("the request is %s", got.State)
	}
}

func TestManagedHSMIsNotExported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	if err := w.DB.Transact(t.Context(), func(ctx context.Context) error {
		return w.Vaults.Create(ctx, "hsm", settings.Vault{Kind: settings.ManagedHSM, RetentionDays: 90})
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.exports.SetPolicy(t.Context(), w.Caller, "hsm", settings.ExportAll); !fault.HasCode(err, "ManagedHSM") {
		t.Errorf("policy: %v", err)
	}
	if _, err := w.exports.Ask(t.Context(), w.alice, export.Draft{Vault: "hsm", Recipients: []string{w.identity.Recipient().String()}}); err == nil {
		t.Error("asked for an export of a managed HSM")
	}
}

func TestAccessPoliciesDecideWhoTakesTheirVaultAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlite(t))
	w.allow(settings.ExportAll)
	w.Deny(export.Take) // no role decides here
	policies := func(p settings.Permissions) {
		t.Helper()
		if err := w.DB.Transact(t.Context(), func(ctx context.Context) error {
			_, err := w.Vaults.Edit(ctx, vaulttest.Vault, func(v *settings.Vault) error {
				v.PolicyMode, v.Policies = true, []settings.Policy{{ObjectID: aliceID, Permissions: p}}
				return nil
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.alice.Principal = aliceID
	draft := export.Draft{Vault: vaulttest.Vault, Recipients: []string{w.identity.Recipient().String()}}

	policies(settings.Permissions{Keys: []string{"all"}, Secrets: []string{"all"}, Certificates: []string{"get", "backup"}})
	if _, err := w.exports.Ask(t.Context(), w.alice, draft); !fault.HasCode(err, "ForbiddenByPolicy") {
		t.Errorf("with some permissions: %v", err)
	}
	policies(settings.Permissions{Keys: []string{"all"}, Secrets: []string{"all"}, Certificates: []string{"all"}})
	if _, err := w.exports.Ask(t.Context(), w.alice, draft); err != nil {
		t.Errorf("with all permissions: %v", err)
	}
}

const aliceID = "00000000-0000-4000-8000-00000000000a"
