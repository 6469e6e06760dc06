package pki_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage/storagetest"
)

// RFC 5280 section 3.3: an entry stays until it was on one list made after the certificate
// expired. Then it goes, or lists would grow for ever.
func TestAnExpiredCertificateIsOnOneMoreListAndThenOnNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.status = "http://pki.test.example" })
	if _, err := w.revocation.Partition(t.Context(), somebody, "issuing", 1); err != nil {
		t.Fatal(err)
	}
	r := request(t, "a.test.example")
	r.Validity = time.Hour
	made := w.issue(r).Certificate
	w.revoke(made, "superseded")

	for day, want := range []bool{true, false} {
		w.pass(25 * time.Hour)
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"", "1"} {
			if _, is := on(w.list("issuing", part))[made.Serial]; is != want {
				t.Errorf("%d days after it expired it is on list %q: %v", day+1, part, is)
			}
		}
	}
}

// A delta helps those alone who have its base, so its base must be a list of these days.
func TestADeltaGoesOnFromAListOfTheseDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	for range 12 {
		w.pass(25 * time.Hour)
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		delta := w.list("issuing", revocation.Delta)
		if age := delta.ThisUpdate.Sub(time.Unix(baseOf(t, delta), 0)); age > 5*24*time.Hour {
			t.Fatalf("its base is %s old", age)
		}
	}
}

// criticalOf is the value of an extension, and whether it is critical.
func criticalOf(l *x509.RevocationList, oid string) (value string, critical bool) {
	for _, e := range l.Extensions {
		if e.Id.String() == oid {
			return string(e.Value), e.Critical
		}
	}
	return "", false
}

// Who does not know that a list is a part or a delta would take it for all that is revoked.
func TestPartsAndDeltasSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.status = "http://pki.test.example" })
	if _, err := w.revocation.Partition(t.Context(), somebody, "issuing", 2); err != nil {
		t.Fatal(err)
	}
	c := parse(t, w.issue(request(t, "a.test.example")).DER)
	const distributionPoint, deltaIndicator = "2.5.29.28", "2.5.29.27"
	for part, address := range map[string]string{"1": "/crl/issuing/1.crl", "2": "/crl/issuing/2.crl"} {
		if value, critical := criticalOf(w.list("issuing", part), distributionPoint); !critical || !strings.HasSuffix(value, "http://pki.test.example"+address) {
			t.Errorf("part %s: %q, critical %v", part, value, critical)
		}
	}
	if !strings.HasPrefix(c.CRLDistributionPoints[0], "http://pki.test.example/crl/issuing/") {
		t.Errorf("the certificate names %q", c.CRLDistributionPoints)
	}
	if _, critical := criticalOf(w.list("issuing", revocation.Delta), deltaIndicator); !critical {
		t.Error("the delta does not say so")
	}
	for _, oid := range []string{distributionPoint, deltaIndicator} {
		if value, _ := criticalOf(w.crl("issuing"), oid); value != "" {
			t.Errorf("the whole list has %s", oid)
		}
	}
}

// outrun is a store at which another node publishes just before this one does.
type outrun struct {
	revocation.Store
	other func()
}

// PublishCRL implements revocation.Store.
func (o *outrun) PublishCRL(ctx context.Context, whole revocation.CRL, others []revocation.CRL, previous int64) error {
	if f := o.other; f != nil {
		o.other = nil
		f()
	}
	return o.Store.PublishCRL(ctx, whole, others, previous)
}

func TestANodeThatIsOutrunPublishesAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t))
	first := w.crl("issuing").Number
	mine, theirs := w.issue(request(t, "a.test.example")).Certificate, w.issue(request(t, "b.test.example")).Certificate
	store := &outrun{Store: w.store}
	// The transaction is the store's own: another node's cannot begin inside ours on SQLite.
	direct := func(ctx context.Context, f func(context.Context) error) error { return f(ctx) }
	node := revocation.New(revocation.Config{
		Store: store, Certificates: w.store, Authorities: w.authorities, Transact: direct, Audit: recorder{w}, Events: emitter{w},
		Guard: w.guard, Sweeps: w.store, Enqueue: w.enqueue, Now: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	w.revoke(mine, "superseded")
	store.other = func() { w.revoke(theirs, "superseded") }

	_, err := node.Publish(t.Context(), somebody, "issuing")

	if err != nil {
		t.Errorf("the slower node: %v", err)
	}
	if !w.onCRL(mine.Serial) || !w.onCRL(theirs.Serial) || w.crl("issuing").Number.Cmp(first) <= 0 {
		t.Errorf("list %s after %s: %v", w.crl("issuing").Number, first, on(w.crl("issuing")))
	}
}

// A part is missing when the process stopped between the setting and the list.
func TestAMissingPartIsMadeUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.status = "http://pki.test.example" })
	if _, err := w.revocation.Partition(t.Context(), somebody, "issuing", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Exec(t.Context(), `DELETE FROM pki_partial_crls WHERE authority = 'issuing' AND part = '2'`); err != nil {
		t.Fatal(err)
	}
	if err := w.revocation.RebuildDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.list("issuing", "2")
}
