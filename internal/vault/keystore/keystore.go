// Package keystore is where private keys live. A keystore makes, imports and uses keys;
// the vault above it keeps the material that the keystore hands out, sealed, and never
// looks inside. Software keeps the key itself in the material; an HSM keeps a reference.
package keystore

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
)

// Type is a key type without its protection: RSA, EC, OKP.
type Type string

// The key types.
const (
	RSA Type = "RSA"
	EC  Type = "EC"
)

// Spec is the key to make.
type Spec struct {
	Type  Type
	Bits  int    // RSA: 2048, 3072, 4096
	Curve string // EC: P-256, P-384, P-521
}

func (s Spec) String() string {
	if s.Type == RSA {
		return fmt.Sprintf("RSA %d", s.Bits)
	}
	return s.Curve
}

// Material is a private key as its keystore keeps it. It never prints.
type Material []byte

const hidden = "[key material]"

// String hides the material.
func (Material) String() string { return hidden }

// Format hides the material from every verb, %x and %d too.
func (Material) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the material.
func (Material) LogValue() slog.Value { return slog.StringValue(hidden) }

// Private is a private key that can be used. Every one signs; RSA keys also implement
// crypto.Decrypter; keys whose store can give them up also implement Exporter.
type Private interface {
	crypto.Signer
}

// Exporter is a Private whose bytes may leave the store.
type Exporter interface {
	// Export returns *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey.
	Export() (crypto.PrivateKey, error)
}

// Keystore makes and opens keys. Implementations are safe for concurrent use.
type Keystore interface {
	// Name tells what protects the keys: "software", or the HSM's name.
	Name() string
	// Generate makes a key. fault.Invalid says which sizes and curves exist.
	Generate(ctx context.Context, s Spec) (Material, crypto.PublicKey, error)
	// Import takes a key from outside and checks that its parts belong together.
	Import(ctx context.Context, key crypto.PrivateKey) (Material, crypto.PublicKey, error)
	// Open makes a usable key of material. fault.Unavailable when the store is away.
	Open(ctx context.Context, m Material) (Private, error)
}
