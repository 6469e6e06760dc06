package pkidb_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 1000, time.UTC)

func intended(serial string) issuance.Certificate {
	return issuance.Certificate{
		Authority: "issuing", Serial: serial, Request: "r-" + serial, Profile: "tls-server", Subject: "CN=a", KeySHA256: "aa", State: issuance.Intended,
		Names: profile.Names{DNS: []string{"a.example"}, IP: []string{"192.0.2.1"}}, NotBefore: noon.Truncate(time.Second), NotAfter: noon.Truncate(time.Second).Add(time.Hour),
		TBS: []byte("to be signed " + serial), CreatedAt: noon, Requester: "p",
	}
}

func finished(c issuance.Certificate) issuance.Certificate {
	c.SHA256, c.DER, c.IssuedAt = "sum-"+c.Serial, []byte("signed "+c.Serial), noon.Add(time.Second)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func conflict(t *testing.T, what string, err error) {
	t.Helper()
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("%s: %v, want a conflict", what, err)
	}
}

func TestACertificateIsFinishedOnlyAsItWasIntended(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), pkidb.New(db)
		c := intended("0a")
		must(t, s.Intend(ctx, c))
		got, err := s.CertificateBySerial(ctx, "issuing", "0a")
		must(t, err)
		if d := cmp.Diff(c, got); d != "" {
			t.Error(d)
		}

		other := intended("0a")
		other.Authority = "another"
		conflict(t, "the same serial at another authority", s.Intend(ctx, other))
		altered := finished(c)
		altered.TBS = []byte("something else")
		conflict(t, "finish with other bytes", s.Finish(ctx, altered))
		conflict(t, "finish what was never intended", s.Finish(ctx, finished(intended("0b"))))
		must(t, s.Finish(ctx, finished(c)))
		conflict(t, "finish twice", s.Finish(ctx, finished(c)))
		conflict(t, "fail what is issued", s.Fail(ctx, "0a", "Late"))

		want := finished(c)
		want.State, want.TBS = issuance.Issued, nil
		for how, find := range map[string]func() (issuance.Certificate, error){
			"serial":  func() (issuance.Certificate, error) { return s.CertificateBySerial(ctx, "issuing", "0a") },
			"sha256":  func() (issuance.Certificate, error) { return s.CertificateBySHA256(ctx, "sum-0a") },
			"request": func() (issuance.Certificate, error) { return s.CertificateByRequest(ctx, "r-0a") },
		} {
			got, err := find()
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("by %s: %v %s", how, err, d)
			}
		}
	})
}

func TestAFailedCertificateIsNeverIssued(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), pkidb.New(db)
		c := intended("0a")
		must(t, s.Intend(ctx, c))

		must(t, s.Fail(ctx, "0a", "LintRefused"))

		conflict(t, "finish", s.Finish(ctx, finished(c)))
		conflict(t, "fail again", s.Fail(ctx, "0a", "Other"))
		got, err := s.CertificateBySerial(ctx, "issuing", "0a")
		if err != nil || got.State != issuance.Failed || got.Failure != "LintRefused" || got.DER != nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestARequestIsAnsweredByOneCertificate(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), pkidb.New(db)
		one, two, free, free2 := intended("0a"), intended("0b"), intended("0c"), intended("0d")
		one.Request, two.Request, free.Request, free2.Request = "r", "r", "", ""
		for _, c := range []issuance.Certificate{one, two, free, free2} {
			must(t, s.Intend(ctx, c)) // a second attempt may be intended while the first hangs
		}
		if _, err := s.CertificateByRequest(ctx, "r"); !fault.Is(err, fault.NotFound) {
			t.Errorf("an intended one answers: %v", err)
		}

		must(t, s.Finish(ctx, finished(one)))
		conflict(t, "a second answer", s.Finish(ctx, finished(two)))
		must(t, s.Finish(ctx, finished(free)))
		must(t, s.Finish(ctx, finished(free2)))

		if got, err := s.CertificateByRequest(ctx, "r"); err != nil || got.Serial != "0a" {
			t.Errorf("%s, %v", got.Serial, err)
		}
		if _, err := s.CertificateByRequest(ctx, ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("no request: %v", err)
		}
	})
}

func withAuthority(t *testing.T, s *pkidb.Store) {
	t.Helper()
	must(t, s.InsertAuthority(t.Context(), authority.Authority{ID: "issuing", Subject: "CN=CA", Certificate: []byte{1}, Serial: "01", SHA256: "ca", State: authority.Active, Keystore: "software", CreatedAt: noon}, []byte("sealed")))
}

func TestRevocationsAreCountedAndListed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), pkidb.New(db)
		withAuthority(t, s)
		for _, serial := range []string{"0c", "0a", "0b"} {
			c := intended(serial)
			must(t, s.Intend(ctx, c))
			if serial == "0c" {
				must(t, s.Finish(ctx, finished(c)))
			}
		}
		at := noon.Add(time.Minute)

		for i, serial := range []string{"0c", "0a"} {
			got, n, err := s.Revoke(ctx, revocation.Revocation{Authority: "issuing", Serial: serial, Reason: "superseded", At: at})
			if err != nil || n != int64(i+1) || got.State != issuance.Revoked || !got.RevokedAt.Equal(at) || got.Reason != "superseded" {
				t.Errorf("%+v, %d, %v", got, n, err)
			}
		}
		_, _, err := s.Revoke(ctx, revocation.Revocation{Authority: "issuing", Serial: "0a", Reason: "keyCompromise", At: at})
		conflict(t, "again", err)
		for _, c := range [][2]string{{"issuing", "ff"}, {"absent", "0b"}} {
			if _, _, err := s.Revoke(ctx, revocation.Revocation{Authority: c[0], Serial: c[1], At: at}); !fault.Is(err, fault.NotFound) {
				t.Errorf("%v: %v", c, err)
			}
		}
		if n, err := s.Revocations(ctx, "issuing"); err != nil || n != 2 {
			t.Errorf("%d revocations, %v: a refused one was counted", n, err)
		}

		expiry := noon.Truncate(time.Second).Add(time.Hour)
		for _, c := range []struct {
			expires time.Time
			covered int64
			want    []string
		}{{time.Time{}, 0, []string{"0a", "0c"}}, {expiry, 2, []string{"0a", "0c"}}, {expiry.Add(1000), 2, nil}, {expiry.Add(1000), 1, []string{"0a"}}} {
			var got []string
			must(t, s.Entries(ctx, revocation.Scope{Authority: "issuing", Expires: c.expires, Covered: c.covered}, func(e revocation.Entry) error {
				got = append(got, e.Serial)
				return nil
			}))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("expires %s, covered %d: %s", c.expires, c.covered, d)
			}
		}
	})
}

func TestACRLIsReplacedOnlyByItsSuccessor(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), pkidb.New(db)
		withAuthority(t, s)
		crl := func(n int64) revocation.CRL {
			return revocation.CRL{Authority: "issuing", Number: n, Covers: n, Entries: 3, SHA256: "x", ThisUpdate: noon, NextUpdate: noon.Add(time.Hour), DER: []byte{byte(n)}}
		}
		due := func(this, next time.Time) int {
			t.Helper()
			list, err := s.Due(ctx, revocation.DueQuery{ThisUpdate: this, NextUpdate: next, Limit: 10})
			must(t, err)
			return len(list)
		}
		if _, err := s.CRL(ctx, "issuing", ""); !fault.Is(err, fault.NotFound) || due(time.Time{}, time.Time{}) != 1 {
			t.Errorf("before the first: %v", err)
		}

		conflict(t, "the successor of none that is there", s.PublishCRL(ctx, crl(7), nil, 6))
		must(t, s.PublishCRL(ctx, crl(7), nil, 0))
		conflict(t, "a second first", s.PublishCRL(ctx, crl(8), nil, 0))
		must(t, s.PublishCRL(ctx, crl(9), nil, 7))
		conflict(t, "one that was outrun", s.PublishCRL(ctx, crl(10), nil, 7))

		got, err := s.CRL(ctx, "issuing", "")
		if d := cmp.Diff(crl(9), got); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
		for _, c := range []struct {
			this, next time.Time
			want       int
		}{{noon.Add(-1000), noon, 0}, {noon, noon, 1}, {noon.Add(-1000), noon.Add(time.Hour), 1}} {
			if n := due(c.this, c.next); n != c.want {
				t.Errorf("due before %s and %s: %d, want %d", c.this, c.next, n, c.want)
			}
		}
		if list, err := s.Due(ctx, revocation.DueQuery{ThisUpdate: noon, NextUpdate: noon, After: "issuing", Limit: 10}); err != nil || len(list) != 0 {
			t.Errorf("after the last: %v, %v", list, err)
		}
	})
}
