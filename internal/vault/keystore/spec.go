package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"

	"chatelaine.dev/internal/fault"
)

// Curve returns the curve of a name that a Spec may hold, and whether there is one.
func Curve(name string) (elliptic.Curve, bool) {
	switch name {
	case "P-256":
		return elliptic.P256(), true
	case "P-384":
		return elliptic.P384(), true
	case "P-521":
		return elliptic.P521(), true
	}
	return nil, false
}

// Check says whether such a key can be made or imported: fault.Invalid names the sizes
// and curves that can.
func (s Spec) Check() error {
	switch s.Type {
	case RSA:
		switch s.Bits {
		case 2048, 3072, 4096:
			return nil
		}
		return fault.New(fault.Invalid, "BadParameter", "An RSA key of %d bits is not supported; use 2048, 3072 or 4096.", s.Bits)
	case EC:
		if _, ok := Curve(s.Curve); ok {
			return nil
		}
		return fault.New(fault.Invalid, "BadParameter", "Curve %q is not supported; use P-256, P-384 or P-521.", s.Curve)
	}
	return fault.New(fault.Invalid, "BadParameter", "Key type %q is not supported; use RSA or EC.", string(s.Type))
}

// SpecOf describes a public key. fault.Invalid when no keystore could hold its private
// half: another type, size or curve.
func SpecOf(pub crypto.PublicKey) (Spec, error) {
	var s Spec
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k.N == nil {
			return s, fault.New(fault.Invalid, "BadParameter", "The RSA key has no modulus.")
		}
		s = Spec{Type: RSA, Bits: k.N.BitLen()}
	case *ecdsa.PublicKey:
		if k.Curve == nil {
			return s, fault.New(fault.Invalid, "BadParameter", "The EC key has no curve.")
		}
		s = Spec{Type: EC, Curve: k.Curve.Params().Name}
	default:
		return s, fault.New(fault.Invalid, "BadParameter", "The key is neither RSA nor EC; no other type is supported.")
	}
	return s, s.Check()
}
