// Package wycheproof_test sends the vectors of project Wycheproof, which collect what
// implementations got wrong, through the front door: each key is imported and each vector
// is a request. It is a package of its own because the vectors weigh a hundred megabytes.
package wycheproof_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/c2sp/wycheproof"

	door "chatelaine.dev/internal/serve/keyvault/keys"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// files are all vector files with something that an operation of the vault does.
var files = map[string]func(r *run, g group){
	"rsa_signature_2048_sha256": verify, "rsa_signature_2048_sha384": verify, "rsa_signature_2048_sha512": verify,
	"rsa_signature_3072_sha256": verify, "rsa_signature_3072_sha384": verify, "rsa_signature_3072_sha512": verify,
	"rsa_signature_4096_sha256": verify, "rsa_signature_4096_sha384": verify, "rsa_signature_4096_sha512": verify,

	"rsa_pss_2048_sha256_mgf1_0": verify, "rsa_pss_2048_sha256_mgf1_0_params": verify,
	"rsa_pss_2048_sha256_mgf1_32": verify, "rsa_pss_2048_sha256_mgf1_32_params": verify,
	"rsa_pss_2048_sha384_mgf1_48": verify, "rsa_pss_3072_sha256_mgf1_32": verify, "rsa_pss_3072_sha256_mgf1_32_params": verify,
	"rsa_pss_4096_sha256_mgf1_32": verify, "rsa_pss_4096_sha384_mgf1_48": verify,
	"rsa_pss_4096_sha512_mgf1_32": verify, "rsa_pss_4096_sha512_mgf1_32_params": verify,
	"rsa_pss_4096_sha512_mgf1_64": verify, "rsa_pss_4096_sha512_mgf1_64_params": verify,
	"rsa_pss_misc": verify, "rsa_pss_misc_params": verify,

	"ecdsa_secp256r1_sha256_p1363": verify, "ecdsa_secp384r1_sha384_p1363": verify,
	"ecdsa_secp521r1_sha512_p1363": verify, "ecdsa_secp256k1_sha256_p1363": verify,

	"rsa_pkcs1_2048_sig_gen": sign, "rsa_pkcs1_3072_sig_gen": sign, "rsa_pkcs1_4096_sig_gen": sign,

	"rsa_pkcs1_2048": decrypt, "rsa_pkcs1_3072": decrypt, "rsa_pkcs1_4096": decrypt,
	"rsa_oaep_2048_sha1_mgf1sha1": decrypt, "rsa_oaep_2048_sha256_mgf1sha256": decrypt,
	"rsa_oaep_3072_sha256_mgf1sha256": decrypt, "rsa_oaep_4096_sha256_mgf1sha256": decrypt, "rsa_oaep_misc": decrypt,
	"rsa_three_primes_oaep_2048_sha1_mgf1sha1": decrypt, "rsa_three_primes_oaep_4096_sha256_mgf1sha256": decrypt,

	"aes_gcm": symmetric, "aes_gmac": symmetric, "aes_cbc_pkcs5": symmetric, "aes_wrap": symmetric, "aes_kwp": symmetric,

	"hmac_sha256": authenticate, "hmac_sha384": authenticate, "hmac_sha512": authenticate,

	"mldsa_44_verify": verifyPostQuantum, "mldsa_65_verify": verifyPostQuantum, "mldsa_87_verify": verifyPostQuantum,
	"mldsa_44_sign_seed": signPostQuantum, "mldsa_65_sign_seed": signPostQuantum, "mldsa_87_sign_seed": signPostQuantum,
	"mldsa_44_sign_noseed": signPostQuantum, "mldsa_65_sign_noseed": signPostQuantum, "mldsa_87_sign_noseed": signPostQuantum,
}

// ran is how many vectors the files have for us; a file that is read wrongly shows here.
const ran = 8743

func TestEveryVectorGetsItsAnswerThroughTheDoor(t *testing.T) {
	h := keyvaulttest.Start(t, func(d object.Deps) []wire.Operation {
		return door.Operations(door.Services{Keys: keys.New(d, keystore.NewSoftware())})
	})
	var mu sync.Mutex
	total, left, chosen := 0, map[string]int{}, map[string]int{}
	t.Run("files", func(t *testing.T) {
		for name, play := range files {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := &run{T: t, h: h, file: name, left: map[string]int{}, chosen: map[string]int{}, refusals: map[string]int{}}
				for i, g := range load(t, name) {
					r.key = fmt.Sprintf("%s-%d", strings.ReplaceAll(name, "_", "-"), i)
					play(r, g)
				}
				if len(r.refusals) > 1 {
					t.Errorf("what is wrong with a ciphertext can be told from the answers: %v", r.refusals)
				}
				mu.Lock()
				defer mu.Unlock()
				total += r.ran
				for why, n := range r.left {
					left[why] += n
				}
				for name, n := range r.chosen {
					chosen[name] += n
				}
			})
		}
	})

	t.Logf("%d vectors of %d files went through the door; by choice: %v; no operation for: %v", total, len(files), chosen, left)
	if total != ran {
		t.Errorf("ran %d vectors, want %d", total, ran)
	}
	for _, c := range choices {
		if chosen[c.name] == 0 {
			t.Errorf("no vector is decided by the choice %q: take it out", c.name)
		}
	}
}

// choice is our answer to vectors that Wycheproof calls acceptable, or that are valid for
// an operation with more parameters than ours. docs/operate/vault.md has the same list.
type choice struct {
	name   string
	file   string // prefix of the files that it is for
	fits   func(g group, v vector) bool
	accept bool
	why    string
}

var choices = []choice{
	{"missing NULL", "rsa_signature", flagged("MissingNull"), false, "RFC 8017 wants the NULL of the algorithm identifier; without it a signature has two forms"},
	{"three primes with e = 3", "rsa_pkcs1", flagged("SmallPublicKey"), false, "as three primes"},
	{"another salt length", "rsa_pss", func(g group, v vector) bool {
		return g.SaltLength != hashes[g.Hash].size && !strings.HasPrefix(v.Comment, "s_len changed to")
	}, false, "PS256, PS384 and PS512 have a salt as long as the hash (RFC 7518 section 3.5)"},
	{"the salt length of ours", "rsa_pss", func(g group, v vector) bool {
		return g.SaltLength != hashes[g.Hash].size && v.Comment == fmt.Sprintf("s_len changed to %d", hashes[g.Hash].size)
	}, true, "what is the wrong salt for the vector's algorithm is the right one for PS256 and PS512"},
	{"label", "rsa_oaep", func(_ group, v vector) bool { return len(v.Label) > 0 }, false, "no operation has an OAEP label (RFC 7518 section 4.3)"},
	{"three primes", "rsa_three", func(_ group, _ vector) bool { return true }, false, "keys of three primes are refused at import: nobody makes them, and each prime is shorter than the key's size promises"},
	{"IV of another length", "aes_g", func(g group, _ vector) bool { return g.IVSize != 96 }, false, "the vault makes IVs of 96 bits, and others are hashed, which lets two collide"},
	{"short key", "aes_wrap", flagged("ShortKey"), false, "RFC 3394 wraps two blocks or more"},
	{"truncated MAC", "hmac", func(g group, _ vector) bool { return g.TagSize != 8*hashes[g.Hash].size }, false, "HS256, HS384 and HS512 are never truncated (RFC 7518 section 3.2)"},
	{"HMAC key of 520 bits or more", "hmac", func(g group, _ vector) bool { return g.KeySize > 512 }, false, "Key Vault's symmetric keys have 64 bytes at most"},
}

func flagged(flag string) func(group, vector) bool {
	return func(_ group, v vector) bool {
		for _, f := range v.Flags {
			if f == flag {
				return v.Result == "acceptable"
			}
		}
		return false
	}
}

// run is a file on its way through the door.
type run struct {
	*testing.T
	h    http.Handler
	file string
	key  string // the name of the group's key

	ran      int
	left     map[string]int // vectors for which there is no operation, by reason
	chosen   map[string]int // vectors that a choice decided
	refusals map[string]int // messages to ciphertexts that do not decrypt
}

// want reports whether a vector must be accepted, and counts it.
func (r *run) want(g group, v vector) bool {
	r.ran++
	for _, c := range choices {
		if strings.HasPrefix(r.file, c.file) && c.fits(g, v) {
			r.chosen[c.name]++
			return c.accept
		}
	}
	if v.Result == "acceptable" {
		r.Errorf("vector %d, %s: acceptable, and no choice was made", v.ID, v.Comment)
	}
	return v.Result == "valid"
}

// none counts the vectors of a group that no operation of the vault is for.
func (r *run) none(g group, why string) { r.left[why] += len(g.Tests) }

func (r *run) wrong(v vector, format string, args ...any) {
	r.Helper()
	r.Errorf("vector %d, %s (%s): %s", v.ID, v.Comment, v.Result, fmt.Sprintf(format, args...))
}

// answer is what the door says.
type answer struct {
	status int
	Value  json.RawMessage `json:"value"` // a string, or a boolean of verify
	IV     b64             `json:"iv"`
	Tag    b64             `json:"tag"`
	Error  struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// bytes are the value of an operation that succeeded.
func (a answer) bytes() (b b64) {
	if a.status != http.StatusOK || json.Unmarshal(a.Value, &b) != nil {
		return nil
	}
	return b
}

// do sends a request about the key of the group.
func (r *run) do(method, operation string, body any) answer {
	r.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		r.Fatal(err)
	}
	w := keyvaulttest.Do(r.h, method, "/keys/"+r.key+operation+"?api-version=2026-05-01-preview", string(data))
	a := answer{status: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		r.Fatalf("%s: %v", operation, err)
	}
	if a.status != http.StatusOK && (a.status != http.StatusBadRequest || a.Error.Code != "BadParameter") {
		r.Fatalf("%s answers %d %v", operation, a.status, a.Error)
	}
	return a
}

type fields map[string]any

// imported imports a key; the answer may be a refusal.
func (r *run) imported(jwk any, operations ...string) answer {
	r.Helper()
	var k fields
	data, err := json.Marshal(jwk)
	if err != nil {
		r.Fatal(err)
	}
	if err := json.Unmarshal(data, &k); err != nil {
		r.Fatal(err)
	}
	if operations != nil {
		k["key_ops"] = operations
	}
	return r.do("PUT", "", fields{"key": k})
}

// verified sends a signature, and reports whether it was accepted.
func (r *run) verified(v vector, body fields) bool {
	r.Helper()
	a := r.do("POST", "/verify", body)
	if a.status != http.StatusOK {
		r.wrong(v, "verify answers %d %s", a.status, a.Error.Message)
	}
	return string(a.Value) == "true"
}

// group is what we read of a group of vectors.
type group struct {
	Hash       string          `json:"sha"`
	MaskHash   string          `json:"mgfSha"`
	SaltLength int             `json:"sLen"`
	KeySize    int             `json:"keySize"`
	IVSize     int             `json:"ivSize"`
	TagSize    int             `json:"tagSize"`
	Public     json.RawMessage `json:"publicKey"` // an object, or hex
	PublicJWK  json.RawMessage `json:"publicKeyJwk"`
	KeyJWK     json.RawMessage `json:"keyJwk"`
	Private    json.RawMessage `json:"privateKey"`
	PrivateJWK json.RawMessage `json:"privateKeyJwk"`
	Seed       *hexBytes       `json:"privateSeed"`
	Tests      []vector        `json:"tests"`
}

type vector struct {
	ID         int       `json:"tcId"`
	Comment    string    `json:"comment"`
	Flags      []string  `json:"flags"`
	Key        hexBytes  `json:"key"`
	IV         hexBytes  `json:"iv"`
	AAD        hexBytes  `json:"aad"`
	Message    hexBytes  `json:"msg"`
	Context    hexBytes  `json:"ctx"`
	Mu         *hexBytes `json:"mu"`
	Signature  hexBytes  `json:"sig"`
	Ciphertext hexBytes  `json:"ct"`
	Tag        hexBytes  `json:"tag"`
	Label      hexBytes  `json:"label"`
	Result     string    `json:"result"` // valid, invalid, acceptable
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// MarshalText writes base64url, as the door reads it.
func (h hexBytes) MarshalText() ([]byte, error) { return b64(h).MarshalText() }

type b64 []byte

func (b b64) MarshalText() ([]byte, error) { return base64.RawURLEncoding.AppendEncode(nil, b), nil }

func (b *b64) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.AppendDecode([]byte{}, text)
	return err
}

func load(t *testing.T, name string) []group {
	t.Helper()
	data, err := fs.ReadFile(wycheproof.TestVectors, name+"_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Groups []group `json:"testGroups"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f.Groups
}
