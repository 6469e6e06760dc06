package jws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/lifecycle/acme/jws"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign makes a request with any header, signed by ES256.
func sign(t *testing.T, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return envelope(header, payload, append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func envelope(header, payload string, signature []byte) string {
	return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, b64([]byte(header)), b64([]byte(payload)), b64(signature))
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func jwk(t *testing.T, pub crypto.PublicKey) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: pub})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What another library signs with each kind of key is taken, and thumbprints agree with it.
func TestEveryKindOfAccountKeySigns(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for a, key := range map[jose.SignatureAlgorithm]crypto.Signer{jose.ES256: p256(t), jose.ES384: p384, jose.ES512: p521, jose.RS256: r, jose.RS512: r, jose.EdDSA: ed} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: a, Key: key}, &jose.SignerOptions{EmbedJWK: true, ExtraHeaders: map[jose.HeaderKey]any{"url": "https://ca/x", "nonce": "n"}})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		m, err := jws.Parse([]byte(signed.FullSerialize()))
		if err != nil {
			t.Errorf("%s: %v", a, err)
			continue
		}
		if err := m.Verify(*m.Key); err != nil || m.URL != "https://ca/x" || m.Nonce != "n" || string(m.Payload) != `{"a":1}` {
			t.Errorf("%s: %+v, %v", a, m, err)
		}
		thumb, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
		if err != nil || m.Key.Thumbprint != b64(thumb) {
			t.Errorf("%s: thumbprint %s, want %s", a, m.Key.Thumbprint, b64(thumb))
		}
		other, err := jws.ParseKey([]byte(jwk(t, p256(t).Public())))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Verify(other); err == nil {
			t.Errorf("%s: another key verifies it", a)
		}
	}
}

// Reliability row 3: what went wrong in others' JOSE.
func TestRequestsThatTwoReadersCouldTakeDifferentlyAreRefused(t *testing.T) {
	t.Parallel()
	key := p256(t)
	k := jwk(t, key.Public())
	good := `{"alg":"ES256","nonce":"n","url":"u","jwk":` + k + `}`
	for _, c := range []struct {
		why, body string
		want      error
	}{
		{"good", sign(t, key, good, "{}"), nil},
		{"good, with a member that nobody knows", sign(t, key, `{"alg":"ES256","url":"u","typ":"x","jku":"https://evil","jwk":`+k+`}`, "{}"), nil},
		{"no JSON", "x", jws.ErrMalformed},
		{"an array", "[]", jws.ErrMalformed},
		{"compact", "a.b.c", jws.ErrMalformed},
		{"two values", sign(t, key, good, "{}") + "{}", jws.ErrMalformed},
		{"no payload", `{"protected":"e30","signature":"AA"}`, jws.ErrMalformed},
		{"no signature", envelope(good, "{}", nil), jws.ErrMalformed},
		{"signature twice", strings.Replace(sign(t, key, good, "{}"), `"payload"`, `"signature":"AA","payload"`, 1), jws.ErrMalformed},
		{"unprotected header", strings.Replace(sign(t, key, good, "{}"), `{`, `{"header":{"kid":"x"},`, 1), jws.ErrMalformed},
		{"several signatures", strings.Replace(sign(t, key, good, "{}"), `{`, `{"signatures":[],`, 1), jws.ErrMalformed},
		{"padding", strings.Replace(sign(t, key, good, "{}"), b64([]byte("{}")), b64([]byte("{}"))+"=", 1), jws.ErrMalformed},
		{"a newline in base64", strings.Replace(sign(t, key, good, "{}"), `"payload":"`, `"payload":"\n`, 1), jws.ErrMalformed},
		{"alg twice", sign(t, key, `{"alg":"none","alg":"ES256","url":"u","jwk":`+k+`}`, "{}"), jws.ErrMalformed},
		{"kid and jwk", sign(t, key, `{"alg":"ES256","url":"u","kid":"x","jwk":`+k+`}`, "{}"), jws.ErrMalformed},
		{"neither kid nor jwk", sign(t, key, `{"alg":"ES256","url":"u"}`, "{}"), jws.ErrMalformed},
		{"crit", sign(t, key, `{"alg":"ES256","crit":["exp"],"url":"u","jwk":`+k+`}`, "{}"), jws.ErrMalformed},
		{"b64", sign(t, key, `{"alg":"ES256","b64":false,"url":"u","jwk":`+k+`}`, "{}"), jws.ErrMalformed},
		{"zip", sign(t, key, `{"alg":"ES256","zip":"DEF","url":"u","jwk":`+k+`}`, "{}"), jws.ErrMalformed},
		{"too long", strings.Repeat(" ", jws.MaxBody+1), jws.ErrMalformed},
		{"alg none", sign(t, key, `{"alg":"none","url":"u","jwk":`+k+`}`, "{}"), jws.ErrAlgorithm},
		{"alg in lower case", sign(t, key, `{"alg":"es256","url":"u","jwk":`+k+`}`, "{}"), jws.ErrAlgorithm},
		{"alg of another curve", sign(t, key, `{"alg":"ES384","url":"u","jwk":`+k+`}`, "{}"), jws.ErrAlgorithm},
		{"alg of RSA", sign(t, key, `{"alg":"RS256","url":"u","jwk":`+k+`}`, "{}"), jws.ErrAlgorithm},
		{"an HMAC by the public key", mac(`{"alg":"HS256","url":"u","jwk":`+k+`}`, "{}", []byte(k)), jws.ErrAlgorithm},
		{"a symmetric jwk", mac(`{"alg":"HS256","url":"u","jwk":{"kty":"oct","k":"AAAA"}}`, "{}", []byte{0, 0, 0}), jws.ErrKey},
		{"another signature", envelope(good, "{}", make([]byte, 64)), jws.ErrSignature},
		{"a signature in ASN.1", envelope(good, "{}", []byte{0x30, 6, 2, 1, 1, 2, 1, 1}), jws.ErrSignature},
		{"another payload", strings.Replace(sign(t, key, good, "{}"), b64([]byte("{}")), b64([]byte("[]")), 1), jws.ErrSignature},
	} {
		m, err := jws.Parse([]byte(c.body))
		if err == nil && m.Key != nil {
			err = m.Verify(*m.Key)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.why, err, c.want)
		}
	}
}

func mac(header, payload string, secret []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(b64([]byte(header)) + "." + b64([]byte(payload))))
	return envelope(header, payload, h.Sum(nil))
}

func TestKeysThatAreWeakOrMisshapenAreRefused(t *testing.T) {
	t.Parallel()
	n := func(bits int) string {
		x := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return b64(x.Add(x, big.NewInt(1)).Bytes())
	}
	x := b64(make([]byte, 32))
	for why, key := range map[string]string{
		"no object":             `"x"`,
		"no type":               `{}`,
		"symmetric":             `{"kty":"oct","k":"AAAA"}`,
		"RSA of 1024 bits":      `{"kty":"RSA","e":"AQAB","n":"` + n(1024) + `"}`,
		"RSA of 2047 bits":      `{"kty":"RSA","e":"AQAB","n":"` + n(2047) + `"}`,
		"RSA of 2049 bits":      `{"kty":"RSA","e":"AQAB","n":"` + n(2049) + `"}`,
		"RSA of 4104 bits":      `{"kty":"RSA","e":"AQAB","n":"` + n(4104) + `"}`,
		"RSA of 65536 bits":     `{"kty":"RSA","e":"AQAB","n":"` + n(65536) + `"}`,
		"exponent 1":            `{"kty":"RSA","e":"AQ","n":"` + n(2048) + `"}`,
		"exponent 3":            `{"kty":"RSA","e":"Aw","n":"` + n(2048) + `"}`,
		"even exponent":         `{"kty":"RSA","e":"AQAA","n":"` + n(2048) + `"}`,
		"exponent of 33 bits":   `{"kty":"RSA","e":"AQAAAAE","n":"` + n(2048) + `"}`,
		"leading zero":          `{"kty":"RSA","e":"AQAB","n":"` + b64(append([]byte{0}, make([]byte, 256)...)) + `"}`,
		"a private exponent":    `{"kty":"RSA","e":"AQAB","d":"AQ","n":"` + n(2048) + `"}`,
		"P-224":                 `{"kty":"EC","crv":"P-224","x":"` + x + `","y":"` + x + `"}`,
		"secp256k1":             `{"kty":"EC","crv":"secp256k1","x":"` + x + `","y":"` + x + `"}`,
		"a point off the curve": `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + x + `"}`,
		"a short coordinate":    `{"kty":"EC","crv":"P-256","x":"AA","y":"` + x + `"}`,
		"X25519":                `{"kty":"OKP","crv":"X25519","x":"` + x + `"}`,
		"a short Ed25519 key":   `{"kty":"OKP","crv":"Ed25519","x":"AA"}`,
		"kty twice":             `{"kty":"oct","kty":"RSA","e":"AQAB","n":"` + n(2048) + `"}`,
	} {
		if k, err := jws.ParseKey([]byte(key)); !errors.Is(err, jws.ErrKey) {
			t.Errorf("%s: %+v, %v", why, k, err)
		}
	}
}

func TestExternalBindingsNeedTheirOwnKeyAndAlgorithm(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef0123456789abcdef")
	for alg, want := range map[string]error{"HS256": nil, "none": jws.ErrAlgorithm, "ES256": jws.ErrAlgorithm, "HS384": jws.ErrSignature, "HS512": jws.ErrSignature} {
		m, err := jws.Parse([]byte(mac(`{"alg":"`+alg+`","kid":"k","url":"u"}`, "{}", secret)))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.VerifyMAC(secret); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", alg, err, want)
		}
		if err := m.VerifyMAC([]byte("another")); err == nil {
			t.Errorf("%s: another secret verifies it", alg)
		}
	}
}

func FuzzJWS(f *testing.F) {
	for _, seed := range []string{`{}`, `{"protected":"e30","payload":"","signature":"AA"}`, envelope(`{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}`, "", []byte{1}),
		envelope(`{"alg":"RS256","jwk":{"kty":"RSA","n":"AQ","e":"AQAB"}}`, "{}", []byte{1}), envelope(`{"alg":"EdDSA","kid":"x"}`, "", []byte{1})} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := jws.Parse(body)
		if err != nil {
			return
		}
		if (m.Key == nil) == (m.KeyID == "") {
			t.Errorf("kid %q and jwk %v", m.KeyID, m.Key)
		}
		if m.Key != nil {
			if again, err := jws.ParseKey(m.Key.JWK); err != nil || again.Thumbprint != m.Key.Thumbprint {
				t.Errorf("the key reads differently a second time: %v", err)
			}
			_ = m.Verify(*m.Key)
		}
		_ = m.VerifyMAC([]byte("secret"))
	})
}
