package acme_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/acme/nonce"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/validation/caa"
	"chatelaine.dev/internal/pki/validation/challenge"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/acmedb"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/vault/seal"
)

const host = "https://ca.example"

// world is the ACME servers on a real store, with a CA, a DNS and machines that do what
// the test says.
type world struct {
	t testing.TB
	*acme.Service
	trail  *audit.Trail
	nonces *nonce.Source
	ca     *authority

	mu      sync.Mutex
	now     time.Time
	proofs  []challenge.Proof // asked for
	fails   map[string]error  // by identifier
	asked   []caa.Question
	forbids map[string]bool
	silent  map[string]bool // names whose CAA records cannot be had
}

func profiles(t testing.TB) profile.Set {
	t.Helper()
	one := func(name, door string) string {
		return `{"name":"` + name + `","title":"Web","authorities":["issuing"],"keys":["P-256"],"keyUsage":["digitalSignature"],"extendedKeyUsage":["serverAuth"],
			"names":{"commonName":"first","min":1,"max":5,"dns":true,"wildcard":true,"ip":true},"validity":{"default":"30d","min":"1h","max":"90d","backdate":"5m"}` + door + `}`
	}
	all := `"challenges":["http-01","dns-01","tls-alpn-01"],"names":["*.example.com","example.com","192.0.2.0/24"]`
	set, err := profile.Parse([]byte("[" + strings.Join([]string{
		one("open", `,"doors":{"acme":{`+all+`,"caa":true,"preauthorized":["*.inside.example.com"]}}`),
		one("bound", `,"doors":{"acme":{`+all+`,"externalAccount":true}}`),
		one("web", `,"doors":{"acme":{"challenges":["http-01"],"names":["*.example.com","192.0.2.0/24"]}}`),
		one("closed", ``),
		strings.Replace(one("plain", `,"doors":{"acme":{"challenges":["http-01","dns-01"],"names":["*"]}}`), `"wildcard":true,"ip":true`, `"wildcard":false,"ip":false`, 1),
	}, ",") + "]"))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func newWorld(t testing.TB, db *storage.DB, adjust ...func(*acme.Deps)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 1, 12, 0, 0, 1000, time.UTC), fails: map[string]error{}, forbids: map[string]bool{}, silent: map[string]bool{}}
	w.ca = newAuthority(t, w.clock)
	w.ca.transact = db.Transact
	signer, err := audit.NewSigner("chatelaine/test/audit", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	box, err := seal.NewBox(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w.trail = audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: w.clock})
	w.nonces = nonce.New(make([]byte, 32), time.Time{}, w.clock)
	store := acmedb.New(db, box)
	d := acme.Deps{
		Store: store, Orders: store, Keys: store, Profiles: profiles(t), Validator: w, CAA: w, Road: w.ca, Ledger: w.ca, Nonces: w.nonces,
		Transact: db.Transact, Audit: w.trail, Guard: everybody{}, Now: w.clock, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range adjust {
		f(&d)
	}
	w.Service = acme.New(d)
	return w
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

// Validate implements acme.Validator.
func (w *world) Validate(_ context.Context, p challenge.Proof) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proofs = append(w.proofs, p)
	return w.fails[p.Name]
}

// Check implements acme.CAA.
func (w *world) Check(_ context.Context, q caa.Question) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, q)
	if w.silent[q.Name] {
		return errors.New("SERVFAIL")
	}
	if w.forbids[q.Name] {
		return &caa.Refusal{Name: q.Name, Why: "no issuer is allowed"}
	}
	return nil
}

// authority issues what it is asked for, at once or when it is told to.
type authority struct {
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	now    func() time.Time
	mu     sync.Mutex
	status acme.Status // of what is asked from now on; empty: Valid
	made   map[string]acme.Issuance
	asks   map[string]acme.Ask
	ended  map[string]string

	transact audit.Transact
}

func newAuthority(t testing.TB, now func() time.Time) *authority {
	t.Helper()
	a := &authority{key: ecKey(t), now: now, made: map[string]acme.Issuance{}, asks: map[string]acme.Ask{}, ended: map[string]string{}}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: now(), NotAfter: now().AddDate(10, 0, 0), SubjectKeyId: []byte{1, 2, 3}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// Enroll implements acme.Road.
func (a *authority) Enroll(ctx context.Context, _ access.Caller, q acme.Ask) (acme.Issuance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if done, ok := a.made[q.Once]; ok {
		return done, nil
	}
	a.asks[q.Once] = q
	got, err := acme.Issuance{Request: q.Once, Status: a.status, Problem: "a person said no"}, error(nil)
	if a.status == "" {
		got, err = a.sign(q.Once)
	}
	if err == nil {
		err = a.transact(ctx, func(ctx context.Context) error { return q.Also(ctx, got) })
	}
	if err != nil {
		delete(a.made, q.Once)
		return acme.Issuance{}, err
	}
	a.made[q.Once] = got
	return got, nil
}

func (a *authority) sign(once string) (acme.Issuance, error) {
	q := a.asks[once]
	csr, err := x509.ParseCertificateRequest(q.CSR)
	if err != nil {
		return acme.Issuance{}, err
	}
	from := a.now().UTC().Truncate(time.Second).Add(-5 * time.Minute)
	life := q.Validity
	if life == 0 {
		life = 30 * 24 * time.Hour
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return acme.Issuance{}, err
	}
	t := &x509.Certificate{SerialNumber: serial, DNSNames: q.Names.DNS, NotBefore: from, NotAfter: from.Add(life - time.Second), AuthorityKeyId: a.cert.SubjectKeyId}
	for _, ip := range q.Names.IP {
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, csr.PublicKey, a.key)
	a.made[once] = acme.Issuance{Request: once, Status: acme.Valid, Certificate: der, Chain: [][]byte{a.cert.Raw}}
	return a.made[once], err
}

// Collect implements acme.Road.
func (a *authority) Collect(_ context.Context, _ access.Caller, request string) (acme.Issuance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made[request].Status != acme.Valid && a.status == "" {
		return a.sign(request)
	}
	return a.made[request], nil
}

// Revoke implements acme.Ledger.
func (a *authority) Revoke(_ context.Context, _ access.Caller, sum, reason string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.ended[sum]; ok {
		return fault.New(fault.Conflict, "AlreadyRevoked", "again")
	}
	a.ended[sum] = reason
	return nil
}

// Revoked implements acme.Ledger.
func (a *authority) Revoked(_ context.Context, sum string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.ended[sum]
	return ok, nil
}

func (a *authority) decide(s acme.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status = s
	for once, x := range a.made {
		if x.Status != acme.Valid && s != "" {
			x.Status = s
			a.made[once] = x
		}
	}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// client is somebody with a key, and after register an account, at a profile's server.
type client struct {
	w       *world
	profile string
	key     *ecdsa.PrivateKey
	account string // id
}

func (w *world) client(profile string) *client {
	return &client{w: w, profile: profile, key: ecKey(w.t)}
}

func (c *client) base() string { return host + "/acme/" + c.profile }

// jws signs a payload; header adds to or replaces members of the protected
// header, or removes what it has as nil.
func (c *client) jws(url string, payload []byte, header map[jose.HeaderKey]any) []byte {
	c.w.t.Helper()
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"url": url, "nonce": c.w.nonces.Make()}}
	key := any(c.key)
	if c.account == "" {
		o.EmbedJWK = true
	} else {
		key = jose.JSONWebKey{Key: c.key, KeyID: c.base() + "/account/" + c.account}
	}
	maps.Copy(o.ExtraHeaders, header)
	maps.DeleteFunc(o.ExtraHeaders, func(_ jose.HeaderKey, v any) bool { return v == nil })
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, o)
	if err != nil {
		c.w.t.Fatal(err)
	}
	signed, err := s.Sign(append([]byte{}, payload...)) // nil would leave the payload out
	if err != nil {
		c.w.t.Fatal(err)
	}
	return []byte(signed.FullSerialize())
}

func (c *client) verify(body []byte, url string, by acme.Signer) (acme.Request, error) {
	c.w.t.Helper()
	server, err := c.w.Server(c.profile)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return c.w.Service.Verify(c.w.t.Context(), acme.Incoming{Server: server, Base: c.base(), URL: url, Body: body, Origin: access.Origin{Address: "192.0.2.99"}}, by)
}

// request is a signed request that was verified.
func (c *client) request() acme.Request {
	c.w.t.Helper()
	by := acme.ByAccount
	if c.account == "" {
		by = acme.ByKey
	}
	url := c.base() + "/new-order"
	r, err := c.verify(c.jws(url, nil, nil), url, by)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return r
}

func (c *client) register() *client {
	c.w.t.Helper()
	a, _, err := c.w.NewAccount(c.w.t.Context(), c.request(), acme.AccountDraft{})
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.account = a.ID
	return c
}

func dns(names ...string) []acme.Identifier {
	var list []acme.Identifier
	for _, n := range names {
		kind := acme.DNS
		if net.ParseIP(n) != nil {
			kind = acme.IP
		}
		list = append(list, acme.Identifier{Type: kind, Value: n})
	}
	return list
}

func (c *client) order(names ...string) acme.Order {
	c.w.t.Helper()
	o, err := c.w.NewOrder(c.w.t.Context(), c.request(), acme.OrderDraft{Identifiers: dns(names...)})
	if err != nil {
		c.w.t.Fatal(err)
	}
	return o
}

// prove performs a challenge of each authorization that is pending.
func (c *client) prove(o acme.Order, method string) acme.Order {
	c.w.t.Helper()
	for _, id := range o.Authorizations {
		a, err := c.w.GetAuthorization(c.w.t.Context(), c.request(), id)
		if err != nil {
			c.w.t.Fatal(err)
		}
		if a.Status == acme.Pending {
			if _, _, err := c.w.Respond(c.w.t.Context(), c.request(), id, method); err != nil {
				c.w.t.Fatal(err)
			}
		}
	}
	o, err := c.w.GetOrder(c.w.t.Context(), c.request(), o.ID)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return o
}

func csr(t testing.TB, key crypto.Signer, cn string, names ...string) []byte {
	t.Helper()
	r := &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}
	for _, n := range names {
		switch ip := net.ParseIP(n); {
		case ip != nil:
			r.IPAddresses = append(r.IPAddresses, ip)
		case strings.Contains(n, "://"):
			u, err := url.Parse(n)
			if err != nil {
				t.Fatal(err)
			}
			r.URIs = append(r.URIs, u)
		case strings.Contains(n, "@"):
			r.EmailAddresses = append(r.EmailAddresses, n)
		default:
			r.DNSNames = append(r.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// obtain gets a certificate by the whole flow.
func (c *client) obtain(names ...string) acme.Order {
	c.w.t.Helper()
	o := c.prove(c.order(names...), "dns-01")
	o, err := c.w.Finalize(c.w.t.Context(), c.request(), o.ID, csr(c.w.t, ecKey(c.w.t), "", names...))
	if err != nil || o.Status != acme.Valid {
		c.w.t.Fatalf("%+v, %v", o, err)
	}
	if o, err = c.w.GetOrder(c.w.t.Context(), c.request(), o.ID); err != nil {
		c.w.t.Fatal(err)
	}
	return o
}

// wants checks the type of a problem; empty wants none.
func wants(t testing.TB, what string, err error, kind string) {
	t.Helper()
	got := ""
	if err != nil {
		got = acme.ProblemOf(err).Type
	}
	if got != kind {
		t.Errorf("%s: %v, want %q", what, err, kind)
	}
}

func (w *world) operations() []string {
	w.t.Helper()
	list, err := w.trail.List(w.t.Context(), audit.Query{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, r := range slices.Backward(list) {
		names = append(names, strings.TrimSpace(r.Operation+" "+map[audit.Outcome]string{audit.Failed: "failed"}[r.Outcome]))
	}
	return names
}

func fingerprint(der []byte) string {
	s := sha256.Sum256(der)
	return hex.EncodeToString(s[:])
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// everybody may do everything, but for nobody.
type everybody struct{}

// Authorize implements access.Guard.
func (everybody) Authorize(_ context.Context, c access.Caller, a access.Action, s access.Scope, _ string) error {
	if c.Principal == "nobody" {
		return access.Refuse(c, a, s)
	}
	return nil
}
