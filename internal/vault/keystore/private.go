package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"io"
	"log/slog"
)

// unprintable is embedded by whatever holds a private key: no verb of fmt and no log
// shows what is inside.
type unprintable struct{}

func (unprintable) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }
func (unprintable) LogValue() slog.Value       { return slog.StringValue(hidden) }

type rsaPrivate struct {
	unprintable
	key *rsa.PrivateKey
}

var (
	_ crypto.Decrypter = rsaPrivate{}
	_ Exporter         = rsaPrivate{}
	_ Exporter         = ecPrivate{}
)

func (p rsaPrivate) Public() crypto.PublicKey { return &p.key.PublicKey }

func (p rsaPrivate) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return p.key.Sign(rand, digest, o)
}

func (p rsaPrivate) Decrypt(rand io.Reader, ciphertext []byte, o crypto.DecrypterOpts) ([]byte, error) {
	return p.key.Decrypt(rand, ciphertext, o)
}

func (p rsaPrivate) Export() (crypto.PrivateKey, error) { return p.key, nil }

type ecPrivate struct {
	unprintable
	key *ecdsa.PrivateKey
}

func (p ecPrivate) Public() crypto.PublicKey { return &p.key.PublicKey }

func (p ecPrivate) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return p.key.Sign(rand, digest, o)
}

func (p ecPrivate) Export() (crypto.PrivateKey, error) { return p.key, nil }
