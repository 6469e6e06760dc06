package renewal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

const day = 24 * time.Hour

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tick(t testing.TB, w *World) {
	t.Helper()
	must(t, w.Renewal.HandleTick(t.Context(), renewal.TickArgs{}))
	w.Queue.Drain(t)
}

func lineageOf(t testing.TB, w *World, id string) lineage.Lineage {
	t.Helper()
	l, err := w.Store.Lineage(t.Context(), id)
	must(t, err)
	return l
}

// begin adopts a program and gives it its first certificate of ours.
func begin(t testing.TB, w *World, host string) (*Program, lineage.Lineage) {
	t.Helper()
	p := w.NewProgram(t, host)
	l := w.Adopt(t, p)
	_, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	w.Queue.Drain(t)
	if l = lineageOf(t, w, l.ID); l.Current.Version == "" {
		t.Fatalf("not renewed: %+v", l)
	}
	return p, l
}

func TestNothingIsRenewedBeforeItsTimeAndEverythingAfterIt(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		p, l := begin(t, w, "shop.example")
		w.Advance(l.Due.Sub(w.Time()) - time.Second)
		tick(t, w)
		if got := lineageOf(t, w, l.ID); got.Current != l.Current || w.Issued(t) != 1 {
			t.Fatal("renewed before its time")
		}

		w.Advance(2 * time.Second)
		tick(t, w)

		got := lineageOf(t, w, l.ID)
		if got.Current.SHA256 == l.Current.SHA256 || p.Serves(t) != got.Current.SHA256 || w.Issued(t) != 2 {
			t.Errorf("the program serves %s, the lineage has %s, %d issued", p.Serves(t), got.Current.SHA256, w.Issued(t))
		}
	})
}

// A year, looked at every six hours: one certificate for each two thirds of ninety days,
// and never an expired one.
func TestAYearOfRenewals(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p, l := begin(t, w, "shop.example")
	for end := w.Time().Add(365 * day); w.Time().Before(end); w.Advance(6 * time.Hour) {
		tick(t, w)

		if l = lineageOf(t, w, l.ID); !w.Time().Before(l.Current.NotAfter) || l.Current.NotAfter.Sub(w.Time()) < 25*day {
			t.Fatalf("at %s the certificate ends at %s", w.Time(), l.Current.NotAfter)
		}
	}

	if n := w.Issued(t); n < 6 || n > 8 {
		t.Errorf("%d certificates in a year", n)
	}
	if p.Serves(t) != l.Current.SHA256 {
		t.Error("the program serves another")
	}
	members, err := w.Store.Members(t.Context(), l.ID, 100)
	if err != nil || len(members) != w.Issued(t)+1 {
		t.Errorf("%d members, %v", len(members), err)
	}
}

// unreliable is an issuer in front of our own that refuses now and then.
type unreliable struct {
	own   func() enrollment.Issuer
	calls int
	fail  func(call int) error
}

func (u *unreliable) Issue(ctx context.Context, o connector.Order) (connector.Answer, error) {
	u.calls++
	if err := u.fail(u.calls); err != nil {
		return connector.Answer{}, err
	}
	return u.own().Issue(ctx, o)
}

func (u *unreliable) Collect(ctx context.Context, token string) (connector.Answer, error) {
	return u.own().Collect(ctx, token)
}

func (u *unreliable) Revoke(ctx context.Context, r connector.Revocation) error {
	return u.own().Revoke(ctx, r)
}

func breakIssuer(t testing.TB, w *World, fail func(call int) error) *unreliable {
	own, err := enrollment.Authorities{Issuance: w.Issuance, Revocation: w.Revocation}.Issuer(t.Context(), "")
	must(t, err)
	u := &unreliable{own: func() enrollment.Issuer { return own }, fail: fail}
	w.Issuer = u
	return u
}

// An issuer that refuses for weeks is asked rarely, and the certificate is renewed as
// soon as it no longer does.
func TestRefusalsMakeNoStormAndNoExpiry(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	_, l := begin(t, w, "shop.example")
	w.Advance(l.Due.Sub(w.Time()))
	refuses := true
	u := breakIssuer(t, w, func(int) error {
		if refuses {
			return fault.New(fault.Invalid, "", "no")
		}
		return nil
	})
	for range 20 * 24 * 12 { // twenty days, every five minutes
		tick(t, w)
		w.Advance(5 * time.Minute)
	}
	if u.calls > 40 {
		t.Errorf("asked %d times in twenty days", u.calls)
	}
	rows, err := w.Store.Requests(t.Context(), enrollment.Query{Lineage: l.ID, Limit: 500})
	if err != nil || len(rows) != 2 {
		t.Errorf("%d requests, want the first and one that is tried again; %v", len(rows), err)
	}

	refuses = false
	for range 24 * 12 {
		tick(t, w)
		w.Advance(5 * time.Minute)
	}

	if got := lineageOf(t, w, l.ID); got.Current.SHA256 == l.Current.SHA256 || !w.Time().Before(l.Current.NotAfter) || got.Failures != 0 {
		t.Errorf("not renewed a day later: %+v", got)
	}
}

func TestInstallationThatFailsIsTriedAgainWithoutIssuing(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p, l := begin(t, w, "shop.example")
	p.Touch(t, "broken")
	w.Advance(l.Due.Sub(w.Time()))
	for range 3 * 24 {
		tick(t, w)
		w.Advance(time.Hour)
	}
	if n := w.Issued(t); n != 2 || p.Serves(t) != l.Current.SHA256 {
		t.Fatalf("%d issued; the program serves %s", n, p.Serves(t))
	}

	p.Mend(t, "broken")
	for range 24 {
		tick(t, w)
		w.Advance(time.Hour)
	}

	if got := lineageOf(t, w, l.ID); w.Issued(t) != 2 || p.Serves(t) != got.Current.SHA256 || got.Current.SHA256 == l.Current.SHA256 {
		t.Errorf("%d issued; the program serves %s, the lineage has %s", w.Issued(t), p.Serves(t), got.Current.SHA256)
	}
}

func TestATickRenewsOnlySoMany(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	w.Renewal.Batch = 2
	for i := range 5 {
		l := w.Adopt(t, w.NewProgram(t, fmt.Sprintf("n%d.example", i)))
		l.Due = w.Time().Add(-time.Minute)
		l.Revision++
		must(t, w.Store.UpdateLineage(t.Context(), l))
	}

	for _, want := range []int{2, 4, 5, 5} {
		tick(t, w)

		if n := w.Issued(t); n != want {
			t.Errorf("%d issued, want %d", n, want)
		}
	}
}

func TestOneLineageThatCannotBeAskedForDoesNotStopTheOthers(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	bad, good := w.Adopt(t, w.NewProgram(t, "bad.example")), w.Adopt(t, w.NewProgram(t, "good.example"))
	bad.Profile = "gone" // as when a profile is taken out
	for _, l := range []lineage.Lineage{bad, good} {
		l.Due = w.Time()
		l.Revision++
		must(t, w.Store.UpdateLineage(t.Context(), l))
	}

	tick(t, w)

	if got := lineageOf(t, w, good.ID); got.Current.Version == "" {
		t.Error("the good one is not renewed")
	}
	got := lineageOf(t, w, bad.ID)
	if got.Failures != 1 || got.Problem == "" || !got.Due.After(w.Time()) {
		t.Errorf("the bad one: %+v", got)
	}
	next, err := w.Renewal.Next(t.Context(), w.Caller, good.ID)
	if err != nil || next.Tone != renewal.Calm {
		t.Errorf("next: %+v, %v", next, err)
	}
}

// broken makes no request for one lineage.
type broken struct {
	renewal.Requests
	lineage string
}

func (b broken) Create(ctx context.Context, c access.Caller, d enrollment.Draft) (enrollment.Request, error) {
	if d.Lineage == b.lineage {
		return enrollment.Request{}, errors.New("disk full")
	}
	return b.Requests.Create(ctx, c, d)
}

func TestErrorOfOneLineageIsReportedAndDoesNotStopTheOthers(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	bad, good := w.Adopt(t, w.NewProgram(t, "bad.example")), w.Adopt(t, w.NewProgram(t, "good.example"))
	for i, l := range []lineage.Lineage{bad, good} {
		l.Due = w.Time().Add(time.Duration(i-2) * time.Minute) // the bad one comes first
		l.Revision++
		must(t, w.Store.UpdateLineage(t.Context(), l))
	}
	w.Renewal.Requests = broken{w.Requests, bad.ID}

	err := w.Renewal.HandleTick(t.Context(), renewal.TickArgs{})
	w.Queue.Drain(t)

	if err == nil || lineageOf(t, w, good.ID).Current.Version == "" || lineageOf(t, w, bad.ID).Failures != 0 {
		t.Errorf("got %v; the good one has %+v", err, lineageOf(t, w, good.ID).Current)
	}
}

func TestRevokedCertificateIsRenewedByTheNextTick(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p, l := begin(t, w, "shop.example")
	_, err := w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: l.Current.SHA256, Reason: connector.KeyCompromise})
	must(t, err)
	w.Queue.Drain(t)

	tick(t, w)

	if got := lineageOf(t, w, l.ID); got.Current.SHA256 == l.Current.SHA256 || p.Serves(t) != got.Current.SHA256 {
		t.Errorf("the lineage has %s, the program serves %s", got.Current.SHA256, p.Serves(t))
	}
}
