package jws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"math/big"
)

// Key is the public key of an account.
type Key struct {
	Public crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	// JWK has the required members alone, in the order of RFC 7638 section 3.2.
	JWK []byte
	// Thumbprint is the SHA-256 of JWK, base64url (RFC 7638).
	Thumbprint string
}

type jwk struct {
	Type     string `json:"kty"`
	Curve    string `json:"crv"`
	X        string `json:"x"`
	Y        string `json:"y"`
	Modulus  string `json:"n"`
	Exponent string `json:"e"`

	Private jsontext.Value `json:"d"`
	Secret  jsontext.Value `json:"k"`
}

// Bounds of RSA keys: below 2048 bits they are too weak, above 4096 too dear to check.
const (
	minRSA = 2048
	maxRSA = 4096
)

// ParseKey reads a JWK of one of the kinds that may sign for an account: RSA of 2048 to
// 4096 bits, P-256, P-384, P-521, Ed25519.
func ParseKey(text []byte) (Key, error) {
	var j jwk
	if err := json.Unmarshal(text, &j); err != nil {
		return Key{}, fmt.Errorf("%w: the key is no JWK", ErrKey)
	}
	if len(j.Private) > 0 || len(j.Secret) > 0 {
		return Key{}, fmt.Errorf("%w: the JWK holds a private key; send the public half, and make a new key", ErrKey)
	}
	var k Key
	var err error
	switch j.Type {
	case "EC":
		k, err = j.ec()
	case "RSA":
		k, err = j.rsa()
	case "OKP":
		k, err = j.ed25519()
	default:
		return k, fmt.Errorf("%w: keys of type %.20q are not taken", ErrKey, j.Type)
	}
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256(k.JWK)
	k.Thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	return k, nil
}

func (j jwk) ec() (Key, error) {
	curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[j.Curve]
	if !ok {
		return Key{}, fmt.Errorf("%w: the curve %.20q is not taken; use P-256, P-384 or P-521", ErrKey, j.Curve)
	}
	size := (curve.Params().BitSize + 7) / 8
	x, xErr := decode(j.X)
	y, yErr := decode(j.Y)
	if xErr != nil || yErr != nil || len(x) != size || len(y) != size {
		return Key{}, fmt.Errorf("%w: x and y of %s have %d bytes each, base64url", ErrKey, j.Curve, size)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, bytes.Join([][]byte{{4}, x, y}, nil))
	if err != nil {
		return Key{}, fmt.Errorf("%w: the point is not on %s", ErrKey, j.Curve)
	}
	return Key{Public: pub, JWK: fmt.Appendf(nil, `{"crv":%q,"kty":"EC","x":%q,"y":%q}`, j.Curve, j.X, j.Y)}, nil
}

func (j jwk) rsa() (Key, error) {
	n, nErr := decode(j.Modulus)
	e, eErr := decode(j.Exponent)
	if nErr != nil || eErr != nil || len(n) == 0 || n[0] == 0 || len(e) == 0 || e[0] == 0 || len(e) > 4 {
		return Key{}, fmt.Errorf("%w: n and e are numbers without leading zeros, base64url", ErrKey)
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(binary.BigEndian.Uint32(append(make([]byte, 4-len(e)), e...)))}
	if bits := pub.N.BitLen(); bits < minRSA || bits > maxRSA || bits%8 != 0 {
		return Key{}, fmt.Errorf("%w: an RSA key of %d bits; %d to %d are taken, in whole bytes", ErrKey, bits, minRSA, maxRSA)
	}
	if pub.E < 65537 || pub.E > 1<<31-1 || pub.E%2 == 0 || pub.N.Bit(0) == 0 {
		return Key{}, fmt.Errorf("%w: the exponent must be odd and at least 65537, the modulus odd", ErrKey)
	}
	return Key{Public: pub, JWK: fmt.Appendf(nil, `{"e":%q,"kty":"RSA","n":%q}`, j.Exponent, j.Modulus)}, nil
}

func (j jwk) ed25519() (Key, error) {
	x, err := decode(j.X)
	if err != nil || j.Curve != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("%w: of OKP keys only Ed25519 with 32 bytes of x is taken", ErrKey)
	}
	return Key{Public: ed25519.PublicKey(x), JWK: fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":%q}`, j.X)}, nil
}
