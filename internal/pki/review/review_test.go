package review_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/pkitest"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/review"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/eventdb"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
)

var somebody = access.Caller{Principal: "11111111-2222-3333-4444-555555555555", Name: "Somebody"}

// world is a CA whose audits are done by hand.
type world struct {
	*review.Service
	t     *testing.T
	db    *storage.DB
	floor *pkitest.Floor
	store *pkidb.Store
	pages *pages
	asked []review.Work
	next  int64

	profile string // of what old makes
}

// pages reads certificates, and fails after as many pages as left.
type pages struct {
	*pkidb.Store
	left int
}

var errStopped = errors.New("stopped")

func (p *pages) Certificates(ctx context.Context, f issuance.Filter, after issuance.Cursor, limit int) ([]issuance.Certificate, error) {
	if p.left--; p.left < 0 {
		return nil, errStopped
	}
	return p.Store.Certificates(ctx, f, after, limit)
}

func newWorld(t *testing.T, db *storage.DB, guard access.Guard) *world {
	t.Helper()
	w := &world{t: t, db: db, floor: pkitest.New(t, db, pkitest.Config{}), store: pkidb.New(db), profile: "tls-server"}
	w.pages = &pages{w.store, 1000}
	set, err := profile.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	linter, err := issuance.NewLinter()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	w.Service = review.New(review.Deps{
		Store: w.store, Certificates: w.pages, Profiles: set, Linter: linter, Transact: db.Transact, Audit: w.floor.Trail,
		Events:  event.New(event.Config{Store: eventdb.New(db), Transact: db.Transact, Now: w.floor.Clock, Log: log}),
		Enqueue: func(_ context.Context, x review.Work) error { w.asked = append(w.asked, x); return nil },
		Guard:   guard, Now: w.floor.Clock, Log: log,
	})
	return w
}

type everybody struct{}

func (everybody) Authorize(context.Context, access.Caller, access.Action, access.Scope, string) error {
	return nil
}

type nobody struct{}

func (nobody) Authorize(_ context.Context, c access.Caller, a access.Action, s access.Scope, _ string) error {
	return access.Refuse(c, a, s)
}

// issue makes a certificate by the road.
func (w *world) issue(name string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	r := issuance.Request{Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: []string{name}}}
	if _, err := w.floor.Issuance.Issue(w.t.Context(), somebody, r); err != nil {
		w.t.Fatal(err)
	}
}

var maker = mustKey()

func mustKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// old puts a certificate into the store that today's road would not make.
func (w *world) old(pub crypto.PublicKey, change func(*x509.Certificate)) string {
	w.t.Helper()
	w.next++
	now := w.floor.Clock().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1000 + w.next), Subject: pkix.Name{CommonName: "old.test"}, NotBefore: now, NotAfter: now.AddDate(0, 0, 90).Add(-time.Second), DNSNames: []string{"old.test"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, SubjectKeyId: []byte{1, 2, 3, 4},
	}
	change(template)
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "Old CA"}, SubjectKeyId: []byte{5, 6, 7, 8}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, maker)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	c := issuance.Certificate{
		Authority: "issuing", Serial: issuance.FormatSerial(template.SerialNumber), Profile: w.profile, Subject: cert.Subject.String(), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
		TBS: cert.RawTBSCertificate, CreatedAt: w.floor.Clock(), State: issuance.Intended,
	}
	if err := w.store.Intend(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	c.DER, c.SHA256, c.IssuedAt = der, hex.EncodeToString(sum[:]), w.floor.Clock()
	if err := w.store.Finish(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	return c.Serial
}

func (w *world) start() review.Review {
	w.t.Helper()
	r, err := w.Start(w.t.Context(), somebody)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) get(id string) review.Review {
	w.t.Helper()
	r, err := w.Get(w.t.Context(), somebody, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// found returns serial and rule of each finding, walking the pages.
func (w *world) found(id string) []string {
	w.t.Helper()
	var out []string
	for after := [2]string{}; ; {
		list, err := w.Findings(w.t.Context(), somebody, id, after, 2)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range list {
			out, after = append(out, f.Serial+" "+f.Rule), [2]string{f.Serial, f.Rule}
		}
		if len(list) < 2 {
			return out
		}
	}
}

func unchanged(*x509.Certificate) {}

func prime(t *testing.T) *big.Int {
	t.Helper()
	p, err := rand.Prime(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnAuditFindsWhatBreaksTodaysRulesAndNothingElse(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, everybody{})
		for i := range 3 {
			w.issue(fmt.Sprintf("h%d.test", i))
		}
		common := prime(t)
		clean := w.old(&maker.PublicKey, unchanged)
		purpose := w.old(&maker.PublicKey, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
		wild := w.old(&maker.PublicKey, func(c *x509.Certificate) { c.DNSNames = []string{"old.test", "*.co.uk"} })
		one := w.old(&rsa.PublicKey{N: new(big.Int).Mul(common, prime(t)), E: 65537}, unchanged)
		two := w.old(&rsa.PublicKey{N: new(big.Int).Mul(common, prime(t)), E: 65537}, unchanged)
		low := w.old(&rsa.PublicKey{N: new(big.Int).Mul(prime(t), prime(t)), E: 3}, unchanged)

		r := w.start()
		if len(w.asked) != 1 || w.asked[0].Review != r.ID {
			t.Fatalf("asked for %v", w.asked)
		}
		if err := w.Handle(t.Context(), w.asked[0]); err != nil {
			t.Fatal(err)
		}

		got, end := w.found(r.ID), w.get(r.ID)
		for _, want := range []string{purpose + " own_extended_key_usage", wild + " own_dns_names", one + " weak_shared-prime", two + " weak_shared-prime", low + " weak_exponent"} {
			if !slices.Contains(got, want) {
				t.Errorf("not found: %s", want)
			}
		}
		for _, f := range got {
			if strings.HasPrefix(f, clean+" ") || len(f) > 40+len(" own_extended_key_usage") || !slices.ContainsFunc([]string{purpose, wild, one, two, low}, func(s string) bool { return strings.HasPrefix(f, s+" ") }) {
				t.Errorf("found in a clean certificate: %s", f)
			}
		}
		if end.State != review.Completed || end.Checked != end.Total || end.Total < 9 || end.Found != int64(len(got)) || end.Finished.IsZero() {
			t.Errorf("%+v, %d findings", end, len(got))
		}
		records, err := w.floor.Trail.List(t.Context(), audit.Query{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, x := range records {
			if strings.HasPrefix(x.Operation, "IssuanceAudit") {
				told = append(told, x.Operation)
			}
		}
		if strings.Join(told, " ") != "IssuanceAuditEnd IssuanceAuditStart" {
			t.Errorf("the trail has %v", told)
		}
	})
}

// However many keys there are, few of them are in memory: each few are compared with all
// others. The same key in two certificates is no finding.
func TestASharedPrimeIsFoundBetweenKeysThatAreFarApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), everybody{})
	w.Chunk = 2
	common, twice := prime(t), new(big.Int).Mul(prime(t), prime(t))
	rsaKey := func(n *big.Int) string { return w.old(&rsa.PublicKey{N: n, E: 65537}, unchanged) }
	first := rsaKey(new(big.Int).Mul(common, prime(t)))
	for range 3 {
		rsaKey(twice)
		w.old(&maker.PublicKey, unchanged)
	}
	last := rsaKey(new(big.Int).Mul(common, prime(t)))
	r := w.start()
	w.floor.Set(w.floor.Clock().Add(time.Second))
	late := rsaKey(new(big.Int).Mul(common, prime(t))) // is for the next audit

	if err := w.Handle(t.Context(), w.asked[0]); err != nil {
		t.Fatal(err)
	}

	got := w.found(r.ID)
	slices.Sort(got)
	want := []string{first + " weak_shared-prime", last + " weak_shared-prime"}
	slices.Sort(want)
	if !slices.Equal(got, want) || w.get(r.ID).Found != 2 {
		t.Errorf("found %q, want %q and nothing of %s", got, want, late)
	}
}

// The process stops in the middle: the next try goes on, counts nothing twice and leaves
// nothing out. What is issued meanwhile is for the next audit.
func TestAnAuditThatWasStoppedGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), everybody{})
	const many = 450
	for i := range many {
		w.old(&maker.PublicKey, func(c *x509.Certificate) {
			if i%100 == 0 {
				c.ExtKeyUsage = nil
			}
		})
	}
	r := w.start()
	w.floor.Set(w.floor.Clock().Add(time.Second))
	w.old(&maker.PublicKey, func(c *x509.Certificate) { c.ExtKeyUsage = nil })

	for stops := 1; ; stops++ {
		w.pages.left = stops // another page each time
		err := w.Handle(t.Context(), w.asked[0])
		if err == nil {
			break
		}
		if !errors.Is(err, errStopped) || stops > 20 {
			t.Fatal(err)
		}
		if x := w.get(r.ID); x.State != review.Running || x.Checked > x.Total {
			t.Fatalf("stopped: %+v", x)
		}
	}

	end := w.get(r.ID)
	if end.Checked != end.Total || end.Total < many || len(w.found(r.ID)) != int(end.Found) {
		t.Errorf("%+v", end)
	}
	purposes := 0
	for _, f := range w.found(r.ID) {
		if strings.HasSuffix(f, " own_extended_key_usage") {
			purposes++
		}
	}
	if purposes != 5 {
		t.Errorf("%d findings of a missing purpose, want 5", purposes)
	}
}

func TestAnAuditHoldsEvenRevokedCertificatesToTheStandardsOfTheirProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), everybody{})
	private := w.old(&maker.PublicKey, unchanged)
	w.profile = "tls-server-public"
	public := w.old(&maker.PublicKey, unchanged) // without a policy of the CA/B Forum
	if _, _, err := w.store.Revoke(t.Context(), revocation.Revocation{Authority: "issuing", Serial: public, Reason: "superseded", At: w.floor.Clock()}); err != nil {
		t.Fatal(err)
	}
	r := w.start()

	if err := w.Handle(t.Context(), w.asked[0]); err != nil {
		t.Fatal(err)
	}

	got := w.found(r.ID)
	if !slices.Contains(got, public+" e_sub_cert_certificate_policies_missing") || slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, private+" ") }) {
		t.Errorf("found %v", got)
	}
}

// The process stops when everything is found and the end is not noted, and every commit is
// tried again, as PostgreSQL may want it: each finding is there and counted once.
func TestFindingsAreCountedOnceWhateverIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), everybody{})
	common := prime(t)
	w.old(&maker.PublicKey, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	for range 2 {
		w.old(&rsa.PublicKey{N: new(big.Int).Mul(common, prime(t)), E: 65537}, unchanged)
	}
	r := w.start()
	stop, stops := errors.New("stopped at the end"), 1
	w.Transact = func(ctx context.Context, f func(context.Context) error) error {
		undone := errors.New("undone")
		if err := w.db.Transact(ctx, func(ctx context.Context) error { return cmp.Or(f(ctx), undone) }); !errors.Is(err, undone) {
			return err
		}
		return w.db.Transact(ctx, func(ctx context.Context) error {
			if err := f(ctx); err != nil || stops == 0 {
				return err
			}
			if x, err := w.store.Review(ctx, r.ID); err != nil || x.State != review.Completed {
				return err
			}
			stops--
			return stop
		})
	}

	if err := w.Handle(t.Context(), w.asked[0]); !errors.Is(err, stop) {
		t.Fatalf("the first try: %v", err)
	}
	if err := w.Handle(t.Context(), w.asked[0]); err != nil {
		t.Fatal(err)
	}

	got, end := w.found(r.ID), w.get(r.ID)
	if len(got) != 3 || end.Found != 3 || end.State != review.Completed {
		t.Errorf("%v, %+v", got, end)
	}
}

func TestOneAuditAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), everybody{})
	r := w.start()

	if _, err := w.Start(t.Context(), somebody); !fault.HasCode(err, "AuditUnderWay") {
		t.Errorf("a second audit: %v", err)
	}
	if err := w.Scheduled(t.Context(), review.Schedule{}); err != nil || len(w.asked) != 1 {
		t.Errorf("the one that comes by itself: %v, %d asked for", err, len(w.asked))
	}
	w.floor.Set(w.floor.Clock().AddDate(0, 0, 8))
	if err := w.Scheduled(t.Context(), review.Schedule{}); err != nil || len(w.asked) != 1 {
		t.Errorf("the one that comes by itself, a week later: %v, %d asked for", err, len(w.asked))
	}
	if err := w.Fail(t.Context(), review.Work{Review: r.ID}, fault.New(fault.Unavailable, "Away", "the database is away")); err != nil {
		t.Fatal(err)
	}
	if x := w.get(r.ID); x.State != review.Failed || x.Problem != "the database is away" {
		t.Errorf("%+v", x)
	}
	if err := w.Handle(t.Context(), w.asked[0]); err != nil || w.get(r.ID).State != review.Failed {
		t.Errorf("one that failed goes on: %v", err)
	}
	if err := w.Scheduled(t.Context(), review.Schedule{}); err != nil || len(w.asked) != 2 {
		t.Errorf("the one that comes by itself, after the end: %v, %d asked for", err, len(w.asked))
	}
	if list, err := w.List(t.Context(), somebody); err != nil || len(list) != 2 {
		t.Errorf("%d audits, %v", len(list), err)
	}
	if _, err := w.Get(t.Context(), somebody, "nothing"); !fault.HasCode(err, "UnknownAudit") {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestWhoMayNotAuditsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), nobody{})
	_, started := w.Start(t.Context(), somebody)
	_, listed := w.List(t.Context(), somebody)
	_, got := w.Get(t.Context(), somebody, "x")
	_, found := w.Findings(t.Context(), somebody, "x", [2]string{}, 10)
	for _, err := range []error{started, listed, got, found} {
		if !fault.Is(err, fault.Denied) {
			t.Error(err)
		}
	}
}
