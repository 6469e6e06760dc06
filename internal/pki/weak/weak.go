// Package weak finds keys that anybody can break, or that anybody has: what an honest
// key generator never makes. It sees public keys alone.
package weak

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"strconv"
	"sync"

	"chatelaine.dev/internal/fault"
)

// Weakness is what is wrong with a key.
type Weakness struct {
	Kind string // one of the kinds
	Why  string // for people, with what to do
}

// The kinds of weakness.
const (
	Exponent    = "exponent"     // a public exponent below 65537, or an even one
	SmallFactor = "small-factor" // a factor below 752
	CloseFactor = "close-factor" // two factors that Fermat's method finds
	ROCA        = "roca"         // CVE-2017-15361
	Published   = "published"    // the private key was published, in source code or a standard
	SharedPrime = "shared-prime" // two keys have a prime in common; found by Shared alone
)

// Check returns fault.Invalid for a weak key.
func Check(pub crypto.PublicKey) error {
	w, ok := Find(pub)
	if !ok {
		return nil
	}
	return fault.New(fault.Invalid, "WeakKey", "%s", w.Why)
}

// Find returns the first weakness of a key, and whether it has one.
func Find(pub crypto.PublicKey) (Weakness, bool) {
	if k, ok := pub.(*rsa.PublicKey); ok {
		if w, ok := findRSA(k); ok {
			return w, true
		}
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err == nil && publishedList().has(sha256.Sum256(spki)) {
		return Weakness{Published, "the private key was published, in source code or a standard, so everyone has it; make a new key"}, true
	}
	return Weakness{}, false
}

// findRSA looks at what every honest RSA key has: a public exponent of at least 65537
// (FIPS 186-5 section 5.4 (e)), a modulus without small factors and of two primes that
// are far apart, and no trace of the library of ROCA.
func findRSA(k *rsa.PublicKey) (Weakness, bool) {
	switch {
	case k.E < 65537 || k.E%2 == 0:
		return Weakness{Exponent, "the RSA key has the public exponent " + strconv.Itoa(k.E) + "; make a key with 65537"}, true
	case hasSmallFactor(k.N):
		return Weakness{SmallFactor, "the RSA modulus has a factor below 752, so anyone can find the private key; make a new key"}, true
	case isROCA(k.N):
		return Weakness{ROCA, "the RSA key was made by a chip or library with the flaw ROCA (CVE-2017-15361), so its private key can be computed; update the device and make a new key elsewhere"}, true
	case isClose(k.N):
		return Weakness{CloseFactor, "the RSA modulus is the product of two primes that are close together, so anyone can find the private key; make a new key with another program"}, true
	}
	return Weakness{}, false
}

var one = big.NewInt(1)

// smallPrimes is the product of the primes below 752, the bound of the Baseline
// Requirements, section 6.1.6.
var smallPrimes = sync.OnceValue(func() *big.Int {
	product := big.NewInt(1)
	for n := int64(2); n < 752; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(0) { // exact below 2⁶⁴
			product.Mul(product, p)
		}
	}
	return product
})

func hasSmallFactor(n *big.Int) bool {
	return n.Sign() <= 0 || new(big.Int).GCD(nil, nil, n, smallPrimes()).Cmp(one) != 0
}

// rocaPrime is a small prime p and, bit by bit, the residues of the powers of 65537
// modulo p.
type rocaPrime struct {
	p        uint64
	residues [3]uint64
}

// rocaPrimes are those of the fingerprint in "The Return of Coppersmith's Attack", CCS
// 2017, section 2.4: the primes of that library are k·M + (65537^a mod M) with M the
// product of the first primes, so a modulus is a power of 65537 modulo each of them. An
// honest modulus is one modulo all with a chance of about 2⁻²⁷ on its own; those primes
// of which 65537 generates everything say nothing and are left out.
var rocaPrimes = sync.OnceValue(func() []rocaPrime {
	var out []rocaPrime
	for p := uint64(3); p <= 167; p += 2 {
		if !new(big.Int).SetUint64(p).ProbablyPrime(0) {
			continue
		}
		r, order := rocaPrime{p: p}, uint64(0)
		for x := uint64(1); r.residues[x/64]>>(x%64)&1 == 0; x = x * 65537 % p {
			r.residues[x/64] |= 1 << (x % 64)
			order++
		}
		if order < p-1 {
			out = append(out, r)
		}
	}
	return out
})

// isROCA reports the fingerprint of ROCA.
func isROCA(n *big.Int) bool {
	rest, q := new(big.Int), new(big.Int)
	for _, r := range rocaPrimes() {
		x := rest.Mod(n, q.SetUint64(r.p)).Uint64()
		if r.residues[x/64]>>(x%64)&1 == 0 {
			return false
		}
	}
	return true
}

// fermatRounds is how far apart the primes may be for isClose to find them: for 2048 bits
// about 2⁵¹⁷, where the honest distance is about 2¹⁰²³.
const fermatRounds = 100

// isClose looks for n = a² - b² with a near the square root of n (Fermat), and finds
// squares too.
func isClose(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	square := new(big.Int).Mul(a, a)
	if square.Cmp(n) == 0 {
		return true
	}
	a.Add(a, one)
	b := square.Mul(a, a)
	b.Sub(b, n)
	// (a+1)² - n = a² - n + 2a + 1
	step := new(big.Int).Lsh(a, 1)
	step.Add(step, one)
	root, two := new(big.Int), big.NewInt(2)
	for range fermatRounds {
		if maybeSquare(b) {
			if root.Sqrt(b); new(big.Int).Mul(root, root).Cmp(b) == 0 {
				return true
			}
		}
		b.Add(b, step)
		step.Add(step, two)
	}
	return false
}

// maybeSquare sorts out what no square ends with: only 12 of 64 residues are left.
func maybeSquare(b *big.Int) bool {
	const squares = 1<<0 | 1<<1 | 1<<4 | 1<<9 | 1<<16 | 1<<17 | 1<<25 | 1<<33 | 1<<36 | 1<<41 | 1<<49 | 1<<57
	words := b.Bits()
	return len(words) == 0 || uint64(squares)>>(uint(words[0])&63)&1 == 1
}
