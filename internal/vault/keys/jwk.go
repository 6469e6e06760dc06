package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/big"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

// Bytes is a part of a JSON Web Key: base64url without padding (RFC 7515 section 2).
// Padding is forgiven.
type Bytes []byte

// MarshalText encodes.
func (b Bytes) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText decodes.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.AppendDecode(nil, bytes.TrimRight(text, "="))
	return err
}

// JWK is the public half of a key as a JSON Web Key (RFC 7517), in Key Vault's dialect:
// the type may end in "-HSM".
type JWK struct {
	Type  string      `json:"kty"`
	Ops   []Operation `json:"key_ops"`
	N     Bytes       `json:"n,omitempty"`   // RSA modulus
	E     Bytes       `json:"e,omitempty"`   // RSA public exponent
	Curve string      `json:"crv,omitempty"` // EC
	X     Bytes       `json:"x,omitempty"`   // EC, as long as the curve's field
	Y     Bytes       `json:"y,omitempty"`
}

// PrivateJWK is a key to import, with the parts of RFC 7518 sections 6.2.2 and 6.3.2. It
// never prints.
type PrivateJWK struct {
	JWK
	D  Bytes `json:"d,omitempty"`
	P  Bytes `json:"p,omitempty"`
	Q  Bytes `json:"q,omitempty"`
	DP Bytes `json:"dp,omitempty"`
	DQ Bytes `json:"dq,omitempty"`
	QI Bytes `json:"qi,omitempty"`
}

const hidden = "[private key]"

// Format hides the key.
func (PrivateJWK) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (PrivateJWK) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON hides the key; it is only ever read.
func (PrivateJWK) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// publicJWK is the JWK of a public key that a keystore made.
func publicJWK(kty string, pub crypto.PublicKey, ops []Operation) (JWK, error) {
	k := JWK{Type: kty, Ops: ops}
	switch p := pub.(type) {
	case *rsa.PublicKey:
		k.N, k.E = p.N.Bytes(), big.NewInt(int64(p.E)).Bytes()
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, x, y (SEC 1 section 2.3.3)
		if err != nil {
			return k, fmt.Errorf("encode public key: %w", err)
		}
		half := len(point) / 2
		k.Curve, k.X, k.Y = p.Curve.Params().Name, point[1:1+half], point[1+half:]
	default:
		return k, fmt.Errorf("encode public key: unknown type %T", pub)
	}
	return k, nil
}

// Public returns the *rsa.PublicKey or *ecdsa.PublicKey of k. fault.Invalid says which
// part is wrong.
func (k JWK) Public() (crypto.PublicKey, error) {
	if keyType(k.Type) == keystore.RSA {
		if err := k.need(part{"n", k.N}, part{"e", k.E}); err != nil {
			return nil, err
		}
		e := new(big.Int).SetBytes(k.E)
		if !e.IsInt64() || e.Int64() > math.MaxInt32 {
			return nil, fault.New(fault.Invalid, "BadParameter", "The public exponent of the key is larger than 2147483647; make a new key.")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(k.N), E: int(e.Int64())}, nil
	}
	curve, ok := keystore.Curve(k.Curve)
	if !ok {
		return nil, (keystore.Spec{Type: keystore.EC, Curve: k.Curve}).Check()
	}
	if err := k.need(part{"x", k.X}, part{"y", k.Y}); err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	x, y := pad(k.X, size), pad(k.Y, size)
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter", fmt.Sprintf("The point x, y is not on the curve %s.", k.Curve))
	}
	return pub, nil
}

// spec checks type, size and curve, before anything is computed with the numbers.
func (k JWK) spec() (keystore.Spec, error) {
	bits := len(k.N) * 8
	if n := bytes.TrimLeft(k.N, "\x00"); len(n) <= maxPart {
		bits = new(big.Int).SetBytes(n).BitLen()
	}
	return specFor(k.Type, bits, k.Curve)
}

// private returns the key with all its parts, which the keystore then checks against
// each other.
func (k PrivateJWK) private() (crypto.PrivateKey, error) {
	if _, err := k.spec(); err != nil {
		return nil, err
	}
	pub, err := k.Public()
	if err != nil {
		return nil, err
	}
	if p, ok := pub.(*rsa.PublicKey); ok {
		return k.rsa(p)
	}
	return k.ecdsa(pub.(*ecdsa.PublicKey))
}

func (k PrivateJWK) rsa(pub *rsa.PublicKey) (crypto.PrivateKey, error) {
	if err := k.need(part{"d", k.D}, part{"p", k.P}, part{"q", k.Q}); err != nil {
		return nil, err
	}
	number := func(b Bytes) *big.Int { return new(big.Int).SetBytes(b) }
	key := &rsa.PrivateKey{PublicKey: *pub, D: number(k.D), Primes: []*big.Int{number(k.P), number(k.Q)}}
	if k.DP == nil && k.DQ == nil && k.QI == nil {
		return key, nil
	}
	if err := k.need(part{"dp", k.DP}, part{"dq", k.DQ}, part{"qi", k.QI}); err != nil {
		return nil, err
	}
	key.Precomputed = rsa.PrecomputedValues{Dp: number(k.DP), Dq: number(k.DQ), Qinv: number(k.QI)}
	return key, nil
}

func (k PrivateJWK) ecdsa(pub *ecdsa.PublicKey) (crypto.PrivateKey, error) {
	if err := k.need(part{"d", k.D}); err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseRawPrivateKey(pub.Curve, pad(k.D, (pub.Params().N.BitLen()+7)/8))
	if err != nil || !key.PublicKey.Equal(pub) {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter", "The parts of the EC key do not belong together; export it again with d, x and y.")
	}
	return key, nil
}

// part is a number of a key, by its JWK name.
type part struct {
	name  string
	value Bytes
}

// maxPart is the length of the longest number of a key that can be imported, RSA 4096.
const maxPart = 512

func (k JWK) need(parts ...part) error {
	for _, p := range parts {
		if len(p.value) == 0 {
			return fault.New(fault.Invalid, "BadParameter", "The key lacks the part %q, which a key of type %s must have to be imported.", p.name, k.Type)
		}
		if len(bytes.TrimLeft(p.value, "\x00")) > maxPart {
			return fault.New(fault.Invalid, "BadParameter", "The part %q of the key is longer than %d bytes.", p.name, maxPart)
		}
	}
	return nil
}

// pad gives a number exactly size bytes where that is possible: leading zeros are cut off
// or added. Anything longer stays as it is and is refused by the parser.
func pad(b []byte, size int) []byte {
	b = bytes.TrimLeft(b, "\x00")
	if len(b) >= size {
		return b
	}
	return append(make([]byte, size-len(b)), b...)
}

// keyType is the type of a kty without its protection.
func keyType(kty string) keystore.Type { return keystore.Type(strings.TrimSuffix(kty, "-HSM")) }

// specFor is the key that a kty, a size in bits (RSA) and a curve (EC) name. Zero and ""
// stand for 2048 bits and P-256.
func specFor(kty string, bits int, curve string) (keystore.Spec, error) {
	s := keystore.Spec{Type: keyType(kty)}
	switch s.Type {
	case keystore.RSA:
		if s.Bits = bits; bits == 0 {
			s.Bits = 2048
		}
	case keystore.EC:
		if s.Curve = curve; curve == "" {
			s.Curve = "P-256"
		}
	default:
		return s, fault.New(fault.Invalid, "BadParameter", "The key type (kty) %.20q is not supported; use RSA, RSA-HSM, EC or EC-HSM.", kty)
	}
	return s, s.Check()
}
