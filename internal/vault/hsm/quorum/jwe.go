package quorum

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
)

// errJWE says no more, so that nobody learns from it.
var errJWE = errors.New("a part of the security domain does not open with this key")

// header is the protected header of a JWE (RFC 7516).
type header struct {
	Algorithm  string `json:"alg"` // dir or RSA-OAEP-256
	Encryption string `json:"enc"` // A256CBC-HS512
	KeyID      string `json:"kid"`
}

const encryption = "A256CBC-HS512"

// contentKey is the size of a key of A256CBC-HS512: 32 bytes authenticate, 32 encrypt.
const contentKey = 64

// sealDirect encrypts under a key that both sides have.
func sealDirect(key, plain []byte, keyID string) (string, error) {
	return seal(header{"dir", encryption, keyID}, nil, key, plain)
}

// sealTo encrypts to a public key.
func sealTo(to *rsa.PublicKey, plain []byte) (string, error) {
	key := make([]byte, contentKey)
	if _, err := rand.Read(key); err != nil {
		return "", err
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, to, key, nil)
	if err != nil {
		return "", err
	}
	return seal(header{"RSA-OAEP-256", encryption, "not used"}, wrapped, key, plain)
}

// seal is RFC 7518 §5.2.5 in the compact serialisation.
func seal(h header, wrapped, key, plain []byte) (string, error) {
	protected, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	aad := base64.RawURLEncoding.EncodeToString(protected)
	block, err := aes.NewCipher(key[32:])
	if err != nil {
		return "", err
	}
	iv := make([]byte, aes.BlockSize)
	if _, err := rand.Read(iv); err != nil {
		return "", err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	text := append(append(make([]byte, 0, len(plain)+pad), plain...), strings.Repeat(string(rune(pad)), pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	parts := [][]byte{wrapped, iv, text, tag(key, aad, iv, text)}
	for _, p := range parts {
		aad += "." + base64.RawURLEncoding.EncodeToString(p)
	}
	return aad, nil
}

func tag(key []byte, aad string, iv, text []byte) []byte {
	m := hmac.New(sha512.New, key[:32])
	m.Write([]byte(aad))
	m.Write(iv)
	m.Write(text)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(aad))*8))
	return m.Sum(nil)[:32]
}

// open opens a compact JWE. key returns the content key for the header's algorithm and
// the wrapped key.
func open(compact string, key func(algorithm string, wrapped []byte) ([]byte, error)) ([]byte, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 5 {
		return nil, errJWE
	}
	var raw [5][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(p, "="))
		if err != nil {
			return nil, errJWE
		}
		raw[i] = b
	}
	var h header
	if json.Unmarshal(raw[0], &h) != nil || h.Encryption != encryption {
		return nil, errJWE
	}
	k, err := key(h.Algorithm, raw[1])
	if err != nil || len(k) != contentKey {
		return nil, errJWE
	}
	iv, text := raw[2], raw[3]
	if len(iv) != aes.BlockSize || len(text) == 0 || len(text)%aes.BlockSize != 0 ||
		subtle.ConstantTimeCompare(tag(k, parts[0], iv, text), raw[4]) != 1 {
		return nil, errJWE
	}
	block, err := aes.NewCipher(k[32:])
	if err != nil {
		return nil, err
	}
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, text)
	pad := int(text[len(text)-1]) // it was authenticated, so padding tells nobody anything
	if pad == 0 || pad > aes.BlockSize {
		return nil, errJWE
	}
	return text[:len(text)-pad], nil
}

// openWith opens what sealTo made.
func openWith(compact string, private *rsa.PrivateKey) ([]byte, error) {
	return open(compact, func(algorithm string, wrapped []byte) ([]byte, error) {
		if algorithm != "RSA-OAEP-256" {
			return nil, errJWE
		}
		return rsa.DecryptOAEP(sha256.New(), nil, private, wrapped, nil)
	})
}

// openDirect opens what sealDirect made.
func openDirect(compact string, key []byte) ([]byte, error) {
	return open(compact, func(algorithm string, wrapped []byte) ([]byte, error) {
		if algorithm != "dir" || len(wrapped) != 0 {
			return nil, errJWE
		}
		return key, nil
	})
}

// derive is the key derivation of SP 800-108 in counter mode with HMAC-SHA-512, for results
// of up to 64 bytes, which are one block.
func derive(key []byte, label, context string, size int) []byte {
	m := hmac.New(sha512.New, key)
	m.Write([]byte{0, 0, 0, 1})
	m.Write([]byte(label))
	m.Write([]byte{0})
	m.Write([]byte(context))
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(size)*8))
	return m.Sum(nil)[:size]
}
