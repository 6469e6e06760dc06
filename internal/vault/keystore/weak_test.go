package keystore_test

import (
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

// roca makes a prime as the faulty generator did: k·M + 65537^a mod M, with M the product
// of the first 126 primes for keys of 2048 bits (Nemec et al., section 2).
func roca(t *testing.T) *big.Int {
	t.Helper()
	m, count := big.NewInt(1), 0
	for p := int64(2); count < 126; p++ {
		if big.NewInt(p).ProbablyPrime(10) {
			m.Mul(m, big.NewInt(p))
			count++
		}
	}
	least := new(big.Int).Lsh(big.NewInt(3), 1022)
	for {
		a, err := rand.Int(rand.Reader, m)
		if err != nil {
			t.Fatal(err)
		}
		p := new(big.Int).Exp(big.NewInt(65537), a, m)
		k := new(big.Int).Div(least, m)
		extra, err := rand.Int(rand.Reader, new(big.Int).Rsh(k, 3))
		if err != nil {
			t.Fatal(err)
		}
		k.Add(k, extra).Add(k, big.NewInt(1))
		if p.Add(p, k.Mul(k, m)); p.BitLen() == 1024 && p.ProbablyPrime(20) {
			return p
		}
	}
}

func keyOf(t *testing.T, p, q *big.Int) *rsa.PrivateKey {
	t.Helper()
	one, e := big.NewInt(1), big.NewInt(65537)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
	if k.D == nil || k.N.BitLen() != 2048 {
		t.Fatalf("a key of %d bits", k.N.BitLen())
	}
	return k
}

func TestKeysThatOthersCanFactorAreRefused(t *testing.T) {
	p := roca(t)
	prime, err := rand.Prime(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	next := new(big.Int).Add(prime, big.NewInt(2))
	for !next.ProbablyPrime(20) {
		next.Add(next, big.NewInt(2))
	}
	small := new(big.Int).Mul(big.NewInt(9973), prime)
	for name, c := range map[string]struct {
		n    *big.Int
		want string
	}{
		"ROCA":         {new(big.Int).Mul(p, roca(t)), "ROCA"},
		"close primes": {new(big.Int).Mul(prime, next), "close to each other"},
		"a square":     {new(big.Int).Mul(prime, prime), "close to each other"},
		"small factor": {small, "small factor"},
	} {
		err := keystore.CheckWeak(&rsa.PublicKey{N: c.n, E: 65537})
		if !fault.HasCode(err, "BadParameter") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := keystore.NewSoftware().Import(t.Context(), keyOf(t, p, roca(t))); err == nil || !strings.Contains(err.Error(), "ROCA") {
		t.Errorf("a ROCA key was imported: %v", err)
	}
}

func TestGoodKeysAreNotCalledWeak(t *testing.T) {
	for range 10 {
		if err := keystore.CheckWeak(&newRSA(t, 2048).PublicKey); err != nil {
			t.Error(err)
		}
	}
}
