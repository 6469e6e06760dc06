package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/mldsa"
	"crypto/rsa"
	"fmt"
	"slices"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore/p256k"
)

// Type is a key type without its protection, in the words of JSON Web Keys: kty.
type Type string

// The key types.
const (
	RSA Type = "RSA"
	EC  Type = "EC"
	Oct Type = "oct" // symmetric
	AKP Type = "AKP" // post-quantum: the algorithm is part of the key
)

// Spec is the key to make.
type Spec struct {
	Type      Type
	Bits      int    // RSA: 2048, 3072, 4096; oct: 128 to 512
	Curve     string // EC: P-256, P-384, P-521, P-256K
	Algorithm string // AKP: ML-DSA-44, ML-DSA-65, ML-DSA-87; of roots also slhdsa.Names
}

func (s Spec) String() string {
	switch s.Type {
	case EC, OKP, "":
		return s.Curve
	case AKP:
		return s.Algorithm
	}
	return fmt.Sprintf("%s %d", s.Type, s.Bits)
}

// The sizes of symmetric keys: AES takes 128, 192 and 256 bits, HMAC any of them.
const (
	minSecret = 128
	maxSecret = 512
)

// Check says whether such a key can be made or imported: fault.Invalid names the sizes
// and curves that can.
func (s Spec) Check() error {
	switch s.Type {
	case RSA:
		switch s.Bits {
		case 2048, 3072, 4096:
			return nil
		}
		return fault.New(fault.Invalid, "BadParameter", "An RSA key of %d bits is not supported; use 2048, 3072 or 4096.", s.Bits)
	case EC:
		if _, ok := CurveNamed(s.Curve); ok {
			return nil
		}
		return fault.New(fault.Invalid, "BadParameter", "Curve %.20q is not supported; use P-256, P-384, P-521 or P-256K.", s.Curve)
	case Oct:
		if s.Bits >= minSecret && s.Bits <= maxSecret && s.Bits%8 == 0 {
			return nil
		}
		return fault.New(fault.Invalid, "BadParameter", "An oct key of %d bits is not supported; use 128, 192 or 256 for AES, and up to 512 for HMAC.", s.Bits)
	case AKP:
		if _, ok := parametersNamed(s.Algorithm); ok {
			return nil
		}
		return fault.New(fault.Invalid, "BadParameter", "Algorithm (alg) %.20q of an AKP key is not supported; use ML-DSA-44, ML-DSA-65 or ML-DSA-87.", s.Algorithm)
	}
	return fault.New(fault.Invalid, "BadParameter", "Key type %.20q is not supported; use RSA, EC, oct or AKP.", string(s.Type))
}

// CheckX509 is Check for a key that our own CA shall certify: crypto/x509 knows neither
// secp256k1 nor, of course, symmetric keys, and no profile has ML-DSA.
func (s Spec) CheckX509() error {
	if err := s.Check(); err != nil {
		return err
	}
	if s.Type == RSA || s.Type == EC && s.Curve != "P-256K" {
		return nil
	}
	return fault.New(fault.Invalid, "BadParameter", "A certificate cannot have a key of type %s; use RSA 2048, 3072 or 4096, or P-256, P-384 or P-521.", s)
}

// parametersNamed are the parameters of an ML-DSA algorithm, and whether there is one.
func parametersNamed(name string) (mldsa.Parameters, bool) {
	all := []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()}
	i := slices.IndexFunc(all, func(p mldsa.Parameters) bool { return p.String() == name })
	if i < 0 {
		return mldsa.Parameters{}, false
	}
	return all[i], true
}

// PostQuantum reads the public key of an AKP algorithm, an *mldsa.PublicKey.
func PostQuantum(algorithm string, pub []byte) (crypto.PublicKey, error) {
	p, ok := parametersNamed(algorithm)
	if !ok {
		return nil, Spec{Type: AKP, Algorithm: algorithm}.Check()
	}
	return mldsa.NewPublicKey(p, pub)
}

// PostQuantumPrivate reads the seed of an AKP algorithm, an *mldsa.PrivateKey.
func PostQuantumPrivate(algorithm string, seed []byte) (crypto.Signer, error) {
	p, ok := parametersNamed(algorithm)
	if !ok {
		return nil, Spec{Type: AKP, Algorithm: algorithm}.Check()
	}
	return mldsa.NewPrivateKey(p, seed)
}

// SpecOf describes a public key. fault.Invalid when no keystore could hold its private
// half: another type, size or curve.
func SpecOf(pub crypto.PublicKey) (Spec, error) {
	var s Spec
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k.N == nil {
			return s, fault.New(fault.Invalid, "BadParameter", "The RSA key has no modulus.")
		}
		s = Spec{Type: RSA, Bits: k.N.BitLen()}
	case *ecdsa.PublicKey:
		if k.Curve == nil {
			return s, fault.New(fault.Invalid, "BadParameter", "The EC key has no curve.")
		}
		s = Spec{Type: EC, Curve: k.Curve.Params().Name}
	case *p256k.PublicKey:
		s = Spec{Type: EC, Curve: "P-256K"}
	case *mldsa.PublicKey:
		s = Spec{Type: AKP, Algorithm: k.Parameters().String()}
	default:
		return s, fault.New(fault.Invalid, "BadParameter", "The key is neither RSA, EC nor ML-DSA; no other type is supported.")
	}
	return s, s.Check()
}

// SpecOfKey describes a private or symmetric key, as SpecOf a public one.
func SpecOfKey(key crypto.PrivateKey) (Spec, error) {
	switch k := key.(type) {
	case Secret:
		s := Spec{Type: Oct, Bits: 8 * len(k)}
		return s, s.Check()
	case crypto.Signer:
		return SpecOf(k.Public())
	}
	return Spec{}, fault.New(fault.Invalid, "BadParameter", "The key is neither a private key of type RSA, EC or ML-DSA nor a symmetric one.")
}
