package keystore_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/keystore/p256k"
)

func TestAKeyOpenedFromItsMaterialSigns(t *testing.T) {
	specs := []keystore.Spec{
		{Type: keystore.RSA, Bits: 2048}, {Type: keystore.RSA, Bits: 3072}, {Type: keystore.RSA, Bits: 4096},
		{Type: keystore.EC, Curve: "P-256"}, {Type: keystore.EC, Curve: "P-384"}, {Type: keystore.EC, Curve: "P-521"},
	}
	s := keystore.NewSoftware()
	for _, spec := range specs {
		t.Run(spec.String(), func(t *testing.T) {
			m, pub, err := s.Generate(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			got, err := keystore.SpecOf(pub)
			if err != nil || got != spec {
				t.Fatalf("made %v (%v), want %v", got, err, spec)
			}

			p, err := keystore.OpenSigner(t.Context(), s, m)
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256([]byte("hello"))
			sig, err := p.Sign(rand.Reader, digest[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}

			switch k := pub.(type) {
			case *rsa.PublicKey:
				if err := rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], sig); err != nil {
					t.Error(err)
				}
			case *ecdsa.PublicKey:
				if !ecdsa.VerifyASN1(k, digest[:], sig) {
					t.Error("the signature does not verify under the public key that Generate returned")
				}
			}
		})
	}
}

func TestASymmetricKeyHasNoPublicHalfAndDoesNotSign(t *testing.T) {
	s := keystore.NewSoftware()
	for _, bits := range []int{128, 192, 256, 384, 512} {
		m, pub, err := s.Generate(t.Context(), keystore.Spec{Type: keystore.Oct, Bits: bits})
		if err != nil || pub != nil {
			t.Fatalf("%d bits: public half %v, %v", bits, pub, err)
		}
		p, err := s.Open(t.Context(), m)
		if err != nil || p.Public() != nil {
			t.Fatalf("%d bits: %v", bits, err)
		}
		out, err := p.(keystore.Exporter).Export()
		if err != nil || len(out.(keystore.Secret)) != bits/8 {
			t.Errorf("%d bits: exported %d bytes, %v", bits, len(out.(keystore.Secret)), err)
		}
		again, _, err := s.Import(t.Context(), out)
		if err != nil || !bytes.Equal(again, m) {
			t.Errorf("%d bits: imported as another key, %v", bits, err)
		}
		if _, err := keystore.OpenSigner(t.Context(), s, m); err == nil {
			t.Errorf("%d bits: it signs", bits)
		}
	}
}

func TestOnlyRSAKeysDecrypt(t *testing.T) {
	s := keystore.NewSoftware()
	m, pub, err := s.Generate(t.Context(), keystore.Spec{Type: keystore.RSA, Bits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, pub.(*rsa.PublicKey), []byte("attack at dawn"), nil)
	if err != nil {
		t.Fatal(err)
	}

	plain, err := p.(crypto.Decrypter).Decrypt(rand.Reader, ciphertext, &rsa.OAEPOptions{Hash: crypto.SHA256})
	if err != nil || string(plain) != "attack at dawn" {
		t.Errorf("decrypted %q, %v", plain, err)
	}

	m, _, err = s.Generate(t.Context(), keystore.Spec{Type: keystore.EC, Curve: "P-256"})
	if err != nil {
		t.Fatal(err)
	}
	p, err = s.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.(crypto.Decrypter); ok {
		t.Error("an EC key claims to decrypt")
	}
}

func TestUnknownSpecsAreRefusedWithWhatExists(t *testing.T) {
	for spec, want := range map[keystore.Spec]string{
		{Type: keystore.RSA, Bits: 1024}:             "2048, 3072 or 4096",
		{Type: keystore.RSA, Bits: 16384}:            "2048, 3072 or 4096",
		{Type: keystore.RSA}:                         "2048, 3072 or 4096",
		{Type: keystore.EC, Curve: "P-224"}:          "P-256, P-384, P-521 or P-256K",
		{Type: keystore.EC, Curve: "p-256"}:          "P-256, P-384, P-521 or P-256K",
		{Type: keystore.EC}:                          "P-256, P-384, P-521 or P-256K",
		{Type: keystore.Oct}:                         "128, 192 or 256",
		{Type: keystore.Oct, Bits: 120}:              "128, 192 or 256",
		{Type: keystore.Oct, Bits: 130}:              "128, 192 or 256",
		{Type: keystore.Oct, Bits: 520}:              "128, 192 or 256",
		{Type: keystore.AKP}:                         "ML-DSA-44, ML-DSA-65 or ML-DSA-87",
		{Type: keystore.AKP, Algorithm: "ML-DSA"}:    "ML-DSA-44, ML-DSA-65 or ML-DSA-87",
		{Type: "OKP"}:                                "RSA, EC, oct or AKP",
		{Type: keystore.Type("RSA-HSM"), Bits: 2048}: "RSA, EC, oct or AKP",
	} {
		_, _, err := keystore.NewSoftware().Generate(t.Context(), spec)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error that names %s", spec, err, want)
		}
	}
}

func TestNothingIsMadeForACallerWhoHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := keystore.NewSoftware()

	_, _, errGenerate := s.Generate(ctx, keystore.Spec{Type: keystore.EC, Curve: "P-256"})
	_, _, errImport := s.Import(ctx, newEC(t, elliptic.P256()))

	if !fault.Is(errGenerate, fault.Unavailable) || !fault.Is(errImport, fault.Unavailable) {
		t.Errorf("generate %v, import %v", errGenerate, errImport)
	}
}

func TestImportedKeysComeOutAsTheyWentIn(t *testing.T) {
	s := keystore.NewSoftware()
	pq, err := mldsa.GenerateKey(mldsa.MLDSA65())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{newRSA(t, 2048), newEC(t, elliptic.P256()), newEC(t, elliptic.P384()), newEC(t, elliptic.P521()), p256k.Generate(), pq} {
		m, pub, err := s.Import(t.Context(), key)
		if err != nil {
			t.Fatalf("%T: %v", key, err)
		}
		p, err := s.Open(t.Context(), m)
		if err != nil {
			t.Fatalf("%T: %v", key, err)
		}
		out, err := p.(keystore.Exporter).Export()
		if err != nil {
			t.Fatalf("%T: %v", key, err)
		}

		if !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(out) {
			t.Errorf("%T: exported another key than was imported", key)
		}
		if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(pub) {
			t.Errorf("%T: another public key", key)
		}
	}
}

func TestImportRefusesKeysWhosePartsDoNotBelongTogether(t *testing.T) {
	r, other := newRSA(t, 2048), newRSA(t, 2048)
	// change returns a copy of r without precomputed values, altered by f.
	change := func(f func(*rsa.PrivateKey)) crypto.PrivateKey {
		k := &rsa.PrivateKey{PublicKey: r.PublicKey, D: r.D, Primes: []*big.Int{r.Primes[0], r.Primes[1]}}
		f(k)
		return k
	}
	precomputed := func(f func(*rsa.PrecomputedValues)) crypto.PrivateKey {
		return change(func(k *rsa.PrivateKey) {
			k.Precomputed = rsa.PrecomputedValues{Dp: r.Precomputed.Dp, Dq: r.Precomputed.Dq, Qinv: r.Precomputed.Qinv}
			f(&k.Precomputed)
		})
	}
	plus := func(x *big.Int, n int64) *big.Int { return new(big.Int).Add(x, big.NewInt(n)) }
	e, another := newEC(t, elliptic.P256()), newEC(t, elliptic.P256())
	order := e.Curve.Params().N
	d, x, y := e.D, e.X, e.Y                                    //nolint:staticcheck // only these fields can hold what is wrong
	off := ecdsa.PublicKey{Curve: e.Curve, X: plus(x, 1), Y: y} //nolint:staticcheck // the same
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	for name, key := range map[string]crypto.PrivateKey{
		"no key":              nil,
		"a public key":        &r.PublicKey,
		"Ed25519":             ed,
		"RSA of 1024 bits":    newRSA(t, 1024),
		"RSA of 2056 bits":    newRSA(t, 2056),
		"EC P-224":            newEC(t, elliptic.P224()),
		"a short secret":      keystore.Secret(make([]byte, 15)),
		"a long secret":       keystore.Secret(make([]byte, 65)),
		"plain bytes":         make([]byte, 32),
		"n of another key":    change(func(k *rsa.PrivateKey) { k.N = other.N }),
		"d of another key":    change(func(k *rsa.PrivateKey) { k.D = other.D }),
		"d + 2":               change(func(k *rsa.PrivateKey) { k.D = plus(k.D, 2) }),
		"e = 3":               change(func(k *rsa.PrivateKey) { k.E = 3 }),
		"e = 1":               change(func(k *rsa.PrivateKey) { k.E = 1; k.D = big.NewInt(1) }),
		"p of another key":    change(func(k *rsa.PrivateKey) { k.Primes[0] = other.Primes[0] }),
		"p alone":             change(func(k *rsa.PrivateKey) { k.Primes = k.Primes[:1] }),
		"no primes":           change(func(k *rsa.PrivateKey) { k.Primes = nil }),
		"three primes":        threePrimes(t),
		"p = 1, q = n":        change(func(k *rsa.PrivateKey) { k.Primes = []*big.Int{big.NewInt(1), k.N} }),
		"composite primes":    composite(t),
		"unlike primes":       unlike(t),
		"dp + 1":              precomputed(func(v *rsa.PrecomputedValues) { v.Dp = plus(v.Dp, 1) }),
		"dq + 1":              precomputed(func(v *rsa.PrecomputedValues) { v.Dq = plus(v.Dq, 1) }),
		"qi + 1":              precomputed(func(v *rsa.PrecomputedValues) { v.Qinv = plus(v.Qinv, 1) }),
		"point of another":    ec(another.PublicKey, d),
		"point off the curve": ec(off, d),
		"d = 0":               ec(e.PublicKey, new(big.Int)),
		"d = order":           ec(e.PublicKey, order),
		"d + order":           ec(e.PublicKey, new(big.Int).Add(d, order)),
		"no d":                ec(e.PublicKey, nil),
		"no curve":            ec(ecdsa.PublicKey{}, d),
		"no point":            ec(ecdsa.PublicKey{Curve: e.Curve}, d),
		"nothing of RSA":      &rsa.PrivateKey{},
		"no d of RSA":         change(func(k *rsa.PrivateKey) { k.D = nil }),
		"nil prime":           change(func(k *rsa.PrivateKey) { k.Primes[1] = nil }),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := keystore.NewSoftware().Import(t.Context(), key)
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("imported, or refused as %v", err)
			}
		})
	}
}

func TestImportAcceptsPrecomputedValuesThatFit(t *testing.T) {
	r := newRSA(t, 2048)
	key := &rsa.PrivateKey{PublicKey: r.PublicKey, D: r.D, Primes: r.Primes,
		Precomputed: rsa.PrecomputedValues{Dp: r.Precomputed.Dp, Dq: r.Precomputed.Dq, Qinv: r.Precomputed.Qinv}}

	if _, _, err := keystore.NewSoftware().Import(t.Context(), key); err != nil {
		t.Error(err)
	}
}

func TestKeysAndMaterialNeverPrint(t *testing.T) {
	s := keystore.NewSoftware()
	for _, spec := range []keystore.Spec{
		{Type: keystore.RSA, Bits: 2048}, {Type: keystore.EC, Curve: "P-256"}, {Type: keystore.EC, Curve: "P-256K"},
		{Type: keystore.Oct, Bits: 256}, {Type: keystore.AKP, Algorithm: "ML-DSA-44"},
	} {
		m, _, err := s.Generate(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Open(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}

		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "material", m, "key", p)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "material", m, "key", p)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
			fmt.Fprintf(&log, verb+verb+verb, m, p, struct {
				Key      keystore.Private
				Material keystore.Material
			}{p, m})
		}

		tail := m[len(m)-16:]
		for _, leak := range []string{hex.EncodeToString(tail), strings.Trim(fmt.Sprint([]byte(tail)), "[]"), "D:", "0x"} {
			if strings.Contains(strings.ToLower(log.String()), strings.ToLower(leak)) {
				t.Errorf("%s: print shows %q", spec, leak)
			}
		}
		if !strings.Contains(log.String(), "[key material]") {
			t.Errorf("%s: nothing was printed", spec)
		}
	}
}

func TestOpenRefusesWhatIsNoKey(t *testing.T) {
	for _, m := range []keystore.Material{nil, {}, []byte("garbage")} {
		if _, err := keystore.NewSoftware().Open(t.Context(), m); err == nil {
			t.Errorf("opened %d bytes that are no key", len(m))
		}
	}
}

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newEC(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ec puts parts together that may not fit.
func ec(pub ecdsa.PublicKey, d *big.Int) *ecdsa.PrivateKey {
	return &ecdsa.PrivateKey{PublicKey: pub, D: d} //nolint:staticcheck // only the field can hold what is wrong
}

// assemble makes an RSA key of the factors, prime or not, whose exponents fit as if the
// totient were right. It returns nil when e has no inverse.
func assemble(factors ...*big.Int) *rsa.PrivateKey {
	n, totient := big.NewInt(1), big.NewInt(1)
	for _, f := range factors {
		n.Mul(n, f)
		totient.Mul(totient, new(big.Int).Sub(f, big.NewInt(1)))
	}
	d := new(big.Int).ModInverse(big.NewInt(65537), totient)
	if d == nil {
		return nil
	}
	return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: factors}
}

// until calls try until it returns a key of 2048 bits.
func until(try func() *rsa.PrivateKey) *rsa.PrivateKey {
	for {
		if k := try(); k != nil && k.N.BitLen() == 2048 {
			return k
		}
	}
}

func prime(t *testing.T, bits int) *big.Int {
	t.Helper()
	p, err := rand.Prime(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func threePrimes(t *testing.T) *rsa.PrivateKey {
	return until(func() *rsa.PrivateKey { return assemble(prime(t, 683), prime(t, 683), prime(t, 682)) })
}

func unlike(t *testing.T) *rsa.PrivateKey {
	return until(func() *rsa.PrivateKey { return assemble(prime(t, 1200), prime(t, 848)) })
}

// composite is an RSA key one of whose "primes" is a product of two.
func composite(t *testing.T) *rsa.PrivateKey {
	return until(func() *rsa.PrivateKey {
		return assemble(prime(t, 1024), new(big.Int).Mul(prime(t, 512), prime(t, 512)))
	})
}
