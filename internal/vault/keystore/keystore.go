// Package keystore is where private and symmetric keys live. A keystore makes, imports and
// uses keys; the vault above it keeps the material that the keystore hands out, sealed,
// and never looks inside. Software keeps the key itself in the material; an HSM keeps a
// reference.
package keystore

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
)

// Material is a key as its keystore keeps it. It never prints.
type Material []byte

const hidden = "[key material]"

// String hides the material.
func (Material) String() string { return hidden }

// Format hides the material from every verb, %x and %d too.
func (Material) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the material.
func (Material) LogValue() slog.Value { return slog.StringValue(hidden) }

// Secret is the value of a symmetric key. It never prints.
type Secret []byte

// String hides the secret.
func (Secret) String() string { return hidden }

// Format hides the secret from every verb, %x and %d too.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// Private is a key that can be used. What it can do shows in what else it implements:
// RSA, EC and AKP keys are a crypto.Signer, RSA keys also a crypto.Decrypter, oct keys a
// Symmetric; keys whose store can give them up are an Exporter.
type Private interface {
	// Public is the public half, or nil when there is none.
	Public() crypto.PublicKey
}

// Exporter is a Private whose bytes may leave the store.
type Exporter interface {
	// Export returns *rsa.PrivateKey, *ecdsa.PrivateKey, *p256k.PrivateKey,
	// *mldsa.PrivateKey or Secret.
	Export() (crypto.PrivateKey, error)
}

// Keystore makes and opens keys. Implementations are safe for concurrent use.
type Keystore interface {
	// Name tells what protects the keys: "software", or the HSM's name.
	Name() string
	// Generate makes a key; a symmetric one has no public half, and it is nil.
	// fault.Invalid says which sizes and curves exist.
	Generate(ctx context.Context, s Spec) (Material, crypto.PublicKey, error)
	// Import takes a key from outside, of the types that Export returns, and checks that
	// its parts belong together.
	Import(ctx context.Context, key crypto.PrivateKey) (Material, crypto.PublicKey, error)
	// Open makes a usable key of material. fault.Unavailable when the store is away.
	Open(ctx context.Context, m Material) (Private, error)
}

// OpenSigner opens a key that signs; a symmetric key is an error.
func OpenSigner(ctx context.Context, s Keystore, m Material) (crypto.Signer, error) {
	p, err := s.Open(ctx, m)
	if err != nil {
		return nil, err
	}
	signer, ok := p.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("open key of keystore %s: a %T does not sign", s.Name(), p)
	}
	return signer, nil
}
