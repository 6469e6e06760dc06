package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys"
)

func accessAction(a string) access.Action { return access.Action(access.VaultPrefix + a) }

func number(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaJWK(k *rsa.PrivateKey) keys.PrivateJWK {
	return keys.PrivateJWK{
		JWK: keys.JWK{Type: "RSA", N: k.N.Bytes(), E: big.NewInt(int64(k.E)).Bytes()},
		D:   k.D.Bytes(), P: k.Primes[0].Bytes(), Q: k.Primes[1].Bytes(),
		DP: k.Precomputed.Dp.Bytes(), DQ: k.Precomputed.Dq.Bytes(), QI: k.Precomputed.Qinv.Bytes(),
	}
}

func ecJWK(t *testing.T, c elliptic.Curve) keys.PrivateJWK {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	half := len(point) / 2
	return keys.PrivateJWK{JWK: keys.JWK{Type: "EC", Curve: c.Params().Name, X: point[1 : 1+half], Y: point[1+half:]}, D: d}
}

func TestImportedKeysSign(t *testing.T) {
	f, s := start(t)
	r := rsaJWK(rsaKey(t))
	short := r
	short.DP, short.DQ, short.QI = nil, nil, nil
	zeros := r // as Microsoft's own suite sends them
	for _, b := range []*keys.Bytes{&zeros.N, &zeros.D, &zeros.P, &zeros.Q, &zeros.DP, &zeros.DQ, &zeros.QI} {
		*b = append([]byte{0}, *b...)
	}
	hsm := r
	hsm.Type, hsm.Ops = "RSA-HSM", []keys.Operation{"sign"}
	p521 := ecJWK(t, elliptic.P521())
	p521.D = append([]byte{0, 0}, p521.D...)
	cut := ecJWK(t, elliptic.P256())
	for cut.X[0] != 0 { // a number that some encoders write a byte shorter
		cut = ecJWK(t, elliptic.P256())
	}
	cut.X = cut.X[1:]

	for name, c := range map[string]struct {
		q         keys.ImportRequest
		kty       string
		algorithm string
		digest    int
	}{
		"RSA":           {keys.ImportRequest{Key: r}, "RSA", "RS256", 32},
		"without-CRT":   {keys.ImportRequest{Key: short}, "RSA", "PS384", 48},
		"leading-zeros": {keys.ImportRequest{Key: zeros}, "RSA", "RS256", 32},
		"as-HSM":        {keys.ImportRequest{Key: r, HSM: true}, "RSA-HSM", "RS256", 32},
		"RSA-HSM":       {keys.ImportRequest{Key: hsm}, "RSA-HSM", "RS512", 64},
		"P-256":         {keys.ImportRequest{Key: ecJWK(t, elliptic.P256())}, "EC", "ES256", 32},
		"P-384":         {keys.ImportRequest{Key: ecJWK(t, elliptic.P384()), HSM: true}, "EC-HSM", "ES384", 48},
		"P-521":         {keys.ImportRequest{Key: p521}, "EC", "ES512", 64},
		"cut-zeros":     {keys.ImportRequest{Key: cut}, "EC", "ES256", 32},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := s.Import(t.Context(), f.Caller, ref(name), c.q)
			if err != nil {
				t.Fatal(err)
			}
			d := details(t, e)
			sent, err := c.q.Key.Public()
			if err != nil {
				t.Fatal(err)
			}
			kept, err := d.Public()
			if err != nil {
				t.Fatal(err)
			}

			if d.Type != c.kty || !sent.(interface{ Equal(x crypto.PublicKey) bool }).Equal(kept) {
				t.Errorf("kept as %s, another key: %v", d.Type, d.JWK)
			}
			digest := make([]byte, c.digest)
			r, err := s.Sign(t.Context(), f.Caller, ref(name), c.algorithm, digest)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.q.Key.Ops) != 0 && !slices.Equal(d.Ops, c.q.Key.Ops) {
				t.Errorf("kept for %v", d.Ops)
			}
			if !slices.Contains(d.Ops, keys.Verify) {
				return
			}
			if ok, err := s.Verify(t.Context(), f.Caller, ref(name), c.algorithm, digest, r.Value); !ok || err != nil {
				t.Errorf("its own signature does not verify: %v", err)
			}
		})
	}
	if got := f.Operations(t)[0]; got != "KeyImport" {
		t.Errorf("recorded as %s", got)
	}
}

func TestImportRefusesBrokenKeys(t *testing.T) {
	f, s := start(t)
	r, other := rsaJWK(rsaKey(t)), rsaJWK(rsaKey(t))
	e, another := ecJWK(t, elliptic.P256()), ecJWK(t, elliptic.P256())
	change := func(k keys.PrivateJWK, f func(k *keys.PrivateJWK)) keys.PrivateJWK { f(&k); return k }
	for name, k := range map[string]keys.PrivateJWK{
		"nothing":           {},
		"oct":               {JWK: keys.JWK{Type: "oct"}},
		"public only":       {JWK: r.JWK},
		"no modulus":        change(r, func(k *keys.PrivateJWK) { k.N = nil }),
		"no exponent":       change(r, func(k *keys.PrivateJWK) { k.E = nil }),
		"huge exponent":     change(r, func(k *keys.PrivateJWK) { k.E = []byte{1, 0, 0, 0, 0, 0, 1, 0, 1} }), // 65537 in 64 bits
		"huge modulus":      change(r, func(k *keys.PrivateJWK) { k.N = bytes.Repeat([]byte{1}, 1<<20) }),
		"huge d":            change(r, func(k *keys.PrivateJWK) { k.D = bytes.Repeat([]byte{1}, 1<<20) }),
		"no p":              change(r, func(k *keys.PrivateJWK) { k.P = nil }),
		"half of CRT":       change(r, func(k *keys.PrivateJWK) { k.DP = nil }),
		"n of another":      change(r, func(k *keys.PrivateJWK) { k.N = other.N }),
		"d of another":      change(r, func(k *keys.PrivateJWK) { k.D = other.D }),
		"dp of another":     change(r, func(k *keys.PrivateJWK) { k.DP = other.DP }),
		"RSA called EC":     change(r, func(k *keys.PrivateJWK) { k.Type = "EC" }),
		"EC called RSA":     change(e, func(k *keys.PrivateJWK) { k.Type = "RSA" }),
		"operation unknown": change(r, func(k *keys.PrivateJWK) { k.Ops = []keys.Operation{"export"} }),
		"no curve":          change(e, func(k *keys.PrivateJWK) { k.Curve = "" }),
		"wrong curve":       change(e, func(k *keys.PrivateJWK) { k.Curve = "P-384" }),
		"unknown curve":     change(e, func(k *keys.PrivateJWK) { k.Curve = "P-224" }),
		"no d":              change(e, func(k *keys.PrivateJWK) { k.D = nil }),
		"zero d":            change(e, func(k *keys.PrivateJWK) { k.D = make([]byte, 32) }),
		"long d":            change(e, func(k *keys.PrivateJWK) { k.D = append([]byte{1}, k.D...) }),
		"d of another EC":   change(e, func(k *keys.PrivateJWK) { k.D = another.D }),
		"x of another":      change(e, func(k *keys.PrivateJWK) { k.X = another.X }),
		"no y":              change(e, func(k *keys.PrivateJWK) { k.Y = nil }),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Import(t.Context(), f.Caller, ref("a"), keys.ImportRequest{Key: k})
			if !fault.HasCode(err, "BadParameter") || !fault.Is(err, fault.Invalid) {
				t.Errorf("imported, or refused as %v", err)
			}
			if name == "huge d" && !strings.Contains(err.Error(), "longer than") {
				t.Errorf("computed with before it was measured: %v", err)
			}
		})
	}
	for _, x := range []keys.Exposure{{Exportable: true}, {ReleasePolicy: true}, {Exportable: true, ReleasePolicy: true}} {
		if _, err := s.Import(t.Context(), f.Caller, ref("a"), keys.ImportRequest{Key: r, Exposure: x}); !fault.HasCode(err, "BadParameter") {
			t.Errorf("%+v: %v", x, err)
		}
	}
}

func TestAKeyToImportNeverPrints(t *testing.T) {
	f, s := start(t)
	k := rsaJWK(rsaKey(t))
	q := keys.ImportRequest{Key: k}
	m, err := s.Make(t.Context(), "EC", 0, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Import(t.Context(), f.Caller, ref("a"), q)
	if err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "request", q, "made", m, "details", details(t, e))
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "request", q, "made", m, "details", details(t, e))
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%q"} {
		fmt.Fprintf(&log, verb+verb+verb, k, q, m)
	}
	b, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	log.Write(b)

	text, err := k.P.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{fmt.Sprintf("%x", []byte(k.P[:8])), strings.Trim(fmt.Sprint([]byte(k.P[:8])), "[]"), string(text[:16]), "material:"} {
		if strings.Contains(log.String(), leak) {
			t.Errorf("print shows %q", leak)
		}
	}
}

func TestPartsOfAKeyAreReadWithAndWithoutPadding(t *testing.T) {
	for text, want := range map[string]string{"AQAB": "\x01\x00\x01", "_-8": "\xff\xef", "_-8=": "\xff\xef", "": ""} {
		var b keys.Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || string(b) != want {
			t.Errorf("%q: %x, %v", text, b, err)
		}
	}
	for _, text := range []string{"/+8=", "A", "*"} {
		var b keys.Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %x", text, b)
		}
	}
}
