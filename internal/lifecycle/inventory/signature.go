package inventory

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	_ "crypto/md5" //nolint:gosec // old signatures are checked to find out who made them, not to trust them
	"crypto/sha1"  //nolint:gosec // the same
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"

	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// ErrUncheckable says that the algorithm is unknown here, so that a signature can be
// neither confirmed nor refuted.
var ErrUncheckable = errors.New("the signature's algorithm cannot be checked here")

var errSignature = errors.New("the signature does not match")

// Limits that keep a hostile key from costing seconds.
const (
	maxCheckedModulus  = 8192 // bits
	maxCheckedExponent = 33   // bits
)

// SignedBy reports whether the issuer's key made the certificate's signature: nil if it did,
// ErrUncheckable if nobody here can tell. It proves descent and nothing else: it takes
// MD5, SHA-1 and short keys too, because an old certificate has an issuer as well.
func (c *Certificate) SignedBy(issuer *Certificate) error {
	if len(c.raw.signature) == 0 || len(issuer.raw.spki) == 0 {
		return ErrUncheckable
	}
	if c.raw.signer != "" && c.raw.signer == issuer.SPKI {
		return nil
	}
	if issuer.Key.Algorithm == "RSA" && issuer.Key.Size > maxCheckedModulus {
		return ErrUncheckable
	}
	if issuer.Key.Algorithm == "RSA" && (c.Signature.Hash == "SHA-1" || c.Signature.Hash == "MD5" || issuer.Key.Size < 1024) {
		return c.signedByOldRSA(issuer)
	}
	if key, err := slhdsa.ParsePublic(issuer.raw.spki); err == nil && c.Signature.Algorithm == key.Name() {
		if !key.Verify(c.raw.tbs, c.raw.signature) {
			return errSignature
		}
		return nil
	}
	pub, err := x509.ParsePKIXPublicKey(issuer.raw.spki)
	if err != nil {
		return ErrUncheckable
	}
	if key, ok := pub.(*ecdsa.PublicKey); ok && c.Signature.Algorithm == "ECDSA-SHA1" {
		sum := sha1.Sum(c.raw.tbs) //nolint:gosec // see the import
		if !ecdsa.VerifyASN1(key, sum[:], c.raw.signature) {
			return errSignature
		}
		return nil
	}
	algorithm, ok := standardAlgorithm(c.Signature)
	if !ok {
		return ErrUncheckable
	}
	checker := x509.Certificate{PublicKey: pub}
	switch err := checker.CheckSignature(algorithm, c.raw.tbs, c.raw.signature); {
	case err == nil:
		return nil
	case errors.Is(err, x509.ErrUnsupportedAlgorithm):
		return ErrUncheckable
	default:
		return errSignature
	}
}

// standardAlgorithm finds the algorithm that crypto/x509 calls by the same name.
func standardAlgorithm(s Signature) (x509.SignatureAlgorithm, bool) {
	switch s.Algorithm {
	case "RSA-PSS-SHA-256":
		return x509.SHA256WithRSAPSS, true
	case "RSA-PSS-SHA-384":
		return x509.SHA384WithRSAPSS, true
	case "RSA-PSS-SHA-512":
		return x509.SHA512WithRSAPSS, true
	}
	for a := x509.SHA256WithRSA; a <= x509.MLDSA87; a++ {
		if a.String() == s.Algorithm {
			return a, true
		}
	}
	return 0, false
}

// signedByOldRSA verifies RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2) with hashes and key
// sizes that crypto/rsa refuses.
func (c *Certificate) signedByOldRSA(issuer *Certificate) error {
	digest, ok := c.digestInfo()
	if !ok {
		return ErrUncheckable
	}
	info, _, err := want(issuer.raw.spki, tagSequence)
	if err != nil {
		return ErrUncheckable
	}
	parts, err := children(info.value, 2)
	if err != nil || len(parts) < 2 {
		return ErrUncheckable
	}
	modulus, exponent, err := rsaNumbers(bits8(parts[1].value))
	if err != nil {
		return ErrUncheckable
	}
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	size := (n.BitLen() + 7) / 8
	if n.Bit(0) == 0 || e.Sign() <= 0 || e.BitLen() > maxCheckedExponent || size < len(digest)+11 {
		return ErrUncheckable
	}
	s := new(big.Int).SetBytes(c.raw.signature)
	if s.Cmp(n) >= 0 {
		return errSignature
	}
	padded := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-len(digest)-3)...)
	padded = append(append(padded, 0), digest...)
	if !bytes.Equal(s.Exp(s, e, n).FillBytes(make([]byte, size)), padded) {
		return errSignature
	}
	return nil
}

// digestInfo is the encoded DigestInfo of the to-be-signed part.
func (c *Certificate) digestInfo() ([]byte, bool) {
	var prefix string
	var hash crypto.Hash
	switch c.Signature.Algorithm {
	case "MD5-RSA":
		prefix, hash = "3020300c06082a864886f70d020505000410", crypto.MD5
	case "SHA1-RSA":
		prefix, hash = "3021300906052b0e03021a05000414", crypto.SHA1
	case "SHA256-RSA":
		prefix, hash = "3031300d060960864801650304020105000420", crypto.SHA256
	default:
		return nil, false
	}
	head, err := hex.DecodeString(prefix)
	h := hash.New()
	h.Write(c.raw.tbs)
	return h.Sum(head), err == nil
}
