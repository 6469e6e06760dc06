package profile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/weak"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

func knownKeys() []string {
	return []string{"RSA 2048", "RSA 3072", "RSA 4096", "P-256", "P-384", "P-521", "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}
}

// KeyName names the type and size of a public key in the words of Profile.Keys.
func KeyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	case *mldsa.PublicKey:
		return k.Parameters().String()
	case *slhdsa.PublicKey:
		return k.Name()
	}
	return "unknown"
}

// checkKey refuses keys that the profile does not name, and weak ones.
func checkKey(p Profile, a Ask) error {
	name := KeyName(a.PublicKey)
	if !slices.Contains(p.Keys, name) {
		return fault.New(fault.Invalid, "KeyNotAllowed", "profile %s does not certify a key of type %s; use one of %q", p.Name, name, p.Keys)
	}
	return weak.Check(a.PublicKey)
}

// encipher are the key usages that a key which only signs must not have.
func encipher() []string { return []string{"keyEncipherment", "dataEncipherment", "keyAgreement"} }

func validKeys(p Profile) error {
	if len(p.Keys) == 0 {
		return errors.New("keys: name at least one")
	}
	for _, k := range p.Keys {
		if !slices.Contains(knownKeys(), k) {
			return fmt.Errorf("keys: %q is unknown; use some of %q", k, knownKeys())
		}
		if strings.HasPrefix(k, "ML-DSA") || k == "Ed25519" { // RFC 9881 section 5, RFC 8410 section 5
			for _, u := range encipher() {
				if slices.Contains(p.KeyUsage, u) {
					return fmt.Errorf("keyUsage: a key of type %s signs and nothing else; move %s to keyUsageRSA or take the key out", k, u)
				}
			}
		}
	}
	return nil
}
