package weak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"net/http/httptest"
	"testing"

	"chatelaine.dev/internal/fault"
)

func prime(t *testing.T, bits int) *big.Int {
	t.Helper()
	p, err := rand.Prime(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func product(p, q *big.Int) *big.Int { return new(big.Int).Mul(p, q) }

func nextPrime(p *big.Int) *big.Int {
	q := new(big.Int).Set(p)
	for q.Add(q, big.NewInt(2)); !q.ProbablyPrime(10); q.Add(q, big.NewInt(2)) {
	}
	return q
}

// rocaPrimeOf makes a prime as the flawed library did: k·M + (65537^a mod M), M the
// product of the first 126 primes.
func rocaPrimeOf(t *testing.T) *big.Int {
	t.Helper()
	m := big.NewInt(1)
	for n, count := int64(2), 0; count < 126; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(0) {
			m.Mul(m, p)
			count++
		}
	}
	for {
		a, err := rand.Int(rand.Reader, m)
		if err != nil {
			t.Fatal(err)
		}
		k, err := rand.Prime(rand.Reader, 1024-m.BitLen())
		if err != nil {
			t.Fatal(err)
		}
		p := new(big.Int).Exp(big.NewInt(65537), a, m)
		p.Add(p, k.Mul(k, m))
		if p.ProbablyPrime(10) {
			return p
		}
	}
}

func TestEveryWeakKeyIsFoundByItsKind(t *testing.T) {
	t.Parallel()
	close1 := prime(t, 1024)
	honest := product(prime(t, 1024), prime(t, 1024))
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	for _, c := range []struct {
		name string
		key  crypto.PublicKey
		want string
	}{
		{"exponent 3", &rsa.PublicKey{N: honest, E: 3}, Exponent},
		{"exponent 1", &rsa.PublicKey{N: honest, E: 1}, Exponent},
		{"even exponent", &rsa.PublicKey{N: honest, E: 65538}, Exponent},
		{"factor 3", &rsa.PublicKey{N: product(big.NewInt(3), prime(t, 2047)), E: 65537}, SmallFactor},
		{"factor 751", &rsa.PublicKey{N: product(big.NewInt(751), prime(t, 2038)), E: 65537}, SmallFactor},
		{"zero", &rsa.PublicKey{N: new(big.Int), E: 65537}, SmallFactor},
		{"next prime", &rsa.PublicKey{N: product(close1, nextPrime(close1)), E: 65537}, CloseFactor},
		{"square", &rsa.PublicKey{N: product(close1, close1), E: 65537}, CloseFactor},
		{"ROCA", &rsa.PublicKey{N: product(rocaPrimeOf(t), rocaPrimeOf(t)), E: 65537}, ROCA},
		{"the key of httptest", srv.Certificate().PublicKey, Published},
	} {
		w, ok := Find(c.key)
		if !ok || w.Kind != c.want {
			t.Errorf("%s: %+v %v, want %s", c.name, w, ok, c.want)
		}
		if err := Check(c.key); !fault.HasCode(err, "WeakKey") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Primes that are far enough apart for Fermat's first rounds are found up to the bound
// that the comment gives, and no honest key is taken for a weak one.
func TestHonestKeysAreNotTakenForWeak(t *testing.T) {
	t.Parallel()
	for range 3 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		if w, ok := Find(&k.PublicKey); ok {
			t.Errorf("%x: %s", k.N, w.Kind)
		}
	}
	// Products of numbers without small factors pass for moduli here, and are quick to make.
	small := smallPrimes()
	for range 20_000 {
		b := make([]byte, 256)
		_, _ = rand.Read(b)
		b[0] |= 0x80
		n := new(big.Int).SetBytes(b)
		if new(big.Int).GCD(nil, nil, n, small).Cmp(one) == 0 && isROCA(n) {
			t.Errorf("%x passes for ROCA", n)
		}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pq, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []crypto.PublicKey{&ec.PublicKey, ed, pq.PublicKey(), nil} {
		if w, ok := Find(k); ok {
			t.Errorf("%T: %s", k, w.Kind)
		}
	}
}

func TestSharedPrimesAreFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	const bits = 256 // the arithmetic does not depend on it
	common := prime(t, bits)
	var moduli []*big.Int
	want := make([]bool, 0, 40)
	for i := range 37 { // no power of two, so that the tree has loose ends
		p := prime(t, bits)
		shares := i == 3 || i == 20 || i == 36
		if shares {
			p = common
		}
		moduli, want = append(moduli, product(p, prime(t, bits))), append(want, shares)
	}
	moduli, want = append(moduli, moduli[0], moduli[3]), append(want, false, true) // keys that were certified twice

	got := Shared(moduli)

	for i := range moduli {
		if got[i] != want[i] {
			t.Errorf("%d: %v, want %v", i, got[i], want[i])
		}
	}
	for _, few := range [][]*big.Int{nil, moduli[:1], {moduli[0], moduli[0]}} {
		for i, bad := range Shared(few) {
			if bad {
				t.Errorf("%d of %d", i, len(few))
			}
		}
	}

	a, b := moduli[:10], append([]*big.Int{moduli[0]}, moduli[15:25]...)
	for i, bad := range Across(a, b) {
		if bad != (i == 3) {
			t.Errorf("across: %d is %v", i, bad)
		}
	}
	for _, bad := range Across(a, nil) {
		if bad {
			t.Error("nothing shares a prime with nothing")
		}
	}
}

func TestThePublishedListIsReadable(t *testing.T) {
	t.Parallel()
	list, err := parsePublished(publishedKeys)
	if err != nil || len(list) < 100 {
		t.Errorf("%d keys, %v", len(list), err)
	}
	for _, bad := range []string{"zz", "0041658b98bc7d6516657db3b132ff", "0041658b98bc7d6516657db3b132ff6c00"} {
		if _, err := parsePublished([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func BenchmarkFindRSA(b *testing.B) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := Find(&k.PublicKey); ok {
			b.Fatal("honest")
		}
	}
}
