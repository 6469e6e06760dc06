package algorithm

import (
	"fmt"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
)

// symmetric is the key as one that encrypts or authenticates.
func symmetric(k Key) (keystore.Symmetric, error) {
	p, err := k.Open()
	if err != nil {
		return nil, err
	}
	s, ok := p.(keystore.Symmetric)
	if !ok {
		return nil, fmt.Errorf("the keystore's %T is not symmetric", p)
	}
	return s, nil
}

// gcmEncryption is AES-GCM (NIST SP 800-38D). The IV is random and made here: two values
// under one IV would give the key's authentication away.
var gcmEncryption = encryption{
	encrypts: true,
	checkPlaintext: func(a Algorithm, _ Key, in Input) error {
		if len(in.IV)+len(in.Tag) > 0 {
			return fault.New(fault.Invalid, "BadParameter", "The parameters iv and tag are made by the vault when it encrypts with %s; leave them out.", a.Name)
		}
		return nil
	},
	checkCiphertext: func(a Algorithm, in Input) error {
		if len(in.IV) != keystore.NonceSize || len(in.Tag) != keystore.TagSize {
			return fault.New(fault.Invalid, "BadParameter", "To decrypt with %s, iv must have %d bytes and tag %d, as they came from encrypt.", a.Name, keystore.NonceSize, keystore.TagSize)
		}
		return nil
	},
	encrypt: encryptWith(keystore.GCM),
	decrypt: decryptWith(keystore.GCM),
}

// cbcEncryption is AES-CBC of whole blocks, which authenticates nothing.
var cbcEncryption = encryption{
	encrypts: true,
	checkPlaintext: func(a Algorithm, _ Key, in Input) error {
		if len(in.Value)%keystore.BlockSize != 0 {
			return fault.New(fault.Invalid, "BadParameter", "The value has %d bytes; %s takes a multiple of %d: use %sPAD for any length.", len(in.Value), a.Name, keystore.BlockSize, a.Name)
		}
		return checkIV(a, in)
	},
	checkCiphertext: checkIV,
	encrypt:         encryptWith(keystore.CBC),
	decrypt:         decryptWith(keystore.CBC),
}

// cbcPadEncryption is AES-CBC with the padding of PKCS #7.
var cbcPadEncryption = encryption{
	encrypts:        true,
	checkPlaintext:  func(a Algorithm, _ Key, in Input) error { return checkIV(a, in) },
	checkCiphertext: checkIV,
	encrypt:         encryptWith(keystore.CBCPad),
	decrypt:         decryptWith(keystore.CBCPad),
}

// keyWrapping is the AES key wrap (RFC 3394).
var keyWrapping = encryption{
	wraps: true,
	checkPlaintext: func(a Algorithm, _ Key, in Input) error {
		if n := len(in.Value); n < 16 || n%8 != 0 {
			return fault.New(fault.Invalid, "BadParameter", "The value has %d bytes; %s takes a multiple of 8, and 16 at least: use CKM_AES_KEY_WRAP_PAD for any length.", n, a.Name)
		}
		return checkWrap(a, in)
	},
	checkCiphertext: checkWrap,
	encrypt:         encryptWith(keystore.KeyWrap),
	decrypt:         decryptWith(keystore.KeyWrap),
}

// keyWrappingPad is the AES key wrap with padding (RFC 5649).
var keyWrappingPad = encryption{
	wraps: true,
	checkPlaintext: func(a Algorithm, _ Key, in Input) error {
		if len(in.Value) == 0 {
			return fault.New(fault.Invalid, "BadParameter", "The value is empty; %s takes one byte at least.", a.Name)
		}
		return checkWrap(a, in)
	},
	checkCiphertext: checkWrap,
	encrypt:         encryptWith(keystore.KeyWrapPad),
	decrypt:         decryptWith(keystore.KeyWrapPad),
}

// checkIV wants an IV, and nothing that CBC does not authenticate.
func checkIV(a Algorithm, in Input) error {
	if len(in.IV) != keystore.BlockSize {
		return fault.New(fault.Invalid, "BadParameter", "The parameter iv has %d bytes; %s needs %d, random for every value.", len(in.IV), a.Name, keystore.BlockSize)
	}
	if len(in.AAD)+len(in.Tag) > 0 {
		return fault.New(fault.Invalid, "BadParameter", "%s authenticates nothing: leave out aad and tag, or use AES-GCM.", a.Name)
	}
	return nil
}

func checkWrap(a Algorithm, in Input) error {
	if len(in.IV)+len(in.AAD)+len(in.Tag) > 0 {
		return fault.New(fault.Invalid, "BadParameter", "%s has no parameters; leave out iv, aad and tag.", a.Name)
	}
	return nil
}

func encryptWith(m keystore.Mechanism) func(Algorithm, Key, Input) (Output, error) {
	return func(_ Algorithm, k Key, in Input) (Output, error) {
		s, err := symmetric(k)
		if err != nil {
			return Output{}, err
		}
		out, err := s.Encrypt(m, keystore.Sealed{IV: in.IV, AAD: in.AAD}, in.Value)
		return Output{Value: out.Ciphertext, IV: out.IV, AAD: out.AAD, Tag: out.Tag}, err
	}
}

func decryptWith(m keystore.Mechanism) func(Algorithm, keystore.Private, Input) ([]byte, error) {
	return func(_ Algorithm, p keystore.Private, in Input) ([]byte, error) {
		s, ok := p.(keystore.Symmetric)
		if !ok {
			return nil, fmt.Errorf("the keystore's %T is not symmetric", p)
		}
		return s.Decrypt(m, keystore.Sealed{IV: in.IV, Ciphertext: in.Value, AAD: in.AAD, Tag: in.Tag})
	}
}
