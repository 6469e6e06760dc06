package quorum

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// holders makes n holders once for all tests: RSA keys are slow to make.
var holders = sync.OnceValue(func() []Holder {
	var list []Holder
	for i := range 5 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("holder %d", i)}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		list = append(list, Holder{cert, key})
	}
	return list
})

func certificates(hs []Holder) []*x509.Certificate {
	var list []*x509.Certificate
	for _, h := range hs {
		list = append(list, h.Certificate)
	}
	return list
}

var secret = Secret{Tag: "chatelaine_backup_key", Plain: []byte("thirty-two bytes of a key, or so")}

func TestAnyQuorumOpensAndFewerDoNot(t *testing.T) {
	hs := holders()
	text, err := New([]Secret{secret}, certificates(hs), 3)
	if err != nil {
		t.Fatal(err)
	}
	for set := range 1 << len(hs) {
		var some []Holder
		for i, h := range hs {
			if set>>i&1 == 1 {
				some = append(some, h)
			}
		}
		got, err := Open(text, some)
		if opened := err == nil && len(got) == 1 && got[0].Tag == secret.Tag && bytes.Equal(got[0].Plain, secret.Plain); opened != (len(some) >= 3) {
			t.Errorf("%d holders (%05b): opened %v, %v", len(some), set, opened, err)
		}
	}
	if _, err := Open(text, []Holder{hs[0], hs[0], hs[0]}); err == nil {
		t.Error("one holder three times opened it")
	}
}

// Whatever the secret byte, there are polynomials that give the same m-1 shares, and as many
// for each: they say nothing. Here for m = 2, where a share is c·x + s.
func TestFewerSharesSayNothing(t *testing.T) {
	const x = 3
	counts := map[[2]int32]int{} // secret, value of the one share
	for s := int32(0); s < 256; s += 51 {
		for c := int32(0); c < prime; c++ {
			counts[[2]int32{s, add(mul(c, x), s)}]++
		}
	}
	for s := int32(0); s < 256; s += 51 {
		for v := int32(0); v < prime; v++ {
			if counts[[2]int32{s, v}] != 1 {
				t.Fatalf("the share %d is made by %d polynomials of the secret %d, want one", v, counts[[2]int32{s, v}], s)
			}
		}
	}
}

// With the same coefficients for all bytes, the difference of two words of one share would
// be the difference of two bytes of the secret.
func TestEveryByteHasAPolynomialOfItsOwn(t *testing.T) {
	shares, err := split(make([]byte, 64), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint16]bool{}
	for at := 0; at < len(shares[0]); at += 2 {
		seen[binary.LittleEndian.Uint16(shares[0][at:])] = true
	}
	if len(seen) < 32 {
		t.Errorf("64 equal bytes have %d different words in a share", len(seen))
	}
}

func TestSharesAreWordsAsTheAzureCLIHasThem(t *testing.T) {
	secret := make([]byte, 256)
	for i := range secret {
		secret[i] = byte(i)
	}
	shares, err := split(secret, 4, 10)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range shares {
		for at := 0; at < len(s); at += 2 {
			if w := binary.LittleEndian.Uint16(s[at:]); int(w>>9) != i+1 || w&0x1ff > 256 {
				t.Fatalf("share %d has the word %x", i+1, w)
			}
		}
	}
	// Interpolation with big numbers, as another program would do it.
	got := make([]byte, 0, len(secret))
	p := big.NewInt(prime)
	for at := 0; at < len(shares[0]); at += 2 {
		sum := new(big.Int)
		for i := 2; i < 6; i++ {
			term := big.NewInt(int64(binary.LittleEndian.Uint16(shares[i][at:]) & 0x1ff))
			for j := 2; j < 6; j++ {
				if j != i {
					term.Mul(term, big.NewInt(int64(j+1)))
					term.Mul(term, new(big.Int).ModInverse(big.NewInt(int64(j-i+prime)), p))
				}
			}
			sum.Add(sum, term)
		}
		got = append(got, byte(sum.Mod(sum, p).Int64()))
	}
	if !bytes.Equal(got, secret) {
		t.Errorf("interpolated %x", got)
	}
	if back, err := combine(shares[5:9]); err != nil || !bytes.Equal(back, secret) {
		t.Errorf("combined %x, %v", back, err)
	}
}

func TestArithmeticIsThatOfTheField(t *testing.T) {
	for a := int32(0); a < prime; a++ {
		for b := int32(0); b < prime; b++ {
			if mul(a, b) != a*b%prime || add(a, b) != (a+b)%prime || sub(a, b) != (a-b+prime)%prime {
				t.Fatalf("%d and %d: %d %d %d", a, b, mul(a, b), add(a, b), sub(a, b))
			}
		}
		if a != 0 && mul(a, invert(a)) != 1 {
			t.Fatalf("the inverse of %d is %d", a, invert(a))
		}
	}
}

func TestSharesOfTwoSplitsDoNotOpen(t *testing.T) {
	hs := holders()
	one, err := New([]Secret{secret}, certificates(hs[:3]), 2)
	if err != nil {
		t.Fatal(err)
	}
	two, err := New([]Secret{secret}, certificates(hs[:3]), 2)
	if err != nil {
		t.Fatal(err)
	}
	var a, b file
	if json.Unmarshal(one, &a) != nil || json.Unmarshal(two, &b) != nil {
		t.Fatal("no JSON")
	}
	a.SharedKeys.EncShares[1] = b.SharedKeys.EncShares[1]
	mixed, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := Open(mixed, hs[:2]); err == nil {
		t.Error("it opened")
	}
}

func TestBlobOpensWithItsTransferKeyAlone(t *testing.T) {
	hs := holders()
	text, err := Reseal([]Secret{secret}, hs[0].Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]byte{
		"as JSON": text, "in base64url": []byte(base64.RawURLEncoding.EncodeToString(text)),
	} {
		got, err := OpenBlob(in, hs[0])
		if err != nil || !bytes.Equal(got[0].Plain, secret.Plain) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := OpenBlob(text, hs[1]); err == nil {
		t.Error("another transfer key opened it")
	}
	var twice blob // as the Azure CLI's to_json has it
	if err := json.Unmarshal(text, &twice); err != nil {
		t.Fatal(err)
	}
	twice.WrappedKey.EncKey = base64.RawURLEncoding.EncodeToString([]byte(twice.WrappedKey.EncKey))
	twice.EncData.Data[0].CompactJWE = base64.RawURLEncoding.EncodeToString([]byte(twice.EncData.Data[0].CompactJWE))
	again, err := json.Marshal(twice)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenBlob(again, hs[0]); err != nil || !bytes.Equal(got[0].Plain, secret.Plain) {
		t.Errorf("encoded twice: %v", err)
	}
}

func TestAlteredPartsDoNotOpen(t *testing.T) {
	key := make([]byte, contentKey)
	sealed, err := sealDirect(key, secret.Plain, secret.Tag)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := openDirect(sealed, key); err != nil || !bytes.Equal(plain, secret.Plain) {
		t.Fatal(err)
	}
	parts := strings.Split(sealed, ".")
	for i, p := range parts {
		raw, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil {
			t.Fatal(err)
		}
		for at := range raw {
			flipped := bytes.Clone(raw)
			flipped[at] ^= 1
			changed := append([]string{}, parts...)
			changed[i] = base64.RawURLEncoding.EncodeToString(flipped)
			if _, err := openDirect(strings.Join(changed, "."), key); err == nil {
				t.Errorf("part %d opens with byte %d flipped", i, at)
			}
		}
	}
}

// The vector of the Azure CLI's own test of its derivation.
func TestKeysAreDerivedAsTheAzureCLIDoes(t *testing.T) {
	got := hex.EncodeToString(derive(bytes.Repeat([]byte{0x41}, 32), "label", "context", 32))
	if got != "f0ca51f6308791404bf68b56024ee7c64d6c737716f81d47e1e68b5c4e399575" {
		t.Errorf("derived %s", got)
	}
}

// RFC 7518, appendix B.3: the additional data are those of the RFC instead of a header.
func TestAuthenticationTagIsThatOfTheRFC(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := make([]byte, 64)
	for i := range key {
		key[i] = byte(i)
	}
	got := tag(key, "The second principle of Auguste Kerckhoffs", unhex("1af38c2dc2b96ffdd86694092341bc04"), unhex(
		"4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd822c301dd67c373bccb584ad3e9279c2e6d12a1374b77f077553df829410446b"+
			"36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3a3b75e662a2594410ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950b"+
			"be2638d09dd7a4930930806d0703b1f6"))
	if want := unhex("4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5"); !bytes.Equal(got, want) {
		t.Errorf("tag %x, want %x", got, want)
	}
}

func FuzzOpenBlob(f *testing.F) {
	hs := holders()
	text, err := Reseal([]Secret{secret}, hs[0].Certificate)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"EncData":{"data":[],"kdf":"sp108_kdf"},"WrappedKey":{"enc_key":"....","x5t_256":""}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := OpenBlob(in, hs[0])
		if err == nil && !bytes.Equal(got[0].Plain, secret.Plain) {
			t.Errorf("something else opened: %q", got)
		}
	})
}

func FuzzOpenFile(f *testing.F) {
	hs := holders()
	text, err := New([]Secret{secret}, certificates(hs[:3]), 2)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Open(in, hs[:2])
		if err == nil && !bytes.Equal(got[0].Plain, secret.Plain) {
			t.Errorf("something else opened: %q", got)
		}
	})
}
