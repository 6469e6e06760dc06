package keystore

import (
	"crypto"
	"crypto/ed25519"
	"strconv"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// OKP is the type of Ed25519 keys, which only our own authorities have: the vault's API
// knows no such key, so Spec.Check refuses it.
const OKP Type = "OKP"

// ed25519Name is the one curve of OKP.
const ed25519Name = "Ed25519"

func ed25519Spec() Spec { return Spec{Type: OKP, Curve: ed25519Name} }

// RootOnly reports whether only a root may have such a key: each signature takes as long
// as thousands of others, which an authority that issues cannot afford.
func (s Spec) RootOnly() bool { return s.Type == AKP && slhdsa.Known(s.Algorithm) }

// CheckAuthority is Check for the key of a certification authority. fault.Invalid names
// the keys that can be.
func (s Spec) CheckAuthority() error {
	if s == ed25519Spec() || s.RootOnly() {
		return nil
	}
	if s.Type == AKP && strings.HasPrefix(s.Algorithm, "SLH-DSA") {
		return fault.New(fault.Invalid, "BadParameter", "There is no key of type %.20q here; for a root use one of %s.", s.Algorithm, strings.Join(slhdsa.Names(), ", "))
	}
	if s.Type == RSA || s.Type == EC && s.Curve != "P-256K" || s.Type == AKP {
		return s.Check()
	}
	return fault.New(fault.Invalid, "BadParameter", "An authority cannot have a key of type %.20q; use P-256, P-384, P-521, RSA 2048, RSA 3072, RSA 4096, Ed25519, ML-DSA-44, ML-DSA-65 or ML-DSA-87, or for a root SLH-DSA-SHA2-128s and the like.", s.String())
}

// AuthoritySpec reads the name of an authority's key, such as "P-384", "RSA 4096",
// "Ed25519", "ML-DSA-65" or "SLH-DSA-SHA2-128s".
func AuthoritySpec(name string) (Spec, error) {
	s := Spec{Type: EC, Curve: name}
	bits, isRSA := strings.CutPrefix(name, "RSA ")
	switch {
	case isRSA:
		n, err := strconv.Atoi(bits)
		if err != nil {
			n = 0
		}
		s = Spec{Type: RSA, Bits: n}
	case name == ed25519Name:
		s = ed25519Spec()
	case strings.HasPrefix(name, "ML-DSA"), strings.HasPrefix(name, "SLH-DSA"):
		s = Spec{Type: AKP, Algorithm: name}
	}
	if s.Type == EC {
		if _, ok := CurveNamed(name); !ok {
			s.Type = "" // neither a curve nor anything else: the message names all there are
		}
	}
	return s, s.CheckAuthority()
}

// AuthorityNames are the names of the keys that an authority can have, for people to choose from.
func AuthorityNames(root bool) []string {
	names := []string{"P-256", "P-384", "P-521", "RSA 2048", "RSA 3072", "RSA 4096", ed25519Name, "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}
	if root {
		names = append(names, slhdsa.Names()...)
	}
	return names
}

// AuthoritySpecOf describes the public key of an authority.
func AuthoritySpecOf(pub crypto.PublicKey) (Spec, error) {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		return ed25519Spec(), nil
	case *slhdsa.PublicKey:
		return Spec{Type: AKP, Algorithm: k.Name()}, nil
	}
	return SpecOf(pub)
}

// check is Check, and takes the keys of authorities too.
func (s Spec) check() error {
	if s == ed25519Spec() || s.RootOnly() {
		return nil
	}
	return s.Check()
}

// generateEd25519 makes a key; crypto/rand does not fail.
func generateEd25519() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(nil)
	return key, err
}
