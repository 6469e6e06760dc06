// Package signature knows how a key signs what an authority says: certificates, lists of
// those that are revoked, and answers about one.
package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// Scheme is one way to sign.
type Scheme struct {
	X509      x509.SignatureAlgorithm // 0: crypto/x509 does not know it
	Algorithm []byte                  // AlgorithmIdentifier in DER
	Hash      crypto.Hash             // 0: the message itself is signed
	Size      int                     // bytes of a signature at most
}

// Of returns the scheme of a key: RFC 5754 and RFC 4055 for RSA, RFC 5758 for ECDSA, RFC
// 8410 for Ed25519, RFC 9881 for ML-DSA, RFC 9909 for SLH-DSA.
func Of(pub crypto.PublicKey) (Scheme, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey: // sha256WithRSAEncryption, whose parameters are NULL
		return Scheme{x509.SHA256WithRSA, []byte{0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0}, crypto.SHA256, k.Size()}, nil
	case *ecdsa.PublicKey:
		ecdsaWith := func(hash byte) []byte { return []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, hash} }
		size := 2*((k.Curve.Params().BitSize+7)/8) + 16
		switch k.Curve {
		case elliptic.P256():
			return Scheme{x509.ECDSAWithSHA256, ecdsaWith(2), crypto.SHA256, size}, nil
		case elliptic.P384():
			return Scheme{x509.ECDSAWithSHA384, ecdsaWith(3), crypto.SHA384, size}, nil
		case elliptic.P521():
			return Scheme{x509.ECDSAWithSHA512, ecdsaWith(4), crypto.SHA512, size}, nil
		}
	case ed25519.PublicKey:
		return Scheme{x509.PureEd25519, []byte{0x30, 5, 6, 3, 0x2b, 0x65, 0x70}, 0, ed25519.SignatureSize}, nil
	case *mldsa.PublicKey:
		of := func(a x509.SignatureAlgorithm, arc byte) (Scheme, error) {
			return Scheme{a, []byte{0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, arc}, 0, k.Parameters().SignatureSize()}, nil
		}
		switch k.Parameters() {
		case mldsa.MLDSA44():
			return of(x509.MLDSA44, 17)
		case mldsa.MLDSA65():
			return of(x509.MLDSA65, 18)
		case mldsa.MLDSA87():
			return of(x509.MLDSA87, 19)
		}
	case *slhdsa.PublicKey:
		return Scheme{x509.UnknownSignatureAlgorithm, k.Algorithm(), 0, k.SignatureSize()}, nil
	}
	return Scheme{}, fmt.Errorf("an authority cannot sign with a key of type %T", pub)
}

// Sign signs a message.
func (s Scheme) Sign(signer crypto.Signer, message []byte) ([]byte, error) {
	return crypto.SignMessage(signer, rand.Reader, message, s.Hash)
}

var errSignature = errors.New("the signature is not that of the key")

// Verify checks a signature of a message by the key that the scheme is of.
func (s Scheme) Verify(pub crypto.PublicKey, message, signed []byte) error {
	if k, ok := pub.(*slhdsa.PublicKey); ok {
		if !k.Verify(message, signed) {
			return errSignature
		}
		return nil
	}
	by := x509.Certificate{PublicKey: pub}
	return by.CheckSignature(s.X509, message, signed)
}

// RootOnly reports whether a key takes so long to sign that only a root should have it,
// which signs authorities and its lists and nothing else.
func RootOnly(pub crypto.PublicKey) bool {
	_, ok := pub.(*slhdsa.PublicKey)
	return ok
}
