package p256k_test

import (
	"bytes"
	"crypto/sha256"
	encoding "encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"chatelaine.dev/internal/vault/keystore/p256k"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func raw(t *testing.T, der []byte) (r, s []byte) {
	t.Helper()
	var sig struct{ R, S *big.Int }
	if rest, err := encoding.Unmarshal(der, &sig); err != nil || len(rest) != 0 {
		t.Fatalf("no signature: %X, %v", der, err)
	}
	return sig.R.FillBytes(make([]byte, p256k.Size)), sig.S.FillBytes(make([]byte, p256k.Size))
}

func TestSignaturesVerifyHereAndElsewhere(t *testing.T) {
	order := secp256k1.Params().N
	for i := range 200 {
		k := p256k.Generate()
		pub := k.Public().(*p256k.PublicKey)
		digest := sha256.Sum256([]byte{byte(i)})

		der, err := k.Sign(nil, digest[:], nil)
		if err != nil {
			t.Fatal(err)
		}

		r, s := raw(t, der)
		if !pub.Verify(digest[:], r, s) {
			t.Fatal("a good signature is refused")
		}
		parsed, err := ecdsa.ParseDERSignature(der)
		if err != nil {
			t.Fatal(err)
		}
		point, err := pub.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		elsewhere, err := secp256k1.ParsePubKey(point)
		if err != nil || !parsed.Verify(digest[:], elsewhere) {
			t.Fatal("refused elsewhere", err)
		}
		high := new(big.Int).Sub(order, new(big.Int).SetBytes(s))
		if new(big.Int).SetBytes(s).Cmp(high) > 0 {
			t.Error("of the two signatures, the one with the larger s was made")
		}
		if !pub.Verify(digest[:], r, high.FillBytes(make([]byte, 32))) {
			t.Error("the signature with the larger s is refused, which ES256K allows")
		}
		other := sha256.Sum256([]byte("another"))
		if pub.Verify(other[:], r, s) || p256k.Generate().Public().(*p256k.PublicKey).Verify(digest[:], r, s) {
			t.Error("accepted for another digest or key")
		}
	}
}

func TestNoNonceIsUsedTwice(t *testing.T) {
	k := p256k.Generate()
	digest := sha256.Sum256(nil)
	seen := map[string]bool{}
	for range 50 {
		der, err := k.Sign(nil, digest[:], nil)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := raw(t, der)
		if seen[string(r)] {
			t.Fatal("two signatures share their r")
		}
		seen[string(r)] = true
	}
}

// The public key of 1 is the base point (SEC 2 section 2.4.1); others are held against
// decred's own multiplication.
func TestPublicKeysAreThoseOfTheCurve(t *testing.T) {
	curve := secp256k1.Params()
	base := slices.Concat([]byte{4}, curve.Gx.FillBytes(make([]byte, 32)), curve.Gy.FillBytes(make([]byte, 32)))
	for _, d := range []*big.Int{big.NewInt(1), big.NewInt(2), big.NewInt(3), new(big.Int).Sub(curve.N, big.NewInt(1))} {
		k, err := p256k.ParsePrivate(d.FillBytes(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		want := secp256k1.PrivKeyFromBytes(d.FillBytes(make([]byte, 32))).PubKey().SerializeUncompressed()
		got, err := k.Public().(*p256k.PublicKey).Bytes()
		if err != nil || !bytes.Equal(got, want) || d.IsInt64() && d.Int64() == 1 && !bytes.Equal(got, base) {
			t.Errorf("%s: %X, %v", d, got, err)
		}
		if !bytes.Equal(k.Bytes(), d.FillBytes(make([]byte, 32))) {
			t.Errorf("%s: comes back as %X", d, k.Bytes())
		}
	}
}

func TestNumbersAndPointsOutsideTheCurveAreRefused(t *testing.T) {
	n := secp256k1.Params().N
	for name, d := range map[string][]byte{
		"zero": make([]byte, 32), "the order": n.Bytes(), "more": bytes.Repeat([]byte{255}, 32), "short": make([]byte, 31), "long": append(make([]byte, 32), 1), "nothing": nil,
	} {
		if k, err := p256k.ParsePrivate(d); err == nil {
			t.Errorf("private %s: %v", name, k)
		}
	}
	good, err := p256k.Generate().Public().(*p256k.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	off := bytes.Clone(good)
	off[64] ^= 1
	hybrid := bytes.Clone(good)
	hybrid[0] = 6 | good[64]&1
	for name, p := range map[string][]byte{
		"off the curve": off, "compressed": append([]byte{2}, good[1:33]...), "hybrid": hybrid, "infinity": {0}, "zeros": append([]byte{4}, make([]byte, 64)...),
		"x not below the prime": append([]byte{4}, bytes.Repeat([]byte{255}, 64)...), "short": good[:64], "nothing": nil,
	} {
		if _, err := p256k.ParsePublic(p); err == nil {
			t.Errorf("public %s was read", name)
		}
	}
	k := p256k.Generate()
	digest := sha256.Sum256(nil)
	der, err := k.Sign(nil, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	r, s := raw(t, der)
	pub := k.Public().(*p256k.PublicKey)
	zero, long := make([]byte, 32), append([]byte{0}, r...)
	plus := new(big.Int).Add(new(big.Int).SetBytes(s), n)
	for name, ok := range map[string]bool{
		"r zero": pub.Verify(digest[:], zero, s), "s zero": pub.Verify(digest[:], r, zero), "r long": pub.Verify(digest[:], long, s), "s short": pub.Verify(digest[:], r, s[1:]),
		"r the order": pub.Verify(digest[:], n.Bytes(), s), "digest short": pub.Verify(digest[:31], r, s), "digest long": pub.Verify(append(digest[:], 0), r, s),
		"s and the order": plus.BitLen() <= 256 && pub.Verify(digest[:], r, plus.Bytes()),
	} {
		if ok {
			t.Errorf("accepted with %s", name)
		}
	}
	if _, err := k.Sign(nil, digest[:31], nil); err == nil {
		t.Error("signed 31 bytes")
	}
}

// Made by OpenSSL 3: openssl ecparam -name secp256k1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt.
const fromOpenSSL = "308184020100301006072a8648ce3d020106052b8104000a046d306b02010104207ac35d965a2f488ab967f3ac3dca20372caf8787a3e024c2ea2baa1a574fe4" +
	"e0a14403420004c1263564056cce90f76138ccf4f776a9ca565b4d0980c471f4c21a4f314057376cf77d2c5fcbd0035ab42d6be4027b978b919d1dd5e2267f782b38368726ceb2"

func TestPKCS8IsReadAndWrittenAsOthersDo(t *testing.T) {
	der := unhex(t, fromOpenSSL)

	k, err := p256k.ParsePKCS8(der)
	if err != nil {
		t.Fatal(err)
	}

	out, err := p256k.MarshalPKCS8(k)
	if err != nil || !bytes.Equal(out, der) {
		t.Errorf("written as %X, %v", out, err)
	}
	for i := range der {
		if other, err := p256k.ParsePKCS8(der[:i]); err == nil {
			t.Errorf("the first %d bytes are a key: %v", i, other)
		}
		bad := bytes.Clone(der)
		bad[i] ^= 0x10
		if other, err := p256k.ParsePKCS8(bad); err == nil && (i < 4 || !other.Equal(k)) {
			t.Errorf("with byte %d changed it is another key", i)
		}
	}
	if _, err := p256k.ParsePKCS8(append(bytes.Clone(der), 0)); err == nil {
		t.Error("something follows the key")
	}
}

func TestAKeyNeverPrints(t *testing.T) {
	k := p256k.Generate()
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		fmt.Fprintf(&out, verb, k)
	}
	if strings.Contains(out.String(), hex.EncodeToString(k.Bytes()[:8])) || strings.Contains(out.String(), "secp256k1") {
		t.Errorf("printed as %s", &out)
	}
}

func BenchmarkSign(b *testing.B) {
	k := p256k.Generate()
	digest := sha256.Sum256(nil)
	for b.Loop() {
		if _, err := k.Sign(nil, digest[:], nil); err != nil {
			b.Fatal(err)
		}
	}
}
