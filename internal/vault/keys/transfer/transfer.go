// Package transfer is the form in which a key travels to or from a vault: a .byok file,
// and the key_hsm of a released key (contract §2.5). A key of the receiver, RSA, encrypts
// an AES key that lives for this purpose, and that wraps the key (PKCS #11 v2.40
// CKM_RSA_AES_KEY_WRAP).
package transfer

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // CKM_RSA_AES_KEY_WRAP is defined with it; OAEP does not rest on its collision resistance
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore/keywrap"
)

// Scheme is a way to wrap, by its name in a header. They differ in the hash of RSA-OAEP.
type Scheme string

// The schemes.
const (
	SHA1   Scheme = "CKM_RSA_AES_KEY_WRAP" // the only one of .byok files
	SHA256 Scheme = "RSA_AES_KEY_WRAP_256"
	SHA384 Scheme = "RSA_AES_KEY_WRAP_384"
)

// Schemes lists them all.
func Schemes() []Scheme { return []Scheme{SHA1, SHA256, SHA384} }

// hash is that of the scheme's RSA-OAEP, or 0 for a scheme that does not exist.
func (s Scheme) hash() crypto.Hash {
	switch s {
	case SHA1:
		return crypto.SHA1
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	}
	return 0
}

func (s Scheme) new() hash.Hash {
	if s == SHA1 {
		return sha1.New() //nolint:gosec // as above
	}
	return s.hash().New()
}

// Blob is a key on its way.
type Blob struct {
	Schema     string `json:"schema_version"`
	Header     Header `json:"header"`
	Ciphertext string `json:"ciphertext"` // base64url
	Generator  string `json:"generator,omitempty"`
}

// Header says for whom the blob is, and how it was made.
type Header struct {
	KeyID     string `json:"kid"` // of the receiver's key
	Algorithm string `json:"alg"` // "dir"
	Scheme    Scheme `json:"enc"`
}

// MaxSize bounds a blob: a key of RSA 4096 under another has 4 KiB.
const MaxSize = 32 << 10

const keySize = 32 // of the AES key

// ErrOpen is what every blob answers that was not made for this key, or was changed since:
// nothing tells what is wrong with it, or it could be guessed bit by bit.
var ErrOpen = errors.New("the key cannot be unwrapped with this key")

// Parse reads a blob. fault.Invalid says what is wrong with its form.
func Parse(data []byte) (Blob, error) {
	var b Blob
	if len(data) > MaxSize {
		return b, malformed("it is larger than %d bytes", MaxSize)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&b); err != nil || d.More() {
		return b, malformed("it is not one JSON object")
	}
	switch {
	case b.Schema != "1.0.0" && b.Schema != "1.0":
		return b, malformed("its schema_version is %.20q, want \"1.0.0\"", b.Schema)
	case b.Header.Algorithm != "dir":
		return b, malformed("its header says alg %.20q, want \"dir\"", b.Header.Algorithm)
	case b.Header.Scheme.hash() == 0:
		return b, malformed("its header says enc %.40q, want %q", b.Header.Scheme, SHA1)
	case b.Header.KeyID == "":
		return b, malformed("its header has no kid, the id of the key exchange key")
	}
	if _, err := b.ciphertext(); err != nil || b.Ciphertext == "" {
		return b, malformed("its ciphertext is not base64url")
	}
	return b, nil
}

func malformed(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", "The key transfer blob (key_hsm) is not valid: "+format+".", args...)
}

func (b Blob) ciphertext() ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(b.Ciphertext, "="))
}

// Seal wraps a key, PKCS #8 or the bytes of a symmetric one, for a receiver.
func Seal(scheme Scheme, kid string, receiver *rsa.PublicKey, key []byte) (Blob, error) {
	b := Blob{Schema: "1.0.0", Header: Header{KeyID: kid, Algorithm: "dir", Scheme: scheme}}
	if scheme.hash() == 0 {
		return b, fmt.Errorf("no scheme %s", scheme)
	}
	ephemeral := make([]byte, keySize)
	defer clear(ephemeral)
	_, _ = rand.Read(ephemeral) // never fails
	block, err := aes.NewCipher(ephemeral)
	if err != nil {
		return b, err
	}
	first, err := rsa.EncryptOAEP(scheme.new(), rand.Reader, receiver, ephemeral, nil)
	if err != nil {
		return b, fmt.Errorf("encrypt for the receiver: %w", err)
	}
	second, err := keywrap.WrapPad(block, key)
	if err != nil {
		return b, fmt.Errorf("wrap: %w", err)
	}
	b.Ciphertext = base64.RawURLEncoding.EncodeToString(append(first, second...))
	return b, nil
}

// Open unwraps with the receiver's private key. Whatever is wrong is ErrOpen, and takes as
// long: where the first step fails, the second is done with a key that fits nothing.
func (b Blob) Open(receiver crypto.Decrypter) ([]byte, error) {
	pub, ok := receiver.Public().(*rsa.PublicKey)
	raw, err := b.ciphertext()
	if !ok || err != nil || len(raw) <= pub.Size() {
		return nil, ErrOpen
	}
	ephemeral := make([]byte, keySize)
	defer clear(ephemeral)
	_, _ = rand.Read(ephemeral)
	key, err := receiver.Decrypt(rand.Reader, raw[:pub.Size()], &rsa.OAEPOptions{Hash: b.Header.Scheme.hash()})
	opened := err == nil && len(key) == keySize
	if opened {
		copy(ephemeral, key)
	}
	clear(key)
	block, err := aes.NewCipher(ephemeral)
	if err != nil {
		return nil, err
	}
	plain, err := keywrap.UnwrapPad(block, raw[pub.Size():])
	if err != nil || !opened {
		return nil, ErrOpen
	}
	return plain, nil
}
