package keys_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"io"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
)

var specs = []keystore.Spec{
	{Type: keystore.RSA, Bits: 2048}, {Type: keystore.RSA, Bits: 3072}, {Type: keystore.RSA, Bits: 4096},
	{Type: keystore.EC, Curve: "P-256"}, {Type: keystore.EC, Curve: "P-384"}, {Type: keystore.EC, Curve: "P-521"},
}

var (
	signatures  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}
	encryptions = []string{"RSA1_5", "RSA-OAEP", "RSA-OAEP-256"}
)

// known is what contract §2.5 says each type of key can do.
var known = map[string][]string{
	"RSA 2048": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "RSA1_5", "RSA-OAEP", "RSA-OAEP-256"},
	"RSA 3072": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "RSA1_5", "RSA-OAEP", "RSA-OAEP-256"},
	"RSA 4096": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "RSA1_5", "RSA-OAEP", "RSA-OAEP-256"},
	"P-256":    {"ES256"},
	"P-384":    {"ES384"},
	"P-521":    {"ES512"},
}

func TestEachKeyHasTheAlgorithmsOfItsTypeAndNoOther(t *testing.T) {
	for _, spec := range specs {
		var got []string
		for _, name := range append(append([]string{"", "none", "HS256", "es256", "ES256K", "RSNULL"}, signatures...), encryptions...) {
			for _, op := range []keys.Operation{keys.Sign, keys.Encrypt} {
				switch _, err := keys.FindAlgorithm(name, op, spec); {
				case err == nil:
					got = append(got, name)
				case !fault.Is(err, fault.Invalid):
					t.Errorf("%s with %s: %v", name, spec, err)
				}
			}
		}

		if strings.Join(got, " ") != strings.Join(known[spec.String()], " ") {
			t.Errorf("%s: has %v, want %v", spec, got, known[spec.String()])
		}
	}
}

func TestAlgorithmsDoOnlyWhatTheyAreFor(t *testing.T) {
	for _, c := range []struct {
		name string
		op   keys.Operation
	}{
		{"RS256", keys.Encrypt}, {"RS256", keys.UnwrapKey}, {"RSA-OAEP", keys.Sign}, {"RSA1_5", keys.Verify}, {"RS256", "release"}, {"RSA-OAEP", ""},
	} {
		if _, err := keys.FindAlgorithm(c.name, c.op, specs[0]); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s is allowed to %q: %v", c.name, c.op, err)
		}
	}
}

func TestWhatOneKeySignsNoOtherVerifies(t *testing.T) {
	for _, spec := range specs {
		key, other := newKey(t, spec), newKey(t, spec)
		for _, name := range signatures {
			a, err := keys.FindAlgorithm(name, keys.Sign, spec)
			if err != nil {
				continue
			}
			digest := make([]byte, a.Hash.Size())
			_, _ = rand.Read(digest)

			sig, err := a.Sign(key, digest)
			if err != nil {
				t.Fatalf("%s with %s: %v", name, spec, err)
			}

			if !verifies(t, a, key.Public(), digest, sig) {
				t.Errorf("%s with %s: a good signature is refused", name, spec)
			}
			if verifies(t, a, other.Public(), digest, sig) {
				t.Errorf("%s with %s: another key's signature is accepted", name, spec)
			}
			for what, bad := range map[string][]byte{
				"flipped": flip(sig), "cut": sig[:len(sig)-1], "longer": append(bytes.Clone(sig), 0), "empty": nil, "zeros": make([]byte, len(sig)),
				"stretched": slices.Concat(sig[:len(sig)/2], []byte{0}, sig[len(sig)/2:]),
			} {
				if verifies(t, a, key.Public(), digest, bad) {
					t.Errorf("%s with %s: a signature that is %s is accepted", name, spec, what)
				}
			}
			if verifies(t, a, key.Public(), flip(digest), sig) {
				t.Errorf("%s with %s: the signature of another digest is accepted", name, spec)
			}
		}
	}
}

func TestECSignaturesAlwaysHaveTheLengthOfTwoNumbers(t *testing.T) {
	for name, want := range map[string]int{"P-256": 64, "P-384": 96, "P-521": 132} {
		spec := keystore.Spec{Type: keystore.EC, Curve: name}
		key := newKey(t, spec)
		a, err := keys.FindAlgorithm(known[name][0], keys.Sign, spec)
		if err != nil {
			t.Fatal(err)
		}

		for range 300 { // one in 128 has a number that is a byte shorter
			sig, err := a.Sign(key, make([]byte, a.Hash.Size()))
			if err != nil || len(sig) != want || !verifies(t, a, key.Public(), make([]byte, a.Hash.Size()), sig) {
				t.Fatalf("%s: %d bytes, %v; want %d", name, len(sig), err, want)
			}
		}
	}
}

func TestDigestsOfTheWrongLengthAreRefused(t *testing.T) {
	for _, spec := range []keystore.Spec{specs[0], specs[3], specs[4], specs[5]} {
		key := newKey(t, spec)
		for _, name := range signatures {
			a, err := keys.FindAlgorithm(name, keys.Sign, spec)
			if err != nil {
				continue
			}
			for _, n := range []int{0, a.Hash.Size() - 1, a.Hash.Size() + 1} {
				if _, err := a.Sign(key, make([]byte, n)); !fault.Is(err, fault.Invalid) {
					t.Errorf("%s signed %d bytes: %v", name, n, err)
				}
				if _, err := a.Verify(key.Public(), make([]byte, n), nil); !fault.Is(err, fault.Invalid) {
					t.Errorf("%s verified %d bytes: %v", name, n, err)
				}
			}
		}
	}
}

func TestTheLongestValueIsEncryptedAndOneByteMoreRefused(t *testing.T) {
	most := map[string]int{"RSA1_5": 256 - 11, "RSA-OAEP": 256 - 42, "RSA-OAEP-256": 256 - 66}
	key := newKey(t, specs[0])
	for name, n := range most {
		a, err := keys.FindAlgorithm(name, keys.WrapKey, specs[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, 32, n} {
			want := make([]byte, size)
			_, _ = rand.Read(want)

			c, err := a.Encrypt(key.Public(), want)
			if err != nil {
				t.Fatalf("%s: %d bytes: %v", name, size, err)
			}
			got, err := a.Decrypt(key, c)

			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes: decrypted %x, %v", name, size, got, err)
			}
		}
		if _, err := a.Encrypt(key.Public(), make([]byte, n+1)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "at most") {
			t.Errorf("%s: %d bytes: %v", name, n+1, err)
		}
	}
}

func TestEveryBadCiphertextGetsTheSameAnswer(t *testing.T) {
	key, other := newKey(t, specs[0]), newKey(t, specs[0])
	answers := map[string]bool{}
	for _, name := range encryptions {
		a, err := keys.FindAlgorithm(name, keys.Decrypt, specs[0])
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := a.Encrypt(other.Public(), []byte("for another"))
		if err != nil {
			t.Fatal(err)
		}
		own, err := a.Encrypt(key.Public(), []byte("for this"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range [][]byte{nil, {1}, flip(own), own[1:], own[:255], append(bytes.Clone(own), 0), bytes.Repeat([]byte{0}, 256), bytes.Repeat([]byte{255}, 256), make([]byte, 4096), foreign} {
			got, err := a.Decrypt(key, c)
			if !fault.Is(err, fault.Invalid) || got != nil {
				t.Errorf("%s: %d bytes: decrypted %x, %v", name, len(c), got, err)
				continue
			}
			answers[err.Error()] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("what is wrong with a ciphertext can be told from %v", answers)
	}
}

func TestAnHSMThatIsAwayIsNoBadCiphertext(t *testing.T) {
	a, err := keys.FindAlgorithm("RSA-OAEP", keys.Decrypt, specs[0])
	if err != nil {
		t.Fatal(err)
	}

	_, err = a.Decrypt(away{newKey(t, specs[0])}, make([]byte, 256))

	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("answered %v", err)
	}
}

// away is a key whose store cannot be reached.
type away struct{ keystore.Private }

func (away) Decrypt(_ io.Reader, _ []byte, _ crypto.DecrypterOpts) ([]byte, error) {
	return nil, fault.New(fault.Unavailable, "", "the HSM is away")
}

func newKey(t *testing.T, spec keystore.Spec) keystore.Private {
	t.Helper()
	s := keystore.NewSoftware()
	m, _, err := s.Generate(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func verifies(t *testing.T, a keys.Algorithm, pub crypto.PublicKey, digest, sig []byte) bool {
	t.Helper()
	ok, err := a.Verify(pub, digest, sig)
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
