package keystore

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"chatelaine.dev/internal/vault/keystore/keywrap"
)

// Mechanism is a way to encrypt with a symmetric key. PKCS #11 has each of them.
type Mechanism string

// The mechanisms.
const (
	GCM        Mechanism = "AES-GCM"     // NIST SP 800-38D; the store makes the IV of 12 bytes, the tag has 16
	CBC        Mechanism = "AES-CBC"     // whole blocks only
	CBCPad     Mechanism = "AES-CBC-PAD" // with the padding of PKCS #7
	KeyWrap    Mechanism = "AES-KW"      // RFC 3394
	KeyWrapPad Mechanism = "AES-KWP"     // RFC 5649
)

// Sealed is what a symmetric key encrypts to. Which parts there are is the mechanism's.
type Sealed struct {
	IV         []byte // GCM, CBC, CBCPad
	Ciphertext []byte
	AAD        []byte // GCM: authenticated, not encrypted
	Tag        []byte // GCM
}

// The lengths of what goes with a ciphertext.
const (
	BlockSize = aes.BlockSize // of a block, and of the IV of CBC and CBCPad
	NonceSize = 12            // of the IV of GCM
	TagSize   = 16            // of GCM
)

// ErrDecryption is every reason why a value does not decrypt: which it is, nobody learns.
var ErrDecryption = errors.New("the value does not decrypt with this key")

// Symmetric is a Private of type oct.
type Symmetric interface {
	Private
	// Encrypt encrypts. GCM authenticates with.AAD and makes the IV; CBC and CBCPad take
	// with.IV. The caller has checked the lengths.
	Encrypt(m Mechanism, with Sealed, plaintext []byte) (Sealed, error)
	// Decrypt is the opposite. ErrDecryption for everything that was not encrypted so.
	Decrypt(m Mechanism, s Sealed) ([]byte, error)
	// MAC is the HMAC of a message (RFC 2104).
	MAC(h crypto.Hash, message []byte) ([]byte, error)
}

// secret is a symmetric key of this process. Its ciphers are made once.
type secret struct {
	unprintable
	key   Secret
	block cipher.Block // nil when the key is of no size of AES
	gcm   cipher.AEAD
}

func newSecret(key Secret) (secret, error) {
	k := secret{key: key}
	switch len(key) {
	case 16, 24, 32:
	default:
		return k, nil
	}
	var err error
	if k.block, err = aes.NewCipher(key); err != nil {
		return k, err
	}
	k.gcm, err = cipher.NewGCM(k.block)
	return k, err
}

func (k secret) notAES() error {
	return fmt.Errorf("software key: %d bytes are no AES key", len(k.key))
}

func (secret) Public() crypto.PublicKey             { return nil }
func (k secret) Export() (crypto.PrivateKey, error) { return k.key, nil }

func (k secret) MAC(h crypto.Hash, message []byte) ([]byte, error) {
	m := hmac.New(h.New, k.key)
	m.Write(message)
	return m.Sum(nil), nil
}

func (k secret) Encrypt(m Mechanism, with Sealed, plaintext []byte) (Sealed, error) {
	if k.block == nil {
		return Sealed{}, k.notAES()
	}
	switch m {
	case GCM:
		return sealGCM(k.gcm, with.AAD, plaintext), nil
	case CBC:
		return sealCBC(k.block, with.IV, plaintext), nil
	case CBCPad:
		return sealCBC(k.block, with.IV, pad(plaintext)), nil
	case KeyWrap:
		wrapped, err := keywrap.Wrap(k.block, plaintext)
		return Sealed{Ciphertext: wrapped}, err
	case KeyWrapPad:
		wrapped, err := keywrap.WrapPad(k.block, plaintext)
		return Sealed{Ciphertext: wrapped}, err
	}
	return Sealed{}, fmt.Errorf("encrypt with software key: unknown mechanism %s", m)
}

func (k secret) Decrypt(m Mechanism, s Sealed) ([]byte, error) {
	if k.block == nil {
		return nil, k.notAES()
	}
	var plaintext []byte
	var err error
	switch m {
	case GCM:
		plaintext, err = openGCM(k.gcm, s)
	case CBC:
		plaintext, err = openCBC(k.block, s)
	case CBCPad:
		plaintext, err = openCBC(k.block, s)
		if err == nil {
			plaintext, err = unpad(plaintext)
		}
	case KeyWrap:
		plaintext, err = keywrap.Unwrap(k.block, s.Ciphertext)
	case KeyWrapPad:
		plaintext, err = keywrap.UnwrapPad(k.block, s.Ciphertext)
	default:
		return nil, fmt.Errorf("decrypt with software key: unknown mechanism %s", m)
	}
	if err != nil {
		return nil, ErrDecryption
	}
	return plaintext, nil
}

func sealGCM(gcm cipher.AEAD, aad, plaintext []byte) Sealed {
	iv := make([]byte, NonceSize)
	_, _ = rand.Read(iv) // never fails
	out := gcm.Seal(nil, iv, plaintext, aad)
	n := len(out) - TagSize
	return Sealed{IV: iv, Ciphertext: out[:n:n], AAD: aad, Tag: out[n:]}
}

func openGCM(gcm cipher.AEAD, s Sealed) ([]byte, error) {
	if len(s.IV) != NonceSize || len(s.Tag) != TagSize {
		return nil, ErrDecryption
	}
	return gcm.Open(nil, s.IV, append(append([]byte(nil), s.Ciphertext...), s.Tag...), s.AAD)
}

func sealCBC(block cipher.Block, iv, plaintext []byte) Sealed {
	out := make([]byte, len(plaintext))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plaintext)
	return Sealed{IV: iv, Ciphertext: out}
}

func openCBC(block cipher.Block, s Sealed) ([]byte, error) {
	if len(s.IV) != BlockSize || len(s.Ciphertext)%BlockSize != 0 {
		return nil, ErrDecryption
	}
	out := make([]byte, len(s.Ciphertext))
	cipher.NewCBCDecrypter(block, s.IV).CryptBlocks(out, s.Ciphertext)
	return out, nil
}

// pad appends one to sixteen bytes that tell how many they are (RFC 5652 section 6.3).
func pad(b []byte) []byte {
	n := BlockSize - len(b)%BlockSize
	out := make([]byte, len(b)+n)
	copy(out, b)
	for i := len(b); i < len(out); i++ {
		out[i] = byte(n)
	}
	return out
}

// unpad removes the padding. It looks at the whole last block whatever it finds there, so
// that its time does not tell how far a wrong padding was right.
func unpad(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, ErrDecryption
	}
	last := b[len(b)-1]
	ok := subtle.ConstantTimeLessOrEq(1, int(last)) & subtle.ConstantTimeLessOrEq(int(last), BlockSize)
	for i := range BlockSize {
		inside := subtle.ConstantTimeLessOrEq(i+1, int(last))
		ok &= 1 ^ (inside & (1 ^ subtle.ConstantTimeByteEq(b[len(b)-1-i], last)))
	}
	if ok != 1 {
		return nil, ErrDecryption
	}
	return b[:len(b)-int(last)], nil
}
