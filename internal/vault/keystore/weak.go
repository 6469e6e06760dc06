package keystore

import (
	"crypto/rsa"
	"math/big"

	"chatelaine.dev/internal/fault"
)

// CheckWeak refuses RSA keys whose private half anybody can find from the public one, in
// ways that show in the modulus: those of a faulty generator in smart cards (ROCA,
// CVE-2017-15361), those with primes close to each other (Fermat), and those with a small
// factor. The modulus is odd.
func CheckWeak(pub *rsa.PublicKey) error {
	switch {
	case isROCA(pub.N):
		return fault.New(fault.Invalid, "BadParameter", "The RSA key was made by a faulty generator (ROCA, CVE-2017-15361), and others can find its private half; make a new key.")
	case hasClosePrimes(pub.N):
		return fault.New(fault.Invalid, "BadParameter", "The primes of the RSA key are close to each other, and others can find its private half; make a new key.")
	case hasSmallFactor(pub.N):
		return fault.New(fault.Invalid, "BadParameter", "The modulus of the RSA key has a small factor, and others can find its private half; make a new key.")
	}
	return nil
}

// primes are those from 3 to below limit.
func primes(limit int) []int {
	var list []int
	composite := make([]bool, limit)
	for p := 3; p < limit; p += 2 {
		if composite[p] {
			continue
		}
		list = append(list, p)
		for i := p * p; i < limit; i += 2 * p {
			composite[i] = true
		}
	}
	return list
}

// isROCA reports whether a modulus is, for each of the small primes that the faulty
// generator used, a power of 65537. One in 2^27 other moduli is, too.
func isROCA(n *big.Int) bool {
	const generator, last = 65537, 167
	for _, p := range primes(last + 1) {
		residue := int(new(big.Int).Mod(n, big.NewInt(int64(p))).Int64())
		power := 1
		for power != residue {
			if power = power * (generator % p) % p; power == 1 {
				return false // the whole subgroup, and the residue is not in it
			}
		}
	}
	return true
}

// hasClosePrimes tries Fermat's factorization as far as is cheap: it finds primes of 1024
// bits that agree in their upper half.
func hasClosePrimes(n *big.Int) bool {
	const rounds = 100
	var square, root big.Int
	a := new(big.Int).Sqrt(n)
	if square.Mul(a, a).Cmp(n) < 0 {
		a.Add(a, big.NewInt(1))
	}
	for range rounds {
		square.Mul(a, a)
		square.Sub(&square, n)
		root.Sqrt(&square)
		if new(big.Int).Mul(&root, &root).Cmp(&square) == 0 {
			return true
		}
		a.Add(a, big.NewInt(1))
	}
	return false
}

// hasSmallFactor tries all primes of four digits.
func hasSmallFactor(n *big.Int) bool {
	var rest big.Int
	for _, p := range primes(10_000) {
		if rest.Mod(n, big.NewInt(int64(p))).Sign() == 0 {
			return true
		}
	}
	return false
}
