package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"

	"chatelaine.dev/internal/vault/keystore/p256k"
)

// Curve is an elliptic curve on which keys are made.
type Curve struct {
	Name string // as JSON Web Keys name it: crv
	Size int    // bytes of a coordinate, and of a number below the order

	arithmetic arithmetic
}

// curves are all there are.
var curves = [...]Curve{
	{"P-256", 32, nist{elliptic.P256()}},
	{"P-384", 48, nist{elliptic.P384()}},
	{"P-521", 66, nist{elliptic.P521()}},
	{"P-256K", p256k.Size, koblitz{}},
}

// arithmetic is what the curves of the standard library and secp256k1 differ in. Points
// are uncompressed (SEC 1 section 2.3.3); numbers have the Size of the curve.
type arithmetic interface {
	generate() (crypto.Signer, error)
	public(point []byte) (crypto.PublicKey, error)
	private(d []byte) (crypto.Signer, error)
	verify(pub crypto.PublicKey, digest, r, s []byte) bool
}

// CurveNamed returns the curve of a name, and whether there is one.
func CurveNamed(name string) (Curve, bool) {
	i := slices.IndexFunc(curves[:], func(c Curve) bool { return c.Name == name })
	if i < 0 {
		return Curve{}, false
	}
	return curves[i], true
}

// Public is the key of a point, an *ecdsa.PublicKey or *p256k.PublicKey, or an error when
// the point is not on the curve. Each coordinate has the Size of the curve.
func (c Curve) Public(x, y []byte) (crypto.PublicKey, error) {
	return c.arithmetic.public(slices.Concat([]byte{4}, x, y))
}

// Private is the key of a number d of the Size of the curve, an *ecdsa.PrivateKey or
// *p256k.PrivateKey.
func (c Curve) Private(d []byte) (crypto.Signer, error) { return c.arithmetic.private(d) }

// Verify reports whether r and s, each of the Size of the curve, are a signature of a
// digest. pub is a key of this curve.
func (c Curve) Verify(pub crypto.PublicKey, digest, r, s []byte) bool {
	return len(r) == c.Size && len(s) == c.Size && c.arithmetic.verify(pub, digest, r, s)
}

// Coordinates are those of a public key's point, each of the Size of its curve.
func Coordinates(pub crypto.PublicKey) (x, y []byte, err error) {
	k, ok := pub.(interface{ Bytes() ([]byte, error) })
	if !ok {
		return nil, nil, fmt.Errorf("encode public key: a %T has no coordinates", pub)
	}
	point, err := k.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("encode public key: %w", err)
	}
	half := len(point) / 2
	return point[1 : 1+half], point[1+half:], nil
}

// nist are the curves of the standard library.
type nist struct{ curve elliptic.Curve }

func (c nist) generate() (crypto.Signer, error) { return ecdsa.GenerateKey(c.curve, rand.Reader) }

func (c nist) public(point []byte) (crypto.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(c.curve, point)
}

func (c nist) private(d []byte) (crypto.Signer, error) { return ecdsa.ParseRawPrivateKey(c.curve, d) }

func (c nist) verify(pub crypto.PublicKey, digest, r, s []byte) bool {
	k, ok := pub.(*ecdsa.PublicKey)
	return ok && ecdsa.Verify(k, digest, new(big.Int).SetBytes(r), new(big.Int).SetBytes(s))
}

// koblitz is secp256k1.
type koblitz struct{}

func (koblitz) generate() (crypto.Signer, error)              { return p256k.Generate(), nil }
func (koblitz) public(point []byte) (crypto.PublicKey, error) { return p256k.ParsePublic(point) }
func (koblitz) private(d []byte) (crypto.Signer, error)       { return p256k.ParsePrivate(d) }

func (koblitz) verify(pub crypto.PublicKey, digest, r, s []byte) bool {
	k, ok := pub.(*p256k.PublicKey)
	return ok && k.Verify(digest, r, s)
}
