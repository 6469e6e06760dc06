package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore/p256k"
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

func p256kJWK(t *testing.T) keys.PrivateJWK {
	t.Helper()
	k := p256k.Generate()
	point, err := k.Public().(*p256k.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return keys.PrivateJWK{JWK: keys.JWK{Type: "EC", Curve: "P-256K", X: point[1:33], Y: point[33:]}, D: k.Bytes()}
}

func akpJWK(t *testing.T) keys.PrivateJWK {
	t.Helper()
	k, err := mldsa.GenerateKey(mldsa.MLDSA65())
	if err != nil {
		t.Fatal(err)
	}
	return keys.PrivateJWK{JWK: keys.JWK{Type: "AKP", Algorithm: "ML-DSA-65", Pub: k.PublicKey().Bytes()}, Priv: k.Bytes()}
}

func octJWK(size int) keys.PrivateJWK {
	k := make([]byte, size)
	_, _ = rand.Read(k)
	k[0] = 0 // a zero byte is part of a symmetric key
	return keys.PrivateJWK{JWK: keys.JWK{Type: "oct"}, K: k}
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
	bare := r
	bare.P, bare.Q, bare.DP, bare.DQ, bare.QI = nil, nil, nil, nil, nil
	large, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		t.Fatal(err)
	}
	onlyD, onlySeed := ecJWK(t, elliptic.P384()), akpJWK(t)
	onlyD.X, onlyD.Y, onlySeed.Pub = nil, nil, nil

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
		"no-primes":     {keys.ImportRequest{Key: bare}, "RSA", "RS256", 32},
		"RSA-4096":      {keys.ImportRequest{Key: rsaJWK(large), HSM: true}, "RSA-HSM", "PS512", 64},
		"P-256K":        {keys.ImportRequest{Key: p256kJWK(t), HSM: true}, "EC-HSM", "ES256K", 32},
		"no-point":      {keys.ImportRequest{Key: onlyD}, "EC", "ES384", 48},
		"AKP":           {keys.ImportRequest{Key: akpJWK(t)}, "AKP", "ML-DSA-65", 7},
		"seed-alone":    {keys.ImportRequest{Key: onlySeed, HSM: true}, "AKP-HSM", "", 0},
		"cut-zeros":     {keys.ImportRequest{Key: cut}, "EC", "ES256", 32},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := s.Import(t.Context(), f.Caller, ref(name), c.q)
			if err != nil {
				t.Fatal(err)
			}
			d := details(t, e)
			kept, err := d.Public()
			if err != nil {
				t.Fatal(err)
			}
			if sent, err := c.q.Key.Public(); err == nil && !sent.(interface{ Equal(x crypto.PublicKey) bool }).Equal(kept) {
				t.Errorf("kept another key: %v", d.JWK)
			}

			if d.Type != c.kty {
				t.Errorf("kept as %s", d.Type)
			}
			digest := make([]byte, c.digest)
			r, err := s.Sign(t.Context(), f.Caller, ref(name), in(c.algorithm, digest))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.q.Key.Ops) != 0 && !slices.Equal(d.Ops, c.q.Key.Ops) {
				t.Errorf("kept for %v", d.Ops)
			}
			if !slices.Contains(d.Ops, algorithm.Verify) {
				return
			}
			if ok, err := s.Verify(t.Context(), f.Caller, ref(name), in(c.algorithm, digest), r.Value); !ok || err != nil {
				t.Errorf("its own signature does not verify: %v", err)
			}
		})
	}
	if got := f.Operations(t)[0]; got != "KeyImport" {
		t.Errorf("recorded as %s", got)
	}
}

func TestImportedSymmetricKeysKeepEveryByte(t *testing.T) {
	f, s := start(t)
	for _, size := range []int{16, 24, 32, 48, 64, 20} {
		k := octJWK(size)
		k.Ops = []keys.Operation{"sign", "verify"}
		name := fmt.Sprint("hmac-", size)

		e, err := s.Import(t.Context(), f.Caller, ref(name), keys.ImportRequest{Key: k, HSM: true})
		if err != nil {
			t.Fatal(err)
		}

		if d := details(t, e); d.Type != "oct-HSM" || d.Bits != 8*size || d.HSMPlatform() != "0" {
			t.Errorf("kept as %+v", d)
		}
		r, err := s.Sign(t.Context(), f.Caller, ref(name), in("HS384", []byte("any length")))
		if err != nil {
			t.Fatal(err)
		}
		m := hmac.New(sha512.New384, k.K)
		m.Write([]byte("any length"))
		if !bytes.Equal(r.Value, m.Sum(nil)) {
			t.Errorf("%d bytes: another MAC than that of the key", size)
		}
		if ok, err := s.Verify(t.Context(), f.Caller, ref(name), in("HS384", []byte("any length")), r.Value[:32]); ok || err != nil {
			t.Errorf("%d bytes: half a MAC is accepted: %v", size, err)
		}
	}
}

func TestAPublicKeyVerifiesEncryptsAndWrapsAndDoesNoMore(t *testing.T) {
	f, s := start(t)
	ctx := t.Context()
	akp, ec := akpJWK(t), p256kJWK(t)
	for name, c := range map[string]struct {
		key keys.PrivateJWK
		ops string
	}{
		"RSA": {keys.PrivateJWK{JWK: rsaJWK(rsaKey(t)).JWK}, "[encrypt verify wrapKey]"},
		"EC":  {keys.PrivateJWK{JWK: ec.JWK}, "[verify]"},
		"AKP": {keys.PrivateJWK{JWK: akp.JWK}, "[verify]"},
	} {
		e, err := s.Import(ctx, f.Caller, ref(name), keys.ImportRequest{Key: c.key})
		if err != nil {
			t.Fatal(name, err)
		}
		if d := details(t, e); fmt.Sprint(d.Ops) != c.ops || d.Type != name {
			t.Errorf("kept as %s for %v", d.Type, d.Ops)
		}
		for _, op := range []keys.Operation{"sign", "decrypt", "unwrapKey", "import"} {
			if _, err := s.Update(ctx, f.Caller, ref(name), keys.UpdateRequest{Ops: []keys.Operation{op}}); !fault.HasCode(err, "BadParameter") {
				t.Errorf("%s: key_ops may become %s: %v", name, op, err)
			}
			c.key.Ops = []keys.Operation{op}
			if _, err := s.Import(ctx, f.Caller, ref("other"), keys.ImportRequest{Key: c.key}); !fault.HasCode(err, "BadParameter") {
				t.Errorf("%s: imported for %s: %v", name, op, err)
			}
		}
		if _, err := s.OpenVersion(ctx, e.Version); !fault.HasCode(err, "KeyOperationForbidden") {
			t.Errorf("%s: opened: %v", name, err)
		}
	}

	for op, err := range useAll(t, f, s, ref("RSA"), make([]byte, 256)) {
		switch op {
		case "encrypt", "verify", "wrapKey":
			if err != nil {
				t.Errorf("%s: %v", op, err)
			}
		default:
			if !fault.HasCode(err, "KeyOperationForbidden") {
				t.Errorf("%s: %v", op, err)
			}
		}
	}
	private := p256k.Generate()
	ec.D = private.Bytes() // the private key of another
	if _, err := s.Import(ctx, f.Caller, ref("other"), keys.ImportRequest{Key: ec}); !fault.HasCode(err, "BadParameter") {
		t.Errorf("imported a private key with the point of another: %v", err)
	}
}

func TestAKeyThatReceivesOthersStaysOne(t *testing.T) {
	f, s := start(t)
	create(t, f, s, "kek", keys.CreateRequest{Type: "RSA-HSM", Ops: []keys.Operation{"import"}})
	create(t, f, s, "key", keys.CreateRequest{Type: "RSA-HSM"})

	_, errDecrypt := s.Update(t.Context(), f.Caller, ref("kek"), keys.UpdateRequest{Ops: []keys.Operation{"decrypt"}})
	_, errImport := s.Update(t.Context(), f.Caller, ref("key"), keys.UpdateRequest{Ops: []keys.Operation{"import"}})

	if !fault.HasCode(errDecrypt, "BadParameter") || !fault.HasCode(errImport, "BadParameter") {
		t.Errorf("a key exchange key becomes another: %v; another becomes one: %v", errDecrypt, errImport)
	}
	for op, err := range useAll(t, f, s, ref("kek"), make([]byte, 256)) {
		if !fault.HasCode(err, "KeyOperationForbidden") {
			t.Errorf("%s: %v", op, err)
		}
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
		"oct of nothing":    {JWK: keys.JWK{Type: "oct-HSM"}, D: r.D},
		"short oct":         octJWK(15),
		"long oct":          octJWK(65),
		"oct with a point":  change(octJWK(32), func(k *keys.PrivateJWK) { k.X = e.X }),
		"oct called AKP":    change(octJWK(32), func(k *keys.PrivateJWK) { k.Type = "AKP" }),
		"AKP of another":    change(akpJWK(t), func(k *keys.PrivateJWK) { k.Pub = akpJWK(t).Pub }),
		"AKP of 44":         change(akpJWK(t), func(k *keys.PrivateJWK) { k.Algorithm = "ML-DSA-44" }),
		"AKP long seed":     change(akpJWK(t), func(k *keys.PrivateJWK) { k.Priv = append(k.Priv, 0) }),
		"AKP no algorithm":  change(akpJWK(t), func(k *keys.PrivateJWK) { k.Algorithm = "" }),
		"AKP of nothing":    {JWK: keys.JWK{Type: "AKP", Algorithm: "ML-DSA-44"}},
		"even modulus":      {JWK: change(r, func(k *keys.PrivateJWK) { k.N = append(bytes.Clone(k.N[:255]), 0) }).JWK},
		"exponent of one":   {JWK: change(r, func(k *keys.PrivateJWK) { k.E = []byte{1} }).JWK},
		"public EC, no y":   {JWK: change(e, func(k *keys.PrivateJWK) { k.Y = nil }).JWK},
		"EC of nothing":     {JWK: keys.JWK{Type: "EC", Curve: "P-256"}},
		"off P-256K":        change(p256kJWK(t), func(k *keys.PrivateJWK) { k.X = e.X }),
		"zero d of P-256K":  change(p256kJWK(t), func(k *keys.PrivateJWK) { k.D = make([]byte, 32) }),
		"wrong d, no p":     change(r, func(k *keys.PrivateJWK) { k.D, k.P, k.Q, k.DP, k.DQ, k.QI = other.D, nil, nil, nil, nil, nil }),
		"d of one, no p":    change(r, func(k *keys.PrivateJWK) { k.D, k.P, k.Q, k.DP, k.DQ, k.QI = []byte{1}, nil, nil, nil, nil, nil }),
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
		"no d to sign":      change(e, func(k *keys.PrivateJWK) { k.D, k.Ops = nil, []keys.Operation{"sign"} }),
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
			if name == "long oct" && !strings.Contains(err.Error(), "JSON Web Key: k property of oct key is too large, maximum size is 64") {
				t.Errorf("refused as %v", err)
			}
			if name == "huge d" && !strings.Contains(err.Error(), "longer than") {
				t.Errorf("computed with before it was measured: %v", err)
			}
		})
	}
}

func TestAKeyToImportNeverPrints(t *testing.T) {
	f, s := start(t)
	k := rsaJWK(rsaKey(t))
	q := keys.ImportRequest{Key: k}
	m, err := s.Make(t.Context(), keys.Wanted{Type: "EC"})
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
