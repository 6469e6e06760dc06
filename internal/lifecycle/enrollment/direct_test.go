package enrollment_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// csrFor makes a CSR for names of a new key.
func csrFor(t testing.TB, names ...string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key)
	must(t, err)
	return der
}

func ask(t testing.TB, names ...string) enrollment.Ask {
	return enrollment.Ask{Door: "rest", Profile: "tls-server", CSR: csrFor(t, names...), Owner: "shop"}
}

// checkDirect checks that a certificate is there, for exactly the names.
func checkDirect(t testing.TB, got enrollment.Enrolled, names ...string) *x509.Certificate {
	t.Helper()
	if got.State != enrollment.Completed || got.Request == "" || len(got.Chain) != 1 {
		t.Fatalf("request %s is %s with a chain of %d: %s", got.Request, got.State, len(got.Chain), got.Problem)
	}
	leaf, err := x509.ParseCertificate(got.Certificate)
	must(t, err)
	issuer, err := x509.ParseCertificate(got.Chain[0])
	must(t, err)
	must(t, leaf.CheckSignatureFrom(issuer))
	if !slices.Equal(leaf.DNSNames, names) {
		t.Errorf("it is for %v, want %v", leaf.DNSNames, names)
	}
	return leaf
}

func TestOwnAuthorityAnswersInOneCall(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		before := w.Count("Chatelaine.CertificateIssued")

		got, err := w.Requests.Enroll(t.Context(), w.Caller, ask(t, "a.example", "b.example"))

		must(t, err)
		checkDirect(t, got, "a.example", "b.example")
		if n := w.Queue.Len(t); n != 0 {
			t.Errorf("%d jobs wait, want none", n)
		}
		again, err := w.Requests.Collect(t.Context(), w.Caller, got.Request)
		must(t, err)
		if string(again.Certificate) != string(got.Certificate) {
			t.Error("collected another certificate")
		}
		r := get(t, w, got.Request)
		if r.Kind != enrollment.Direct || r.Door != "rest" || r.Requester != w.Caller.Principal || r.Result.SHA256 != SHA256(got.Certificate) || !r.Wake.IsZero() {
			t.Errorf("request: %+v", r)
		}
		recs := w.Records(t, "RequestEnroll")
		if len(recs) != 1 || recs[0].Details[audit.Door] != "rest" || recs[0].Details[audit.Profile] != "tls-server" || recs[0].Principal != w.Caller.Principal {
			t.Errorf("records: %+v", recs)
		}
		if n := w.Count("Chatelaine.CertificateIssued") - before; n != 1 {
			t.Errorf("%d events tell the inventory, want 1", n)
		}
	})
}

func TestProvedNamesTakeThePlaceOfThoseInTheCSR(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	for _, p := range []string{"tls-server", ApprovedProfile} {
		a := ask(t, "claimed.example")
		a.Profile, a.Names = p, profile.Names{DNS: []string{"proved.example"}}

		got, err := w.Requests.Enroll(t.Context(), w.Caller, a)
		must(t, err)
		if p == ApprovedProfile {
			_, err = w.Requests.Approve(t.Context(), Approver, got.Request, "")
			must(t, err)
			w.Queue.Drain(t)
			got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request)
			must(t, err)
		}

		if leaf := checkDirect(t, got, "proved.example"); leaf.Subject.CommonName != "proved.example" {
			t.Errorf("%s: the common name is %q", p, leaf.Subject.CommonName)
		}
	}
}

func TestApprovedAskIsCollected(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		for name, a := range map[string]func(*enrollment.Ask){
			"profile": func(a *enrollment.Ask) { a.Profile = ApprovedProfile },
			"door":    func(a *enrollment.Ask) { a.Approval = true },
		} {
			q := ask(t, "a.example")
			a(&q)
			got, err := w.Requests.Enroll(t.Context(), w.Caller, q)
			must(t, err)
			if got.State != enrollment.Pending || got.Certificate != nil {
				t.Fatalf("%s: before the approval it is %s", name, got.State)
			}
			before := w.Issued(t)

			_, err = w.Requests.Approve(t.Context(), Approver, got.Request, "agreed")
			must(t, err)
			if got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request); err != nil || got.State != enrollment.InProgress {
				t.Errorf("%s: approved it is %s, %v", name, got.State, err)
			}
			w.Queue.Drain(t)

			got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request)
			must(t, err)
			checkDirect(t, got, "a.example")
			if n := w.Issued(t) - before; n != 1 {
				t.Errorf("%s: %d issued, want 1", name, n)
			}
			d, err := w.Inventory.Get(t.Context(), w.Caller, SHA256(got.Certificate))
			must(t, err)
			if d.Owner != "shop" {
				t.Errorf("%s: in the inventory it belongs to %q", name, d.Owner)
			}
		}
	})
}

func TestDeniedAskSaysSo(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	a := ask(t, "a.example")
	a.Approval = true
	got, err := w.Requests.Enroll(t.Context(), w.Caller, a)
	must(t, err)

	_, err = w.Requests.Deny(t.Context(), Approver, got.Request, "not this name")
	must(t, err)

	got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request)
	must(t, err)
	if got.State != enrollment.Denied || got.Problem != "not this name" || got.Certificate != nil {
		t.Errorf("got %+v", got)
	}
}

func TestIssuerElsewhereIsCollected(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	o := newOutside(t, w)
	o.thinks = 3

	got, err := w.Requests.Enroll(t.Context(), w.Caller, ask(t, "a.example"))
	must(t, err)
	if got.State != enrollment.InProgress {
		t.Fatalf("it is %s", got.State)
	}
	w.Queue.Drain(t)

	got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request)
	must(t, err)
	checkDirect(t, got, "a.example")
	if o.issued != 1 || w.Issued(t) != 0 {
		t.Errorf("%d issued elsewhere and %d by us", o.issued, w.Issued(t))
	}
	a := ask(t, "a.example")
	a.Names = profile.Names{DNS: []string{"b.example"}}
	if _, err := w.Requests.Enroll(t.Context(), w.Caller, a); !fault.HasCode(err, "NamesDiffer") {
		t.Errorf("names that the issuer will not see: got %v", err)
	}
	o.change = func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "more.example") }
	got, err = w.Requests.Enroll(t.Context(), w.Caller, ask(t, "c.example"))
	must(t, err)
	w.Queue.Drain(t)
	if got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request); err != nil || got.State != enrollment.Failed || got.Problem == "" {
		t.Errorf("a certificate for more names: %+v, %v", got, err)
	}
}

func TestTheSameAskTwiceIsOneCertificate(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		a := ask(t, "a.example")
		a.Once = "k"
		first, err := w.Requests.Enroll(t.Context(), w.Caller, a)
		must(t, err)

		again, err := w.Requests.Enroll(t.Context(), w.Caller, a)

		if err != nil || again.Request != first.Request || string(again.Certificate) != string(first.Certificate) || w.Issued(t) != 1 {
			t.Errorf("got request %s, %v with %d issued; want %s", again.Request, err, w.Issued(t), first.Request)
		}
		other := ask(t, "a.example")
		other.Once = "k"
		if _, err := w.Requests.Enroll(t.Context(), w.Caller, other); !fault.HasCode(err, "OnceUsed") {
			t.Errorf("for another key: got %v", err)
		}
		for _, c := range []access.Caller{Approver, account("1"), account("2")} {
			got, err := w.Requests.Enroll(t.Context(), c, a)
			if err != nil || got.Request == first.Request {
				t.Errorf("of another caller: got %s, %v", got.Request, err)
			}
		}
		if n := w.Issued(t); n != 4 {
			t.Errorf("%d certificates issued, want 4", n)
		}
	})
}

// account is a stranger behind a door.
func account(id string) access.Caller {
	c := access.System("acme")
	c.Correlation = id
	return c
}

// Killed at every seam once and asked again with the same key, one certificate comes out.
// late finds no request by its Once the first time, as a call does that comes a moment
// after another one.
type late struct {
	enrollment.Store
	asked bool
}

func (l *late) RequestOnce(ctx context.Context, once string) (enrollment.Entry, error) {
	if !l.asked {
		l.asked = true
		return enrollment.Entry{}, fault.New(fault.NotFound, "NotFound", "not there yet")
	}
	return l.Store.RequestOnce(ctx, once)
}

func TestOneOfTwoAsksAtOnceWithTheSameKeyButOtherCSRsIsRefused(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		for _, p := range []string{"tls-server", ApprovedProfile} {
			first, second := ask(t, "a.example"), ask(t, "b.example")
			first.Profile, second.Profile, first.Once, second.Once = p, p, "key of "+p, "key of "+p
			joined := 0
			second.Also = func(context.Context, enrollment.Enrolled) error { joined++; return nil }
			got, err := w.Requests.Enroll(t.Context(), w.Caller, first)
			must(t, err)
			w.Requests.Store = &late{Store: w.Store}

			_, err = w.Requests.Enroll(t.Context(), w.Caller, second)

			if !fault.HasCode(err, "OnceUsed") || p == ApprovedProfile && joined > 0 {
				t.Errorf("%s: %v, and its transaction was joined %d times", p, err, joined)
			}
			w.Requests.Store = &late{Store: w.Store}
			again, err := w.Requests.Enroll(t.Context(), w.Caller, first)
			if err != nil || again.Request != got.Request || again.State != got.State {
				t.Errorf("%s: the same ask again: %+v, %v", p, again, err)
			}
			w.Requests.Store = w.Store
		}
	})
}

func TestAKeyOfIdempotencyIsForOneSetOfNames(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	a := ask(t, "claimed.example")
	a.Once, a.Names = "once", profile.Names{DNS: []string{"a.example"}}
	_, err := w.Requests.Enroll(t.Context(), w.Caller, a)
	must(t, err)

	a.Names = profile.Names{DNS: []string{"b.example"}}
	if _, err := w.Requests.Enroll(t.Context(), w.Caller, a); !fault.HasCode(err, "OnceUsed") {
		t.Errorf("the same key and CSR for another name: %v", err)
	}
}

func TestACertificateIsCollectedByItsRequesterOrWhoMayReadRequests(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	got, err := w.Requests.Enroll(t.Context(), w.Caller, ask(t, "a.example"))
	must(t, err)
	_, err = w.Requests.Collect(t.Context(), Approver, got.Request) // may read
	must(t, err)

	w.Deny(enrollment.Read)

	if _, err := w.Requests.Collect(t.Context(), w.Caller, got.Request); err != nil {
		t.Errorf("its requester: %v", err)
	}
	namesake := w.Caller
	namesake.Principal = Approver.Principal
	for who, c := range map[string]access.Caller{"somebody else": Approver, "a namesake": namesake} {
		if _, err := w.Requests.Collect(t.Context(), c, got.Request); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", who, err)
		}
	}
}

func TestTextsThatNobodyCanReadAreRefused(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		for _, edit := range []func(*enrollment.Ask){
			func(a *enrollment.Ask) { a.Owner = "shop\x00" }, func(a *enrollment.Ask) { a.Owner = "pohs\u202e" },
			func(a *enrollment.Ask) { a.Owner = "\xff" }, func(a *enrollment.Ask) { a.Once = "a\x00b" }, func(a *enrollment.Ask) { a.Once = "a\nb" },
		} {
			a := ask(t, "a.example")
			edit(&a)
			if _, err := w.Requests.Enroll(t.Context(), w.Caller, a); !fault.Is(err, fault.Invalid) {
				t.Errorf("owner %q, key %q: %v", a.Owner, a.Once, err)
			}
		}
		l := w.Adopt(t, w.NewProgram(t, "shop.example"))
		if _, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID, Comment: "a\x00b"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("comment: %v", err)
		}
		if n := w.Issued(t); n != 0 {
			t.Errorf("%d issued", n)
		}
	})
}

func TestKilledAnywhereADirectAskIssuesOnce(t *testing.T) {
	for name, approval := range map[string]bool{"at once": false, "approved": true} {
		var seams []string
		for n := 1; ; n++ {
			w := New(t, storagetest.SQLite(t))
			a := ask(t, "a.example")
			a.Once, a.Approval = "k", approval
			w.Fuse.Arm(n)

			var got enrollment.Enrolled
			enroll := func() (err error) {
				got, err = w.Requests.Enroll(t.Context(), w.Caller, a)
				return err
			}
			for err := w.Fuse.Survive(t, w, enroll); err != nil; err = w.Fuse.Survive(t, w, enroll) {
				if !errors.Is(err, ErrKilled) {
					t.Fatalf("%s: killed at %s: %v", name, w.Fuse.Where, err)
				}
			}
			if approval {
				approve := func() error {
					_, err := w.Requests.Approve(t.Context(), Approver, got.Request, "")
					if fault.HasCode(err, "NotPending") {
						return nil
					}
					return err
				}
				for w.Fuse.Survive(t, w, approve) != nil {
				}
				w.Queue.Drain(t)
				must(t, w.Fuse.Survive(t, w, enroll))
			}
			if w.Fuse.Armed() {
				break
			}
			seams = append(seams, w.Fuse.Where)
			checkDirect(t, got, "a.example")
			if n := w.Issued(t); n != 1 {
				t.Fatalf("%s: killed at %s: %d certificates issued", name, w.Fuse.Where, n)
			}
			if n := w.Count("Chatelaine.RequestCompleted"); n != 1 {
				t.Errorf("%s: killed at %s: completed %d times", name, w.Fuse.Where, n)
			}
		}
		t.Logf("%s: killed at %d seams: %v", name, len(seams), seams)
		if len(seams) < 4 {
			t.Errorf("%s: killed at %d seams only", name, len(seams))
		}
	}
}

func TestAskAgainstTheProfileIsRefusedAtOnce(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	broken := csrFor(t, "a.example")
	broken[len(broken)-3] ^= 1
	for name, c := range map[string]struct {
		edit func(*enrollment.Ask)
		code string
	}{
		"e-mail":            {func(a *enrollment.Ask) { a.Names = profile.Names{Email: []string{"a@b.example"}} }, "NameNotAllowed"},
		"no such profile":   {func(a *enrollment.Ask) { a.Profile = "none" }, "UnknownProfile"},
		"other authority":   {func(a *enrollment.Ask) { a.Authority = "root" }, "UnknownAuthority"},
		"too long":          {func(a *enrollment.Ask) { a.Validity = 400 * 24 * time.Hour }, "ValidityNotAllowed"},
		"no CSR":            {func(a *enrollment.Ask) { a.CSR = nil }, "BadCSR"},
		"not a CSR":         {func(a *enrollment.Ask) { a.CSR = []byte("CSR") }, "BadCSR"},
		"large":             {func(a *enrollment.Ask) { a.CSR = make([]byte, 65<<10) }, "BadCSR"},
		"not its own key's": {func(a *enrollment.Ask) { a.CSR = broken }, "BadCSR"},
	} {
		for _, approval := range []bool{false, true} {
			a := ask(t, "a.example")
			a.Approval = approval
			c.edit(&a)
			if _, err := w.Requests.Enroll(t.Context(), w.Caller, a); !fault.HasCode(err, c.code) || !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: got %v, want %s", name, err, c.code)
			}
		}
	}
	if n := w.Issued(t); n != 0 {
		t.Errorf("%d issued", n)
	}
}

func TestWhoMayNotIssueIsRefusedAndLearnsNothing(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	mine, err := w.Requests.Enroll(t.Context(), w.Caller, ask(t, "a.example"))
	must(t, err)
	w.Deny(issuance.IssueCertificates)
	texts := map[string]bool{}
	for _, p := range []string{"tls-server", ApprovedProfile, "none"} {
		a := ask(t, "a.example")
		a.Profile = p
		_, err := w.Requests.Enroll(t.Context(), w.Caller, a)
		if !fault.Is(err, fault.Denied) {
			t.Fatalf("%s: got %v", p, err)
		}
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("the refusals differ: %v", texts)
	}
	if got, err := w.Requests.Collect(t.Context(), w.Caller, mine.Request); !fault.Is(err, fault.Denied) || got.Certificate != nil {
		t.Errorf("collecting without the right: %v", err)
	}
	w.Deny(enrollment.Read)
	for _, id := range []string{mine.Request, "none"} {
		if got, err := w.Requests.Collect(t.Context(), Approver, id); !fault.Is(err, fault.Denied) || got.Request != "" {
			t.Errorf("collecting another's: %v", err)
		}
	}
}

func TestDirectCertificateIsRevokedOnRequest(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	a := ask(t, "a.example")
	a.Approval = true
	got, err := w.Requests.Enroll(t.Context(), w.Caller, a)
	must(t, err)
	_, err = w.Requests.Approve(t.Context(), Approver, got.Request, "")
	must(t, err)
	w.Queue.Drain(t)
	got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request)
	must(t, err)

	_, err = w.Requests.RevokeNow(t.Context(), w.Caller, enrollment.RevokeDraft{SHA256: SHA256(got.Certificate)})
	must(t, err)
	w.Queue.Drain(t)

	d, err := w.Inventory.Get(t.Context(), w.Caller, SHA256(got.Certificate))
	must(t, err)
	if d.RevokedAt.IsZero() {
		t.Error("it is not revoked")
	}
	if n := w.Issued(t); n != 0 {
		t.Errorf("the authority still counts %d as good", n)
	}
}
