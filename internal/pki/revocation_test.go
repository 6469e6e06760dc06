package pki_test

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
	"pgregory.net/rapid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestRevocationIsRecordedToldAndOnTheNextCRL(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		kept, bySerial, bySum := w.issue(request(t, "a.test.example")), w.issue(request(t, "b.test.example")), w.issue(request(t, "c.test.example"))
		before := w.crl("issuing")
		w.pass(time.Minute)

		w.revoke(bySerial.Certificate, "")
		sum, err := hex.DecodeString(bySum.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: fmt.Sprintf("% X", sum), Reason: "keyCompromise"})
		mustFail(t, err, "BadFingerprint") // spaces are not how anyone writes it
		got, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: colons(sum), Reason: "keyCompromise"})
		if err != nil {
			t.Fatal(err)
		}

		if got.State != issuance.Revoked || got.Reason != "keyCompromise" || !got.RevokedAt.Equal(w.clock()) || got.DER == nil {
			t.Errorf("%+v", got)
		}
		list := w.crl("issuing")
		reasons := map[string]int{}
		for _, e := range list.RevokedCertificateEntries {
			reasons[issuance.FormatSerial(e.SerialNumber)] = e.ReasonCode
		}
		if d := cmp.Diff(map[string]int{bySerial.Serial: 0, bySum.Serial: 1}, reasons); d != "" {
			t.Error(d)
		}
		if list.Number.Cmp(before.Number) <= 0 || list.NextUpdate.Sub(list.ThisUpdate) != 7*24*time.Hour {
			t.Errorf("number %s after %s, %s to %s", list.Number, before.Number, list.ThisUpdate, list.NextUpdate)
		}
		if w.get(kept.Serial).State != issuance.Issued {
			t.Error("another certificate was revoked too")
		}
		r := w.records("CertificateRevoke", got.Target())
		if len(r) != 1 || r[0].Details[audit.Reason] != "keyCompromise" || r[0].Details[audit.Fingerprint] != got.SHA256 || r[0].Principal != somebody.Principal {
			t.Errorf("%+v", r)
		}
		if n := w.events("Chatelaine.CertificateRevoked", got.Serial); n != 1 {
			t.Errorf("%d events", n)
		}
		if r := w.records("CrlPublish", "/authorities/issuing/crl"); len(r) != 3 || r[2].Details[audit.Number] != list.Number.String() || r[2].Details[audit.Count] != "2" {
			t.Errorf("%+v", r)
		}
	})
}

func colons(b []byte) string {
	parts := make([]string, len(b))
	for i, c := range b {
		parts[i] = fmt.Sprintf("%02X", c)
	}
	return strings.Join(parts, ":")
}

func TestRevocationRefuses(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		made := w.issue(request(t, "a.test.example"))
		revoked := w.issue(request(t, "b.test.example"))
		w.revoke(revoked.Certificate, "superseded")
		short := request(t, "c.test.example")
		short.Validity = time.Hour
		expired := w.issue(short)
		w.pass(2 * time.Hour)
		number := w.crl("issuing").Number
		records := len(w.records("", ""))

		for _, c := range []struct {
			why  string
			r    revocation.Request
			code string
		}{
			{"nothing named", revocation.Request{}, "BadRequest"},
			{"named twice", revocation.Request{SHA256: made.SHA256, Authority: "issuing", Serial: made.Serial}, "BadRequest"},
			{"no authority", revocation.Request{Serial: made.Serial}, "BadRequest"},
			{"a path for an authority", revocation.Request{Authority: "../issuing", Serial: made.Serial}, "BadRequest"},
			{"short sum", revocation.Request{SHA256: made.SHA256[1:]}, "BadFingerprint"},
			{"unknown sum", revocation.Request{SHA256: strings.Repeat("0", 64)}, "UnknownCertificate"},
			{"bad serial", revocation.Request{Authority: "issuing", Serial: "xyz"}, "BadSerial"},
			{"unknown serial", revocation.Request{Authority: "issuing", Serial: "01"}, "UnknownCertificate"},
			{"another authority's serial", revocation.Request{Authority: "root", Serial: made.Serial}, "UnknownCertificate"},
			{"unknown reason", revocation.Request{SHA256: made.SHA256, Reason: "because"}, "BadReason"},
			{"remove", revocation.Request{SHA256: made.SHA256, Reason: "removeFromCRL"}, "BadReason"},
			{"again", revocation.Request{SHA256: revoked.SHA256, Reason: "keyCompromise"}, "AlreadyRevoked"},
			{"expired", revocation.Request{SHA256: expired.SHA256}, "CertificateExpired"},
		} {
			_, err := w.revocation.Revoke(t.Context(), somebody, c.r)
			if !fault.HasCode(err, c.code) {
				t.Errorf("%s: %v, want %s", c.why, err, c.code)
			}
		}
		if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: revoked.SHA256}); !fault.Is(err, fault.Conflict) {
			t.Errorf("a second revocation is %v, want a conflict", err)
		}
		if got := w.get(revoked.Serial); got.Reason != "superseded" {
			t.Errorf("the refused revocation changed the reason to %s", got.Reason)
		}
		if w.crl("issuing").Number.Cmp(number) != 0 || len(w.records("", "")) != records {
			t.Error("a refused revocation left a trace")
		}
	})
}

func TestWhoMayNotRevokeLearnsNothing(t *testing.T) {
	g := &refuser{}
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.guard = g })
	made := w.issue(request(t, "a.test.example"))
	g.on = true

	_, present := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: made.SHA256})
	if g.action != "Chatelaine/certificates/revoke" || g.scope != "/authorities/issuing" || g.operation != "CertificateRevoke" {
		t.Errorf("asked for %s at %s as %s", g.action, g.scope, g.operation)
	}
	_, absent := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: strings.Repeat("0", 64)})

	if !fault.Is(present, fault.Denied) || !fault.Is(absent, fault.Denied) || present.Error() != absent.Error() {
		t.Errorf("present: %v, absent: %v", present, absent)
	}
	g.on = false
	if w.get(made.Serial).State != issuance.Issued {
		t.Error("revoked all the same")
	}
}

// The CRL of an authority whose own certificate is revoked goes on; it issues no more.
func TestARevokedAuthorityIssuesNoMoreButStillPublishes(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		made := w.issue(request(t, "a.test.example"))
		sub := w.certificate("issuing")

		if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{Authority: "root", Serial: issuance.FormatSerial(sub.SerialNumber), Reason: "cACompromise"}); err != nil {
			t.Fatal(err)
		}

		_, err := w.issuance.Issue(t.Context(), somebody, request(t, "b.test.example"))
		mustFail(t, err, "AuthorityEnded")
		if a, err := w.authorities.Get(t.Context(), somebody, "issuing"); err != nil || a.State != authority.Revoked {
			t.Errorf("%s, %v", a.State, err)
		}
		if list := w.crl("root"); len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].ReasonCode != 2 {
			t.Errorf("root's CRL: %+v", list.RevokedCertificateEntries)
		}
		w.revoke(made.Certificate, "")
		if !w.onCRL(made.Serial) {
			t.Error("the revoked authority's CRL stands still")
		}
	})
}

func TestRebuildIsCheapUntilSomethingIsDue(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		rebuild := func() (root, issuing string) {
			t.Helper()
			if err := w.revocation.HandleRebuild(t.Context(), revocation.RebuildArgs{}); err != nil {
				t.Fatal(err)
			}
			return w.crl("root").Number.String(), w.crl("issuing").Number.String()
		}
		root, issuing := rebuild()

		w.pass(23 * time.Hour)
		if r, i := rebuild(); r != root || i != issuing {
			t.Error("rebuilt although nothing was due")
		}
		made := w.issue(request(t, "a.test.example"))
		w.revoke(made.Certificate, "")
		w.pass(2 * time.Hour)
		if r, i := rebuild(); r == root || i == issuing {
			t.Error("root's CRL is a day old and was not rebuilt")
		}
		if len(w.crl("root").RevokedCertificateEntries) != 0 || !w.onCRL(made.Serial) {
			t.Error("the entries are wrong")
		}
	})
}

// A CRL that could not be made with the revocation is made by the schedule: the crash
// between the two is seen.
func TestAMissedCRLIsMadeUp(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		made := w.issue(request(t, "a.test.example"))
		count := func() int { return len(w.crl("issuing").RevokedCertificateEntries) }
		w.wire.arm(6) // begin, Revoke ×2, record, emit, commit
		_, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: made.SHA256})
		if tripped, where := w.wire.disarm(); err != nil || !tripped || count() != 0 {
			t.Fatalf("error %v, tripped at %q, %d entries: the test did not stop between revocation and CRL", err, where, count())
		}

		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}

		if !w.onCRL(made.Serial) {
			t.Error("the revoked certificate is on no CRL")
		}
	})
}

// A node whose clock is ahead revokes, one whose clock is right publishes: no entry is
// younger than its list.
func TestAListIsNotOlderThanItsEntries(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	made := w.issue(request(t, "a.test.example"))
	w.pass(time.Hour)
	w.wire.arm(6) // begin, Revoke ×2, record, emit, commit
	if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: made.SHA256}); err != nil {
		t.Fatal(err)
	}
	w.wire.disarm()
	w.pass(-time.Hour)

	if err := w.revocation.RebuildDue(t.Context()); err != nil {
		t.Fatal(err)
	}

	list := w.crl("issuing")
	if len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].RevocationTime.After(list.ThisUpdate) {
		t.Errorf("thisUpdate %s, entries %+v", list.ThisUpdate, list.RevokedCertificateEntries)
	}
}

// Two nodes revoke and publish at the same time: no revocation is lost, no number twice.
func TestConcurrentRevocationsAreAllOnTheList(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		var made []issuance.Certificate
		for range 24 {
			made = append(made, w.issue(request(t, "a.test.example")).Certificate)
		}

		var wg sync.WaitGroup
		for _, c := range made {
			wg.Go(func() {
				if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: c.SHA256}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}

		if n := len(w.crl("issuing").RevokedCertificateEntries); n != len(made) {
			t.Errorf("%d entries, want %d", n, len(made))
		}
		numbers := map[string]bool{}
		for _, r := range w.records("CrlPublish", "/authorities/issuing/crl") {
			if numbers[r.Details[audit.Number]] {
				t.Errorf("number %s was published twice", r.Details[audit.Number])
			}
			numbers[r.Details[audit.Number]] = true
		}
	})
}

// One certificate, many who revoke it: one succeeds, the others hear of it.
func TestOneOfManyRevocationsOfACertificateSucceeds(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		made := w.issue(request(t, "a.test.example"))

		var mu sync.Mutex
		var wg sync.WaitGroup
		done := 0
		for range 8 {
			wg.Go(func() {
				_, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: made.SHA256})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				} else if !fault.HasCode(err, "AlreadyRevoked") {
					t.Error(err)
				}
			})
		}
		wg.Wait()

		if done != 1 || len(w.records("CertificateRevoke", "")) != 1 || w.events("Chatelaine.CertificateRevoked", made.Serial) != 1 {
			t.Errorf("%d revocations succeeded", done)
		}
	})
}

// Whatever happens in whatever order, the clock going back included: numbers grow,
// thisUpdate never goes back, and the list holds every revoked certificate until it was
// on a list that is younger than its expiry.
func TestCRLKeepsItsPromises(t *testing.T) {
	db := storagetest.SQLite(t)
	w := newWorld(t, db)
	rapid.Check(t, func(rt *rapid.T) {
		w.mu.Lock()
		w.now = w.now.AddDate(0, 0, 1) // later than all that went before
		w.mu.Unlock()
		id := "ca-" + strings.ToLower(rapid.StringMatching(`[a-z]{12}`).Draw(rt, "id"))
		w.checkCRLs(rt, id)
		if _, err := db.Exec(context.Background(), `DELETE FROM pki_authorities WHERE id = $1`, id); err != nil { // or every later rebuild has one more
			rt.Fatal(err)
		}
		if _, err := db.Exec(context.Background(), `DELETE FROM pki_crls WHERE authority = $1`, id); err != nil {
			rt.Fatal(err)
		}
		if _, err := db.Exec(context.Background(), `DELETE FROM pki_partial_crls WHERE authority = $1`, id); err != nil {
			rt.Fatal(err)
		}
	})
}

// checkCRLs runs one random history of an authority of its own.
func (w *world) checkCRLs(rt *rapid.T, id string) {
	ctx := context.Background()
	_, spec := authority.Defaults("test.example")
	spec.ID = id
	if _, err := w.authorities.CreateIntermediate(ctx, access.System("test"), "root", spec); fault.HasCode(err, "AuthorityExists") {
		return
	} else if err != nil {
		rt.Fatal(err)
	}
	issuer, err := w.authorities.Issuer(ctx, id)
	if err != nil {
		rt.Fatal(err)
	}
	live := map[string]issuance.Certificate{} // not revoked
	gone := map[string]issuance.Certificate{} // revoked
	seen := map[string]bool{}                 // on a list younger than its expiry
	var last *x509.RevocationList
	check := func(rt *rapid.T) {
		stored, err := w.revocation.Current(ctx, id, "")
		if fault.Is(err, fault.NotFound) && last == nil && len(gone) == 0 {
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		list, err := x509.ParseRevocationList(stored.DER)
		if err != nil {
			rt.Fatal(err)
		}
		if err := list.CheckSignatureFrom(issuer.Certificate); err != nil {
			rt.Fatal(err)
		}
		if last != nil && list.Number.Cmp(last.Number) == 0 {
			if string(list.Raw) != string(last.Raw) {
				rt.Fatalf("two lists with number %s", list.Number)
			}
			return
		}
		if last != nil && (list.Number.Cmp(last.Number) < 0 || list.ThisUpdate.Before(last.ThisUpdate)) {
			rt.Fatalf("number %s after %s, thisUpdate %s after %s", list.Number, last.Number, list.ThisUpdate, last.ThisUpdate)
		}
		on := map[string]bool{}
		for _, e := range list.RevokedCertificateEntries {
			on[issuance.FormatSerial(e.SerialNumber)] = true
			if e.RevocationTime.After(list.ThisUpdate) {
				rt.Fatalf("revoked at %s, after thisUpdate %s", e.RevocationTime, list.ThisUpdate)
			}
		}
		for serial, c := range gone {
			if !on[serial] && !seen[serial] {
				rt.Fatalf("list %s of %s lacks %s, which expires at %s", list.Number, list.ThisUpdate, serial, c.NotAfter)
			}
			if on[serial] && list.ThisUpdate.After(c.NotAfter) {
				seen[serial] = true
			}
			delete(on, serial)
		}
		if len(on) > 0 {
			rt.Fatalf("on the list and not revoked: %v", on)
		}
		last = list
	}
	pick := func(rt *rapid.T, m map[string]issuance.Certificate) issuance.Certificate {
		if len(m) == 0 {
			rt.Skip("none")
		}
		return m[rapid.SampledFrom(slices.Sorted(maps.Keys(m))).Draw(rt, "serial")]
	}
	rt.Repeat(map[string]func(*rapid.T){
		"": check,
		"issue": func(rt *rapid.T) {
			c := issuance.Certificate{
				Authority: id, Serial: fmt.Sprintf("%s%04x", hex.EncodeToString([]byte(id[3:])), len(live)+len(gone)+4096), State: issuance.Intended, TBS: []byte{1},
				NotAfter: w.clock().Truncate(time.Second).Add(time.Duration(rapid.IntRange(0, 72).Draw(rt, "hours")) * time.Hour),
			}
			if err := w.store.Intend(ctx, c); err != nil {
				rt.Fatal(err)
			}
			live[c.Serial] = c
		},
		"revoke": func(rt *rapid.T) {
			c := pick(rt, live)
			_, err := w.revocation.Revoke(ctx, somebody, revocation.Request{Authority: id, Serial: c.Serial})
			if fault.HasCode(err, "CertificateExpired") && w.clock().After(c.NotAfter) {
				return
			}
			if err != nil {
				rt.Fatal(err)
			}
			delete(live, c.Serial)
			gone[c.Serial] = c
		},
		"rebuild": func(rt *rapid.T) {
			if err := w.revocation.RebuildDue(ctx); err != nil {
				rt.Fatal(err)
			}
		},
		"pass": func(rt *rapid.T) {
			w.pass(time.Duration(rapid.IntRange(0, 48*3600).Draw(rt, "seconds")) * time.Second)
		},
		"back": func(rt *rapid.T) {
			w.pass(-time.Duration(rapid.IntRange(0, 24*3600).Draw(rt, "seconds")) * time.Second)
		},
	})
}

func TestCRLsPassTheLints(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	for _, reason := range []string{"", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn"} {
		made := w.issue(request(t, "a.test.example"))
		w.revoke(made.Certificate, reason)
	}
	rules, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{lint.RFC5280, lint.Community, lint.CABFBaselineRequirements}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"root", "issuing"} {
		list, err := zx509.ParseRevocationList(w.crl(id).Raw)
		if err != nil {
			t.Fatal(err)
		}
		applied := 0
		for name, r := range zlint.LintRevocationListEx(list, rules).Results {
			if r.Status >= lint.Warn {
				t.Errorf("%s: %s %s %s", id, name, r.Status, r.Details)
			}
			if r.Status == lint.Pass {
				applied++
			}
		}
		if applied < 5 {
			t.Errorf("%s: only %d lints applied", id, applied)
		}
	}
}
