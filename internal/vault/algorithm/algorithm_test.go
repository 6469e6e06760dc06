package algorithm_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keystore"
)

func oct(bits int) keystore.Spec     { return keystore.Spec{Type: keystore.Oct, Bits: bits} }
func rsa(bits int) keystore.Spec     { return keystore.Spec{Type: keystore.RSA, Bits: bits} }
func ec(curve string) keystore.Spec  { return keystore.Spec{Type: keystore.EC, Curve: curve} }
func akp(level string) keystore.Spec { return keystore.Spec{Type: keystore.AKP, Algorithm: level} }

// known is what contract §2.5 says each type of key can do.
var known = []struct {
	spec       keystore.Spec
	algorithms string
}{
	{rsa(2048), "RS256 RS384 RS512 PS256 PS384 PS512 RSA1_5 RSA-OAEP RSA-OAEP-256"},
	{rsa(3072), "RS256 RS384 RS512 PS256 PS384 PS512 RSA1_5 RSA-OAEP RSA-OAEP-256"},
	{rsa(4096), "RS256 RS384 RS512 PS256 PS384 PS512 RSA1_5 RSA-OAEP RSA-OAEP-256"},
	{ec("P-256"), "ES256"},
	{ec("P-384"), "ES384"},
	{ec("P-521"), "ES512"},
	{ec("P-256K"), "ES256K"},
	{oct(128), "HS256 HS384 HS512 A128GCM A128CBC A128CBCPAD A128KW CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD"},
	{oct(192), "HS256 HS384 HS512 A192GCM A192CBC A192CBCPAD A192KW CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD"},
	{oct(256), "HS256 HS384 HS512 A256GCM A256CBC A256CBCPAD A256KW CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD"},
	{oct(384), "HS256 HS384 HS512"},
	{oct(512), "HS256 HS384 HS512"},
	{akp("ML-DSA-44"), "ML-DSA-44"},
	{akp("ML-DSA-65"), "ML-DSA-65"},
	{akp("ML-DSA-87"), "ML-DSA-87"},
}

// names are all that are known anywhere, and some that nobody has.
func names() []string {
	var all []string
	for _, k := range known {
		for _, name := range strings.Fields(k.algorithms) {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return append(all, "none", "es256", "RSNULL", "A128", "HS1", "ML-DSA")
}

func TestEachKeyHasTheAlgorithmsOfItsTypeAndNoOther(t *testing.T) {
	for _, k := range known {
		var got []string
		for _, name := range names() {
			for _, op := range []algorithm.Operation{algorithm.Sign, algorithm.Encrypt, algorithm.WrapKey} {
				switch _, err := algorithm.Find(name, op, k.spec); {
				case err == nil && !slices.Contains(got, name):
					got = append(got, name)
				case err != nil && !fault.Is(err, fault.Invalid):
					t.Errorf("%s with %s: %v", name, k.spec, err)
				}
			}
		}

		want := strings.Fields(k.algorithms)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: has %v, want %v", k.spec, got, want)
		}
	}
}

func TestAlgorithmsDoOnlyWhatTheyAreFor(t *testing.T) {
	for _, c := range []struct {
		name string
		op   algorithm.Operation
		spec keystore.Spec
	}{
		{"RS256", algorithm.Encrypt, rsa(2048)}, {"RS256", algorithm.UnwrapKey, rsa(2048)}, {"RSA-OAEP", algorithm.Sign, rsa(2048)},
		{"RSA1_5", algorithm.Verify, rsa(2048)}, {"RS256", "release", rsa(2048)}, {"RSA-OAEP", "", rsa(2048)}, {"", algorithm.Sign, rsa(2048)},
		{"A128GCM", algorithm.WrapKey, oct(128)}, {"A128KW", algorithm.Encrypt, oct(128)}, {"A128KW", algorithm.WrapKey, oct(256)},
		{"CKM_AES_KEY_WRAP", algorithm.Decrypt, oct(128)}, {"HS256", algorithm.Encrypt, oct(128)}, {"", algorithm.Encrypt, akp("ML-DSA-44")},
	} {
		if _, err := algorithm.Find(c.name, c.op, c.spec); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s is allowed to %q: %v", c.name, c.op, err)
		}
	}
}

func TestDefaultsKeepASymmetricKeyForOnePurpose(t *testing.T) {
	for spec, want := range map[keystore.Spec]string{
		rsa(2048):        "[encrypt decrypt sign verify wrapKey unwrapKey]",
		ec("P-256K"):     "[sign verify]",
		akp("ML-DSA-65"): "[sign verify]",
		oct(256):         "[encrypt decrypt wrapKey unwrapKey]",
		oct(512):         "[sign verify]",
	} {
		if got := fmt.Sprint(algorithm.Defaults(spec)); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
	if got := fmt.Sprint(algorithm.Operations(oct(256))); got != "[encrypt decrypt sign verify wrapKey unwrapKey]" {
		t.Errorf("oct 256 can %s", got)
	}
}

func TestWhatOneKeySignsNoOtherVerifies(t *testing.T) {
	for _, c := range known {
		key, other := newKey(t, c.spec), newKey(t, c.spec)
		for _, name := range strings.Fields(c.algorithms) {
			a, err := algorithm.Find(name, algorithm.Sign, c.spec)
			if err != nil {
				continue
			}
			in := algorithm.Input{Value: digestFor(a)}

			sig, err := a.Sign(key, in)
			if err != nil {
				t.Fatalf("%s with %s: %v", name, c.spec, err)
			}

			if !verifies(t, a, key, in, sig) {
				t.Errorf("%s with %s: a good signature is refused", name, c.spec)
			}
			if verifies(t, a, other, in, sig) {
				t.Errorf("%s with %s: another key's signature is accepted", name, c.spec)
			}
			for what, bad := range map[string][]byte{
				"flipped": flip(sig), "cut": sig[:len(sig)-1], "longer": append(bytes.Clone(sig), 0), "empty": nil, "zeros": make([]byte, len(sig)),
				"stretched": slices.Concat(sig[:len(sig)/2], []byte{0}, sig[len(sig)/2:]),
			} {
				if verifies(t, a, key, in, bad) {
					t.Errorf("%s with %s: a signature that is %s is accepted", name, c.spec, what)
				}
			}
			if verifies(t, a, key, algorithm.Input{Value: flip(in.Value)}, sig) {
				t.Errorf("%s with %s: the signature of another digest is accepted", name, c.spec)
			}
		}
	}
}

func TestECSignaturesAlwaysHaveTheLengthOfTwoNumbers(t *testing.T) {
	for name, curve := range map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "ES256K": "P-256K"} {
		want := map[string]int{"ES256": 64, "ES384": 96, "ES512": 132, "ES256K": 64}[name]
		key := newKey(t, ec(curve))
		a, err := algorithm.Find(name, algorithm.Sign, ec(curve))
		if err != nil {
			t.Fatal(err)
		}

		in := algorithm.Input{Value: digestFor(a)}
		for range 300 { // one in 128 has a number that is a byte shorter
			sig, err := a.Sign(key, in)
			if err != nil || len(sig) != want || !verifies(t, a, key, in, sig) {
				t.Fatalf("%s: %d bytes, %v; want %d", name, len(sig), err, want)
			}
		}
	}
}

func TestDigestsOfTheWrongLengthAreRefused(t *testing.T) {
	for _, c := range known {
		if c.spec.Type != keystore.RSA && c.spec.Type != keystore.EC || c.spec.Bits > 2048 {
			continue
		}
		key := newKey(t, c.spec)
		for _, name := range strings.Fields(c.algorithms) {
			a, err := algorithm.Find(name, algorithm.Sign, c.spec)
			if err != nil {
				continue
			}
			for _, n := range []int{0, a.Hash.Size() - 1, a.Hash.Size() + 1} {
				in := algorithm.Input{Value: make([]byte, n)}
				if _, err := a.Sign(key, in); !fault.Is(err, fault.Invalid) {
					t.Errorf("%s signed %d bytes: %v", name, n, err)
				}
				if _, err := a.Verify(key, in, nil); !fault.Is(err, fault.Invalid) {
					t.Errorf("%s verified %d bytes: %v", name, n, err)
				}
			}
		}
	}
}

func TestTheContextIsPartOfAPostQuantumSignature(t *testing.T) {
	spec := akp("ML-DSA-44")
	key := newKey(t, spec)
	a, err := algorithm.Find("", algorithm.Sign, spec)
	if err != nil {
		t.Fatal(err)
	}
	in := algorithm.Input{Value: []byte("a message of any length"), Context: bytes.Repeat([]byte{7}, 255)}

	sig, err := a.Sign(key, in)

	if err != nil || !verifies(t, a, key, in, sig) {
		t.Fatal("a signature with the longest context:", err)
	}
	if verifies(t, a, key, algorithm.Input{Value: in.Value}, sig) {
		t.Error("it verifies without its context")
	}
	if _, err := a.Sign(key, algorithm.Input{Context: make([]byte, 256)}); !fault.Is(err, fault.Invalid) {
		t.Error("a context of 256 bytes:", err)
	}
	mu := algorithm.Input{Mu: make([]byte, 64)}
	sig, err = a.Sign(key, mu)
	if err != nil || !verifies(t, a, key, mu, sig) || verifies(t, a, key, algorithm.Input{Value: mu.Mu}, sig) {
		t.Error("a signature of an external mu:", err)
	}
	for what, bad := range map[string]algorithm.Input{
		"short": {Mu: make([]byte, 63)}, "empty": {Mu: []byte{}}, "with a message": {Mu: mu.Mu, Value: []byte{1}}, "with a context": {Mu: mu.Mu, Context: []byte{1}},
	} {
		if _, err := a.Sign(key, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("an external mu that is %s: %v", what, err)
		}
	}
	for _, other := range []struct {
		name string
		spec keystore.Spec
	}{{"ES256", ec("P-256")}, {"HS256", oct(256)}} {
		a, err := algorithm.Find(other.name, algorithm.Sign, other.spec)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Sign(newKey(t, other.spec), algorithm.Input{Value: make([]byte, 32), Context: []byte{1}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s ignores a context: %v", other.name, err)
		}
		if _, err := a.Sign(newKey(t, other.spec), algorithm.Input{Value: make([]byte, 32), Mu: mu.Mu}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s ignores an external mu: %v", other.name, err)
		}
	}
}

// encryptions are what encrypts or wraps, each with a key that it fits.
func encryptions(t *testing.T, do func(a algorithm.Algorithm, spec keystore.Spec)) {
	t.Helper()
	for _, c := range known {
		if c.spec.Type == keystore.RSA && c.spec.Bits > 2048 {
			continue
		}
		for _, name := range strings.Fields(c.algorithms) {
			for _, op := range []algorithm.Operation{algorithm.Encrypt, algorithm.WrapKey} {
				if a, err := algorithm.Find(name, op, c.spec); err == nil {
					do(a, c.spec)
					break
				}
			}
		}
	}
}

// inputFor is a value of n bytes with what the algorithm needs besides.
func inputFor(a algorithm.Algorithm, n int) algorithm.Input {
	in := algorithm.Input{Value: make([]byte, n)}
	_, _ = rand.Read(in.Value)
	switch {
	case strings.Contains(a.Name, "CBC"):
		in.IV = []byte("0123456789ABCDEF")
	case strings.HasSuffix(a.Name, "GCM"):
		in.AAD = []byte("the envelope")
	}
	return in
}

// back is what decrypts an output.
func back(out algorithm.Output) algorithm.Input {
	return algorithm.Input{Value: out.Value, IV: out.IV, AAD: out.AAD, Tag: out.Tag}
}

func TestValuesComeBackAndOthersAreRefused(t *testing.T) {
	fits := map[string][]int{ // lengths that can be encrypted
		"RSA1_5": {0, 1, 32, 256 - 11}, "RSA-OAEP": {0, 1, 256 - 42}, "RSA-OAEP-256": {0, 1, 256 - 66},
		"GCM": {0, 1, 16, 17, 5000}, "CBC": {0, 16, 32, 4096}, "CBCPAD": {0, 1, 15, 16, 17, 4097},
		"KW": {16, 24, 32, 64, 512}, "CKM_AES_KEY_WRAP": {16, 24, 32}, "CKM_AES_KEY_WRAP_PAD": {1, 7, 8, 9, 15, 16, 17, 2348},
	}
	not := map[string][]int{
		"RSA1_5": {256 - 10}, "RSA-OAEP": {256 - 41}, "RSA-OAEP-256": {256 - 65}, "CBC": {1, 15, 17},
		"KW": {0, 8, 15, 17}, "CKM_AES_KEY_WRAP": {0, 8, 20}, "CKM_AES_KEY_WRAP_PAD": {0},
	}
	encryptions(t, func(a algorithm.Algorithm, spec keystore.Spec) {
		key := newKey(t, spec)
		kind := a.Name
		if strings.HasPrefix(a.Name, "A") {
			kind = a.Name[len("A128"):]
		}
		if len(fits[kind]) == 0 {
			t.Errorf("%s: no length to try", a.Name)
		}
		for _, n := range fits[kind] {
			in := inputFor(a, n)
			out, err := a.Encrypt(key, in)
			if err != nil {
				t.Fatalf("%s: %d bytes: %v", a.Name, n, err)
			}
			got, err := a.Decrypt(key, back(out))
			if err != nil || !bytes.Equal(got, in.Value) {
				t.Errorf("%s: %d bytes: decrypted %x, %v", a.Name, n, got, err)
			}
		}
		for _, n := range not[kind] {
			if _, err := a.Encrypt(key, inputFor(a, n)); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %d bytes: %v", a.Name, n, err)
			}
		}
	})
}

func TestEveryBadCiphertextGetsTheSameAnswer(t *testing.T) {
	answers := map[string]bool{}
	encryptions(t, func(a algorithm.Algorithm, spec keystore.Spec) {
		key, other := newKey(t, spec), newKey(t, spec)
		foreign, err := a.Encrypt(other, inputFor(a, 32))
		if err != nil {
			t.Fatal(err)
		}
		own, err := a.Encrypt(key, inputFor(a, 32))
		if err != nil {
			t.Fatal(err)
		}
		c := own.Value
		bad := [][]byte{{1}, c[1:], c[:len(c)-1], append(bytes.Clone(c), 0)}
		if !strings.HasSuffix(a.Name, "CBC") && !strings.HasSuffix(a.Name, "CBCPAD") { // CBC authenticates nothing
			bad = append(bad, flip(c), bytes.Repeat([]byte{0}, 256), bytes.Repeat([]byte{255}, 256), make([]byte, 4096), foreign.Value)
		}
		if !strings.HasSuffix(a.Name, "CBC") {
			bad = append(bad, nil)
		}
		for _, c := range bad {
			in := back(own)
			in.Value = c
			got, err := a.Decrypt(key, in)
			if !fault.Is(err, fault.Invalid) || got != nil {
				t.Errorf("%s: %d bytes: decrypted %x, %v", a.Name, len(c), got, err)
				continue
			}
			answers[err.Error()] = true
		}
	})
	if len(answers) != 1 {
		t.Errorf("what is wrong with a ciphertext can be told from %v", answers)
	}
}

// Of all last bytes that a wrong key or a changed ciphertext gives, some are a padding and
// most are not: which of the wrong ones it was, nobody may tell.
func TestPaddingIsNoOracle(t *testing.T) {
	spec := oct(256)
	key := newKey(t, spec)
	plain, err := algorithm.Find("A256CBC", algorithm.Encrypt, spec)
	if err != nil {
		t.Fatal(err)
	}
	padded, err := algorithm.Find("A256CBCPAD", algorithm.Decrypt, spec)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]int{}
	for last := range 256 {
		for _, before := range []byte{byte(last), 0} {
			block := bytes.Repeat([]byte{before}, 16)
			block[15] = byte(last)
			out, err := plain.Encrypt(key, algorithm.Input{Value: block, IV: make([]byte, 16)})
			if err != nil {
				t.Fatal(err)
			}

			got, err := padded.Decrypt(key, back(out))

			if right := last == 1 || before == byte(last) && last >= 1 && last <= 16; right {
				if err != nil || len(got) != 16-last {
					t.Errorf("padding of %d after %d: %x, %v", last, before, got, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("padding of %d after %d decrypts to %x", last, before, got)
				continue
			}
			answers[err.Error()]++
		}
	}
	if len(answers) != 1 {
		t.Errorf("paddings can be told apart: %v", answers)
	}
}

func TestEveryPartOfAnAuthenticatedValueCounts(t *testing.T) {
	spec := oct(128)
	key := newKey(t, spec)
	a, err := algorithm.Find("A128GCM", algorithm.Encrypt, spec)
	if err != nil {
		t.Fatal(err)
	}
	in := inputFor(a, 20)
	first, err := a.Encrypt(key, in)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Encrypt(key, in)
	if err != nil {
		t.Fatal(err)
	}

	if bytes.Equal(first.IV, second.IV) || len(first.IV) != 12 || len(first.Tag) != 16 || !bytes.Equal(first.AAD, in.AAD) {
		t.Errorf("the answer %x", first)
	}
	for what, change := range map[string]func(in *algorithm.Input){
		"iv":     func(in *algorithm.Input) { in.IV = flip(in.IV) },
		"aad":    func(in *algorithm.Input) { in.AAD = flip(in.AAD) },
		"no aad": func(in *algorithm.Input) { in.AAD = nil },
		"tag":    func(in *algorithm.Input) { in.Tag = flip(in.Tag) },
		"value":  func(in *algorithm.Input) { in.Value = flip(in.Value) },
		"no tag": func(in *algorithm.Input) { in.Tag = nil },
		"no iv":  func(in *algorithm.Input) { in.IV = nil },
	} {
		in := back(first)
		change(&in)
		if got, err := a.Decrypt(key, in); !fault.Is(err, fault.Invalid) || got != nil {
			t.Errorf("another %s: %x, %v", what, got, err)
		}
	}
}

func TestParametersOfAnotherAlgorithmAreRefused(t *testing.T) {
	encryptions(t, func(a algorithm.Algorithm, spec keystore.Spec) {
		key := newKey(t, spec)
		gcm, cbc := strings.HasSuffix(a.Name, "GCM"), strings.Contains(a.Name, "CBC")
		for what, in := range map[string]algorithm.Input{
			"tag":      {Value: make([]byte, 16), Tag: make([]byte, 16)},
			"iv":       {Value: make([]byte, 16), IV: make([]byte, 16)},
			"iv of 12": {Value: make([]byte, 16), IV: make([]byte, 12)},
			"no iv":    {Value: make([]byte, 16)},
			"aad":      {Value: make([]byte, 16), IV: inputFor(a, 0).IV, AAD: []byte{1}},
		} {
			refused := what != "no iv" && !(what == "iv" && cbc) && !(what == "aad" && gcm) || what == "no iv" && cbc
			if _, err := a.Encrypt(key, in); fault.Is(err, fault.Invalid) != refused {
				t.Errorf("%s with %s: %v", a.Name, what, err)
			}
		}
	})
}

func TestAnHSMThatIsAwayIsNoBadCiphertext(t *testing.T) {
	key := newKey(t, rsa(2048))
	p, err := key.Open()
	if err != nil {
		t.Fatal(err)
	}
	key.Open = func() (keystore.Private, error) { return away{p}, nil }
	a, err := algorithm.Find("RSA-OAEP", algorithm.Decrypt, key.Spec)
	if err != nil {
		t.Fatal(err)
	}

	_, err = a.Decrypt(key, algorithm.Input{Value: make([]byte, 256)})

	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("answered %v", err)
	}
}

// away is a key whose store cannot be reached.
type away struct{ keystore.Private }

func (away) Decrypt(_ io.Reader, _ []byte, _ crypto.DecrypterOpts) ([]byte, error) {
	return nil, fault.New(fault.Unavailable, "", "the HSM is away")
}

func newKey(t *testing.T, spec keystore.Spec) algorithm.Key {
	t.Helper()
	s := keystore.NewSoftware()
	m, pub, err := s.Generate(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return algorithm.Key{Spec: spec, Public: pub, Open: func() (keystore.Private, error) { return s.Open(t.Context(), m) }}
}

// digestFor is something that the algorithm signs.
func digestFor(a algorithm.Algorithm) []byte {
	n := 100
	if a.Hash != 0 {
		n = a.Hash.Size()
	}
	digest := make([]byte, n)
	_, _ = rand.Read(digest)
	return digest
}

func verifies(t *testing.T, a algorithm.Algorithm, key algorithm.Key, in algorithm.Input, sig []byte) bool {
	t.Helper()
	ok, err := a.Verify(key, in, sig)
	if err != nil {
		t.Fatalf("%s: %v", a.Name, err)
	}
	return ok
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}
