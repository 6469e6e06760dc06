package keywrap_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"testing"

	"chatelaine.dev/internal/vault/keystore/keywrap"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func block(t testing.TB, key []byte) cipher.Block {
	t.Helper()
	b, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	kek  = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
	data = "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"
)

func TestKeysAreWrappedAsInTheRFCs(t *testing.T) {
	for name, c := range map[string]struct {
		kek, key, wrapped string
		wrap, unwrap      func(cipher.Block, []byte) ([]byte, error)
	}{
		"RFC 3394 4.1": {kek[:32], data[:32], "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5", keywrap.Wrap, keywrap.Unwrap},
		"RFC 3394 4.2": {kek[:48], data[:32], "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D", keywrap.Wrap, keywrap.Unwrap},
		"RFC 3394 4.3": {kek, data[:32], "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7", keywrap.Wrap, keywrap.Unwrap},
		"RFC 3394 4.4": {kek[:48], data[:48], "031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2", keywrap.Wrap, keywrap.Unwrap},
		"RFC 3394 4.6": {kek, data, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21", keywrap.Wrap, keywrap.Unwrap},
		"RFC 5649 20":  {"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a", keywrap.WrapPad, keywrap.UnwrapPad},
		"RFC 5649 7":   {"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f", keywrap.WrapPad, keywrap.UnwrapPad},
	} {
		b := block(t, unhex(t, c.kek))

		wrapped, err := c.wrap(b, unhex(t, c.key))
		if err != nil || !bytes.Equal(wrapped, unhex(t, c.wrapped)) {
			t.Errorf("%s: wrapped %X, %v", name, wrapped, err)
		}
		key, err := c.unwrap(b, unhex(t, c.wrapped))
		if err != nil || !bytes.Equal(key, unhex(t, c.key)) {
			t.Errorf("%s: unwrapped %X, %v", name, key, err)
		}
	}
}

func TestKeysOfEveryLengthComeBack(t *testing.T) {
	b := block(t, make([]byte, 32))
	for n := range 70 {
		key := bytes.Repeat([]byte{0xa5}, n)

		wrapped, err := keywrap.Wrap(b, key)
		if possible := n >= 16 && n%8 == 0; possible != (err == nil) || err != nil && !errors.Is(err, keywrap.ErrLength) {
			t.Errorf("wrap %d bytes: %v", n, err)
		}
		if err == nil {
			if got, err := keywrap.Unwrap(b, wrapped); err != nil || !bytes.Equal(got, key) {
				t.Errorf("unwrap %d bytes: %X, %v", n, got, err)
			}
		}

		wrapped, err = keywrap.WrapPad(b, key)
		if possible := n > 0; possible != (err == nil) || err != nil && !errors.Is(err, keywrap.ErrLength) {
			t.Errorf("wrap with padding %d bytes: %v", n, err)
		}
		if err == nil {
			if got, err := keywrap.UnwrapPad(b, wrapped); err != nil || !bytes.Equal(got, key) {
				t.Errorf("unwrap with padding %d bytes: %X, %v", n, got, err)
			}
		}
	}
}

// What RFC 5649 section 3 wants of a value that decrypts: the constant, a length that fits
// the number of chunks, and zeros after it.
func TestPaddingIsCheckedWhole(t *testing.T) {
	b := block(t, make([]byte, 16))
	// made wraps what is not right, as a single block: A is the first half.
	made := func(plain string) []byte {
		out := unhex(t, plain)
		b.Encrypt(out, out)
		return out
	}
	for name, c := range map[string]struct {
		plain string
		want  []byte
	}{
		"one byte":         {"a65959a600000001" + "ff00000000000000", []byte{0xff}},
		"eight bytes":      {"a65959a600000008" + "0102030405060708", []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		"no byte":          {"a65959a600000000" + "0000000000000000", nil},
		"nine bytes":       {"a65959a600000009" + "0102030405060708", nil},
		"negative":         {"a65959a6ffffffff" + "0102030405060708", nil},
		"negative, low":    {"a65959a680000008" + "0102030405060708", nil},
		"first not zero":   {"a65959a600000001" + "ff80000000000000", nil},
		"last not zero":    {"a65959a600000001" + "ff00000000000001", nil},
		"another constant": {"a65959a700000008" + "0102030405060708", nil},
		"that of RFC 3394": {"a6a6a6a6a6a6a6a6" + "0102030405060708", nil},
	} {
		got, err := keywrap.UnwrapPad(b, made(c.plain))
		if !bytes.Equal(got, c.want) || (err == nil) != (c.want != nil) || err != nil && !errors.Is(err, keywrap.ErrIntegrity) {
			t.Errorf("%s: unwrapped %X, %v", name, got, err)
		}
	}
}

func TestWhatWasNotWrappedIsRefused(t *testing.T) {
	b := block(t, make([]byte, 16))
	good, err := keywrap.Wrap(b, make([]byte, 24))
	if err != nil {
		t.Fatal(err)
	}
	padded, err := keywrap.WrapPad(b, make([]byte, 20))
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if got, err := keywrap.Unwrap(b, bad); !errors.Is(err, keywrap.ErrIntegrity) || got != nil {
			t.Errorf("byte %d changed: %X, %v", i, got, err)
		}
		bad = bytes.Clone(padded)
		bad[i] ^= 1
		if got, err := keywrap.UnwrapPad(b, bad); !errors.Is(err, keywrap.ErrIntegrity) || got != nil {
			t.Errorf("byte %d changed, with padding: %X, %v", i, got, err)
		}
	}
	for _, bad := range [][]byte{nil, good[:8], good[:16], good[:23], good[8:], append(bytes.Clone(good), 0), padded} {
		if got, err := keywrap.Unwrap(b, bad); !errors.Is(err, keywrap.ErrIntegrity) || got != nil {
			t.Errorf("%d bytes: %X, %v", len(bad), got, err)
		}
	}
	for _, bad := range [][]byte{nil, padded[:8], padded[:15], padded[:16], padded[8:], append(bytes.Clone(padded), 0), good} {
		if got, err := keywrap.UnwrapPad(b, bad); !errors.Is(err, keywrap.ErrIntegrity) || got != nil {
			t.Errorf("%d bytes, with padding: %X, %v", len(bad), got, err)
		}
	}
}

// Whatever unwraps was wrapped: wrapping it again gives the same value.
func FuzzUnwrap(f *testing.F) {
	b := block(f, make([]byte, 16))
	for _, n := range []int{1, 8, 16, 20, 24} {
		padded, err := keywrap.WrapPad(b, make([]byte, n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(padded)
	}
	plain, err := keywrap.Wrap(b, make([]byte, 24))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		before := bytes.Clone(wrapped)
		if key, err := keywrap.UnwrapPad(b, wrapped); err == nil {
			if again, err := keywrap.WrapPad(b, key); err != nil || !bytes.Equal(again, wrapped) {
				t.Errorf("with padding: %X comes out, and %X would be its wrapping", key, again)
			}
		}
		if key, err := keywrap.Unwrap(b, wrapped); err == nil {
			if again, err := keywrap.Wrap(b, key); err != nil || !bytes.Equal(again, wrapped) {
				t.Errorf("%X comes out, and %X would be its wrapping", key, again)
			}
		}
		if !bytes.Equal(before, wrapped) {
			t.Error("the input was changed")
		}
	})
}
