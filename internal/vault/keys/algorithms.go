package keys

import (
	"crypto"
	_ "crypto/sha1"   //nolint:gosec // RSA-OAEP is defined with it, and does not rest on its collision resistance
	_ "crypto/sha256" // RS256, PS256, ES256, RSA-OAEP-256
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
// zero value is of no use; FindAlgorithm returns those that exist.
type Algorithm struct {
	Name  string
	Type  keystore.Type
	Curve string      // EC: the one curve that the name stands for
	Hash  crypto.Hash // of the digest to sign, or inside OAEP; 0 for none

	signature  *signature  // nil unless it signs
	encryption *encryption // nil unless it encrypts
}

// algorithms is everything a key can do. A new algorithm is a line here, and the two
// functions of its scheme.
var algorithms = [...]Algorithm{
	{"RS256", keystore.RSA, "", crypto.SHA256, &pkcs1Signature, nil},
	{"RS384", keystore.RSA, "", crypto.SHA384, &pkcs1Signature, nil},
	{"RS512", keystore.RSA, "", crypto.SHA512, &pkcs1Signature, nil},
	{"PS256", keystore.RSA, "", crypto.SHA256, &pssSignature, nil},
	{"PS384", keystore.RSA, "", crypto.SHA384, &pssSignature, nil},
	{"PS512", keystore.RSA, "", crypto.SHA512, &pssSignature, nil},
	{"ES256", keystore.EC, "P-256", crypto.SHA256, &ecdsaSignature, nil},
	{"ES384", keystore.EC, "P-384", crypto.SHA384, &ecdsaSignature, nil},
	{"ES512", keystore.EC, "P-521", crypto.SHA512, &ecdsaSignature, nil},
	{"RSA1_5", keystore.RSA, "", 0, nil, &pkcs1Encryption},
	{"RSA-OAEP", keystore.RSA, "", crypto.SHA1, nil, &oaepEncryption},
	{"RSA-OAEP-256", keystore.RSA, "", crypto.SHA256, nil, &oaepEncryption},
}

// FindAlgorithm returns the algorithm of a name, for an operation and a key. The error,
// fault.Invalid, lists those that the key has for this operation.
func FindAlgorithm(name string, op Operation, key keystore.Spec) (Algorithm, error) {
	var fit []string
	for _, a := range algorithms {
		if !a.does(op) || !a.fits(key) {
			continue
		}
		if a.Name == name {
			return a, nil
		}
		fit = append(fit, a.Name)
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
	case Encrypt, Decrypt, WrapKey, UnwrapKey:
		return a.encryption != nil
	}
	return false
}

func (a Algorithm) fits(key keystore.Spec) bool {
	return a.Type == key.Type && (a.Curve == "" || a.Curve == key.Curve)
}

// operationsOf lists what a key of this type can do when nobody restricts it, in the
// order in which Key Vault answers.
func operationsOf(t keystore.Type) []Operation {
	var ops []Operation
	for _, op := range []Operation{Encrypt, Decrypt, Sign, Verify, WrapKey, UnwrapKey} {
		if slices.ContainsFunc(algorithms[:], func(a Algorithm) bool { return a.Type == t && a.does(op) }) {
			ops = append(ops, op)
		}
	}
	return ops
}
