package profile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"

	"chatelaine.dev/internal/fault"
)

func knownKeys() []string {
	return []string{"RSA 2048", "RSA 3072", "RSA 4096", "P-256", "P-384", "P-521", "Ed25519"}
}

// KeyName names the type and size of a public key in the words of Profile.Keys.
func KeyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// checkKey refuses keys that the profile does not name and RSA keys that are known weak.
// zlint looks for a modulus of two close factors afterwards.
func checkKey(p Profile, a Ask) error {
	name := KeyName(a.PublicKey)
	if !slices.Contains(p.Keys, name) {
		return fault.New(fault.Invalid, "KeyNotAllowed", "profile %s does not certify a key of type %s; use one of %q", p.Name, name, p.Keys)
	}
	if k, ok := a.PublicKey.(*rsa.PublicKey); ok {
		return checkRSA(k)
	}
	return nil
}

// checkRSA looks at what every honest RSA key has: a public exponent of at least 65537
// (FIPS 186-5 section 5.4 (e)) and a modulus without small factors.
func checkRSA(k *rsa.PublicKey) error {
	if k.E < 65537 || k.E%2 == 0 {
		return fault.New(fault.Invalid, "WeakKey", "the RSA key has the public exponent %d; make a key with 65537", k.E)
	}
	if new(big.Int).GCD(nil, nil, k.N, smallPrimes()).Cmp(big.NewInt(1)) != 0 {
		return fault.New(fault.Invalid, "WeakKey", "the RSA modulus has a factor below 752, so anyone can find the private key; make a new key")
	}
	return nil
}

// smallPrimes is the product of the primes below 752, the bound of the Baseline
// Requirements, section 6.1.6.
func smallPrimes() *big.Int {
	product := big.NewInt(1)
	for n := int64(2); n < 752; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(0) { // exact below 2⁶⁴
			product.Mul(product, p)
		}
	}
	return product
}
