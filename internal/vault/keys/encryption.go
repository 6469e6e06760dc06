package keys

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

// encryption is one scheme of RSA. Wrapping a key and encrypting are the same thing.
type encryption struct {
	overhead func(a Algorithm) int // bytes of the modulus that padding takes
	encrypt  func(a Algorithm, pub *rsa.PublicKey, plaintext []byte) ([]byte, error)
	options  func(a Algorithm) crypto.DecrypterOpts
}

// Encrypt encrypts a value, or wraps a key. fault.Invalid says how many bytes fit.
func (a Algorithm) Encrypt(pub crypto.PublicKey, plaintext []byte) ([]byte, error) {
	k, ok := pub.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("encrypt with %s: the public key is a %T", a.Name, pub)
	}
	if most := k.Size() - a.encryption.overhead(a); len(plaintext) > most {
		return nil, fault.New(fault.Invalid, "BadParameter", "The value has %d bytes; %s with this key takes %d at most.", len(plaintext), a.Name, most)
	}
	ciphertext, err := a.encryption.encrypt(a, k, plaintext)
	if err != nil {
		return nil, fmt.Errorf("encrypt with %s: %w", a.Name, err)
	}
	return ciphertext, nil
}

// Decrypt decrypts a value, or unwraps a key. Whatever is wrong with the ciphertext, its
// length, its range or its padding, the answer is the same and takes the same time: the
// difference would decrypt other people's messages (Bleichenbacher, Manger).
func (a Algorithm) Decrypt(key keystore.Private, ciphertext []byte) ([]byte, error) {
	d, ok := key.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("decrypt with %s: the keystore's %T cannot decrypt", a.Name, key)
	}
	plaintext, err := d.Decrypt(rand.Reader, ciphertext, a.encryption.options(a))
	if fault.Is(err, fault.Unavailable) {
		return nil, err
	}
	if err != nil {
		return nil, errDecryption()
	}
	return plaintext, nil
}

func errDecryption() error {
	return fault.New(fault.Invalid, "BadParameter", "The value does not decrypt with this key and algorithm; check that it was encrypted for this version of the key.")
}

// pkcs1Encryption is RSAES-PKCS1-v1_5 (RFC 8017 section 7.2), for old programs only: a
// caller who may decrypt can also learn from failures. The standard library removes the
// padding in constant time.
var pkcs1Encryption = encryption{
	overhead: func(Algorithm) int { return 11 },
	encrypt: func(_ Algorithm, pub *rsa.PublicKey, plaintext []byte) ([]byte, error) {
		return rsa.EncryptPKCS1v15(rand.Reader, pub, plaintext) //nolint:staticcheck // RSA1_5 is part of the contract
	},
	options: func(Algorithm) crypto.DecrypterOpts {
		return &rsa.PKCS1v15DecryptOptions{} //nolint:staticcheck // RSA1_5 is part of the contract
	},
}

// oaepEncryption is RSAES-OAEP with MGF1 of the same hash and no label (RFC 7518
// section 4.3).
var oaepEncryption = encryption{
	overhead: func(a Algorithm) int { return 2*a.Hash.Size() + 2 },
	encrypt: func(a Algorithm, pub *rsa.PublicKey, plaintext []byte) ([]byte, error) {
		return rsa.EncryptOAEP(a.Hash.New(), rand.Reader, pub, plaintext, nil)
	},
	options: func(a Algorithm) crypto.DecrypterOpts { return &rsa.OAEPOptions{Hash: a.Hash} },
}
