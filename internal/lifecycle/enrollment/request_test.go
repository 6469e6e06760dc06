package enrollment_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"github.com/google/go-cmp/cmp"
)

func TestALineageHasOneRequestAtATime(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		l := w.Adopt(t, w.NewProgram(t, "shop.example"))
		_, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
		must(t, err)

		if _, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID}); !fault.HasCode(err, "RequestUnderWay") {
			t.Errorf("got %v, want RequestUnderWay", err)
		}
		if n := w.Queue.Len(t); n != 1 {
			t.Errorf("%d jobs wait, want 1", n)
		}
	})
}

func TestTheSameWishTwiceIsOneRequest(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		l, other := w.Adopt(t, w.NewProgram(t, "shop.example")), w.Adopt(t, w.NewProgram(t, "other.example"))
		first, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID, Once: "k"})
		must(t, err)

		again, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID, Once: "k"})
		if err != nil || again.ID != first.ID {
			t.Errorf("got %s, %v; want %s", again.ID, err, first.ID)
		}
		w.Queue.Drain(t)
		again, err = w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID, Once: "k"})
		if err != nil || again.ID != first.ID || again.State != enrollment.Completed {
			t.Errorf("after its end: got %s %s, %v", again.ID, again.State, err)
		}
		if _, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: other.ID, Once: "k"}); !fault.HasCode(err, "OnceUsed") {
			t.Errorf("for another lineage: got %v, want OnceUsed", err)
		}
		mine, err := w.Requests.Create(t.Context(), Approver, enrollment.Draft{Lineage: other.ID, Once: "k"})
		if err != nil || mine.ID == first.ID {
			t.Errorf("of another caller: got %s, %v", mine.ID, err)
		}
		if n := w.Issued(t); n != 1 {
			t.Errorf("%d certificates issued, want 1", n)
		}
	})
}

func TestNewRequestTakesThePlaceOfAFailedOne(t *testing.T) {
	w, _, l, o := outsideWorld(t)
	o.fails = func(call int) error {
		if call == 1 {
			return fault.New(fault.Invalid, "", "no")
		}
		return nil
	}
	failed := renew(t, w, l)

	renewed := renew(t, w, l)

	if failed = get(t, w, failed.ID); failed.State != enrollment.Canceled || renewed.State != enrollment.Completed {
		t.Errorf("the failed one is %s, the new one %s", failed.State, renewed.State)
	}
	e, err := w.Store.Request(t.Context(), failed.ID)
	must(t, err)
	if len(e.Key) > 0 {
		t.Error("the failed request still has its key")
	}
	if _, err := w.Requests.Retry(t.Context(), w.Caller, failed.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("retried: %v", err)
	}
}

func TestWhatCanBeCanceled(t *testing.T) {
	w, _, _, r := approvedWorld(t, storagetest.SQLite(t))
	_, err := w.Requests.Cancel(t.Context(), w.Caller, r.ID)
	must(t, err)
	w.Queue.Drain(t)
	if r = get(t, w, r.ID); r.State != enrollment.Canceled || w.Issued(t) != 0 {
		t.Errorf("pending: %s", r.State)
	}

	thinking, _, l, o := outsideWorld(t)
	o.thinks = 1
	waits, err := thinking.Requests.Create(t.Context(), thinking.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	thinking.Queue.Step(t)
	_, err = thinking.Requests.Cancel(t.Context(), thinking.Caller, waits.ID)
	must(t, err)
	thinking.Queue.Drain(t)
	if waits = get(t, thinking, waits.ID); waits.State != enrollment.Canceled {
		t.Errorf("while the issuer thinks: %s", waits.State)
	}

	working := New(t, storagetest.SQLite(t))
	running, err := working.Requests.Create(t.Context(), working.Caller, enrollment.Draft{Lineage: working.Adopt(t, working.NewProgram(t, "shop.example")).ID})
	must(t, err)
	if _, err := working.Requests.Cancel(t.Context(), working.Caller, running.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("while it works: got %v, want fault.Conflict", err)
	}
	working.Queue.Drain(t)
	if _, err := working.Requests.Cancel(t.Context(), working.Caller, running.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("after its end: got %v, want fault.Conflict", err)
	}
}

func TestRevokedCertificateIsMarkedAndRenewed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		p := w.NewProgram(t, "shop.example")
		l := w.Adopt(t, p)
		first := renew(t, w, l)

		r, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: first.Result.SHA256, Reason: connector.KeyCompromise})
		must(t, err)
		w.Queue.Drain(t)

		if r = get(t, w, r.ID); r.State != enrollment.Completed || r.Lineage != l.ID {
			t.Fatalf("revocation is %s: %s", r.State, r.Problem)
		}
		found, err := w.Inventory.Get(t.Context(), w.Caller, first.Result.SHA256)
		must(t, err)
		if found.RevokedAt.IsZero() || found.RevocationReason != "keyCompromise" {
			t.Errorf("in the inventory: %+v", found.Annotations)
		}
		if l := lineageOf(t, w, l.ID); l.Due.After(w.Time()) {
			t.Errorf("the lineage is due at %s only", l.Due)
		}
		if _, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: first.Result.SHA256}); !fault.HasCode(err, "AlreadyRevoked") {
			t.Errorf("revoked twice: %v", err)
		}
	})
}

func TestKilledAnywhereARevocationIsCompleted(t *testing.T) {
	for n := 1; ; n++ {
		w := New(t, storagetest.SQLite(t))
		first := renew(t, w, w.Adopt(t, w.NewProgram(t, "shop.example")))
		r, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: first.Result.SHA256})
		must(t, err)

		w.Fuse.Arm(n)
		w.Queue.Drain(t)

		if w.Fuse.Armed() {
			break
		}
		found, err := w.Inventory.Get(t.Context(), w.Caller, first.Result.SHA256)
		must(t, err)
		if r = get(t, w, r.ID); r.State != enrollment.Completed || found.RevokedAt.IsZero() || w.Issued(t) != 0 {
			t.Fatalf("killed at %s: revocation is %s, revoked at %s", w.Fuse.Where, r.State, found.RevokedAt)
		}
	}
}

func TestRevocationThatIsAskedForNeedsAnother(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	first := renew(t, w, w.Adopt(t, w.NewProgram(t, "shop.example")))
	draft := enrollment.RevokeDraft{SHA256: first.Result.SHA256, Reason: connector.Superseded}

	r, err := w.Requests.RequestRevocation(t.Context(), w.Caller, draft)
	must(t, err)
	w.Queue.Drain(t)
	if r = get(t, w, r.ID); r.State != enrollment.Pending {
		t.Fatalf("revocation is %s", r.State)
	}
	if _, err := w.Requests.Approve(t.Context(), w.Caller, r.ID, ""); !fault.Is(err, fault.Denied) {
		t.Errorf("the requester approved: %v", err)
	}
	_, err = w.Requests.Approve(t.Context(), Approver, r.ID, "")
	must(t, err)
	w.Queue.Drain(t)

	found, err := w.Inventory.Get(t.Context(), w.Caller, first.Result.SHA256)
	must(t, err)
	if r = get(t, w, r.ID); r.State != enrollment.Completed || found.RevocationReason != "superseded" {
		t.Errorf("revocation is %s, reason %q", r.State, found.RevocationReason)
	}
}

// A certificate that was issued and revoked before it was installed is never installed.
func TestRevokedCertificateIsNotInstalledByARetry(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p)
	p.Touch(t, "broken")
	failed := renew(t, w, l)
	_, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: failed.Result.SHA256})
	must(t, err)
	w.Queue.Drain(t)
	p.Mend(t, "broken")

	if _, err := w.Requests.Retry(t.Context(), w.Caller, failed.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want fault.Conflict", err)
	}
	w.Queue.Drain(t)

	if p.Serves(t) != SHA256(p.First) {
		t.Error("the program serves the revoked certificate")
	}
	if r := renew(t, w, l); r.State != enrollment.Completed || p.Serves(t) != r.Result.SHA256 {
		t.Errorf("the next request is %s", r.State)
	}
}

func TestForeignCertificateCannotBeRevoked(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	w.Adopt(t, p)

	r, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: SHA256(p.First)})
	must(t, err)
	w.Queue.Drain(t)

	if r = get(t, w, r.ID); r.State != enrollment.Failed || !strings.Contains(r.Problem, "none of our authorities") {
		t.Errorf("revocation is %s: %s", r.State, r.Problem)
	}
	found, err := w.Inventory.Get(t.Context(), w.Caller, SHA256(p.First))
	must(t, err)
	if !found.RevokedAt.IsZero() {
		t.Error("it is marked as revoked")
	}
	if _, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: strings.Repeat("0", 64)}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown certificate: %v", err)
	}
	if _, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: SHA256(p.First), Reason: "because"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("unknown reason: %v", err)
	}
}

// Each operation asks for its action, and does nothing when it is refused.
func TestNothingIsDoneWithoutTheRight(t *testing.T) {
	for operation, c := range map[string]struct {
		action access.Action
		do     func(ctx context.Context, w *World, l lineage.Lineage, r enrollment.Request) error
	}{
		"create": {enrollment.Write, func(ctx context.Context, w *World, l lineage.Lineage, _ enrollment.Request) error {
			_, err := w.Requests.Create(ctx, w.Caller, enrollment.Draft{Lineage: l.ID})
			return err
		}},
		"approve": {enrollment.Approve, func(ctx context.Context, w *World, _ lineage.Lineage, r enrollment.Request) error {
			_, err := w.Requests.Approve(ctx, Approver, r.ID, "")
			return err
		}},
		"deny": {enrollment.Approve, func(ctx context.Context, w *World, _ lineage.Lineage, r enrollment.Request) error {
			_, err := w.Requests.Deny(ctx, Approver, r.ID, "")
			return err
		}},
		"cancel": {enrollment.Write, func(ctx context.Context, w *World, _ lineage.Lineage, r enrollment.Request) error {
			_, err := w.Requests.Cancel(ctx, w.Caller, r.ID)
			return err
		}},
		"retry": {enrollment.Write, func(ctx context.Context, w *World, _ lineage.Lineage, r enrollment.Request) error {
			_, err := w.Requests.Retry(ctx, w.Caller, r.ID)
			return err
		}},
		"get": {enrollment.Read, func(ctx context.Context, w *World, _ lineage.Lineage, r enrollment.Request) error {
			_, err := w.Requests.Get(ctx, w.Caller, r.ID)
			return err
		}},
		"list": {enrollment.Read, func(ctx context.Context, w *World, _ lineage.Lineage, _ enrollment.Request) error {
			_, err := w.Requests.List(ctx, w.Caller, enrollment.Query{Limit: 10})
			return err
		}},
		"request a revocation": {enrollment.Write, func(ctx context.Context, w *World, l lineage.Lineage, _ enrollment.Request) error {
			_, err := w.Requests.RequestRevocation(ctx, w.Caller, enrollment.RevokeDraft{SHA256: l.Current.SHA256})
			return err
		}},
		"revoke": {enrollment.Revoke, func(ctx context.Context, w *World, l lineage.Lineage, _ enrollment.Request) error {
			_, err := w.Requests.RevokeNow(ctx, w.Caller, enrollment.RevokeDraft{SHA256: l.Current.SHA256})
			return err
		}},
	} {
		t.Run(operation, func(t *testing.T) {
			w, _, l, r := approvedWorld(t, storagetest.SQLite(t))
			before, err := w.Store.Requests(t.Context(), enrollment.Query{Limit: 10})
			must(t, err)
			w.Deny(c.action)

			if err := c.do(t.Context(), w, l, r); !fault.Is(err, fault.Denied) {
				t.Errorf("got %v, want fault.Denied", err)
			}

			after, err := w.Store.Requests(t.Context(), enrollment.Query{Limit: 10})
			must(t, err)
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("something changed:\n%s", d)
			}
		})
	}
}

func TestUnknownThingsAreNotFound(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"create": func() error {
			_, err := w.Requests.Create(ctx, w.Caller, enrollment.Draft{Lineage: "nonsense"})
			return err
		},
		"approve": func() error { _, err := w.Requests.Approve(ctx, w.Caller, "nonsense", ""); return err },
		"cancel":  func() error { _, err := w.Requests.Cancel(ctx, w.Caller, "nonsense"); return err },
		"retry":   func() error { _, err := w.Requests.Retry(ctx, w.Caller, "nonsense"); return err },
		"get":     func() error { _, err := w.Requests.Get(ctx, w.Caller, "nonsense"); return err },
	} {
		if err := do(); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: got %v, want fault.NotFound", name, err)
		}
	}
	must(t, w.Requests.HandleRun(ctx, enrollment.RunArgs{Request: "nonsense"}))
}

func TestLostRequestIsFoundAgain(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p)
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	_, err = w.DB.Exec(t.Context(), `DELETE FROM test_jobs`) // somebody emptied the queue
	must(t, err)
	must(t, w.Requests.HandleSweep(t.Context(), enrollment.SweepArgs{}))
	if w.Queue.Len(t) != 0 {
		t.Fatal("looked at too early")
	}

	w.Advance(3 * time.Hour)
	for range 3 {
		must(t, w.Requests.HandleSweep(t.Context(), enrollment.SweepArgs{}))
	}
	if n := w.Queue.Len(t); n != 1 {
		t.Errorf("%d jobs wait, want 1", n)
	}
	w.Queue.Drain(t)

	checkRenewed(t, w, p, l, get(t, w, r.ID))
}
