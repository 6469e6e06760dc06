package enrollment_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// approvedWorld has a lineage whose profile wants an approval, and a request that waits.
func approvedWorld(t testing.TB, db *storage.DB) (*World, *Program, lineage.Lineage, enrollment.Request) {
	w := New(t, db)
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p, func(a *lineage.Adoption) { a.Profile = ApprovedProfile })
	r := renew(t, w, l)
	if r.State != enrollment.Pending || !r.NeedsApproval || w.Issued(t) != 0 {
		t.Fatalf("request is %s with %d issued", r.State, w.Issued(t))
	}
	return w, p, l, r
}

func TestApprovedRequestGoesItsWay(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, p, l, r := approvedWorld(t, db)

		_, err := w.Requests.Approve(t.Context(), Approver, r.ID, "agreed by phone")
		must(t, err)
		w.Queue.Drain(t)

		r = get(t, w, r.ID)
		checkRenewed(t, w, p, l, r)
		if len(r.Decisions) != 1 || r.Decisions[0].Principal != Approver.Principal || r.Decisions[0].Comment != "agreed by phone" {
			t.Errorf("decisions: %+v", r.Decisions)
		}
	})
}

func TestRequesterCannotApprove(t *testing.T) {
	w, _, _, r := approvedWorld(t, storagetest.SQLite(t))
	for name, c := range map[string]access.Caller{
		"requester": w.Caller, "product": access.System("renewal"),
	} {
		for verb, decide := range map[string]func(context.Context, access.Caller, string, string) (enrollment.Request, error){
			"approve": w.Requests.Approve, "deny": w.Requests.Deny,
		} {
			if _, err := decide(t.Context(), c, r.ID, ""); !fault.Is(err, fault.Denied) {
				t.Errorf("%s %ss: got %v, want fault.Denied", name, verb, err)
			}
		}
	}
	if r := get(t, w, r.ID); r.State != enrollment.Pending {
		t.Errorf("request is %s", r.State)
	}
	if refused := w.Records(t, "RequestApprove"); len(refused) != 2 || refused[0].Outcome != audit.Denied {
		t.Errorf("the refusals are not recorded: %+v", refused)
	}
}

func TestDeniedRequestIssuesNothing(t *testing.T) {
	w, p, l, r := approvedWorld(t, storagetest.SQLite(t))

	_, err := w.Requests.Deny(t.Context(), Approver, r.ID, "not this year")
	must(t, err)
	w.Queue.Drain(t)

	if r := get(t, w, r.ID); r.State != enrollment.Denied || w.Issued(t) != 0 || p.Serves(t) != SHA256(p.First) {
		t.Errorf("request is %s", r.State)
	}
	if _, err := w.Requests.Approve(t.Context(), Approver, r.ID, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("approved after it was denied: %v", err)
	}
	if due := lineageOf(t, w, l.ID).Due; due.Before(w.Time().Add(23 * time.Hour)) {
		t.Errorf("asked again at %s, so soon", due)
	}
}

func TestRequestThatNobodyApprovesExpires(t *testing.T) {
	w, _, _, r := approvedWorld(t, storagetest.SQLite(t))
	w.Advance(13 * 24 * time.Hour)
	must(t, w.Requests.HandleSweep(t.Context(), enrollment.SweepArgs{}))
	w.Queue.Drain(t)
	if r := get(t, w, r.ID); r.State != enrollment.Pending {
		t.Fatalf("request is %s after 13 days", r.State)
	}

	w.Advance(2 * 24 * time.Hour)
	if _, err := w.Requests.Approve(t.Context(), Approver, r.ID, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("approved too late: %v", err)
	}
	must(t, w.Requests.HandleSweep(t.Context(), enrollment.SweepArgs{}))
	w.Queue.Drain(t)

	if r := get(t, w, r.ID); r.State != enrollment.Expired {
		t.Errorf("request is %s after 15 days", r.State)
	}
}

// What was approved is what is issued: the authority asks with what it is about to sign.
func TestApprovalCoversExactlyWhatWasAskedFor(t *testing.T) {
	w, _, _, r := approvedWorld(t, storagetest.SQLite(t))
	_, err := w.Requests.Approve(t.Context(), Approver, r.ID, "")
	must(t, err)
	w.Fuse.Arm(4) // the key is stored, nothing is issued
	w.Queue.Step(t)
	right := issuance.Approval{
		Request: r.ID, Authority: "issuing", Profile: ApprovedProfile, CommonName: "shop.example",
		Names: profile.Names{DNS: []string{"SHOP.example"}}, KeySHA256: keyOf(t, w, r.ID), NotAfter: w.Time().AddDate(0, 3, 0),
	}
	must(t, w.Requests.Approved(t.Context(), right))

	for name, spoil := range map[string]func(*issuance.Approval){
		"other request": func(a *issuance.Approval) { a.Request = "nonsense" },
		"other profile": func(a *issuance.Approval) { a.Profile = "tls-client" },
		"more names":    func(a *issuance.Approval) { a.Names.DNS = append(a.Names.DNS, "bank.example") },
		"an address":    func(a *issuance.Approval) { a.Names.IP = []string{"192.0.2.1"} },
		"no names":      func(a *issuance.Approval) { a.Names = profile.Names{} },
		"other key":     func(a *issuance.Approval) { a.KeySHA256 = strings.Repeat("0", 64) },
	} {
		a := right
		spoil(&a)
		if err := w.Requests.Approved(t.Context(), a); !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}

	w.Queue.Drain(t)
	if err := w.Requests.Approved(t.Context(), right); !fault.Is(err, fault.Denied) {
		t.Errorf("approved again after its end: %v", err)
	}
}

// On the direct road too, with all that an ask can say.
func TestApprovalOfAnAskCoversItsNameLifeAndAuthority(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	a := ask(t, "shop.example", "www.shop.example")
	a.Profile, a.Authority, a.Validity = ApprovedProfile, "issuing", 30*24*time.Hour
	got, err := w.Requests.Enroll(t.Context(), w.Caller, a)
	must(t, err)
	right := issuance.Approval{
		Request: got.Request, Authority: "issuing", Profile: ApprovedProfile, CommonName: "shop.example", Names: profileNames("shop.example", "www.shop.example"),
		KeySHA256: keyOf(t, w, got.Request), NotAfter: w.Time().AddDate(0, 0, 30),
	}
	decide := func(state enrollment.State, decisions ...enrollment.Decision) {
		t.Helper()
		e, err := w.Store.Request(t.Context(), got.Request)
		must(t, err)
		e.State, e.Decisions, e.Revision = state, decisions, e.Revision+1
		must(t, w.Store.UpdateRequest(t.Context(), e))
	}
	refused := func(why string, a issuance.Approval) {
		t.Helper()
		if err := w.Requests.Approved(t.Context(), a); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: got %v, want a refusal", why, err)
		}
	}

	decide(enrollment.Approved)
	refused("nobody decided", right)
	decide(enrollment.Approved, enrollment.Decision{Principal: w.Caller.Principal, Approved: true})
	refused("the requester agreed", right)
	decide(enrollment.Approved, enrollment.Decision{Principal: Approver.Principal})
	refused("somebody declined", right)
	agreed := enrollment.Decision{Principal: Approver.Principal, Approved: true}
	decide(enrollment.Pending, agreed)
	refused("it still waits", right)

	decide(enrollment.Approved, agreed)
	must(t, w.Requests.Approved(t.Context(), right))
	for why, spoil := range map[string]func(*issuance.Approval){
		"another common name": func(a *issuance.Approval) { a.CommonName = "www.shop.example" },
		"a longer life":       func(a *issuance.Approval) { a.NotAfter = w.Time().AddDate(0, 0, 32) },
		"another authority":   func(a *issuance.Approval) { a.Authority = "other" },
	} {
		a := right
		spoil(&a)
		refused(why, a)
	}
}

func TestRequestWithoutItsApprovalIsNotApproved(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	l := w.Adopt(t, w.NewProgram(t, "shop.example"))
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	w.Fuse.Arm(4)
	w.Queue.Step(t)

	err = w.Requests.Approved(t.Context(), issuance.Approval{
		Request: r.ID, Authority: "issuing", Profile: "tls-server", Names: profile.Names{DNS: []string{"shop.example"}}, KeySHA256: keyOf(t, w, r.ID),
	})

	if !fault.Is(err, fault.Denied) {
		t.Errorf("got %v, want fault.Denied", err)
	}
}
