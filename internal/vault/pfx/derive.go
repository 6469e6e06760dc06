package pfx

import (
	"bytes"
	"hash"
)

// The purposes of a key made by derive (RFC 7292, B.3).
const (
	forKey = 1
	forIV  = 2
	forMAC = 3
)

// secret is a password in its two spellings: PKCS#12's own algorithms want a BMPString
// with a zero at its end, PBES2 and PBMAC1 want UTF-8.
type secret struct {
	bmp  []byte
	utf8 string
}

func newSecret(password string) (secret, error) {
	bmp := make([]byte, 0, 2*len(password)+2)
	for _, r := range password {
		if r > 0xFFFF {
			return secret{}, invalid("its password has a character outside Unicode's basic plane, which PKCS#12 cannot express")
		}
		bmp = append(bmp, byte(r>>8), byte(r))
	}
	return secret{bmp: append(bmp, 0, 0), utf8: password}, nil
}

// derive makes size bytes of a password (RFC 7292, B.2).
func (s secret) derive(newHash func() hash.Hash, purpose byte, salt []byte, iterations, size int) []byte {
	h := newHash()
	v := h.BlockSize()
	diversifier := bytes.Repeat([]byte{purpose}, v)
	seed := append(stretch(salt, v), stretch(s.bmp, v)...)
	out := make([]byte, 0, size+h.Size())
	for {
		h.Reset()
		h.Write(diversifier)
		h.Write(seed)
		sum := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(sum)
			sum = h.Sum(sum[:0])
		}
		out = append(out, sum...)
		if len(out) >= size {
			return out[:size]
		}
		addend := stretch(sum, v)
		for at := 0; at < len(seed); at += v {
			addPlusOne(seed[at:at+v], addend)
		}
	}
}

// stretch repeats b until its length is a multiple of v. Nothing stays nothing.
func stretch(b []byte, v int) []byte {
	n := (len(b) + v - 1) / v * v
	out := make([]byte, n)
	for i := range out {
		out[i] = b[i%len(b)]
	}
	return out
}

// addPlusOne sets x to x+y+1, both big-endian and of one length; the overflow is dropped.
func addPlusOne(x, y []byte) {
	carry := 1
	for i := len(x) - 1; i >= 0; i-- {
		carry += int(x[i]) + int(y[i])
		x[i] = byte(carry)
		carry >>= 8
	}
}
