package pki_test

import (
	"crypto"
	"fmt"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage/storagetest"
)

// The process is killed at every seam of the road, under every profile, again and again
// in one database: whatever was signed is known, once, and can be revoked.
func TestWhateverProfileIsKilledOnItsWayEverySignedSerialIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.status, w.agree = "http://pki.test.example.com", agreed{} })
	set, err := profile.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for round := 0; killed < batchSize(t)/2; round++ {
		for _, p := range set.All() {
			key := keyOf(t, p.Keys[0])
			for n := 0; ; n++ {
				w.pass(time.Second)
				signed := len(w.keys.signed)
				r := askOf(p, 100*round+n)
				r.ID, r.PublicKey = fmt.Sprintf("%s-%d-%d", p.Name, round, n), crypto.PublicKey(key.Public())

				w.wire.arm(n)
				made, err := w.issuance.Issue(t.Context(), somebody, r)
				tripped, where := w.wire.disarm()
				w.restart()

				if !tripped {
					if err != nil {
						t.Fatalf("%s: %v", p.Name, err)
					}
					break
				}
				killed++
				if err == nil || made.DER != nil {
					t.Errorf("%s killed at %q: the certificate was handed out", p.Name, where)
				}
				for _, message := range w.keys.signed[signed:] {
					w.knownAndRevocable(p.Name+" killed at "+where, message)
				}
			}
		}
	}
	if _, err := w.trail.Verify(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	t.Logf("killed %d times", killed)
}

// knownAndRevocable finds what was signed among the newest rows, and revokes it.
func (w *world) knownAndRevocable(where string, message []byte) {
	w.t.Helper()
	newest, _, err := w.issuance.List(w.t.Context(), somebody, issuance.Filter{Authority: "issuing"}, "", 5)
	if err != nil {
		w.t.Fatal(err)
	}
	known := 0
	for _, c := range newest {
		tbs := c.TBS
		if c.DER != nil {
			tbs = parse(w.t, c.DER).RawTBSCertificate
		}
		if string(tbs) != string(message) {
			continue
		}
		known++
		revoked, err := w.revocation.Revoke(w.t.Context(), somebody, revocation.Request{Authority: c.Authority, Serial: c.Serial, Reason: "superseded"})
		if err != nil || revoked.State != issuance.Revoked {
			w.t.Errorf("%s: serial %s is signed and cannot be revoked: %s %v", where, c.Serial, revoked.State, err)
		}
	}
	if known != 1 {
		w.t.Errorf("%s: what was signed is known %d times", where, known)
	}
}
