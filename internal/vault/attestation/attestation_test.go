package attestation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/attestation"
)

const url = "https://attest.example/"

// world is an attestation service, an impostor, and a clock.
type world struct {
	*attestation.Authorities
	mu      sync.Mutex
	now     time.Time
	pages   map[string]string
	fetched int
	rsa     *rsa.PrivateKey
	ec      *ecdsa.PrivateKey
}

// Fetch implements attestation.Fetcher.
func (w *world) Fetch(_ context.Context, url string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetched++
	page, ok := w.pages[url]
	if !ok {
		return nil, errors.New("404")
	}
	return []byte(page), nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), pages: map[string]string{}}
	var err error
	if w.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if w.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.pages["https://attest.example/.well-known/openid-configuration"] = `{"issuer":"https://attest.example","jwks_uri":"https://attest.example/certs"}`
	w.publish(t, jose.JSONWebKey{Key: w.rsa.Public(), KeyID: "rsa"}, jose.JSONWebKey{Key: w.ec.Public(), KeyID: "ec", Use: "sig"})
	w.Authorities = attestation.New(attestation.Config{Fetcher: w, Now: func() time.Time { return w.now }})
	return w
}

func (w *world) publish(t testing.TB, keys ...jose.JSONWebKey) {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	w.pages["https://attest.example/certs"] = string(b)
}

// claims are those of a good token, with changes; nil removes one.
func (w *world) claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": "https://attest.example", "exp": w.now.Add(time.Hour).Unix(), "iat": w.now.Unix(), "nbf": w.now.Unix(), "sdk-test": true,
	}
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// token signs claims as a service does.
func token(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[string]any, claims map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{}
	for k, v := range header {
		o.WithHeader(jose.HeaderKey(k), v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func kid(id string) map[string]any { return map[string]any{"kid": id} }

func TestGoodTokensAreBelieved(t *testing.T) {
	w := newWorld(t)
	for name, text := range map[string]string{
		"RS256":                token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(nil)),
		"PS512":                token(t, jose.PS512, w.rsa, kid("rsa"), w.claims(nil)),
		"ES256":                token(t, jose.ES256, w.ec, kid("ec"), w.claims(nil)),
		"without kid":          token(t, jose.ES256, w.ec, nil, w.claims(nil)),
		"issuer with a slash":  token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(map[string]any{"iss": url})),
		"a clock a bit ahead":  token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(map[string]any{"nbf": w.now.Add(50 * time.Second).Unix()})),
		"without nbf and iat":  token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(map[string]any{"nbf": nil, "iat": nil})),
		"keys elsewhere named": token(t, jose.RS256, w.rsa, map[string]any{"kid": "rsa", "jku": "https://evil.example/keys"}, w.claims(nil)),
	} {
		s, err := w.Verify(t.Context(), text, []string{"https://other.example", url})
		if err != nil || s.Authority != url || string(s.Claims["sdk-test"]) != "true" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if w.fetched != 2 {
		t.Errorf("%d documents were fetched, want 2", w.fetched)
	}
}

func TestBadTokensAreRefusedAlike(t *testing.T) {
	w := newWorld(t)
	evil, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(nil))
	parts := strings.Split(good, ".")
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	public, err := x509.MarshalPKIXPublicKey(w.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	change := func(c map[string]any) string { return token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(c)) }
	cases := map[string]string{
		"nothing":                 "",
		"not a token":             "target",
		"two parts":               parts[0] + "." + parts[1],
		"alg none":                raw(`{"alg":"none","kid":"rsa"}`) + "." + parts[1] + ".",
		"alg None":                raw(`{"alg":"None","kid":"rsa"}`) + "." + parts[1] + ".",
		"alg none with signature": raw(`{"alg":"none","kid":"rsa"}`) + "." + parts[1] + "." + parts[2],
		"the public key as HMAC":  token(t, jose.HS256, public, kid("rsa"), w.claims(nil)),
		"RS256 said, EC key":      token(t, jose.RS256, w.rsa, kid("ec"), w.claims(nil)),
		"another key, same kid":   token(t, jose.RS256, evil, kid("rsa"), w.claims(nil)),
		"an unknown kid":          token(t, jose.RS256, w.rsa, kid("../../rsa"), w.claims(nil)),
		"a key of its own": token(t, jose.RS256, evil, map[string]any{
			"jwk": jose.JSONWebKey{Key: evil.Public(), KeyID: "rsa"}, "kid": "rsa"}, w.claims(nil)),
		"another alg in the header": raw(`{"alg":"RS512","kid":"rsa"}`) + "." + parts[1] + "." + parts[2],
		"critical extension":        raw(`{"alg":"RS256","kid":"rsa","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2],
		"a changed payload":         parts[0] + "." + raw(`{"iss":"https://attest.example","exp":9999999999,"sdk-test":false}`) + "." + parts[2],
		"a changed signature":       good[:len(good)-8] + "AAAAAAAA",
		"no issuer":                 change(map[string]any{"iss": nil}),
		"another issuer":            change(map[string]any{"iss": "https://evil.example"}),
		"an issuer below":           change(map[string]any{"iss": "https://attest.example/tenant"}),
		"an issuer like it":         change(map[string]any{"iss": "https://attest.example.evil.example"}),
		"expired":                   change(map[string]any{"exp": w.now.Unix()}),
		"without expiry":            change(map[string]any{"exp": nil}),
		"not yet valid":             change(map[string]any{"nbf": w.now.Add(2 * time.Minute).Unix()}),
		"issued to come":            change(map[string]any{"iat": w.now.Add(2 * time.Minute).Unix()}),
		"exp is text":               change(map[string]any{"exp": "tomorrow"}),
		"a list":                    parts[0] + "." + raw(`[]`) + "." + parts[2],
		"too long":                  change(map[string]any{"x": strings.Repeat("x", attestation.MaxToken)}),
		"an encrypted one":          "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA",
	}
	for name, text := range cases {
		s, err := w.Verify(t.Context(), text, []string{url})
		if !fault.Is(err, fault.Denied) || s.Claims != nil {
			t.Errorf("%s: %+v, %v", name, s, err)
			continue
		}
		if f := fault.Of(err); f.Message != "Target environment attestation statement cannot be verified." || f.Code != "AccessDenied" {
			t.Errorf("%s: the answer tells why: %s %s", name, f.Code, f.Message)
		}
	}
	if w.fetched > 4 {
		t.Errorf("%d documents were fetched for %d bad tokens", w.fetched, len(cases))
	}
}

func TestKeysAreAskedForAgainWhenTheyChange(t *testing.T) {
	w := newWorld(t)
	verify := func(text string) error {
		_, err := w.Verify(t.Context(), text, []string{url})
		return err
	}
	if err := verify(token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(nil))); err != nil {
		t.Fatal(err)
	}
	next, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w.publish(t, jose.JSONWebKey{Key: next.Public(), KeyID: "next"})
	w.now = w.now.Add(20 * time.Second)

	if err := verify(token(t, jose.RS256, next, kid("next"), w.claims(nil))); err != nil {
		t.Errorf("signed by a new key: %v", err)
	}
	w.now = w.now.Add(20 * time.Second)
	if err := verify(token(t, jose.RS256, w.rsa, kid("rsa"), w.claims(nil))); err == nil {
		t.Error("signed by a key that was withdrawn: it is believed")
	}
	w.pages = map[string]string{} // the service is away
	w.now = w.now.Add(2 * time.Hour)
	if err := verify(token(t, jose.RS256, next, kid("next"), w.claims(nil))); err != nil {
		t.Errorf("while the service is away for a while: %v", err)
	}
	w.now = w.now.Add(24 * time.Hour)
	if err := verify(token(t, jose.RS256, next, kid("next"), w.claims(nil))); err == nil {
		t.Error("keys of more than a day ago still count")
	}
}

func TestAnAuthorityMustBeWhoItSaysItIs(t *testing.T) {
	const config = "https://attest.example/.well-known/openid-configuration"
	for name, change := range map[string]func(w *world){
		"away":    func(w *world) { w.pages = map[string]string{} },
		"no JSON": func(w *world) { w.pages[config] = "<html>" },
		"another issuer": func(w *world) {
			w.pages[config] = `{"issuer":"https://evil.example","jwks_uri":"https://attest.example/certs"}`
		},
		"keys over plain HTTP": func(w *world) {
			w.pages[config] = `{"issuer":"https://attest.example","jwks_uri":"http://attest.example/certs"}`
		},
		"no keys": func(w *world) { w.pages["https://attest.example/certs"] = `{"keys":[]}` },
		"a shared key": func(w *world) {
			w.pages["https://attest.example/certs"] = `{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}`
		},
		"keys for encryption": func(w *world) {
			w.publish(t, jose.JSONWebKey{Key: w.rsa.Public(), KeyID: "rsa", Use: "enc"})
		},
		"a private key": func(w *world) { w.publish(t, jose.JSONWebKey{Key: w.rsa, KeyID: "rsa"}) },
		"not allowed":   func(w *world) { w.Permits = func(string) bool { return false } },
	} {
		w := newWorld(t)
		if err := w.Check(t.Context(), url); err != nil {
			t.Fatalf("before: %v", err)
		}
		w = newWorld(t)
		change(w)
		if err := w.Check(t.Context(), url); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWorld(t)
	for _, bad := range []string{"", "http://attest.example", "attest.example", "https://u:p@attest.example", "https://attest.example/?x=1"} {
		if err := w.Check(t.Context(), bad); !fault.Is(err, fault.Invalid) || w.fetched > 0 {
			t.Errorf("%q: %v after %d fetches", bad, err, w.fetched)
		}
	}
}

// Azure's service publishes certificates without the numbers of their keys.
func TestKeysMayBePublishedAsCertificatesAlone(t *testing.T) {
	w := newWorld(t)
	w.pages["https://attest.example/certs"] = fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"cert","x5c":[%q]}]}`, certificate(t, w.rsa))
	if _, err := w.Verify(t.Context(), token(t, jose.RS256, w.rsa, kid("cert"), w.claims(nil)), []string{url}); err != nil {
		t.Error(err)
	}
}

func certificate(t testing.TB, key crypto.Signer) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestTheRecipientIsAKeyForEncryption(t *testing.T) {
	w := newWorld(t)
	jwk := func(key any, changes map[string]any) map[string]any {
		b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k"})
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		maps.Copy(m, changes)
		return m
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		runtime any
		found   bool
	}{
		"use enc":       {map[string]any{"keys": []any{jwk(w.rsa.Public(), map[string]any{"use": "enc"})}}, true},
		"op encrypt":    {map[string]any{"keys": []any{jwk(w.rsa.Public(), map[string]any{"key_ops": []string{"encrypt"}})}}, true},
		"after another": {map[string]any{"keys": []any{jwk(w.ec.Public(), map[string]any{"use": "enc"}), jwk(w.rsa.Public(), map[string]any{"use": "enc"})}}, true},
		"for signing":   {map[string]any{"keys": []any{jwk(w.rsa.Public(), map[string]any{"use": "sig"})}}, false},
		"no use":        {map[string]any{"keys": []any{jwk(w.rsa.Public(), nil)}}, false},
		"small":         {map[string]any{"keys": []any{jwk(small.Public(), map[string]any{"use": "enc"})}}, false},
		"none":          {map[string]any{"keys": []any{}}, false},
		"no runtime":    {nil, false},
		"a list":        {[]any{}, false},
	} {
		s, err := w.Verify(t.Context(), token(t, jose.ES256, w.ec, kid("ec"), w.claims(map[string]any{"x-ms-runtime": c.runtime})), []string{url})
		if err != nil {
			t.Fatal(err)
		}
		id, key, err := s.Recipient()
		if (err == nil) != c.found || (c.found && (id != "k" || !key.Equal(w.rsa.Public()))) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	w := newWorld(f)
	good := token(f, jose.ES256, w.ec, kid("ec"), w.claims(nil))
	f.Add(good)
	f.Add(token(f, jose.RS256, w.rsa, kid("rsa"), w.claims(map[string]any{"x-ms-runtime": map[string]any{"keys": []any{1, "a", map[string]any{"kty": "RSA"}}}})))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	signed := strings.Join(strings.Split(good, ".")[:2], ".")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := w.Verify(t.Context(), text, []string{url})
		if err != nil {
			if !fault.Is(err, fault.Denied) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		// Only what was signed is believed; the signature itself may be written in more than one way.
		if !strings.HasPrefix(text, signed) && !strings.Contains(text, ".") {
			t.Fatalf("%q is believed", text)
		}
		_, _, _ = s.Recipient()
	})
}
