// Package algorithm is what can be done with a key: one table of algorithms by their JSON
// Web Algorithms names, and the scheme that each of them is.
package algorithm

import (
	"crypto"
	_ "crypto/sha1"   //nolint:gosec // RSA-OAEP is defined with it, and does not rest on its collision resistance
	_ "crypto/sha256" // RS256, PS256, ES256, HS256, RSA-OAEP-256
	_ "crypto/sha512" // the 384 and 512 of each
	"slices"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

// Operation is one use of a key, in the words of key_ops (RFC 7517 section 4.3).
type Operation string

// The operations that a key can be made for.
const (
	Encrypt   Operation = "encrypt"
	Decrypt   Operation = "decrypt"
	Sign      Operation = "sign"
	Verify    Operation = "verify"
	WrapKey   Operation = "wrapKey"
	UnwrapKey Operation = "unwrapKey"
)

// Algorithm is one way to use a key, by its JSON Web Algorithms name (RFC 7518). The
// zero value is of no use; Find returns those that exist.
type Algorithm struct {
	Name string
	Key  keystore.Spec // of the keys that it fits; a zero field fits any
	Hash crypto.Hash   // of the digest to sign, or inside OAEP and HMAC; 0 for none

	signature  *signature  // nil unless it signs
	encryption *encryption // nil unless it encrypts or wraps
}

// The keys that an algorithm fits.
var (
	anyRSA = keystore.Spec{Type: keystore.RSA}
	anyOct = keystore.Spec{Type: keystore.Oct}
	oct128 = keystore.Spec{Type: keystore.Oct, Bits: 128}
	oct192 = keystore.Spec{Type: keystore.Oct, Bits: 192}
	oct256 = keystore.Spec{Type: keystore.Oct, Bits: 256}
	p256   = keystore.Spec{Type: keystore.EC, Curve: "P-256"}
	p384   = keystore.Spec{Type: keystore.EC, Curve: "P-384"}
	p521   = keystore.Spec{Type: keystore.EC, Curve: "P-521"}
	p256K  = keystore.Spec{Type: keystore.EC, Curve: "P-256K"}
)

// algorithms is everything a key can do. A new algorithm is a line here, and the
// functions of its scheme.
var algorithms = [...]Algorithm{
	{"RS256", anyRSA, crypto.SHA256, &pkcs1Signature, nil},
	{"RS384", anyRSA, crypto.SHA384, &pkcs1Signature, nil},
	{"RS512", anyRSA, crypto.SHA512, &pkcs1Signature, nil},
	{"PS256", anyRSA, crypto.SHA256, &pssSignature, nil},
	{"PS384", anyRSA, crypto.SHA384, &pssSignature, nil},
	{"PS512", anyRSA, crypto.SHA512, &pssSignature, nil},
	{"ES256", p256, crypto.SHA256, &ecdsaSignature, nil},
	{"ES384", p384, crypto.SHA384, &ecdsaSignature, nil},
	{"ES512", p521, crypto.SHA512, &ecdsaSignature, nil},
	{"ES256K", p256K, crypto.SHA256, &ecdsaSignature, nil}, // RFC 8812
	{"HS256", anyOct, crypto.SHA256, &hmacSignature, nil},
	{"HS384", anyOct, crypto.SHA384, &hmacSignature, nil},
	{"HS512", anyOct, crypto.SHA512, &hmacSignature, nil},
	{"ML-DSA-44", keystore.Spec{Type: keystore.AKP, Algorithm: "ML-DSA-44"}, 0, &mldsaSignature, nil},
	{"ML-DSA-65", keystore.Spec{Type: keystore.AKP, Algorithm: "ML-DSA-65"}, 0, &mldsaSignature, nil},
	{"ML-DSA-87", keystore.Spec{Type: keystore.AKP, Algorithm: "ML-DSA-87"}, 0, &mldsaSignature, nil},

	{"RSA1_5", anyRSA, 0, nil, &pkcs1Encryption},
	{"RSA-OAEP", anyRSA, crypto.SHA1, nil, &oaepEncryption},
	{"RSA-OAEP-256", anyRSA, crypto.SHA256, nil, &oaepEncryption},
	{"A128GCM", oct128, 0, nil, &gcmEncryption},
	{"A192GCM", oct192, 0, nil, &gcmEncryption},
	{"A256GCM", oct256, 0, nil, &gcmEncryption},
	{"A128CBC", oct128, 0, nil, &cbcEncryption},
	{"A192CBC", oct192, 0, nil, &cbcEncryption},
	{"A256CBC", oct256, 0, nil, &cbcEncryption},
	{"A128CBCPAD", oct128, 0, nil, &cbcPadEncryption},
	{"A192CBCPAD", oct192, 0, nil, &cbcPadEncryption},
	{"A256CBCPAD", oct256, 0, nil, &cbcPadEncryption},
	{"A128KW", oct128, 0, nil, &keyWrapping},
	{"A192KW", oct192, 0, nil, &keyWrapping},
	{"A256KW", oct256, 0, nil, &keyWrapping},
	{"CKM_AES_KEY_WRAP", oct128, 0, nil, &keyWrapping},
	{"CKM_AES_KEY_WRAP", oct192, 0, nil, &keyWrapping},
	{"CKM_AES_KEY_WRAP", oct256, 0, nil, &keyWrapping},
	{"CKM_AES_KEY_WRAP_PAD", oct128, 0, nil, &keyWrappingPad},
	{"CKM_AES_KEY_WRAP_PAD", oct192, 0, nil, &keyWrappingPad},
	{"CKM_AES_KEY_WRAP_PAD", oct256, 0, nil, &keyWrappingPad},
}

// Find returns the algorithm of a name, for an operation and a key. An AKP key has only
// one, and the name may be left out. The error, fault.Invalid, lists those that the key
// has for this operation.
func Find(name string, op Operation, key keystore.Spec) (Algorithm, error) {
	for _, a := range algorithms {
		if (a.Name == name || name == "" && key.Type == keystore.AKP) && a.does(op) && a.fits(key) {
			return a, nil
		}
	}
	var fit []string
	for _, a := range algorithms {
		if a.does(op) && a.fits(key) {
			fit = append(fit, a.Name)
		}
	}
	if fit == nil {
		return Algorithm{}, fault.New(fault.Invalid, "BadParameter", "A key of type %s cannot %s; use a key of another type.", key, op)
	}
	return Algorithm{}, fault.New(fault.Invalid, "BadParameter", "Algorithm %.40q cannot be used to %s with a key of type %s; use one of %q.", name, op, key, fit)
}

func (a Algorithm) does(op Operation) bool {
	switch op {
	case Sign, Verify:
		return a.signature != nil
	case Encrypt, Decrypt:
		return a.encryption != nil && a.encryption.encrypts
	case WrapKey, UnwrapKey:
		return a.encryption != nil && a.encryption.wraps
	}
	return false
}

func (a Algorithm) fits(key keystore.Spec) bool {
	k := a.Key
	return k.Type == key.Type && (k.Bits == 0 || k.Bits == key.Bits) &&
		(k.Curve == "" || k.Curve == key.Curve) && (k.Algorithm == "" || k.Algorithm == key.Algorithm)
}

// Operations lists what a key can do, in the order in which Key Vault answers.
func Operations(key keystore.Spec) []Operation {
	var ops []Operation
	for _, op := range []Operation{Encrypt, Decrypt, Sign, Verify, WrapKey, UnwrapKey} {
		if slices.ContainsFunc(algorithms[:], func(a Algorithm) bool { return a.does(op) && a.fits(key) }) {
			ops = append(ops, op)
		}
	}
	return ops
}

// Defaults lists what a key may do when nobody says: all that it can, but that a symmetric
// key which encrypts is not one for signatures as well, unless asked for.
func Defaults(key keystore.Spec) []Operation {
	ops := Operations(key)
	if key.Type != keystore.Oct || !slices.Contains(ops, Encrypt) {
		return ops
	}
	return slices.DeleteFunc(ops, func(op Operation) bool { return op == Sign || op == Verify })
}

// IsPublic reports whether the public half of a key of this type is enough for an operation.
func IsPublic(op Operation, key keystore.Type) bool {
	return key != keystore.Oct && (op == Encrypt || op == Verify || op == WrapKey)
}

// Input is what an operation works on.
type Input struct {
	Value []byte // a plaintext, ciphertext, digest or message
	IV    []byte // AES
	AAD   []byte // AES-GCM: data that is authenticated, not encrypted
	Tag   []byte // AES-GCM, to decrypt

	Context []byte // ML-DSA: what the signature is for (FIPS 204 section 5.2)
	Mu      []byte // ML-DSA: the message already hashed (section 6.2), when not nil; then Value is empty
}

// Output is what an operation answers: of AES also what else is needed to decrypt.
type Output struct{ Value, IV, AAD, Tag []byte }

// Key is the key that an algorithm works with; it has been matched to the algorithm.
type Key struct {
	Spec   keystore.Spec
	Public crypto.PublicKey                 // nil for oct
	Open   func() (keystore.Private, error) // called by those who need more than the public half
}
