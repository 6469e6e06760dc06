package keys

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
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
// the type may end in "-HSM". A symmetric key has no public half, and no parts.
type JWK struct {
	Type      string      `json:"kty"`
	Ops       []Operation `json:"key_ops"`
	N         Bytes       `json:"n,omitempty"`   // RSA modulus
	E         Bytes       `json:"e,omitempty"`   // RSA public exponent
	Curve     string      `json:"crv,omitempty"` // EC
	X         Bytes       `json:"x,omitempty"`   // EC, as long as the curve's field
	Y         Bytes       `json:"y,omitempty"`
	Algorithm string      `json:"alg,omitempty"` // AKP
	Pub       Bytes       `json:"pub,omitempty"` // AKP
}

// PrivateJWK is a key to import, with the parts of RFC 7518 sections 6.2.2, 6.3.2 and 6.4,
// and the seed of an AKP key. It never prints.
type PrivateJWK struct {
	JWK
	D    Bytes `json:"d,omitempty"`
	P    Bytes `json:"p,omitempty"`
	Q    Bytes `json:"q,omitempty"`
	DP   Bytes `json:"dp,omitempty"`
	DQ   Bytes `json:"dq,omitempty"`
	QI   Bytes `json:"qi,omitempty"`
	K    Bytes `json:"k,omitempty"`    // oct
	Priv Bytes `json:"priv,omitempty"` // AKP

	Transfer transferBytes `json:"key_hsm,omitempty"` // a transfer blob instead of all the parts
}

const hidden = "[private key]"

// Format hides the key.
func (PrivateJWK) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (PrivateJWK) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON hides the key; it is only ever read.
func (PrivateJWK) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// form is how the keys of a type stand in a JSON Web Key. There is one for each type, in
// forms.go, and nothing else knows how they differ.
type form interface {
	// wanted is the key to make of what was asked for, with defaults for what was not.
	wanted(w Wanted) keystore.Spec
	// spec is the key that k holds, told without computing with its numbers.
	spec(k PrivateJWK) (keystore.Spec, error)
	// public reads the public half of k, whose spec has been checked.
	public(k JWK) (crypto.PublicKey, error)
	// private reads the whole key; pub is the public half, or nil when k leaves it out.
	private(k PrivateJWK, pub crypto.PublicKey) (crypto.PrivateKey, error)
	// write puts a public key into k.
	write(k *JWK, pub crypto.PublicKey) error
}

// formOf is the form of a kty.
func formOf(kty string) (form, error) {
	switch keyType(kty) {
	case keystore.RSA:
		return rsaForm{}, nil
	case keystore.EC:
		return ecForm{}, nil
	case keystore.Oct:
		return octForm{}, nil
	case keystore.AKP:
		return akpForm{}, nil
	}
	return nil, fault.New(fault.Invalid, "BadParameter", "The key type (kty) %.20q is not supported; use RSA, EC, oct or AKP, or one of them with -HSM.", kty)
}

// keyType is the type of a kty without its protection.
func keyType(kty string) keystore.Type { return keystore.Type(strings.TrimSuffix(kty, "-HSM")) }

// publicJWK is the JWK of a public key that a keystore made, nil for a symmetric key.
func publicJWK(kty string, pub crypto.PublicKey, ops []Operation) (JWK, error) {
	k := JWK{Type: kty, Ops: ops}
	f, err := formOf(kty)
	if err != nil {
		return k, err
	}
	return k, f.write(&k, pub)
}

// Public returns the *rsa.PublicKey, *ecdsa.PublicKey, *p256k.PublicKey or
// *mldsa.PublicKey of k. fault.Invalid says which part is wrong, or that a symmetric key
// has no public half.
func (k JWK) Public() (crypto.PublicKey, error) {
	f, err := formOf(k.Type)
	if err != nil {
		return nil, err
	}
	return f.public(k)
}

// isPublic reports whether k has no private part at all.
func (k PrivateJWK) isPublic() bool {
	n := 0
	for _, b := range []Bytes{k.D, k.P, k.Q, k.DP, k.DQ, k.QI, k.K, k.Priv} {
		n += len(b)
	}
	return n == 0 && keyType(k.Type) != keystore.Oct
}

// read returns the key with all its parts, which the keystore then checks against each
// other, or only its public half when there is no more. Type, size and curve are checked
// before anything is computed with the numbers.
func (k PrivateJWK) read() (key crypto.PrivateKey, pub crypto.PublicKey, err error) {
	f, err := formOf(k.Type)
	if err != nil {
		return nil, nil, err
	}
	spec, err := f.spec(k)
	if err != nil {
		return nil, nil, err
	}
	if err := spec.Check(); err != nil {
		return nil, nil, err
	}
	if k.isPublic() {
		pub, err = f.public(k.JWK)
		return nil, pub, err
	}
	if len(k.N)+len(k.X)+len(k.Y)+len(k.Pub) > 0 {
		if pub, err = f.public(k.JWK); err != nil {
			return nil, nil, err
		}
	}
	key, err = f.private(k, pub)
	return key, pub, err
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
