package pki_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// The process stops at every seam that an issuance crosses. After the restart every
// serial that may have been signed is known and can be revoked, nothing is half there,
// and every row has its records.
func TestACrashAnywhereLeavesTheSerialKnown(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		stops := map[string]bool{}
		for n := 0; ; n++ {
			w.pass(time.Second) // the newest row is that of this round
			signed := len(w.keys.signed)
			before := len(w.all())
			r := request(t, "a.test.example")
			r.ID = fmt.Sprintf("request-%d", n)

			w.wire.arm(n)
			made, err := w.issuance.Issue(t.Context(), somebody, r)
			tripped, where := w.wire.disarm()
			w.restart()
			stops[where] = true

			if !tripped {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err == nil || made.DER != nil {
				t.Errorf("stopped at %q: the certificate was handed out: %v", where, err)
			}
			for _, message := range w.keys.signed[signed:] {
				if w.find(message) == nil {
					t.Errorf("stopped at %q: a serial was signed that nobody knows", where)
				}
			}
			w.whole(where)
			if rows := w.all(); len(rows) > before {
				w.revokeStopped(where, rows[0])
			}
		}
		for _, seam := range []string{"begin", "before Intend", "record", "commit", "before signature", "after signature", "before Finish", "emit"} {
			if !stops[seam] {
				t.Errorf("never stopped at %q", seam)
			}
		}
	})
}

// find returns the certificate whose bytes to be signed are the message.
func (w *world) find(message []byte) *issuance.Certificate {
	w.t.Helper()
	for _, c := range w.all() {
		tbs := c.TBS
		if c.DER != nil {
			tbs = parse(w.t, c.DER).RawTBSCertificate
		}
		if string(tbs) == string(message) {
			return &c
		}
	}
	return nil
}

// whole checks that every row is in one piece and has its records, and that the trail
// verifies.
func (w *world) whole(where string) {
	w.t.Helper()
	for _, c := range w.all() {
		issued := len(w.records("CertificateIssue", c.Target()))
		good := false
		switch c.State {
		case issuance.Intended:
			good = c.DER == nil && len(c.TBS) > 0 && c.SHA256 == "" && issued == 0
		case issuance.Failed:
			good = c.DER == nil && len(c.TBS) > 0 && c.SHA256 == "" && issued == 1
		case issuance.Issued:
			good = c.DER != nil && len(c.TBS) == 0 && c.SHA256 != "" && issued == 1 && w.events("Chatelaine.CertificateIssued", c.Serial) == 1
		case issuance.Revoked:
			good = len(w.records("CertificateRevoke", c.Target())) == 1
		}
		if !good || len(w.records("CertificateIntend", c.Target())) != 1 {
			w.t.Errorf("stopped at %q: %s is %s, %d bytes DER, %d bytes TBS, %d records", where, c.Serial, c.State, len(c.DER), len(c.TBS), issued)
		}
	}
	if _, err := w.trail.Verify(w.t.Context(), nil, nil); err != nil {
		w.t.Errorf("stopped at %q: %v", where, err)
	}
}

// revokeStopped revokes what a stopped issuance left, and wants it on the list.
func (w *world) revokeStopped(where string, c issuance.Certificate) {
	w.t.Helper()
	if _, err := w.revocation.Revoke(w.t.Context(), somebody, revocation.Request{Authority: c.Authority, Serial: c.Serial, Reason: "cessationOfOperation"}); err != nil {
		w.t.Errorf("stopped at %q: %v", where, err)
	}
	if !w.onCRL(c.Serial) {
		w.t.Errorf("stopped at %q: the serial is not on the CRL", where)
	}
}

// After a stop the caller sends the same request again and gets one certificate for it.
func TestAStoppedRequestIsFinishedWhenItIsSentAgain(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		for n := 0; ; n++ {
			r := request(t, "a.test.example")
			r.ID = fmt.Sprintf("request-%d", n)
			w.wire.arm(n)
			_, err := w.issuance.Issue(t.Context(), somebody, r)
			tripped, where := w.wire.disarm()
			w.restart()
			if !tripped {
				if err != nil {
					t.Fatal(err)
				}
				break
			}

			made := w.issue(r)

			issued := 0
			for _, c := range w.all() {
				if c.Request == r.ID && c.State == issuance.Issued {
					issued++
				}
			}
			if issued != 1 || made.State != issuance.Issued || len(made.DER) == 0 {
				t.Errorf("stopped at %q: %d certificates were issued for one request", where, issued)
			}
		}
	})
}

// The process stops at every seam that a revocation crosses: it is done with its record
// and its event, or not at all, and the CRL shows it after the next rebuild.
func TestACrashAnywhereLeavesARevocationWholeOrAbsent(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		for n := 0; ; n++ {
			made := w.issue(request(t, "a.test.example"))
			number := w.crl("issuing").Number
			w.wire.arm(n)
			_, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{SHA256: made.SHA256, Reason: "keyCompromise"})
			tripped, where := w.wire.disarm()
			w.restart()

			if rebuild := w.revocation.RebuildDue(t.Context()); rebuild != nil {
				t.Fatal(rebuild)
			}

			revoked := w.get(made.Serial).State == issuance.Revoked
			if err == nil && !revoked {
				t.Errorf("stopped at %q: the acknowledged revocation is lost", where)
			}
			records, events := len(w.records("CertificateRevoke", made.Target())), w.events("Chatelaine.CertificateRevoked", made.Serial)
			if (records == 1) != revoked || (events == 1) != revoked || w.onCRL(made.Serial) != revoked {
				t.Errorf("stopped at %q: revoked %v, %d records, %d events, on the CRL %v", where, revoked, records, events, w.onCRL(made.Serial))
			}
			if w.crl("issuing").Number.Cmp(number) < 0 {
				t.Errorf("stopped at %q: the CRL number went back", where)
			}
			if !tripped {
				break
			}
		}
	})
}

// The process stops while it makes its authorities: the next start finishes, and what
// is there works.
func TestACrashWhileAuthoritiesAreMadeIsMadeUp(t *testing.T) {
	for n := 1; ; n++ {
		tripped := false
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.stopAt = n })
			tripped = w.stopped
			made := w.issue(request(t, "a.test.example"))
			w.revoke(made.Certificate, "")
			if !w.onCRL(made.Serial) {
				t.Error("the CRL lacks the revoked certificate")
			}
			w.whole("start")
		})
		if !tripped {
			break
		}
		if n > 100 {
			t.Fatal("no end")
		}
	}
}

// A signer that gives an error leaves a failed row with its record, and the row can be
// revoked: some signers sign and then lose the answer.
func TestASignerThatFailsLeavesAFailedSerial(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	w.keys.broken = fault.New(fault.Unavailable, "KeystoreAway", "the HSM is away")

	_, err := w.issuance.Issue(t.Context(), somebody, request(t, "a.test.example"))

	w.keys.broken = nil
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("error %v, want Unavailable", err)
	}
	row := w.all()[0]
	if row.State != issuance.Failed || row.Failure != "SigningFailed" {
		t.Errorf("%s %s", row.State, row.Failure)
	}
	if r := w.records("CertificateIssue", row.Target()); len(r) != 1 || r[0].Outcome != audit.Failed {
		t.Errorf("%+v", r)
	}
	w.revokeStopped("signer", row)
}

// A caller that goes away does not leave a half-made certificate behind.
func TestACallerWhoLeavesDoesNotStopACeremony(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	ctx, cancel := context.WithCancel(t.Context())
	w.keys.signing = cancel

	made, err := w.issuance.Issue(ctx, somebody, request(t, "a.test.example"))

	if err != nil || w.get(made.Serial).State != issuance.Issued {
		t.Errorf("the certificate is %s, %v", w.get(made.Serial).State, err)
	}
	if ctx.Err() == nil {
		t.Error("the caller did not leave")
	}
}
