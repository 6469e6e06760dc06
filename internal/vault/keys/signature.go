package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

// signature is one scheme. The key has been matched to the algorithm, and the digest has
// the length of its hash, when a function of it is called.
type signature struct {
	sign   func(a Algorithm, key keystore.Private, digest []byte) ([]byte, error)
	verify func(a Algorithm, pub crypto.PublicKey, digest, sig []byte) bool
}

// Sign signs a digest that the caller made. fault.Invalid when its length is not that of
// the algorithm's hash.
func (a Algorithm) Sign(key keystore.Private, digest []byte) ([]byte, error) {
	if err := a.checkDigest(digest); err != nil {
		return nil, err
	}
	sig, err := a.signature.sign(a, key, digest)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", a.Name, err)
	}
	return sig, nil
}

// Verify reports whether sig is a signature of digest. A signature of a wrong length or
// form is just not one; a digest of a wrong length is fault.Invalid.
func (a Algorithm) Verify(pub crypto.PublicKey, digest, sig []byte) (bool, error) {
	if err := a.checkDigest(digest); err != nil {
		return false, err
	}
	return a.signature.verify(a, pub, digest, sig), nil
}

func (a Algorithm) checkDigest(digest []byte) error {
	if len(digest) != a.Hash.Size() {
		return fault.New(fault.Invalid, "BadParameter", "The digest has %d bytes; %s takes the %d bytes of a %s hash.", len(digest), a.Name, a.Hash.Size(), a.Hash)
	}
	return nil
}

// pkcs1Signature is RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2).
var pkcs1Signature = signature{
	sign: func(a Algorithm, key keystore.Private, digest []byte) ([]byte, error) {
		return key.Sign(rand.Reader, digest, a.Hash)
	},
	verify: func(a Algorithm, pub crypto.PublicKey, digest, sig []byte) bool {
		k, ok := pub.(*rsa.PublicKey)
		return ok && rsa.VerifyPKCS1v15(k, a.Hash, digest, sig) == nil
	},
}

// pssSignature is RSASSA-PSS with MGF1 of the same hash and a salt as long as the hash,
// no other (RFC 7518 section 3.5).
var pssSignature = signature{
	sign: func(a Algorithm, key keystore.Private, digest []byte) ([]byte, error) {
		return key.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.Hash})
	},
	verify: func(a Algorithm, pub crypto.PublicKey, digest, sig []byte) bool {
		k, ok := pub.(*rsa.PublicKey)
		return ok && rsa.VerifyPSS(k, a.Hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	},
}

// ecdsaSignature is ECDSA as r||s, each as long as the curve's order (RFC 7518 section
// 3.4). Keys answer in ASN.1, as every crypto.Signer does.
var ecdsaSignature = signature{
	sign: func(a Algorithm, key keystore.Private, digest []byte) ([]byte, error) {
		der, err := key.Sign(rand.Reader, digest, a.Hash)
		if err != nil {
			return nil, err
		}
		return rawSignature(der, a.orderSize())
	},
	verify: func(a Algorithm, pub crypto.PublicKey, digest, sig []byte) bool {
		k, ok := pub.(*ecdsa.PublicKey)
		n := a.orderSize()
		if !ok || len(sig) != 2*n {
			return false
		}
		return ecdsa.Verify(k, digest, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	},
}

// orderSize is the length in bytes of a number below the order of the algorithm's curve.
func (a Algorithm) orderSize() int {
	curve, _ := keystore.Curve(a.Curve)
	return (curve.Params().N.BitLen() + 7) / 8
}

func rawSignature(der []byte, size int) ([]byte, error) {
	var r, s big.Int
	input, inner := cryptobyte.String(der), cryptobyte.String(nil)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > 8*size || s.BitLen() > 8*size {
		return nil, errors.New("the keystore answered with something that is no ECDSA signature")
	}
	raw := make([]byte, 2*size)
	r.FillBytes(raw[:size])
	s.FillBytes(raw[size:])
	return raw, nil
}
