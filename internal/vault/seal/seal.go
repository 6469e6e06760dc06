// Package seal keeps rows unreadable and unmovable at rest. A root key, kept outside the
// database, wraps one data key per vault; a data key seals every row of its vault with
// AES-256-GCM, and the row's identity and revision are additional data, so that a row
// that was altered, swapped with another or moved to another name does not open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// KeySize is the size of root and data keys in bytes (AES-256).
const KeySize = 32

// ErrSealed is returned for bytes that are not what was sealed under this key and
// identity: corrupted, swapped, rolled back, or from another installation.
var ErrSealed = errors.New("row does not open: it was altered, moved or belongs to another root key")

// Identity says which row is sealed. Every part is bound to the ciphertext.
type Identity struct {
	Vault    string
	Kind     string
	Name     string
	Version  string
	Revision int64 // grows with every write of the row
}

// encode is injective: each part is preceded by its length.
func (id Identity) encode() []byte {
	b := make([]byte, 0, 64+len(id.Vault)+len(id.Kind)+len(id.Name)+len(id.Version))
	for _, s := range [...]string{id.Vault, id.Kind, id.Name, id.Version} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return binary.BigEndian.AppendUint64(b, uint64(id.Revision))
}

// Box seals and opens the rows of one vault. It is safe for concurrent use.
type Box struct {
	aead   cipher.AEAD
	ledger []byte // key of the row tags that a ledger adds up
}

// NewBox makes the Box of a data key of KeySize bytes.
func NewBox(dataKey []byte) (*Box, error) {
	if len(dataKey) != KeySize {
		return nil, fmt.Errorf("data key has %d bytes, want %d", len(dataKey), KeySize)
	}
	block, err := aes.NewCipher(derive(dataKey, "chatelaine row encryption v1"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Box{aead: aead, ledger: derive(dataKey, "chatelaine row ledger v1")}, nil
}

// derive makes one purpose's key of a data key (HMAC-SHA256 as a PRF).
func derive(key []byte, purpose string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(purpose))
	return m.Sum(nil)
}

// Seal encrypts plaintext for the row id.
func (b *Box) Seal(id Identity, plaintext []byte) []byte {
	return b.aead.Seal(nil, nil, plaintext, id.encode())
}

// Open decrypts what Seal made for the same id, or returns ErrSealed.
func (b *Box) Open(id Identity, sealed []byte) ([]byte, error) {
	plain, err := b.aead.Open(nil, nil, sealed, id.encode())
	if err != nil {
		return nil, fmt.Errorf("%s/%s/%s/%s revision %d: %w", id.Vault, id.Kind, id.Name, id.Version, id.Revision, ErrSealed)
	}
	return plain, nil
}

// Tag is what a row at a revision adds to its vault's ledger; nobody without the data
// key can compute or cancel it.
func (b *Box) Tag(id Identity) [sha256.Size]byte {
	m := hmac.New(sha256.New, b.ledger)
	m.Write(id.encode())
	return [sha256.Size]byte(m.Sum(nil))
}

// Root wraps data keys. Its key never enters the database.
type Root struct{ box *Box }

// NewRoot makes a Root of a root key of KeySize bytes.
func NewRoot(key []byte) (*Root, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("root key has %d bytes, want %d", len(key), KeySize)
	}
	b, err := NewBox(derive(key, "chatelaine root wrapping v1"))
	if err != nil {
		return nil, err
	}
	return &Root{box: b}, nil
}

// NewDataKey makes a data key and wraps it for the holder, a vault's name or a floor's
// such as "pki". The wrapped form is for the database.
func (r *Root) NewDataKey(holder string) (*Box, []byte, error) {
	key := make([]byte, KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, nil, err
	}
	b, err := NewBox(key)
	if err != nil {
		return nil, nil, err
	}
	return b, r.box.Seal(dataKeyIdentity(holder), key), nil
}

// OpenDataKey unwraps what NewDataKey wrapped for the same holder.
func (r *Root) OpenDataKey(holder string, wrapped []byte) (*Box, error) {
	key, err := r.box.Open(dataKeyIdentity(holder), wrapped)
	if err != nil {
		return nil, err
	}
	return NewBox(key)
}

func dataKeyIdentity(holder string) Identity {
	return Identity{Vault: holder, Kind: "data key"}
}
