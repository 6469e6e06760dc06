package keys

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math"
	"math/big"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

func number(b Bytes) *big.Int { return new(big.Int).SetBytes(b) }

func isOdd(x *big.Int) bool { return x.Bit(0) == 1 }

// rsaForm is RFC 7518 section 6.3.
type rsaForm struct{}

func (rsaForm) wanted(w Wanted) keystore.Spec {
	return keystore.Spec{Type: keystore.RSA, Bits: cmp.Or(w.Bits, 2048)}
}

func (rsaForm) spec(k PrivateJWK) (keystore.Spec, error) {
	bits := len(k.N) * 8
	if n := bytes.TrimLeft(k.N, "\x00"); len(n) <= maxPart {
		bits = number(n).BitLen()
	}
	return keystore.Spec{Type: keystore.RSA, Bits: bits}, k.need(part{"n", k.N})
}

func (rsaForm) public(k JWK) (crypto.PublicKey, error) {
	if err := k.need(part{"n", k.N}, part{"e", k.E}); err != nil {
		return nil, err
	}
	n, e := number(k.N), number(k.E)
	if !e.IsInt64() || e.Int64() > math.MaxInt32 {
		return nil, fault.New(fault.Invalid, "BadParameter", "The public exponent of the key is larger than 2147483647; make a new key.")
	}
	if e.Int64() < 3 || !isOdd(e) || !isOdd(n) {
		return nil, fault.New(fault.Invalid, "BadParameter", "The numbers n and e of the key are not those of an RSA key: both are odd, and e is 3 at least.")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (rsaForm) private(k PrivateJWK, pub crypto.PublicKey) (crypto.PrivateKey, error) {
	p, ok := pub.(*rsa.PublicKey)
	if !ok {
		return nil, k.need(part{"n", k.N}, part{"e", k.E})
	}
	if err := k.need(part{"d", k.D}); err != nil {
		return nil, err
	}
	key := &rsa.PrivateKey{PublicKey: *p, D: number(k.D)}
	if len(k.P)+len(k.Q)+len(k.DP)+len(k.DQ)+len(k.QI) == 0 {
		var err error
		key.Primes, err = factor(key)
		return key, err
	}
	if err := k.need(part{"p", k.P}, part{"q", k.Q}); err != nil {
		return nil, err
	}
	key.Primes = []*big.Int{number(k.P), number(k.Q)}
	if len(k.DP)+len(k.DQ)+len(k.QI) == 0 {
		return key, nil
	}
	if err := k.need(part{"dp", k.DP}, part{"dq", k.DQ}, part{"qi", k.QI}); err != nil {
		return nil, err
	}
	key.Precomputed = rsa.PrecomputedValues{Dp: number(k.DP), Dq: number(k.DQ), Qinv: number(k.QI)}
	return key, nil
}

// tries bounds the search of factor. Each finds the primes of a true key with a
// probability of a half.
const tries = 100

// factor finds the primes of a key that came as n, e and d alone (RFC 7518 section 6.3.2
// allows it). With x = d·e - 1 = 2^s·t, a random g to the power of t, squared again and
// again, becomes 1 after at most s times; the number before that is a root of 1, and half
// of all g give one that is neither 1 nor -1, which shares a prime with n (NIST SP
// 800-56B appendix C). It takes time that depends on d, once in the life of a key.
func factor(k *rsa.PrivateKey) ([]*big.Int, error) {
	wrong := fault.New(fault.Invalid, "BadParameter", "The parts of the RSA key do not belong together; export it again with n, e, d, p, q, dp, dq and qi.")
	one := big.NewInt(1)
	minusOne := new(big.Int).Sub(k.N, one)
	x := new(big.Int).Mul(k.D, big.NewInt(int64(k.E)))
	if x.Sub(x, one); x.Sign() <= 0 || isOdd(x) {
		return nil, wrong
	}
	s := x.TrailingZeroBits()
	t := new(big.Int).Rsh(x, s)
	for range tries {
		g, err := rand.Int(rand.Reader, k.N)
		if err != nil {
			return nil, err
		}
		root := g.Exp(g, t, k.N)
		if root.Sign() == 0 || root.Cmp(one) == 0 {
			continue
		}
		for i := uint(0); ; i++ {
			if i == s {
				return nil, wrong // for a true d, it would have become 1
			}
			if root.Cmp(minusOne) == 0 {
				break
			}
			square := new(big.Int).Mul(root, root)
			if square.Mod(square, k.N); square.Cmp(one) == 0 {
				p := new(big.Int).GCD(nil, nil, new(big.Int).Sub(root, one), k.N)
				return []*big.Int{p, new(big.Int).Div(k.N, p)}, nil
			}
			root = square
		}
	}
	return nil, wrong
}

func (rsaForm) write(k *JWK, pub crypto.PublicKey) error {
	p, ok := pub.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("encode public key: a %T is no RSA key", pub)
	}
	k.N, k.E = p.N.Bytes(), big.NewInt(int64(p.E)).Bytes()
	return nil
}

// ecForm is RFC 7518 section 6.2, for the curves of the keystore.
type ecForm struct{}

func (ecForm) wanted(w Wanted) keystore.Spec {
	return keystore.Spec{Type: keystore.EC, Curve: cmp.Or(w.Curve, "P-256")}
}

func (ecForm) spec(k PrivateJWK) (keystore.Spec, error) {
	return keystore.Spec{Type: keystore.EC, Curve: curveName(k.Curve)}, nil
}

// curveName is a crv in Key Vault's words: RFC 8812 has another name for P-256K.
func curveName(crv string) string {
	if crv == "secp256k1" {
		return "P-256K"
	}
	return crv
}

func (ecForm) public(k JWK) (crypto.PublicKey, error) {
	curve, ok := keystore.CurveNamed(curveName(k.Curve))
	if !ok {
		return nil, keystore.Spec{Type: keystore.EC, Curve: k.Curve}.Check()
	}
	if err := k.need(part{"x", k.X}, part{"y", k.Y}); err != nil {
		return nil, err
	}
	pub, err := curve.Public(pad(k.X, curve.Size), pad(k.Y, curve.Size))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter", fmt.Sprintf("The point x, y is not on the curve %s.", k.Curve))
	}
	return pub, nil
}

func (ecForm) private(k PrivateJWK, pub crypto.PublicKey) (crypto.PrivateKey, error) {
	if err := k.need(part{"d", k.D}); err != nil {
		return nil, err
	}
	curve, _ := keystore.CurveNamed(curveName(k.Curve))
	key, err := curve.Private(pad(k.D, curve.Size))
	if err != nil || pub != nil && !isSame(key.Public(), pub) {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter", "The parts of the EC key do not belong together; export it again with d, x and y.")
	}
	return key, nil
}

func isSame(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func (ecForm) write(k *JWK, pub crypto.PublicKey) error {
	s, err := keystore.SpecOf(pub)
	if err != nil {
		return err
	}
	k.Curve = s.Curve
	k.X, k.Y, err = keystore.Coordinates(pub)
	return err
}

// octForm is RFC 7518 section 6.4.
type octForm struct{}

// maxSecret is the length of the longest symmetric key.
const maxSecret = 64

func (octForm) wanted(w Wanted) keystore.Spec {
	return keystore.Spec{Type: keystore.Oct, Bits: cmp.Or(w.Bits, 256)}
}

func (octForm) spec(k PrivateJWK) (keystore.Spec, error) {
	if len(k.K) > maxSecret {
		return keystore.Spec{}, fault.New(fault.Invalid, "BadParameter", "JSON Web Key: k property of oct key is too large, maximum size is %d", maxSecret)
	}
	return keystore.Spec{Type: keystore.Oct, Bits: 8 * len(k.K)}, k.need(part{"k", k.K})
}

func (octForm) public(JWK) (crypto.PublicKey, error) {
	return nil, fault.New(fault.Invalid, "BadParameter", "A key of type oct has no public half; leave out n, e, x, y and pub.")
}

func (octForm) private(k PrivateJWK, _ crypto.PublicKey) (crypto.PrivateKey, error) {
	return keystore.Secret(k.K), nil
}

func (octForm) write(*JWK, crypto.PublicKey) error { return nil }

// akpForm is an algorithm key pair, in which alg belongs to the key: ML-DSA (FIPS 204).
type akpForm struct{}

func (akpForm) wanted(w Wanted) keystore.Spec {
	return keystore.Spec{Type: keystore.AKP, Algorithm: w.Algorithm}
}

func (akpForm) spec(k PrivateJWK) (keystore.Spec, error) {
	return keystore.Spec{Type: keystore.AKP, Algorithm: k.Algorithm}, nil
}

func (akpForm) public(k JWK) (crypto.PublicKey, error) {
	if len(k.Pub) == 0 {
		return nil, k.need(part{"pub", k.Pub})
	}
	pub, err := keystore.PostQuantum(k.Algorithm, k.Pub)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter", fmt.Sprintf("The part pub is not a public key of the algorithm %.20q.", k.Algorithm))
	}
	return pub, nil
}

func (akpForm) private(k PrivateJWK, pub crypto.PublicKey) (crypto.PrivateKey, error) {
	if err := k.need(part{"priv", k.Priv}); err != nil {
		return nil, err
	}
	key, err := keystore.PostQuantumPrivate(k.Algorithm, k.Priv)
	if err != nil || pub != nil && !isSame(key.Public(), pub) {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter", "The parts of the AKP key do not belong together; priv is the seed of 32 bytes that pub was made of.")
	}
	return key, nil
}

func (akpForm) write(k *JWK, pub crypto.PublicKey) error {
	p, ok := pub.(*mldsa.PublicKey)
	if !ok {
		return fmt.Errorf("encode public key: a %T is no AKP key", pub)
	}
	k.Algorithm, k.Pub = p.Parameters().String(), p.Bytes()
	return nil
}
