// Package keywrap is the AES key wrap of RFC 3394 and that with padding of RFC 5649, for
// ciphers with blocks of 16 bytes.
package keywrap

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// ErrIntegrity is what every value that was not wrapped with this key answers: nothing
// tells what is wrong with it.
var ErrIntegrity = errors.New("keywrap: the value was not wrapped with this key")

// ErrLength is a key that cannot be wrapped.
var ErrLength = errors.New("keywrap: a key of this length cannot be wrapped")

// chunk is the unit of both algorithms: half a block.
const chunk = 8

// initial is the initial value of RFC 3394 section 2.2.3.1; alternative are the first four
// bytes of that of RFC 5649 section 3, which the length follows.
const (
	initial     = 0xa6a6a6a6a6a6a6a6
	alternative = 0xa65959a6
)

// maxLength is far above what a body may hold, and keeps the arithmetic in range.
const maxLength = 1 << 24

// Wrap wraps a key of 16 bytes or more, a multiple of 8 (RFC 3394 section 2.2.1).
func Wrap(b cipher.Block, key []byte) ([]byte, error) {
	if len(key) < 2*chunk || len(key)%chunk != 0 || len(key) > maxLength {
		return nil, ErrLength
	}
	out := make([]byte, chunk+len(key))
	binary.BigEndian.PutUint64(out, initial)
	copy(out[chunk:], key)
	wrap(b, out)
	return out, nil
}

// Unwrap is the opposite of Wrap (RFC 3394 section 2.2.2).
func Unwrap(b cipher.Block, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 3*chunk || len(wrapped)%chunk != 0 || len(wrapped) > maxLength {
		return nil, ErrIntegrity
	}
	out := append([]byte(nil), wrapped...)
	unwrap(b, out)
	var want [chunk]byte
	binary.BigEndian.PutUint64(want[:], initial)
	if subtle.ConstantTimeCompare(out[:chunk], want[:]) != 1 {
		clear(out)
		return nil, ErrIntegrity
	}
	return out[chunk:], nil
}

// WrapPad wraps a key of one byte or more (RFC 5649 section 4.1).
func WrapPad(b cipher.Block, key []byte) ([]byte, error) {
	if len(key) == 0 || len(key) > maxLength {
		return nil, ErrLength
	}
	padded := (len(key) + chunk - 1) / chunk * chunk
	out := make([]byte, chunk+padded)
	binary.BigEndian.PutUint32(out, alternative)
	binary.BigEndian.PutUint32(out[4:], uint32(len(key)))
	copy(out[chunk:], key)
	if len(out) == 2*chunk {
		b.Encrypt(out, out)
		return out, nil
	}
	wrap(b, out)
	return out, nil
}

// UnwrapPad is the opposite of WrapPad (RFC 5649 section 4.2).
func UnwrapPad(b cipher.Block, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 2*chunk || len(wrapped)%chunk != 0 || len(wrapped) > maxLength {
		return nil, ErrIntegrity
	}
	out := append([]byte(nil), wrapped...)
	if len(out) == 2*chunk {
		b.Decrypt(out, out)
	} else {
		unwrap(b, out)
	}
	key := out[chunk:]
	n := int(binary.BigEndian.Uint32(out[4:chunk]) & (1<<31 - 1)) // a longer one fails below
	var want [4]byte
	binary.BigEndian.PutUint32(want[:], alternative)
	ok := subtle.ConstantTimeCompare(out[:4], want[:])
	ok &= subtle.ConstantTimeByteEq(out[4]>>7, 0)
	ok &= subtle.ConstantTimeLessOrEq(len(key)-chunk+1, n) & subtle.ConstantTimeLessOrEq(n, len(key))
	// The padding is in the last chunk: every byte of it from n on must be zero.
	for i := len(key) - chunk; i < len(key); i++ {
		inPadding := subtle.ConstantTimeLessOrEq(n, i)
		ok &= 1 ^ (inPadding & (1 ^ subtle.ConstantTimeByteEq(key[i], 0)))
	}
	if ok != 1 {
		clear(out)
		return nil, ErrIntegrity
	}
	return key[:n], nil
}

// wrap is the loop of RFC 3394 section 2.2.1 on A, R1, R2…, in place.
func wrap(b cipher.Block, x []byte) {
	var block [2 * chunk]byte
	n := len(x)/chunk - 1
	a := binary.BigEndian.Uint64(x)
	for t := 1; t <= 6*n; t++ {
		r := x[chunk*(1+(t-1)%n):][:chunk]
		binary.BigEndian.PutUint64(block[:], a)
		copy(block[chunk:], r)
		b.Encrypt(block[:], block[:])
		a = binary.BigEndian.Uint64(block[:]) ^ uint64(t)
		copy(r, block[chunk:])
	}
	binary.BigEndian.PutUint64(x, a)
}

// unwrap is the loop of RFC 3394 section 2.2.2, in place.
func unwrap(b cipher.Block, x []byte) {
	var block [2 * chunk]byte
	n := len(x)/chunk - 1
	a := binary.BigEndian.Uint64(x)
	for t := 6 * n; t >= 1; t-- {
		r := x[chunk*(1+(t-1)%n):][:chunk]
		binary.BigEndian.PutUint64(block[:], a^uint64(t))
		copy(block[chunk:], r)
		b.Decrypt(block[:], block[:])
		a = binary.BigEndian.Uint64(block[:])
		copy(r, block[chunk:])
	}
	binary.BigEndian.PutUint64(x, a)
}
