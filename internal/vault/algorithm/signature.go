package algorithm

import (
	"crypto"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/algorithm/externalmu"
	"chatelaine.dev/internal/vault/keystore"
)

// signature is one scheme. check refuses an input before the key is touched.
type signature struct {
	check  func(a Algorithm, in Input) error
	sign   func(a Algorithm, k Key, in Input) ([]byte, error)
	verify func(a Algorithm, k Key, in Input, sig []byte) (bool, error)
}

// Sign signs. fault.Invalid when a digest is not as long as the algorithm's hash.
func (a Algorithm) Sign(k Key, in Input) ([]byte, error) {
	if err := a.signature.check(a, in); err != nil {
		return nil, err
	}
	sig, err := a.signature.sign(a, k, in)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", a.Name, err)
	}
	return sig, nil
}

// Verify reports whether sig is a signature of in. A signature of a wrong length or form
// is just not one; a digest of a wrong length is fault.Invalid.
func (a Algorithm) Verify(k Key, in Input, sig []byte) (bool, error) {
	if err := a.signature.check(a, in); err != nil {
		return false, err
	}
	return a.signature.verify(a, k, in, sig)
}

// checkDigest wants a digest that the caller made.
func checkDigest(a Algorithm, in Input) error {
	if err := checkClassic(a, in); err != nil {
		return err
	}
	if len(in.Value) != a.Hash.Size() {
		return fault.New(fault.Invalid, "BadParameter", "The digest has %d bytes; %s takes the %d bytes of a %s hash.", len(in.Value), a.Name, a.Hash.Size(), a.Hash)
	}
	return nil
}

// checkClassic refuses what only ML-DSA has: to ignore it would let a client believe that
// its context is signed.
func checkClassic(a Algorithm, in Input) error {
	if in.Mu != nil || len(in.Context) > 0 {
		return fault.New(fault.Invalid, "BadParameter", "The parameters external_mu and context belong to AKP keys; leave them out for %s.", a.Name)
	}
	return nil
}

// signWith signs a digest with the private half.
func signWith(k Key, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	p, err := k.Open()
	if err != nil {
		return nil, err
	}
	s, ok := p.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the keystore's %T does not sign", p)
	}
	return s.Sign(rand.Reader, digest, o)
}

// pkcs1Signature is RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2).
var pkcs1Signature = signature{
	check: checkDigest,
	sign:  func(a Algorithm, k Key, in Input) ([]byte, error) { return signWith(k, in.Value, a.Hash) },
	verify: func(a Algorithm, k Key, in Input, sig []byte) (bool, error) {
		pub, ok := k.Public.(*rsa.PublicKey)
		return ok && rsa.VerifyPKCS1v15(pub, a.Hash, in.Value, sig) == nil, nil
	},
}

// pssSignature is RSASSA-PSS with MGF1 of the same hash and a salt as long as the hash,
// no other (RFC 7518 section 3.5).
var pssSignature = signature{
	check: checkDigest,
	sign: func(a Algorithm, k Key, in Input) ([]byte, error) {
		return signWith(k, in.Value, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.Hash})
	},
	verify: func(a Algorithm, k Key, in Input, sig []byte) (bool, error) {
		pub, ok := k.Public.(*rsa.PublicKey)
		return ok && rsa.VerifyPSS(pub, a.Hash, in.Value, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil, nil
	},
}

// ecdsaSignature is ECDSA as r||s, each as long as the curve's order (RFC 7518 section
// 3.4). Keys answer in ASN.1, as every crypto.Signer does.
var ecdsaSignature = signature{
	check: checkDigest,
	sign: func(a Algorithm, k Key, in Input) ([]byte, error) {
		der, err := signWith(k, in.Value, a.Hash)
		if err != nil {
			return nil, err
		}
		curve, _ := keystore.CurveNamed(a.Key.Curve)
		return rawSignature(der, curve.Size)
	},
	verify: func(a Algorithm, k Key, in Input, sig []byte) (bool, error) {
		curve, _ := keystore.CurveNamed(a.Key.Curve)
		n := curve.Size
		return len(sig) == 2*n && curve.Verify(k.Public, in.Value, sig[:n], sig[n:]), nil
	},
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

// hmacSignature is HMAC (RFC 7518 section 3.2). What is signed is the value as it comes, of
// any length: a message, or a digest that the client made.
var hmacSignature = signature{
	check: checkClassic,
	sign:  mac,
	verify: func(a Algorithm, k Key, in Input, sig []byte) (bool, error) {
		want, err := mac(a, k, in)
		return subtle.ConstantTimeCompare(want, sig) == 1 && err == nil, err
	},
}

func mac(a Algorithm, k Key, in Input) ([]byte, error) {
	s, err := symmetric(k)
	if err != nil {
		return nil, err
	}
	return s.MAC(a.Hash, in.Value)
}

// maxContext is the length of the longest context (FIPS 204 section 5.2).
const maxContext = 255

// mldsaSignature is ML-DSA (FIPS 204) with randomness, of a whole message or of the μ that
// the client made of one.
var mldsaSignature = signature{
	check: func(_ Algorithm, in Input) error {
		switch {
		case len(in.Context) > maxContext:
			return fault.New(fault.Invalid, "BadParameter", "The parameter context has %d bytes; it may have %d.", len(in.Context), maxContext)
		case in.Mu == nil:
			return nil
		case len(in.Mu) != externalmu.Size:
			return fault.New(fault.Invalid, "BadParameter", "The parameter external_mu has %d bytes; it must have %d.", len(in.Mu), externalmu.Size)
		case len(in.Value)+len(in.Context) > 0:
			return fault.New(fault.Invalid, "BadParameter", "With external_mu, neither a message nor a context may be sent: they are inside it.")
		}
		return nil
	},
	sign: func(_ Algorithm, k Key, in Input) ([]byte, error) {
		if in.Mu != nil {
			return signWith(k, in.Mu, crypto.MLDSAMu)
		}
		return signWith(k, in.Value, &mldsa.Options{Context: string(in.Context)})
	},
	verify: func(_ Algorithm, k Key, in Input, sig []byte) (bool, error) {
		pub, ok := k.Public.(*mldsa.PublicKey)
		if ok && in.Mu != nil {
			return externalmu.Verify(pub, in.Mu, sig), nil
		}
		return ok && mldsa.Verify(pub, in.Value, sig, &mldsa.Options{Context: string(in.Context)}) == nil, nil
	},
}
