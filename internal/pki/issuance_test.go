package pki_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestIssuedCertificateSaysWhatWasAskedAndIsRecorded(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, func(w *world) { w.status = "http://pki.test.example/" })
		key := newKey(t)

		made := w.issue(issuance.Request{Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: []string{"a.test.example"}, IP: []string{"192.0.2.1"}}})

		cert := parse(t, made.DER)
		roots, middle := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(w.certificate("root"))
		middle.AddCert(w.certificate("issuing"))
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, DNSName: "a.test.example", CurrentTime: w.now}); err != nil {
			t.Error(err)
		}
		if !cert.PublicKey.(*ecdsa.PublicKey).Equal(&key.PublicKey) || cert.KeyUsage != x509.KeyUsageDigitalSignature || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
			t.Errorf("key or usages: %+v", cert)
		}
		if cert.IsCA || !cert.BasicConstraintsValid || len(cert.SubjectKeyId) != 20 || !bytes.Equal(cert.AuthorityKeyId, w.certificate("issuing").SubjectKeyId) {
			t.Errorf("constraints or key ids: %+v", cert)
		}
		if d := cmp.Diff([]string{"http://pki.test.example/crl/issuing.crl"}, cert.CRLDistributionPoints); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"http://pki.test.example/ca/issuing.cer"}, cert.IssuingCertificateURL); d != "" {
			t.Error(d)
		}
		if cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.BitLen() != 127 {
			t.Errorf("serial of %d bits", cert.SerialNumber.BitLen())
		}
		if life := cert.NotAfter.Sub(cert.NotBefore) + time.Second; life != 90*24*time.Hour {
			t.Errorf("valid for %s", life)
		}

		want := made.Certificate
		if d := cmp.Diff(want, w.get(made.Serial), cmp.Transformer("µs", func(t time.Time) int64 { return t.UnixMicro() })); d != "" {
			t.Error(d)
		}
		for _, operation := range []string{"CertificateIntend", "CertificateIssue"} {
			records := w.records(operation, made.Target())
			if len(records) != 1 || records[0].Principal != somebody.Principal || records[0].Details[audit.Serial] != made.Serial || records[0].Details[audit.Profile] != "tls-server" {
				t.Errorf("%s: %+v", operation, records)
			}
		}
		if got := w.records("CertificateIssue", made.Target())[0].Details[audit.Fingerprint]; got != made.SHA256 {
			t.Errorf("record has SHA-256 %q, want %q", got, made.SHA256)
		}
		var data string
		if err := db.QueryRow(t.Context(), `SELECT data FROM test_events WHERE type = 'Chatelaine.CertificateIssued' AND subject = $1`, made.Serial).Scan(&data); err != nil {
			t.Fatal(err)
		}
		var told map[string]string
		if err := json.Unmarshal([]byte(data), &told); err != nil || told["sha256"] != made.SHA256 || told["serial"] != made.Serial || told["authority"] != "issuing" || told["subject"] != "CN=a.test.example" {
			t.Errorf("event %s: %v", data, err)
		}
	})
}

// The bytes that the authority signed are those that were recorded before, and never
// anything else.
func TestOnlyRecordedBytesAreSigned(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	for i := range 10 {
		w.issue(request(t, fmt.Sprintf("h%d.test.example", i)))
	}

	known := [][]byte{w.certificate("root").RawTBSCertificate, w.certificate("issuing").RawTBSCertificate,
		w.crl("root").RawTBSRevocationList, w.crl("issuing").RawTBSRevocationList,
		w.list("root", revocation.Delta).RawTBSRevocationList, w.list("issuing", revocation.Delta).RawTBSRevocationList}
	for _, c := range w.all() {
		known = append(known, parse(t, c.DER).RawTBSCertificate)
	}
	for _, signed := range w.keys.signed {
		found := false
		for _, k := range known {
			found = found || bytes.Equal(k, signed)
		}
		if !found {
			t.Errorf("a key of ours signed %x, which nobody knows", signed)
		}
	}
	if len(w.keys.signed) != len(known) {
		t.Errorf("%d signatures, %d things that should have one", len(w.keys.signed), len(known))
	}
}

func TestCSRGivesKeyAndNamesAndNothingElse(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	key := newKey(t)
	smuggled := x509.CertificateRequest{
		Subject: named("b.test.example"), DNSNames: []string{"b.test.example", "a.test.example"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.9")},
	}
	smuggled.Subject.Organization = []string{"Somebody Else Ltd"}
	smuggled.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}} // cA TRUE
	der := csr(t, key, smuggled)

	for name, text := range map[string][]byte{"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})} {
		made := w.issue(issuance.Request{Profile: "tls-server", CSR: text})
		cert := parse(t, made.DER)
		if cert.IsCA || cert.Subject.String() != "CN=b.test.example" || !cert.PublicKey.(*ecdsa.PublicKey).Equal(&key.PublicKey) {
			t.Errorf("%s: CA %v, subject %s", name, cert.IsCA, cert.Subject)
		}
		if d := cmp.Diff(profile.Names{DNS: []string{"b.test.example", "a.test.example"}, IP: []string{"192.0.2.9"}}, made.Names); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	own := w.issue(issuance.Request{Profile: "tls-server", CSR: der, Names: profile.Names{DNS: []string{"c.test.example"}}})
	if d := cmp.Diff([]string{"c.test.example"}, parse(t, own.DER).DNSNames); d != "" {
		t.Errorf("names of the request do not prevail: %s", d)
	}
}

func TestBadRequestsAreRefusedBeforeAnythingIsRecorded(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t), func(w *world) {
		w.extra = []profile.Profile{with(t, func(p *profile.Profile) { p.Name, p.Approval = "agreed", true }), with(t, func(p *profile.Profile) { p.Name, p.Authorities = "orphan", []string{"absent"} })}
	})
	key := newKey(t)
	good := csr(t, key, x509.CertificateRequest{DNSNames: []string{"a.test.example"}})
	inPEM := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: good}) }
	forged := bytes.Clone(good)
	forged[len(forged)-3] ^= 1
	issuingKey := w.certificate("issuing").PublicKey
	names := profile.Names{DNS: []string{"a.test.example"}}
	for _, c := range []struct {
		why  string
		r    issuance.Request
		code string
	}{
		{"no profile", issuance.Request{CSR: good}, "UnknownProfile"},
		{"the profile of authorities", issuance.Request{Profile: "(authority)", CSR: good}, "UnknownProfile"},
		{"another authority", issuance.Request{Profile: "tls-server", Authority: "root", CSR: good}, "UnknownAuthority"},
		{"an absent authority", issuance.Request{Profile: "orphan", CSR: good}, "UnknownAuthority"},
		{"nothing", issuance.Request{Profile: "tls-server", Names: names}, "BadCSR"},
		{"both", issuance.Request{Profile: "tls-server", CSR: good, PublicKey: &key.PublicKey}, "BadCSR"},
		{"forged CSR", issuance.Request{Profile: "tls-server", CSR: forged}, "BadCSR"},
		{"cut CSR", issuance.Request{Profile: "tls-server", CSR: good[:len(good)-1]}, "BadCSR"},
		{"trailing bytes", issuance.Request{Profile: "tls-server", CSR: append(bytes.Clone(good), 0)}, "BadCSR"},
		{"certificate for a CSR", issuance.Request{Profile: "tls-server", CSR: inPEM("CERTIFICATE")}, "BadCSR"},
		{"two requests", issuance.Request{Profile: "tls-server", CSR: append(inPEM("CERTIFICATE REQUEST"), inPEM("CERTIFICATE REQUEST")...)}, "BadCSR"},
		{"long CSR", issuance.Request{Profile: "tls-server", CSR: csr(t, key, x509.CertificateRequest{DNSNames: slices.Repeat([]string{strings.Repeat("a", 60) + ".test.example"}, 1000)})}, "BadCSR"},
		{"the authority's own key", issuance.Request{Profile: "tls-server", PublicKey: issuingKey, Names: names}, "KeyNotAllowed"},
		{"too long", issuance.Request{Profile: "tls-server", CSR: good, Validity: 399 * 24 * time.Hour}, "ValidityNotAllowed"},
		{"a name", issuance.Request{Profile: "tls-server", CSR: good, Names: profile.Names{DNS: []string{"a_b.test.example"}}}, "BadName"},
		{"a long id", issuance.Request{Profile: "tls-server", CSR: good, ID: strings.Repeat("x", 129)}, "BadRequest"},
		{"no approval", issuance.Request{Profile: "agreed", CSR: good, ID: "r1"}, "ApprovalRequired"},
	} {
		_, err := w.issuance.Issue(t.Context(), somebody, c.r)
		if !fault.HasCode(err, c.code) {
			t.Errorf("%s: %v, want %s", c.why, err, c.code)
		}
	}
	if list := w.all(); len(list) != 0 {
		t.Errorf("%d certificates were recorded", len(list))
	}
}

// with returns a copy of tls-server, changed.
func with(t testing.TB, change func(*profile.Profile)) profile.Profile {
	t.Helper()
	set, err := profile.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	p, err := set.Get("tls-server")
	if err != nil {
		t.Fatal(err)
	}
	change(&p)
	return p
}

func TestARefusedCallerGetsNothingAndTheScopeNamesTheProfile(t *testing.T) {
	g := &refuser{}
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.guard = g })
	g.on = true

	_, err := w.issuance.Issue(t.Context(), somebody, request(t, "a.test.example"))

	if !fault.Is(err, fault.Denied) {
		t.Errorf("error %v, want Denied", err)
	}
	if g.action != "Chatelaine/certificates/issue" || g.scope != "/authorities/issuing/profiles/tls-server" || g.operation != "CertificateIssue" {
		t.Errorf("asked for %s at %s as %s", g.action, g.scope, g.operation)
	}
	// What is wrong with a request is nobody's business who may not make it.
	if _, err := w.issuance.Issue(t.Context(), somebody, issuance.Request{Profile: "absent"}); !fault.Is(err, fault.Denied) {
		t.Errorf("error %v, want Denied", err)
	}
	if _, _, err := w.issuance.List(t.Context(), somebody, issuance.Filter{}, "", 0); !fault.Is(err, fault.Denied) || g.scope != "/" {
		t.Errorf("list: %v at %s", err, g.scope)
	}
	if _, err := w.issuance.Get(t.Context(), somebody, "issuing", "01"); !fault.Is(err, fault.Denied) || g.scope != "/authorities/issuing" {
		t.Errorf("get: %v at %s", err, g.scope)
	}
	g.on = false
	if list := w.all(); len(list) != 0 {
		t.Errorf("%d certificates were recorded", len(list))
	}
}

// refuser refuses everything while it is on, and remembers what was asked last.
type refuser struct {
	on        bool
	action    access.Action
	scope     access.Scope
	operation string
}

func (r *refuser) Authorize(_ context.Context, _ access.Caller, a access.Action, s access.Scope, operation string) error {
	if !r.on {
		return nil
	}
	r.action, r.scope, r.operation = a, s, operation
	return fault.New(fault.Denied, "Forbidden", "no")
}

// A lint refuses what the profile's own rules let pass; the serial stays known, as failed.
func TestLintRefusesBeforeTheSignature(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, func(w *world) {
			w.extra = []profile.Profile{with(t, func(p *profile.Profile) { p.Name, p.Standards = "public", []string{"CABF_BR"} })}
		})
		before := len(w.keys.signed)

		_, err := w.issuance.Issue(t.Context(), somebody, issuance.Request{Profile: "tls-client", PublicKey: &newKey(t).PublicKey, CommonName: "Tom &amp; Jerry"})

		mustFail(t, err, "LintRefused")
		if !strings.Contains(err.Error(), "e_subj_contains_html_entities") {
			t.Errorf("the refusal does not name the rule: %v", err)
		}
		if len(w.keys.signed) != before {
			t.Error("the authority signed what the lint refused")
		}
		list := w.all()
		if len(list) != 1 || list[0].State != issuance.Failed || list[0].Failure != "LintRefused" || list[0].DER != nil || len(list[0].TBS) == 0 {
			t.Fatalf("%+v", list)
		}
		if r := w.records("CertificateIssue", list[0].Target()); len(r) != 1 || r[0].Outcome != audit.Failed || r[0].Details[audit.Reason] != "LintRefused" {
			t.Errorf("records %+v", r)
		}

		// A standard binds only those who claim it.
		r := request(t, "intranet")
		w.issue(r)
		r.Profile = "public"
		_, err = w.issuance.Issue(t.Context(), somebody, r)
		mustFail(t, err, "LintRefused")
	})
}

func TestAProfileCannotClaimAnUnknownStandard(t *testing.T) {
	set := withProfiles(t, profile.Set{}, []profile.Profile{with(t, func(p *profile.Profile) { p.Standards = []string{"CABF_XX"} })})

	if _, err := issuance.New(issuance.Deps{Profiles: set}); err == nil {
		t.Error("accepted")
	}
}

func TestTheSameRequestGetsTheSameCertificate(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		r := request(t, "a.test.example")
		r.ID = "request-1"

		var mu sync.Mutex
		var wg sync.WaitGroup
		got := map[string]bool{}
		for range 8 {
			wg.Go(func() {
				made, err := w.issuance.Issue(t.Context(), somebody, r)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got[made.SHA256] = true
				mu.Unlock()
			})
		}
		wg.Wait()

		if len(got) != 1 || got[""] {
			t.Errorf("eight calls got %v", got)
		}
		made := w.issue(r)
		if !got[made.SHA256] {
			t.Errorf("a later call got %s", made.SHA256)
		}
		other := request(t, "a.test.example")
		other.ID = r.ID
		_, err := w.issuance.Issue(t.Context(), somebody, other)
		mustFail(t, err, "RequestUsed")
		w.revoke(made.Certificate, "superseded")
		_, err = w.issuance.Issue(t.Context(), somebody, r)
		mustFail(t, err, "AlreadyRevoked")
	})
}

// agreement approves one request.
type agreement struct {
	id   string
	seen issuance.Approval
}

func (a *agreement) Approved(_ context.Context, p issuance.Approval) error {
	a.seen = p
	if p.Request != a.id {
		return fault.New(fault.Denied, "NotApproved", "nobody agreed")
	}
	return nil
}

func TestAProfileThatNeedsAnApprovalAsksForIt(t *testing.T) {
	a := &agreement{id: "r1"}
	w := newWorld(t, storagetest.SQLite(t), func(w *world) {
		w.extra = []profile.Profile{with(t, func(p *profile.Profile) { p.Name, p.Approval = "agreed", true })}
		w.agree = a
	})
	r := request(t, "a.test.example")
	r.Profile = "agreed"

	_, err := w.issuance.Issue(t.Context(), somebody, r)
	mustFail(t, err, "ApprovalRequired")
	r.ID = "r2"
	_, err = w.issuance.Issue(t.Context(), somebody, r)
	mustFail(t, err, "NotApproved")
	r.ID = "r1"
	made := w.issue(r)

	want := issuance.Approval{Request: "r1", Authority: "issuing", Profile: "agreed", CommonName: "a.test.example", Names: made.Names, KeySHA256: made.KeySHA256, NotAfter: made.NotAfter}
	if d := cmp.Diff(want, a.seen); d != "" {
		t.Error(d)
	}
}

// A broken source of randomness must not make two certificates with one serial.
func TestARepeatedSerialIsRefused(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		w.random = constant{}
		w.restart()
		first := w.issue(request(t, "a.test.example"))

		_, err := w.issuance.Issue(t.Context(), somebody, request(t, "b.test.example"))

		mustFail(t, err, "SerialRepeated")
		if list := w.all(); len(list) != 1 || list[0].SHA256 != first.SHA256 {
			t.Errorf("%+v", list)
		}
	})
}

type constant struct{}

// Read implements io.Reader.
func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

func TestIssuanceInsideATransactionIsRefused(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		before := len(w.keys.signed)

		err := db.Transact(t.Context(), func(ctx context.Context) error {
			_, err := w.issuance.Issue(ctx, somebody, request(t, "a.test.example"))
			return err
		})

		mustFail(t, err, "IntentNotDurable")
		if len(w.keys.signed) != before {
			t.Error("signed before the intent was durable")
		}
	})
}

func TestPagesHoldEveryCertificateOnceNewestFirst(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		want := map[string]bool{}
		for i := range 12 {
			want[w.issue(request(t, "a.test.example")).Serial] = true
			if i%3 == 0 {
				w.pass(time.Second) // four share each microsecond
			}
		}
		for _, limit := range []int{1, 5, 12, 13} {
			got := map[string]bool{}
			last := w.clock().Add(time.Hour)
			for after, pages := "", 0; ; pages++ {
				page, next, err := w.issuance.List(t.Context(), somebody, issuance.Filter{Authority: "issuing", Profile: "tls-server", State: issuance.Issued}, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range page {
					if got[c.Serial] || c.CreatedAt.After(last) {
						t.Errorf("limit %d: %s again or out of order", limit, c.Serial)
					}
					got[c.Serial], last = true, c.CreatedAt
				}
				if after = next; next == "" || pages > 20 {
					break
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("limit %d: %s", limit, d)
			}
		}
		_, _, err := w.issuance.List(t.Context(), somebody, issuance.Filter{}, "x'--", 5)
		mustFail(t, err, "BadPage")
		for _, f := range []issuance.Filter{{Authority: "absent"}, {Profile: "tls-client"}, {State: issuance.Revoked}} {
			if list, _, err := w.issuance.List(t.Context(), somebody, f, "", 5); err != nil || len(list) != 0 {
				t.Errorf("%+v: %d certificates, %v", f, len(list), err)
			}
		}
	})
}

// 200 certificates of both profiles, every kind of key and random names pass zlint and
// Go's own verifier.
func TestABatchOfBothProfilesPassesTheLints(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.status = "http://pki.test.example" })
	linter, err := issuance.NewLinter()
	if err != nil {
		t.Fatal(err)
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(w.certificate("root"))
	middle.AddCert(w.certificate("issuing"))
	keys := keyKinds(t)
	source := mathrand.New(mathrand.NewPCG(1, 2))

	serials := map[string]bool{}
	for i := range 200 {
		r := randomRequest(source, i)
		r.PublicKey = keys[i%len(keys)]
		made := w.issue(r)
		if err := linter.Check(made.DER, nil); err != nil {
			t.Errorf("%s %+v: %v", r.Profile, r.Names, err)
		}
		usage := x509.ExtKeyUsageServerAuth
		if r.Profile == "tls-client" {
			usage = x509.ExtKeyUsageClientAuth
		}
		if _, err := parse(t, made.DER).Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: w.now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s %+v: %v", r.Profile, r.Names, err)
		}
		serials[made.Serial] = true
	}
	if len(serials) != 200 {
		t.Errorf("%d serials", len(serials))
	}
	for _, id := range []string{"root", "issuing"} {
		if err := linter.Check(w.certificate(id).Raw, nil); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func keyKinds(t *testing.T) []crypto.PublicKey {
	t.Helper()
	var out []crypto.PublicKey
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &k.PublicKey)
	}
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, &k.PublicKey, ed)
}

// randomRequest asks for something that the profiles allow.
func randomRequest(r *mathrand.Rand, i int) issuance.Request {
	label := func() string {
		b := make([]byte, 1+r.IntN(20))
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[r.IntN(36)]
		}
		return "x" + string(b)
	}
	q := issuance.Request{Profile: []string{"tls-server", "tls-client"}[i/5%2], Validity: time.Duration(1+r.IntN(398)) * 24 * time.Hour}
	for range 1 + r.IntN(5) {
		q.Names.DNS = append(q.Names.DNS, label()+"."+label()+".example")
	}
	if q.Profile == "tls-server" {
		q.Names.DNS = append(q.Names.DNS, "*."+label()+".example.org", label(), "xn--bcher-kva.example")
		q.Names.IP = []string{fmt.Sprintf("10.%d.%d.1", r.IntN(256), r.IntN(256)), fmt.Sprintf("2001:db8::%x", 1+r.IntN(65535))}
		return q
	}
	q.Names.Email = []string{label() + "@" + label() + ".example"}
	q.Names.URI = []string{"spiffe://" + label() + ".example/" + url.PathEscape(label())}
	if r.IntN(2) == 0 {
		q.CommonName = "Zoë " + label()
	}
	return q
}

func TestHostMakesATLSCertificateForOurOwnHosts(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))

	made, err := w.issuance.Host(t.Context(), access.System("tls"), "localhost", "default.localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}

	roots := x509.NewCertPool()
	roots.AddCert(w.certificate("root"))
	middle := x509.NewCertPool()
	for _, der := range made.Certificate[1:] {
		middle.AddCert(parse(t, der))
	}
	for _, host := range []string{"localhost", "default.localhost", "127.0.0.1"} {
		if _, err := made.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, DNSName: host, CurrentTime: w.now}); err != nil {
			t.Error(err)
		}
	}
	if len(made.Certificate) != 2 {
		t.Errorf("%d certificates are sent, want leaf and issuing authority", len(made.Certificate))
	}
	if list := w.all(); len(list) != 1 || list[0].State != issuance.Issued {
		t.Errorf("the road was left: %+v", list)
	}
}
