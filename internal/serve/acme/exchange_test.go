package acme_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	rules "chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/acme/nonce"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/validation/challenge"
	"chatelaine.dev/internal/serve/acme"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/storage/acmedb"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/seal"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ca believes every proof, and issues when a person has agreed. It has two ways up.
type ca struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	asked  rules.Ask
	agreed bool
}

// Validate implements rules.Validator.
func (*ca) Validate(context.Context, challenge.Proof) error { return nil }

// Enroll implements rules.Road.
func (c *ca) Enroll(_ context.Context, _ access.Caller, a rules.Ask) (rules.Issuance, error) {
	c.asked = a
	return rules.Issuance{Request: "r", Status: rules.Pending}, nil
}

// Collect implements rules.Road.
func (c *ca) Collect(context.Context, access.Caller, string) (rules.Issuance, error) {
	if !c.agreed {
		return rules.Issuance{Request: "r", Status: rules.Pending}, nil
	}
	csr, err := x509.ParseCertificateRequest(c.asked.CSR)
	must(c.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(77), DNSNames: c.asked.Names.DNS, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 0, 30), AuthorityKeyId: c.cert.SubjectKeyId}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, csr.PublicKey, c.key)
	return rules.Issuance{Request: "r", Status: rules.Valid, Certificate: der, Chain: [][]byte{c.cert.Raw}}, err
}

// Revoke implements rules.Ledger.
func (*ca) Revoke(context.Context, access.Caller, string, string) error { return nil }

// Revoked implements rules.Ledger.
func (*ca) Revoked(context.Context, string) (bool, error) { return false, nil }

// Alternates implements rules.Chains.
func (c *ca) Alternates(context.Context, [][]byte) ([][][]byte, error) {
	return [][][]byte{{c.cert.Raw}, {c.cert.Raw, c.cert.Raw}}, nil
}

// server is the front door with everything behind it.
func server(t testing.TB) (http.Handler, *ca, *nonce.Source) {
	t.Helper()
	set, err := profile.Parse([]byte(`[{"name":"web","title":"Web","authorities":["issuing"],"keys":["P-256"],"keyUsage":["digitalSignature"],
		"extendedKeyUsage":["serverAuth"],"names":{"commonName":"first","min":1,"max":5,"dns":true},
		"validity":{"default":"30d","min":"1h","max":"90d","backdate":"5m"},"doors":{"acme":{"challenges":["http-01"],"names":["*"]}}}]`))
	must(t, err)
	box, err := seal.NewBox(make([]byte, seal.KeySize))
	must(t, err)
	signer, err := audit.NewSigner("chatelaine/test/audit", make([]byte, 32))
	must(t, err)
	db := storagetest.SQLite(t)
	store, nonces, log := acmedb.New(db, box), nonce.New(make([]byte, 32), time.Time{}, time.Now), slog.New(slog.NewTextHandler(t.Output(), nil))
	c := &ca{t: t, key: newKey(t)}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0), SubjectKeyId: []byte{1, 2}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &c.key.PublicKey, c.key)
	must(t, err)
	c.cert, err = x509.ParseCertificate(der)
	must(t, err)
	s := rules.New(rules.Deps{
		Store: store, Orders: store, Keys: store, Profiles: set, Validator: c, Road: c, Ledger: c, Chains: c, Nonces: nonces, Transact: db.Transact,
		Audit: audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: time.Now}), Limits: rules.Limits{Orders: 2}, Now: time.Now, Log: log,
	})
	return web.Wrap(acme.New(acme.Deps{Service: s, Nonces: nonces, Domain: "ca.example"}), web.Options{Log: log, Now: time.Now, MaxBody: 1 << 20}), c, nonces
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

// person has a key, and after newAccount an account.
type person struct {
	t       testing.TB
	h       http.Handler
	nonces  *nonce.Source
	key     *ecdsa.PrivateKey
	account string // URL
}

func (p *person) sign(key *ecdsa.PrivateKey, kid string, header map[jose.HeaderKey]any, payload []byte) string {
	p.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, &jose.SignerOptions{EmbedJWK: kid == "", ExtraHeaders: header})
	must(p.t, err)
	x, err := s.Sign(append([]byte{}, payload...))
	must(p.t, err)
	return x.FullSerialize()
}

// post sends a signed request; a nil payload is a POST-as-GET.
func (p *person) post(url string, payload any) *httptest.ResponseRecorder {
	p.t.Helper()
	var b []byte
	switch x := payload.(type) {
	case nil:
	case string:
		b = []byte(x)
	default:
		var err error
		b, err = json.Marshal(x)
		must(p.t, err)
	}
	path := strings.TrimPrefix(url, "https://ca.example")
	body := p.sign(p.key, p.account, map[jose.HeaderKey]any{"url": "https://ca.example" + path, "nonce": p.nonces.Make()}, b)
	w := call(p.h, http.MethodPost, path, "application/jose+json", body)
	if w.Header().Get("Replay-Nonce") == "" || !slices.Contains(w.Header().Values("Link"), `<https://ca.example/acme/web/directory>;rel="index"`) {
		p.t.Errorf("%s: headers %v", url, w.Header())
	}
	return w
}

// object reads an answer of a status and returns its members.
func object(t testing.TB, w *httptest.ResponseRecorder, status int) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != status || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s %s, want %d: %v", w.Code, w.Header().Get("Content-Type"), w.Body, status, err)
	}
	return m
}

func first(m map[string]any, name string) string {
	if list, ok := m[name].([]any); ok && len(list) > 0 {
		text, _ := list[0].(string)
		return text
	}
	return ""
}

// The headers are what clients steer by (RFC 8555 sections 6.5, 7.1, 7.3 to 7.5, RFC 9773
// section 4.3).
func TestAnswersHaveTheHeadersThatClientsSteerBy(t *testing.T) {
	t.Parallel()
	h, c, nonces := server(t)
	p, other := &person{t: t, h: h, nonces: nonces, key: newKey(t)}, &person{t: t, h: h, nonces: nonces, key: newKey(t)}
	const base = "https://ca.example/acme/web/"
	for _, x := range []*person{p, other} {
		for _, status := range []int{201, 200} {
			w := x.post(base+"new-account", map[string]any{})
			if m := object(t, w, status); m["status"] != "valid" || m["orders"] != w.Header().Get("Location")+"/orders" || !strings.HasPrefix(w.Header().Get("Location"), base+"account/") {
				t.Fatalf("%v %v", m, w.Header())
			}
			if status == 200 {
				x.account = w.Header().Get("Location")
			}
		}
	}
	refused := func(what string, w *httptest.ResponseRecorder, status int, kind string) {
		t.Helper()
		if w.Code != status || typeOf(w) != kind || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, status, kind)
		}
	}
	refused("another's account", other.post(p.account, nil), 403, "unauthorized")
	refused("another's account, ended", other.post(p.account, map[string]any{"status": "deactivated"}), 403, "unauthorized")
	refused("another's orders", other.post(p.account+"/orders", nil), 403, "unauthorized")

	w := p.post(base+"new-order", map[string]any{"identifiers": []map[string]string{{"type": "dns", "value": "a.example.com"}}})
	order, at := object(t, w, 201), w.Header().Get("Location")
	if order["status"] != "pending" || order["finalize"] != at+"/finalize" || !strings.HasPrefix(at, base+"order/") {
		t.Fatalf("%v at %q", order, at)
	}
	refused("an order read with a payload", p.post(at, "{}"), 400, "malformed")
	refused("orders read with a payload", p.post(p.account+"/orders", "{}"), 400, "malformed")
	refused("another's order", other.post(at, nil), 404, "malformed")
	refused("no certificate yet", p.post(strings.Replace(at, "/order/", "/certificate/", 1), nil), 404, "malformed")
	if list := object(t, p.post(p.account+"/orders", nil), 200); first(list, "orders") != at {
		t.Errorf("orders %v", list)
	}
	authorization := object(t, p.post(first(order, "authorizations"), nil), 200)
	one, _ := authorization["challenges"].([]any)[0].(map[string]any)
	url, _ := one["url"].(string)
	w = p.post(url, map[string]any{})
	if m := object(t, w, 200); m["status"] != "valid" || m["validated"] == nil || !slices.Contains(w.Header().Values("Link"), "<"+first(order, "authorizations")+`>;rel="up"`) {
		t.Errorf("%v %v", m, w.Header())
	}
	key := newKey(t)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.example.com"}}, key)
	must(t, err)
	for _, step := range []string{at + "/finalize", at} {
		var payload any
		if step != at {
			payload = map[string]string{"csr": base64.RawURLEncoding.EncodeToString(der)}
		}
		w = p.post(step, payload)
		if m := object(t, w, 200); m["status"] != "processing" || w.Header().Get("Retry-After") != "60" || w.Header().Get("Location") != at {
			t.Errorf("%s: %v %v", step, m, w.Header())
		}
	}
	c.agreed = true
	m := object(t, p.post(at, nil), 200)
	where, _ := m["certificate"].(string)
	if m["status"] != "valid" || where == "" {
		t.Fatalf("%v", m)
	}
	w = p.post(where, nil)
	block, _ := pem.Decode(w.Body.Bytes())
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/pem-certificate-chain" || block == nil || !slices.Contains(w.Header().Values("Link"), "<"+where+`/1>;rel="alternate"`) {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if w = p.post(where+"/1", nil); w.Code != 200 || !slices.Contains(w.Header().Values("Link"), "<"+where+`>;rel="alternate"`) {
		t.Errorf("the other chain: %d %v", w.Code, w.Header())
	}
	for _, n := range []string{"0", "01", "2", "-1", "x"} {
		refused("chain "+n, p.post(where+"/"+n, nil), 404, "malformed")
	}
	refused("a certificate read with a payload", p.post(where, "{}"), 400, "malformed")
	info := call(h, http.MethodGet, "/acme/web/renewal-info/AQI.TQ", "", "")
	if m := object(t, info, 200); m["suggestedWindow"] == nil || info.Header().Get("Retry-After") != "21600" {
		t.Errorf("renewal information: %v %v", m, info.Header())
	}

	inner := p.sign(other.key, "", map[jose.HeaderKey]any{"url": base + "key-change"}, mustJSON(t, map[string]any{"account": p.account, "oldKey": jose.JSONWebKey{Key: &p.key.PublicKey}}))
	w = p.post(base+"key-change", inner)
	if refused("a key that another has", w, 409, "malformed"); w.Header().Get("Location") != other.account {
		t.Errorf("whose key it is: %v", w.Header())
	}
	for range 2 {
		w = p.post(base+"new-order", map[string]any{"identifiers": []map[string]string{{"type": "dns", "value": "b.example.com"}}})
	}
	if refused("a third order", w, 429, "rateLimited"); w.Header().Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}
