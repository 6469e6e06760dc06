package pki_test

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// on returns the reasons of a list's entries by serial.
func on(l *x509.RevocationList) map[string]int {
	out := map[string]int{}
	for _, e := range l.RevokedCertificateEntries {
		out[issuance.FormatSerial(e.SerialNumber)] = e.ReasonCode
	}
	return out
}

func (w *world) release(c issuance.Certificate) {
	w.t.Helper()
	if _, err := w.revocation.Release(w.t.Context(), somebody, revocation.Request{SHA256: c.SHA256}); err != nil {
		w.t.Fatal(err)
	}
}

func TestAHoldEndsByReleaseOrRevocationForGood(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		freed, ended := w.issue(request(t, "a.test.example")).Certificate, w.issue(request(t, "b.test.example")).Certificate
		w.revoke(freed, revocation.Hold)
		w.revoke(ended, revocation.Hold)
		held := w.get(ended.Serial).RevokedAt
		w.pass(time.Minute)
		if d := cmp.Diff(map[string]int{freed.Serial: 6, ended.Serial: 6}, on(w.crl("issuing"))); d != "" {
			t.Error(d)
		}

		w.release(freed)
		w.revoke(ended, "keyCompromise")

		if d := cmp.Diff(map[string]int{ended.Serial: 1}, on(w.crl("issuing"))); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[string]int{freed.Serial: 8, ended.Serial: 1}, on(w.list("issuing", revocation.Delta))); d != "" {
			t.Error("delta:", d)
		}
		if got := w.get(freed.Serial); got.State != issuance.Issued || !got.RevokedAt.IsZero() || got.Reason != "" {
			t.Errorf("released: %+v", got)
		}
		if got := w.get(ended.Serial); got.State != issuance.Revoked || !got.RevokedAt.Equal(held) {
			t.Errorf("revoked at %s, held since %s", got.RevokedAt, held)
		}
		for _, c := range []issuance.Certificate{freed, ended} { // neither is on hold
			_, err := w.revocation.Release(t.Context(), somebody, revocation.Request{SHA256: c.SHA256})
			mustFail(t, err, "NotOnHold")
		}
		_, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: ended.SHA256, Reason: revocation.Hold})
		mustFail(t, err, "AlreadyRevoked")
		if len(w.records("CertificateRelease", freed.Target())) != 1 || w.events("Chatelaine.CertificateReleased", freed.Serial) != 1 {
			t.Error("the release was not recorded and told once")
		}
		w.revoke(freed, "superseded") // once more, after its release
		if d := cmp.Diff(map[string]int{freed.Serial: 4, ended.Serial: 1}, on(w.list("issuing", revocation.Delta))); d != "" {
			t.Error("delta after all:", d)
		}
	})
}

// A serial that stopped on its way to a certificate is again what it was.
func TestAReleasedSerialThatWasNeverIssuedStaysUnissued(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	c := issuance.Certificate{Authority: "issuing", Serial: "5a5a", State: issuance.Intended, TBS: []byte{1}, NotAfter: noon.AddDate(0, 1, 0)}
	if err := w.store.Intend(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.revoke(c, revocation.Hold)

	if _, err := w.revocation.Release(t.Context(), somebody, revocation.Request{Authority: "issuing", Serial: "5a5a"}); err != nil {
		t.Fatal(err)
	}

	if got := w.get("5a5a"); got.State != issuance.Intended {
		t.Errorf("it is %s", got.State)
	}
}

func TestTheCertificateOfAnAuthorityIsNotPutOnHold(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))

	_, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{Authority: "root", Serial: issuance.FormatSerial(w.certificate("issuing").SerialNumber), Reason: revocation.Hold})

	mustFail(t, err, "HoldNotAllowed")
}

func TestTheInvalidityDateIsOnTheList(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	made, since := w.issue(request(t, "a.test.example")), noon.Add(-36*time.Hour).Truncate(time.Second)
	_, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: made.SHA256, Reason: "keyCompromise", InvalidSince: w.clock().Add(time.Second)})
	mustFail(t, err, "BadInvalidityDate")

	if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: made.SHA256, Reason: "keyCompromise", InvalidSince: since}); err != nil {
		t.Fatal(err)
	}

	var got time.Time
	for _, x := range w.crl("issuing").RevokedCertificateEntries[0].Extensions {
		if x.Id.String() == "2.5.29.24" {
			if _, err := asn1.UnmarshalWithParams(x.Value, &got, "generalized"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !got.Equal(since) {
		t.Errorf("invalid since %s, want %s", got, since)
	}
}

// Whoever has a list and every later delta knows what the latest list says.
func TestADeltaBringsAnyListSinceItsBaseUpToDate(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	var made []issuance.Certificate
	for range 6 {
		made = append(made, w.issue(request(t, "a.test.example")).Certificate)
	}
	steps := []func(){
		func() { w.revoke(made[0], revocation.Hold) }, func() { w.revoke(made[1], revocation.Hold) }, func() { w.revoke(made[2], "") },
		func() { w.release(made[0]) }, func() { w.revoke(made[1], "superseded") }, func() { w.revoke(made[0], "keyCompromise") },
		func() { w.revoke(made[3], revocation.Hold) }, func() { w.release(made[3]) }, func() { w.revoke(made[4], "") },
	}
	var lists []*x509.RevocationList
	for day := range 3 * len(steps) {
		lists = append(lists, w.crl("issuing"))
		if day%3 == 0 {
			steps[day/3]()
		}
		w.pass(9 * time.Hour)
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		delta, whole := w.list("issuing", revocation.Delta), w.crl("issuing")
		if delta.Number.Cmp(whole.Number) != 0 {
			t.Fatalf("delta %s of list %s", delta.Number, whole.Number)
		}
		used := 0
		for _, l := range lists {
			if l.Number.Int64() < baseOf(t, delta) {
				continue
			}
			used++
			state := on(l)
			for serial, reason := range on(delta) {
				state[serial] = reason
				if reason == 8 {
					delete(state, serial)
				}
			}
			if d := cmp.Diff(on(whole), state); d != "" {
				t.Fatalf("after step %d, list %s with delta %s from %d: %s", day, l.Number, delta.Number, baseOf(t, delta), d)
			}
		}
		if used == 0 {
			t.Fatalf("after step %d no list goes with the delta from %d", day, baseOf(t, delta))
		}
	}
}

func baseOf(t *testing.T, l *x509.RevocationList) int64 {
	t.Helper()
	var base int64
	for _, x := range l.Extensions {
		if x.Id.String() == "2.5.29.27" {
			if _, err := asn1.Unmarshal(x.Value, &base); err != nil {
				t.Fatal(err)
			}
		}
	}
	return base
}

func TestEachCertificateIsOnThePartThatItNames(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, func(w *world) { w.status = "http://pki.test.example" })
		before := w.issue(request(t, "a.test.example")).Certificate
		for n, code := range map[int]string{0: "BadPartitions", 1001: "BadPartitions"} {
			_, err := w.revocation.Partition(t.Context(), somebody, "issuing", n)
			mustFail(t, err, code)
		}
		if _, err := w.revocation.Partition(t.Context(), somebody, "issuing", 3); err != nil {
			t.Fatal(err)
		}
		want := map[string][]string{}
		for range 12 {
			c := w.issue(request(t, "a.test.example")).Certificate
			address := parse(t, c.DER).CRLDistributionPoints[0]
			part := strings.TrimSuffix(strings.TrimPrefix(address, "http://pki.test.example/crl/issuing/"), ".crl")
			w.revoke(c, "superseded")
			want[part] = append(want[part], c.Serial)
		}
		w.revoke(before, "superseded")
		_, err := w.revocation.Partition(t.Context(), somebody, "issuing", 2)
		mustFail(t, err, "PartitionsOnlyGrow")

		for part := range 3 {
			name := fmt.Sprint(part + 1)
			got := []string{}
			for serial := range on(w.list("issuing", name)) {
				got = append(got, serial)
			}
			slices.Sort(got)
			slices.Sort(want[name])
			if len(want[name]) == 0 {
				continue
			}
			if d := cmp.Diff(want[name], got); d != "" {
				t.Errorf("part %s: %s", name, d)
			}
		}
		if n := len(on(w.crl("issuing"))); n != 13 {
			t.Errorf("the whole list has %d entries, want all 13", n)
		}
		numbers := map[string]int64{}
		for _, p := range []string{"1", "2", "3"} {
			numbers[p] = w.list("issuing", p).Number.Int64()
		}
		w.pass(25 * time.Hour)
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		for p, n := range numbers {
			if got := w.list("issuing", p).Number.Int64(); got <= n {
				t.Errorf("part %s was not made anew after a day: number %d after %d", p, got, n)
			}
		}
	})
}

func TestABulkRevocationHitsWhatThePreviewShowed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		var made []issuance.Certificate
		for range 5 {
			made = append(made, w.issue(request(t, "a.test.example")).Certificate)
		}
		w.revoke(made[0], "superseded")
		w.revoke(made[1], revocation.Hold)
		w.pass(time.Minute)
		late := w.issue(request(t, "b.test.example")).Certificate
		selection := revocation.Selection{Authority: "issuing", Profile: "tls-server", IssuedBefore: w.clock()}
		p, err := w.revocation.Preview(t.Context(), somebody, selection)
		if err != nil || p.Count != 4 || p.Authorities != 1 || len(p.Examples) != 4 {
			t.Fatalf("%+v, %v", p, err)
		}
		for _, o := range []struct {
			code string
			o    revocation.Order
		}{
			{"SelectionChanged", revocation.Order{Selection: selection, Expected: 3}},
			{"NothingSelected", revocation.Order{}},
			{"HoldNotAllowed", revocation.Order{Selection: selection, Expected: 4, Reason: revocation.Hold}},
			{"NothingToRevoke", revocation.Order{Selection: revocation.Selection{Owner: "nobody"}}},
			{"BadReason", revocation.Order{Selection: selection, Expected: 4, Reason: "because"}},
		} {
			_, err := w.revocation.Begin(t.Context(), somebody, o.o)
			mustFail(t, err, o.code)
		}

		begun, err := w.revocation.Begin(t.Context(), somebody, revocation.Order{Selection: selection, Expected: 4, Reason: "cessationOfOperation"})
		if err != nil || len(w.sweeps) != 1 {
			t.Fatal(err, w.sweeps)
		}
		w.revoke(made[2], "keyCompromise") // somebody else is faster
		if err := w.revocation.HandleSweep(t.Context(), w.sweeps[0]); err != nil {
			t.Fatal(err)
		}

		got, err := w.revocation.Sweep(t.Context(), somebody, begun.ID)
		if err != nil || got.State != revocation.Done || got.Total != 4 || got.Revoked != 3 || got.Skipped != 1 || got.Selection != selection {
			t.Errorf("%+v, %v", got, err)
		}
		want := map[string]int{made[0].Serial: 4, made[1].Serial: 5, made[2].Serial: 1, made[3].Serial: 5, made[4].Serial: 5}
		if d := cmp.Diff(want, on(w.crl("issuing"))); d != "" || w.get(late.Serial).State != issuance.Issued {
			t.Error(d)
		}
		if w.events("Chatelaine.RevocationEnded", begun.ID) != 1 || len(w.records("RevocationEnd", "/revocations/"+begun.ID)) != 1 {
			t.Error("the end was not told and recorded once")
		}
	})
}

// The process stops at every seam of a bulk revocation and goes on: each certificate is
// revoked, recorded and told once.
func TestABulkRevocationGoesOnAfterACrashAnywhere(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	for n := 0; ; n++ {
		made := []issuance.Certificate{w.issue(request(t, "a.test.example")).Certificate, w.issue(request(t, "b.test.example")).Certificate}
		begun, err := w.revocation.Begin(t.Context(), somebody, revocation.Order{Selection: revocation.Selection{Profile: "tls-server"}, Expected: 2})
		if err != nil {
			t.Fatal(err)
		}
		work := revocation.SweepArgs{ID: begun.ID}
		w.wire.arm(n)
		err = w.revocation.HandleSweep(t.Context(), work)
		tripped, where := w.wire.disarm()
		w.restart()
		if tripped == (err == nil) {
			t.Fatalf("stopped at %q: %v", where, err)
		}

		if err := w.revocation.HandleSweep(t.Context(), work); err != nil {
			t.Fatalf("stopped at %q: %v", where, err)
		}

		if got, err := w.revocation.Sweep(t.Context(), somebody, begun.ID); err != nil || got.State != revocation.Done || got.Revoked != 2 {
			t.Errorf("stopped at %q: %+v, %v", where, got, err)
		}
		for _, c := range made {
			if !w.onCRL(c.Serial) || len(w.records("CertificateRevoke", c.Target())) != 1 || w.events("Chatelaine.CertificateRevoked", c.Serial) != 1 {
				t.Errorf("stopped at %q: %s is not revoked, recorded and told once", where, c.Serial)
			}
		}
		if !tripped {
			break
		}
	}
}

func TestAStoppedBulkRevocationLeavesTheRest(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	made := w.issue(request(t, "a.test.example")).Certificate
	begun, err := w.revocation.Begin(t.Context(), somebody, revocation.Order{Selection: revocation.Selection{KeySHA256: made.KeySHA256}, Expected: 1})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := w.revocation.Stop(t.Context(), somebody, begun.ID); err != nil {
		t.Fatal(err)
	}

	if err := w.revocation.HandleSweep(t.Context(), w.sweeps[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := w.revocation.Stop(t.Context(), somebody, begun.ID); !fault.HasCode(err, "SweepEnded") {
		t.Errorf("stopped twice: %v", err)
	}
	if w.get(made.Serial).State != issuance.Issued {
		t.Error("revoked all the same")
	}
}

// Every entrance asks first, at the scope of the authority where there is one.
func TestWhoMayNotRevokeMayNothingOfIt(t *testing.T) {
	g := &refuser{}
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.guard = g })
	made := w.issue(request(t, "a.test.example"))
	g.on = true
	ctx := t.Context()
	one, all := revocation.Selection{Authority: "issuing"}, revocation.Selection{Profile: "tls-server"}
	for _, c := range []struct {
		do     func(ctx context.Context) error
		action access.Action
		scope  access.Scope
	}{
		{func(ctx context.Context) error {
			_, err := w.revocation.Release(ctx, somebody, revocation.Request{SHA256: made.SHA256})
			return err
		}, "Chatelaine/certificates/revoke", "/authorities/issuing"},
		{func(ctx context.Context) error { _, err := w.revocation.Preview(ctx, somebody, one); return err }, "Chatelaine/certificates/revoke", "/authorities/issuing"},
		{func(ctx context.Context) error { _, err := w.revocation.Preview(ctx, somebody, all); return err }, "Chatelaine/certificates/revoke", "/authorities"},
		{func(ctx context.Context) error {
			_, err := w.revocation.Begin(ctx, somebody, revocation.Order{Selection: all})
			return err
		}, "Chatelaine/certificates/revoke", "/authorities"},
		{func(ctx context.Context) error { _, err := w.revocation.Sweep(ctx, somebody, "x"); return err }, "Chatelaine/certificates/revoke", "/authorities"},
		{func(ctx context.Context) error { _, err := w.revocation.SweepList(ctx, somebody, "", 0); return err }, "Chatelaine/certificates/revoke", "/authorities"},
		{func(ctx context.Context) error { _, err := w.revocation.Stop(ctx, somebody, "x"); return err }, "Chatelaine/certificates/revoke", "/authorities"},
		{func(ctx context.Context) error {
			_, err := w.revocation.Publication(ctx, somebody, "issuing")
			return err
		}, "Chatelaine/authorities/read", "/authorities/issuing"},
		{func(ctx context.Context) error {
			_, err := w.revocation.Partition(ctx, somebody, "issuing", 2)
			return err
		}, "Chatelaine/authorities/write", "/authorities/issuing"},
		{func(ctx context.Context) error { _, err := w.revocation.Publish(ctx, somebody, "issuing"); return err }, "Chatelaine/authorities/write", "/authorities/issuing"},
	} {
		if err := c.do(ctx); !fault.Is(err, fault.Denied) || g.action != c.action || g.scope != c.scope {
			t.Errorf("%v; asked for %s at %s, want %s at %s", err, g.action, g.scope, c.action, c.scope)
		}
	}
}
