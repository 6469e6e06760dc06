package algorithm

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

// encryption is one scheme, to encrypt values, to wrap keys, or for both, which then are
// the same thing. check refuses an input before the key is touched; it has the key's size
// for RSA.
type encryption struct {
	encrypts, wraps bool

	checkPlaintext  func(a Algorithm, k Key, in Input) error
	checkCiphertext func(a Algorithm, in Input) error
	encrypt         func(a Algorithm, k Key, in Input) (Output, error)
	decrypt         func(a Algorithm, p keystore.Private, in Input) ([]byte, error)
}

// Encrypt encrypts a value, or wraps a key. fault.Invalid says what does not fit.
func (a Algorithm) Encrypt(k Key, in Input) (Output, error) {
	if err := a.encryption.checkPlaintext(a, k, in); err != nil {
		return Output{}, err
	}
	out, err := a.encryption.encrypt(a, k, in)
	if err != nil {
		return Output{}, fmt.Errorf("encrypt with %s: %w", a.Name, err)
	}
	return out, nil
}

// Decrypt decrypts a value, or unwraps a key. Whatever is wrong with the ciphertext, its
// length, its range, its padding or its tag, the answer is the same and takes the same
// time: the difference would decrypt other people's messages (Bleichenbacher, Manger,
// Vaudenay).
func (a Algorithm) Decrypt(k Key, in Input) ([]byte, error) {
	if err := a.encryption.checkCiphertext(a, in); err != nil {
		return nil, err
	}
	p, err := k.Open()
	if err != nil {
		return nil, err
	}
	plaintext, err := a.encryption.decrypt(a, p, in)
	if fault.Is(err, fault.Unavailable) {
		return nil, err
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "BadParameter", "The value does not decrypt with this key and algorithm; check that it was encrypted for this version of the key.")
	}
	return plaintext, nil
}

// pkcs1Encryption is RSAES-PKCS1-v1_5 (RFC 8017 section 7.2), for old programs only: a
// caller who may decrypt can also learn from failures. The standard library removes the
// padding in constant time.
var pkcs1Encryption = encryption{
	encrypts: true, wraps: true,
	checkPlaintext:  func(a Algorithm, k Key, in Input) error { return checkRSA(a, k, in, 11) },
	checkCiphertext: checkBare,
	encrypt: func(_ Algorithm, k Key, in Input) (Output, error) {
		c, err := rsa.EncryptPKCS1v15(rand.Reader, k.Public.(*rsa.PublicKey), in.Value) //nolint:staticcheck // RSA1_5 is part of the contract
		return Output{Value: c}, err
	},
	decrypt: func(_ Algorithm, p keystore.Private, in Input) ([]byte, error) {
		return decryptRSA(p, in.Value, &rsa.PKCS1v15DecryptOptions{}) //nolint:staticcheck // RSA1_5 is part of the contract
	},
}

// oaepEncryption is RSAES-OAEP with MGF1 of the same hash and no label (RFC 7518
// section 4.3).
var oaepEncryption = encryption{
	encrypts: true, wraps: true,
	checkPlaintext:  func(a Algorithm, k Key, in Input) error { return checkRSA(a, k, in, 2*a.Hash.Size()+2) },
	checkCiphertext: checkBare,
	encrypt: func(a Algorithm, k Key, in Input) (Output, error) {
		c, err := rsa.EncryptOAEP(a.Hash.New(), rand.Reader, k.Public.(*rsa.PublicKey), in.Value, nil)
		return Output{Value: c}, err
	},
	decrypt: func(a Algorithm, p keystore.Private, in Input) ([]byte, error) {
		return decryptRSA(p, in.Value, &rsa.OAEPOptions{Hash: a.Hash})
	},
}

// checkRSA wants a value that fits into the modulus beside the padding.
func checkRSA(a Algorithm, k Key, in Input, padding int) error {
	if err := checkBare(a, in); err != nil {
		return err
	}
	pub, ok := k.Public.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("encrypt with %s: the public key is a %T", a.Name, k.Public)
	}
	if most := pub.Size() - padding; len(in.Value) > most {
		return fault.New(fault.Invalid, "BadParameter", "The value has %d bytes; %s with this key takes %d at most.", len(in.Value), a.Name, most)
	}
	return nil
}

// checkBare refuses what belongs to AES: to ignore it would let a client believe that its
// aad is authenticated.
func checkBare(a Algorithm, in Input) error {
	if len(in.IV)+len(in.AAD)+len(in.Tag) > 0 {
		return fault.New(fault.Invalid, "BadParameter", "The parameters iv, aad and tag belong to AES keys; leave them out for %s.", a.Name)
	}
	return nil
}

func decryptRSA(p keystore.Private, ciphertext []byte, o crypto.DecrypterOpts) ([]byte, error) {
	d, ok := p.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("the keystore's %T cannot decrypt", p)
	}
	return d.Decrypt(rand.Reader, ciphertext, o)
}
