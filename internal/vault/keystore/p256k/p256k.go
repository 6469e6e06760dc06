// Package p256k is ECDSA on the curve secp256k1, which Key Vault calls P-256K (RFC 8812),
// in the shape of crypto/ecdsa, which has no such curve. The arithmetic is decred's.
// Signing is its own, because decred's takes time that depends on the nonce.
package p256k

import (
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Size is the length in bytes of a coordinate, of a private key and of a digest.
const Size = 32

// PublicKey is a point of the curve, not the one at infinity.
type PublicKey struct{ point *secp256k1.PublicKey }

// ParsePublic reads an uncompressed point (SEC 1 section 2.3.4).
func ParsePublic(point []byte) (*PublicKey, error) {
	if len(point) != 1+2*Size || point[0] != 4 {
		return nil, errors.New("p256k: not an uncompressed point")
	}
	p, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return nil, fmt.Errorf("p256k: %w", err)
	}
	return &PublicKey{p}, nil
}

// Bytes is the uncompressed point. The error is always nil; crypto/ecdsa has one.
func (k *PublicKey) Bytes() ([]byte, error) { return k.point.SerializeUncompressed(), nil }

// Equal reports whether x is the same public key.
func (k *PublicKey) Equal(x crypto.PublicKey) bool {
	other, ok := x.(*PublicKey)
	return ok && k.point.IsEqual(other.point)
}

// Verify reports whether r and s, of Size bytes each, are a signature of a digest.
func (k *PublicKey) Verify(digest, r, s []byte) bool {
	var x, y secp256k1.ModNScalar
	if len(digest) != Size || len(r) != Size || len(s) != Size || x.SetByteSlice(r) || y.SetByteSlice(s) {
		return false // a number not below the order is not reduced, but refused
	}
	return ecdsa.NewSignature(&x, &y).Verify(digest, k.point)
}

// PrivateKey is a number from 1 to below the order of the curve.
type PrivateKey struct {
	d      secp256k1.ModNScalar
	public *PublicKey
}

// Generate makes a private key.
func Generate() *PrivateKey { return newPrivate(random()) }

// ParsePrivate reads the number d, of Size bytes.
func ParsePrivate(d []byte) (*PrivateKey, error) {
	var x secp256k1.ModNScalar
	if len(d) != Size || x.SetByteSlice(d) || x.IsZero() {
		return nil, errors.New("p256k: not a number from 1 to below the order")
	}
	return newPrivate(&x), nil
}

func newPrivate(d *secp256k1.ModNScalar) *PrivateKey {
	p := timesBase(d)
	return &PrivateKey{*d, &PublicKey{secp256k1.NewPublicKey(&p.X, &p.Y)}}
}

// Public is the *PublicKey.
func (k *PrivateKey) Public() crypto.PublicKey { return k.public }

// Bytes is the number d.
func (k *PrivateKey) Bytes() []byte {
	b := k.d.Bytes()
	return b[:]
}

// Equal reports whether x is the same private key, in constant time.
func (k *PrivateKey) Equal(x crypto.PrivateKey) bool {
	other, ok := x.(*PrivateKey)
	return ok && subtle.ConstantTimeCompare(k.Bytes(), other.Bytes()) == 1
}

// Format hides the key.
func (*PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[private key]") }

// Sign signs a digest of Size bytes and returns the signature in ASN.1. The nonce is that
// of RFC 6979 with randomness added, so that neither a weak generator nor a fault in
// computing twice gives the key away. Of the two signatures with the same r, the one with
// the smaller s is returned, which the ledgers of this curve insist on.
func (k *PrivateKey) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	if len(digest) != Size {
		return nil, fmt.Errorf("p256k: the digest has %d bytes", len(digest))
	}
	var e secp256k1.ModNScalar
	e.SetByteSlice(digest)
	var extra [Size]byte
	_, _ = rand.Read(extra[:]) // never fails
	d := k.Bytes()
	defer clear(d)
	for again := uint32(0); ; again++ {
		nonce := secp256k1.NonceRFC6979(d, digest, extra[:], nil, again)
		p := timesBase(nonce)
		var r secp256k1.ModNScalar
		r.SetByteSlice(p.X.Bytes()[:])
		s := new(secp256k1.ModNScalar).Mul2(&k.d, &r).Add(&e).Mul(inverse(nonce))
		nonce.Zero()
		if r.IsZero() || s.IsZero() {
			continue
		}
		if s.IsOverHalfOrder() {
			s.Negate()
		}
		return encode(&r, s)
	}
}

// random is a number from 1 to below the order.
func random() *secp256k1.ModNScalar {
	var x secp256k1.ModNScalar
	for {
		var b [Size]byte
		_, _ = rand.Read(b[:]) // never fails
		if x.SetBytes(&b) == 0 && !x.IsZero() {
			return &x
		}
	}
}

// timesBase is k times the base point. decred's multiplication takes time that depends on
// the number; each of the two numbers that it sees here is random whatever k is.
func timesBase(k *secp256k1.ModNScalar) *secp256k1.JacobianPoint {
	part := random()
	rest := new(secp256k1.ModNScalar).NegateVal(part).Add(k)
	var p, q, sum secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(part, &p)
	secp256k1.ScalarBaseMultNonConst(rest, &q)
	secp256k1.AddNonConst(&p, &q, &sum)
	sum.ToAffine()
	return &sum
}

// inverse is 1/k. decred's inversion takes time that depends on the number, so it sees
// only the product with a random one.
func inverse(k *secp256k1.ModNScalar) *secp256k1.ModNScalar {
	mask := random()
	masked := new(secp256k1.ModNScalar).Mul2(k, mask)
	return masked.InverseNonConst().Mul(mask)
}

// encode writes a signature as Ecdsa-Sig-Value (RFC 3279 section 2.2.3).
func encode(r, s *secp256k1.ModNScalar) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, x := range []*secp256k1.ModNScalar{r, s} {
			b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) {
				number := x.Bytes()
				i := 0
				for number[i] == 0 { // x is not zero
					i++
				}
				if number[i] >= 0x80 {
					b.AddUint8(0)
				}
				b.AddBytes(number[i:])
			})
		}
	})
	return b.Bytes()
}
