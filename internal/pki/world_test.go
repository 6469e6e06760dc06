package pki_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/seal"
)

// world is the floor on a real database, with the real keystore, seal and audit trail.
// Every call that crosses a seam passes the tripwire.
type world struct {
	t    testing.TB
	db   *storage.DB
	wire *tripwire
	keys *signers

	mu     sync.Mutex
	now    time.Time
	random io.Reader
	status string
	extra  []profile.Profile
	agree  issuance.Approvals
	guard  access.Guard

	sweeps []revocation.SweepArgs // enqueued

	stopAt  int // the seam at which the first start stops; 0: it does not
	stopped bool

	trail       *audit.Trail
	store       *store
	authorities *authority.Service
	issuance    *issuance.Service
	revocation  *revocation.Service
}

var noon = time.Date(2026, 9, 1, 12, 0, 0, 500_000_000, time.UTC)

const eventTable = `CREATE TABLE IF NOT EXISTS test_events (type TEXT NOT NULL, subject TEXT NOT NULL, data TEXT NOT NULL)`

// newWorld starts the floor and makes its root and issuing authority.
func newWorld(t testing.TB, db *storage.DB, change ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, db: db, wire: &tripwire{}, keys: &signers{}, now: noon, guard: everybody{}}
	for _, f := range change {
		f(w)
	}
	if _, err := db.Exec(context.Background(), eventTable); err != nil {
		t.Fatal(err)
	}
	signer, err := audit.NewSigner("chatelaine/test/audit", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	w.trail = audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: w.clock})
	w.restart()
	if w.stopAt > 0 {
		root, issuing := authority.Defaults("test.example")
		w.wire.arm(w.stopAt - 1)
		_, err := w.authorities.Establish(t.Context(), access.System("start"), root, issuing)
		if w.stopped, _ = w.wire.disarm(); w.stopped == (err == nil) {
			t.Fatalf("stopped %v: %v", w.stopped, err)
		}
		w.restart()
	}
	w.establish()
	return w
}

func (w *world) establish() {
	w.t.Helper()
	root, issuing := authority.Defaults("test.example")
	if _, err := w.authorities.Establish(w.t.Context(), access.System("start"), root, issuing); err != nil {
		w.t.Fatal(err)
	}
	if err := w.revocation.RebuildDue(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// restart makes every service anew, as a new process would.
func (w *world) restart() {
	w.t.Helper()
	w.store = &store{Store: pkidb.New(w.db), wire: w.wire}
	linter, err := issuance.NewLinter()
	if err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	ceremony, err := issuance.NewCeremony(issuance.CeremonyConfig{
		Store: w.store, InTransaction: storage.InTransaction, Transact: w.transact, Audit: recorder{w}, Events: emitter{w}, Linter: linter,
		StatusURL: w.status, Random: w.random, Now: w.clock, Log: log,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	box, err := seal.NewBox(make([]byte, seal.KeySize))
	if err != nil {
		w.t.Fatal(err)
	}
	w.authorities = authority.New(authority.Deps{
		Store: w.store, Ceremony: ceremony, Transact: w.transact, Audit: recorder{w}, Keystore: keystoreOf{keystore.NewSoftware(), w}, Sealer: sealer{box}, Guard: w.guard, Now: w.clock,
	})
	set, err := profile.BuiltIn()
	if err != nil {
		w.t.Fatal(err)
	}
	if len(w.extra) > 0 {
		set = withProfiles(w.t, set, w.extra)
	}
	w.issuance, err = issuance.New(issuance.Deps{
		Ceremony: ceremony, Authorities: w.authorities, Profiles: set, Store: w.store, Guard: w.guard, Approvals: w.agree, Now: w.clock,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.revocation = revocation.New(revocation.Config{
		Store: w.store, Certificates: w.store, Authorities: w.authorities, Transact: w.transact, Audit: recorder{w}, Events: emitter{w},
		Guard: w.guard, StatusURL: w.status, Sweeps: w.store, Enqueue: w.enqueue, Now: w.clock, Log: log,
	})
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// transact trips before the change and after its commit, which is what a lost answer is.
func (w *world) transact(ctx context.Context, fn func(ctx context.Context) error) error {
	if err := w.wire.cross("begin"); err != nil {
		return err
	}
	if err := w.db.Transact(ctx, fn); err != nil {
		return err
	}
	return w.wire.cross("commit")
}

// withProfiles adds profiles to a set, by way of its text.
func withProfiles(t testing.TB, set profile.Set, extra []profile.Profile) profile.Set {
	t.Helper()
	text, err := json.Marshal(append(set.All(), extra...))
	if err != nil {
		t.Fatal(err)
	}
	if set, err = profile.Parse(text); err != nil {
		t.Fatal(err)
	}
	return set
}

// somebody is an ordinary caller.
var somebody = access.Caller{Principal: "11111111-2222-3333-4444-555555555555", Name: "Somebody"}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// request asks for a server certificate with a new key.
func request(t testing.TB, names ...string) issuance.Request {
	t.Helper()
	return issuance.Request{Profile: "tls-server", PublicKey: &newKey(t).PublicKey, Names: profile.Names{DNS: names}}
}

func csr(t testing.TB, key crypto.Signer, tmpl x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func named(cn string) pkix.Name { return pkix.Name{CommonName: cn} }

func (w *world) issue(r issuance.Request) issuance.Result {
	w.t.Helper()
	made, err := w.issuance.Issue(w.t.Context(), somebody, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

func (w *world) revoke(c issuance.Certificate, reason string) {
	w.t.Helper()
	if _, err := w.revocation.Revoke(w.t.Context(), somebody, revocation.Request{Authority: c.Authority, Serial: c.Serial, Reason: reason}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(serial string) issuance.Certificate {
	w.t.Helper()
	c, err := w.issuance.Get(w.t.Context(), somebody, "issuing", serial)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// all returns every certificate of the issuing authority, walking the pages.
func (w *world) all() []issuance.Certificate {
	w.t.Helper()
	var out []issuance.Certificate
	for after := ""; ; {
		page, next, err := w.issuance.List(w.t.Context(), somebody, issuance.Filter{Authority: "issuing"}, after, 50)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, page...)
		if after = next; next == "" {
			return out
		}
	}
}

// crl returns the published list of an authority, verified.
func (w *world) crl(id string) *x509.RevocationList {
	w.t.Helper()
	return w.list(id, "")
}

// list is crl for a delta or a part.
func (w *world) list(id, part string) *x509.RevocationList {
	w.t.Helper()
	c, err := w.revocation.Current(w.t.Context(), id, part)
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(c.DER)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := signature.CheckListFrom(list, w.certificate(id)); err != nil {
		w.t.Fatalf("CRL of %s: %v", id, err)
	}
	return list
}

func (w *world) certificate(id string) *x509.Certificate {
	w.t.Helper()
	der, err := w.authorities.Certificate(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return parse(w.t, der)
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// onCRL reports whether the issuing authority's list has the serial.
func (w *world) onCRL(serial string) bool {
	w.t.Helper()
	return slices.ContainsFunc(w.crl("issuing").RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return issuance.FormatSerial(e.SerialNumber) == serial
	})
}

// records returns the trail's records of an operation on a target, oldest first; empty
// fields select all.
func (w *world) records(operation, target string) []audit.Record {
	w.t.Helper()
	list, err := w.trail.List(w.t.Context(), audit.Query{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []audit.Record
	for _, r := range slices.Backward(list) {
		if (operation == "" || r.Operation == operation) && (target == "" || r.Target == target) {
			out = append(out, r)
		}
	}
	return out
}

// events counts the committed events of a type about a subject.
func (w *world) events(kind, subject string) int {
	w.t.Helper()
	var n int
	if err := w.db.QueryRow(w.t.Context(), `SELECT COUNT(*) FROM test_events WHERE type = $1 AND subject = $2`, kind, subject).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// everybody may do everything.
type everybody struct{}

func (everybody) Authorize(context.Context, access.Caller, access.Action, access.Scope, string) error {
	return nil
}

// errTripped is what a seam answers when the tripwire is hit.
var errTripped = errors.New("tripped")

// tripwire fails the nth crossing of a seam, and after it every further one, as if the
// process had died there.
type tripwire struct {
	mu      sync.Mutex
	armed   bool
	left    int
	tripped bool
	where   string
}

func (t *tripwire) arm(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed, t.left, t.tripped, t.where = true, n, false, ""
}

func (t *tripwire) disarm() (tripped bool, where string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = false
	return t.tripped, t.where
}

func (t *tripwire) cross(seam string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.armed {
		return nil
	}
	if t.left--; t.left >= 0 {
		return nil
	}
	if !t.tripped {
		t.tripped, t.where = true, seam
	}
	return errTripped
}

// store is the real store behind the tripwire: each write trips before and after.
type store struct {
	*pkidb.Store
	wire *tripwire
}

func (s *store) around(name string, fn func() error) error {
	if err := s.wire.cross("before " + name); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return s.wire.cross("after " + name)
}

func (s *store) Intend(ctx context.Context, c issuance.Certificate) error {
	return s.around("Intend", func() error { return s.Store.Intend(ctx, c) })
}

func (s *store) Finish(ctx context.Context, c issuance.Certificate) error {
	return s.around("Finish", func() error { return s.Store.Finish(ctx, c) })
}

func (s *store) Fail(ctx context.Context, serial, code string) error {
	return s.around("Fail", func() error { return s.Store.Fail(ctx, serial, code) })
}

func (s *store) PublishCRL(ctx context.Context, c revocation.CRL, others []revocation.CRL, previous int64) error {
	return s.around("PublishCRL", func() error { return s.Store.PublishCRL(ctx, c, others, previous) })
}

func (s *store) Revoke(ctx context.Context, r revocation.Revocation) (c issuance.Certificate, n int64, err error) {
	err = s.around("Revoke", func() (err error) { c, n, err = s.Store.Revoke(ctx, r); return err })
	return c, n, err
}

type recorder struct{ w *world }

func (r recorder) Record(ctx context.Context, rec audit.Record) error {
	if err := r.w.wire.cross("record"); err != nil {
		return err
	}
	return r.w.trail.Record(ctx, rec)
}

type emitter struct{ w *world }

func (e emitter) Emit(ctx context.Context, ev event.Event) error {
	if err := e.w.wire.cross("emit"); err != nil {
		return err
	}
	_, err := e.w.db.Exec(ctx, `INSERT INTO test_events (type, subject, data) VALUES ($1, $2, $3)`, ev.Type, ev.Subject, string(ev.Data))
	return err
}

// sealer is what the composition root makes of a *seal.Box.
type sealer struct{ box *seal.Box }

func (s sealer) Seal(name string, plaintext []byte) []byte {
	return s.box.Seal(seal.Identity{Vault: "pki", Name: name}, plaintext)
}

func (s sealer) Open(name string, sealed []byte) ([]byte, error) {
	return s.box.Open(seal.Identity{Vault: "pki", Name: name}, sealed)
}

// signers remembers everything that an authority's key ever signed.
type signers struct {
	mu      sync.Mutex
	signed  [][]byte
	broken  error  // what the signer answers instead
	signing func() // called with the next signature
}

// keystoreOf is the software keystore whose keys tell what they sign.
type keystoreOf struct {
	*keystore.Software
	w *world
}

func (k keystoreOf) Open(ctx context.Context, m keystore.Material) (keystore.Private, error) {
	p, err := keystore.OpenSigner(ctx, k.Software, m)
	return watched{p, k.w}, err
}

type watched struct {
	crypto.Signer
	w *world
}

// SignMessage implements crypto.MessageSigner.
func (p watched) SignMessage(random io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	if err := p.w.wire.cross("before signature"); err != nil {
		return nil, err
	}
	if f := p.w.keys.signing; f != nil {
		p.w.keys.signing = nil
		f()
	}
	if p.w.keys.broken != nil {
		return nil, p.w.keys.broken
	}
	p.w.keys.mu.Lock()
	p.w.keys.signed = append(p.w.keys.signed, message)
	p.w.keys.mu.Unlock()
	digest := message
	if o.HashFunc() != 0 {
		h := o.HashFunc().New()
		h.Write(message)
		digest = h.Sum(nil)
	}
	signature, err := p.Sign(random, digest, o)
	if err != nil {
		return nil, err
	}
	return signature, p.w.wire.cross("after signature")
}

// mustFail wants an error with a code.
func mustFail(t testing.TB, err error, code string) {
	t.Helper()
	if !fault.HasCode(err, code) {
		t.Errorf("error %v, want code %s", err, code)
	}
}

// enqueue remembers the work of bulk revocations, which tests run themselves.
func (w *world) enqueue(_ context.Context, a revocation.SweepArgs) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweeps = append(w.sweeps, a)
	return nil
}
