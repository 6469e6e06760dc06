package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a password, client secret, token or link. It prints as "[secret]" however it
// is printed, logged or marshalled.
type Secret struct{ text string }

// NewSecret wraps the text of a secret.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text: for the one who it is for, and for nobody else.
func (s Secret) Reveal() string { return s.text }

const hidden = "[secret]"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Format keeps every verb of fmt, %x too, from printing the text.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// Generate makes a secret of 256 random bits. The prefix tells secret scanners, and
// people who find one in a file, what it is.
func Generate(prefix string) Secret {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return Secret{prefix + base64.RawURLEncoding.EncodeToString(b)}
}

// Prefixes of generated secrets.
const (
	ClientSecretPrefix   = "chs_"
	IdentityHeaderPrefix = "chi_"
	SignInLinkPrefix     = "chl_"
)

// Digest is what is kept of a generated secret. A plain hash is enough for 256 random
// bits: there is nothing to guess. Passwords that people choose get Argon2id.
type Digest [sha256.Size]byte

// Digest returns the hash of the secret.
func (s Secret) Digest() Digest { return sha256.Sum256([]byte(s.text)) }
