package keystore

import (
	"crypto"
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

var (
	_ crypto.Signer    = private{}
	_ crypto.Decrypter = rsaPrivate{}
	_ Exporter         = private{}
	_ Exporter         = secret{}
	_ Symmetric        = secret{}
)

// private is a key that signs. It hides that the standard library's keys do more.
type private struct {
	unprintable
	key crypto.Signer
}

func (p private) Public() crypto.PublicKey { return p.key.Public() }

func (p private) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return p.key.Sign(rand, digest, o)
}

func (p private) Export() (crypto.PrivateKey, error) { return p.key, nil }

// rsaPrivate is a key that decrypts as well.
type rsaPrivate struct {
	private
	rsa *rsa.PrivateKey
}

func (p rsaPrivate) Decrypt(rand io.Reader, ciphertext []byte, o crypto.DecrypterOpts) ([]byte, error) {
	return p.rsa.Decrypt(rand, ciphertext, o)
}
