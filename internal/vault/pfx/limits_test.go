package pfx

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math"
	"math/big"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"chatelaine.dev/internal/fault"
)

// marshal encodes or fails the test.
func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

// wrap makes a PKCS#12 file without integrity code around bags.
func wrap(t testing.TB, bags []safeBag) []byte {
	t.Helper()
	data := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	safe := contentInfo{Type: data, Content: explicit(marshal(t, marshal(t, bags)))}
	return enclose(t, marshal(t, []contentInfo{safe}))
}

// enclose makes the outer structure of a file around its safe contents.
func enclose(t testing.TB, safes []byte) []byte {
	t.Helper()
	data := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	return marshal(t, struct {
		Version  int
		AuthSafe contentInfo
	}{3, contentInfo{Type: data, Content: explicit(marshal(t, safes))}})
}

// shrouded is a key bag whose sender asks for so many iterations.
func shrouded(t testing.TB, iterations int) safeBag {
	t.Helper()
	return safeBag{
		Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2},
		Value: explicit(marshal(t, encryptedKey{
			Algorithm: pkix.AlgorithmIdentifier{
				Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3},
				Parameters: asn1.RawValue{FullBytes: marshal(t, pbeParameters{Salt: make([]byte, 8), Iterations: iterations})},
			},
			Encrypted: make([]byte, 64),
		})),
	}
}

// hugeKey is an RSAPrivateKey (RFC 8017, A.1.2) of so many bits, whose numbers are odd and
// nothing else.
func hugeKey(t testing.TB, bits int) []byte {
	t.Helper()
	odd := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	p := odd(bits / 2)
	return marshal(t, struct {
		Version            int
		N                  *big.Int
		E                  int
		D, P, Q, Dp, Dq, I *big.Int
	}{0, new(big.Int).Mul(p, p), 65537, odd(bits), p, p, p, p, p})
}

// reused is a file whose one encrypted part, with certificates, is in it n times.
func reused(t testing.TB, iterations, n int) []byte {
	t.Helper()
	c := makeChain(t, ecKey(t))
	der, err := pkcs12.LegacyDES.WithIterations(iterations).EncodeTrustStore([]*x509.Certificate{c.leaf}, "x")
	if err != nil {
		t.Fatal(err)
	}
	var pdu pfxPDU
	var content []byte
	var parts []contentInfo
	if parse(der, &pdu) != nil || parse(pdu.AuthSafe.Content.Bytes, &content) != nil || parse(content, &parts) != nil || len(parts) != 1 {
		t.Fatal("the file has another form than was thought")
	}
	return enclose(t, marshal(t, slices.Repeat(parts, n)))
}

func TestLimitsAreHeldBeforeTheWork(t *testing.T) {
	c := makeChain(t, ecKey(t))
	der, err := pkcs12.LegacyDES.WithIterations(400_000).Encode(c.key, c.leaf, nil, "x")
	if err != nil {
		t.Fatal(err)
	}
	certificate := safeBag{
		Type:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3},
		Value: explicit(marshal(t, certificateBag{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}, Data: c.leaf.Raw})),
	}
	many := make([]safeBag, MaxBags)
	for i := range many {
		many[i] = certificate
	}
	var text bytes.Buffer
	for range MaxBags + 1 {
		if err := pem.Encode(&text, &pem.Block{Type: pemCertificate, Bytes: c.leaf.Raw}); err != nil {
			t.Fatal(err)
		}
	}
	empty := bytes.Repeat([]byte{0x30, 0x00}, 300_000) // as many empty parts as fit
	flood := slices.Concat([]byte{0x30, 0x83, byte(len(empty) >> 16), byte(len(empty) >> 8), byte(len(empty))}, empty)
	decodePEM := func(b []byte, password string) (Bundle, error) { return DecodePEM(b, password) }
	encrypted := pem.EncodeToMemory(&pem.Block{Type: pemEncryptedKey, Bytes: shrouded(t, 1<<31-1).Value.Bytes})
	nested := []byte{0x05, 0x00}
	for range 1000 {
		nested = marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: nested})
	}
	nestedBag := safeBag{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 6}, Value: explicit(nested)} // SafeContents in a bag
	repeated := reused(t, 20_000, 50)                                                                              // each alone is within the limit
	huge := hugeKey(t, 1<<20)
	hugePEM := pem.EncodeToMemory(&pem.Block{Type: pemRSAKey, Bytes: huge})
	hugeBag := safeBag{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}, Value: explicit(marshal(t, struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: asn1.NullRawValue}, huge}))}
	thousands := slices.Repeat([]safeBag{certificate}, 1000)
	for _, test := range []struct {
		name   string
		decode func([]byte, string) (Bundle, error)
		in     []byte
		says   string
	}{
		{"too large", Decode, make([]byte, MaxSize+1), "the limit is 1048576"},
		{"too large a text", decodePEM, make([]byte, MaxSize+1), "the limit is 1048576"},
		{"one key asks for too much", Decode, wrap(t, []safeBag{shrouded(t, 1<<31-1)}), "rounds of password derivation"},
		{"a hundred megabytes", Decode, make([]byte, 100<<20), "the limit is 1048576"},
		{"one key in PEM asks for too much", decodePEM, encrypted, "rounds of password derivation"},
		{"nested a thousand times", Decode, enclose(t, nested), "not PKCS#12"},
		{"nested in a bag", Decode, wrap(t, []safeBag{nestedBag}), "no private key"},
		{"the same costly part again and again", Decode, repeated, "rounds of password derivation"},
		{"thousands of bags", Decode, wrap(t, thousands), "more than 100 parts"},
		{"a key of a million bits", Decode, wrap(t, []safeBag{hugeBag}), "its private key has"},
		{"a key of a million bits in PEM", decodePEM, hugePEM, "its private key has"},
		{"no iterations", Decode, wrap(t, []safeBag{shrouded(t, 0)}), "rounds of password derivation"},
		{"negative iterations", Decode, wrap(t, []safeBag{shrouded(t, -5)}), "rounds of password derivation"},
		{"the sum is too much", Decode, der, "rounds of password derivation"},
		{"too many bags", Decode, wrap(t, many), "more than 100 parts"},
		{"a flood of parts", Decode, enclose(t, flood), "not PKCS#12"},
		{"too many blocks", decodePEM, text.Bytes(), "more than 100 parts"},
		{"nothing", Decode, nil, "not PKCS#12"},
		{"noise", Decode, []byte("hello"), "not PKCS#12"},
		{"cut off", Decode, der[:len(der)/2], "not PKCS#12"},
		{"no key", Decode, wrap(t, many[:1]), "no private key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			took := time.Hour
			for range 5 { // whoever else works on this machine is not under test
				start := time.Now()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)

				_, err = test.decode(test.in, "x")

				runtime.ReadMemStats(&after)
				if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
					t.Errorf("reading it took %d bytes of memory", used)
				}
				if took = min(took, time.Since(start)); took < 200*slower*time.Millisecond {
					break
				}
			}
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want %q", err, test.says)
			}
			if took > 200*slower*time.Millisecond {
				t.Fatalf("took %v", took)
			}
		})
	}
}

// Whatever a file asks for, it costs no more than the budget: the hashes of every way to
// derive a key are counted before they are made.
func TestEveryDerivationIsChargedForItsWork(t *testing.T) {
	for _, c := range []struct {
		name          string
		bytes, hash   int
		hmac          bool
		hashes, extra int
	}{
		{"RC2-40", 5, 20, false, 1, 1}, {"triple DES", 24, 20, false, 2, 1}, {"AES-256 by HMAC-SHA-1", 32, 20, true, 4, 0},
		{"AES-256 by HMAC-SHA-256", 32, 32, true, 2, 0}, {"AES-256 by HMAC-SHA-512", 32, 64, true, 6, 0},
	} {
		each := outputs(c.bytes, c.hash) * price(c.hash)
		if c.hmac {
			each *= 2
		}
		if each != c.hashes {
			t.Errorf("%s: a round costs %d hashes, want %d", c.name, each, c.hashes)
		}
		b := budget(MaxIterations)
		most := MaxIterations / (each + c.extra)
		if err := b.spend(most+1, each+c.extra); !fault.Is(err, fault.Invalid) || b != MaxIterations {
			t.Errorf("%s: more than the budget is allowed: %v", c.name, err)
		}
		if err := b.spend(most, each+c.extra); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := b.spend(each, most); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: spent twice: %v", c.name, err)
		}
	}
	b := budget(MaxIterations)
	for _, n := range []int{0, -1, math.MinInt, math.MaxInt} {
		if err := b.spend(n, 6); !fault.Is(err, fault.Invalid) || b != MaxIterations {
			t.Errorf("%d rounds: %v", n, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	text, err := os.ReadFile("testdata/azure-sdk.p12.b64")
	if err != nil {
		f.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := Decode(in, ""); err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatalf("an error that the sender cannot use: %v", err)
		}
	})
}

func FuzzDecodePEM(f *testing.F) {
	text, err := EncodePEM(Bundle{Key: ecKey(f), Certificates: []*x509.Certificate{makeChain(f, ecKey(f)).leaf}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: pemEncryptedKey, Bytes: shrouded(f, 2048).Value.Bytes}))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := OpenPEM(in, "")
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("an error that the sender cannot use: %v", err)
			}
			return
		}
		if b.Key == nil {
			return
		}
		out, err := EncodePEM(b)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if again, err := OpenPEM(out, ""); err != nil || len(again.Certificates) != len(b.Certificates) || again.Key == nil {
			t.Fatalf("what was written is not what was read: %v", err)
		}
	})
}
