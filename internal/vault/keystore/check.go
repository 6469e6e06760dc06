package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/mldsa"
	"crypto/rsa"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore/p256k"
)

// primalityRounds leaves a chance below 4^-20 that a composite passes for a prime, even
// one made to deceive (ProbablyPrime adds a Baillie-PSW test).
const primalityRounds = 20

// check holds an imported key to what Generate would have made. The size or curve has
// been checked before. Messages tell what is wrong, never a value of the key.
func check(key crypto.PrivateKey) error {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return checkRSA(k)
	case *ecdsa.PrivateKey:
		return checkEC(k)
	case *p256k.PrivateKey, *mldsa.PrivateKey, Secret:
		return nil // these cannot be made of parts that do not belong together
	}
	return fault.New(fault.Invalid, "BadParameter", "The key to import is not a private key of type RSA, EC or ML-DSA, nor a symmetric key.")
}

// checkRSA wants n = p·q of two primes of the same length, far enough apart, every
// exponent to fit them (RFC 8017 section 3.2), and nothing that is known to be weak.
func checkRSA(k *rsa.PrivateKey) error {
	if len(k.Primes) != 2 {
		return fault.New(fault.Invalid, "BadParameter", "The RSA key has %d primes; a key with exactly the primes p and q is needed.", len(k.Primes))
	}
	if err := k.Validate(); err != nil {
		return fault.Wrap(err, fault.Invalid, "BadParameter", "The parts of the RSA key do not belong together; export it again with n, e, d, p, q, dp, dq and qi.")
	}
	for _, p := range k.Primes {
		if p.BitLen()*2 != k.N.BitLen() {
			return fault.New(fault.Invalid, "BadParameter", "The primes of the RSA key differ in length; make a new key.")
		}
		if !p.ProbablyPrime(primalityRounds) {
			return fault.New(fault.Invalid, "BadParameter", "The RSA key is made of numbers that are not prime; make a new key.")
		}
	}
	return CheckWeak(&k.PublicKey)
}

// checkEC wants d in [1, order) and the public point to be d·G.
func checkEC(k *ecdsa.PrivateKey) error {
	wrong := fault.New(fault.Invalid, "BadParameter", "The parts of the EC key do not belong together; export it again with d, x and y.")
	if k.D == nil || k.X == nil || k.Y == nil { //nolint:staticcheck // the accessors that replace these fields panic when they are nil
		return wrong
	}
	raw, err := k.Bytes()
	if err != nil {
		wrong.Err = err
		return wrong
	}
	right, err := ecdsa.ParseRawPrivateKey(k.Curve, raw)
	if err != nil {
		wrong.Err = err
		return wrong
	}
	if !right.PublicKey.Equal(&k.PublicKey) {
		return wrong
	}
	return nil
}
