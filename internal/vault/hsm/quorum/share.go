// Package quorum is the security domain as it leaves an HSM: a secret that m of n holders
// open together, in the files that `az keyvault security-domain` reads and writes.
//
// A random master key encrypts the secret. Of the master key, every holder has one share
// (Shamir, over the field of 257 elements), encrypted to the holder's certificate.
package quorum

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
)

// Limits of a quorum (contract §1.5).
const (
	MinHolders  = 3
	MaxHolders  = 10
	MinRequired = 2
)

// prime is the size of the field: the smallest that holds every byte.
const prime = 257

// The arithmetic takes the same time for all values, for they are parts of the master key.

// reduce returns x mod 257 for 0 ≤ x < 65536, because 256 ≡ -1.
func reduce(x int32) int32 {
	t := x&0xff - x>>8
	return t + t>>31&prime
}

func mul(a, b int32) int32 { return reduce(a * b) }
func add(a, b int32) int32 { return reduce(a + b) }
func sub(a, b int32) int32 { return reduce(a - b + prime) }

// invert returns a^255, the inverse of a other than 0 (Fermat).
func invert(a int32) int32 {
	r := a
	for range 7 {
		r = mul(mul(r, r), a)
	}
	return r
}

// element returns a random element of the field, each as likely as any other.
func element() (int32, error) {
	var b [2]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, err
		}
		if x := binary.LittleEndian.Uint16(b[:]); x < 255*prime {
			return int32(x % prime), nil // what is discarded says nothing about the result
		}
	}
}

// split makes n shares of a secret of which any m give it back, and fewer give nothing
// away. Every byte has a polynomial of its own. In a share, a byte is a little-endian
// word: the holder's number in the upper 7 bits, the value in the lower 9.
func split(secret []byte, m, n int) ([][]byte, error) {
	shares := make([][]byte, n)
	for _, s := range secret {
		coefficients := make([]int32, m) // highest first; the last is the secret
		for i := range m - 1 {
			c, err := element()
			if err != nil {
				return nil, err
			}
			coefficients[i] = c
		}
		coefficients[m-1] = int32(s)
		for i := range shares {
			x := int32(i + 1)
			v := int32(0)
			for _, c := range coefficients {
				v = add(mul(v, x), c)
			}
			shares[i] = binary.LittleEndian.AppendUint16(shares[i], uint16(x<<9|v))
		}
	}
	return shares, nil
}

var errShares = errors.New("the shares do not belong together")

// combine gives back the secret of any m shares. That they are of the same split is seen
// by whoever uses the secret: wrong shares give a wrong one.
func combine(shares [][]byte) ([]byte, error) {
	xs := make([]int32, len(shares))
	for i, s := range shares {
		if len(s) < 2 || len(s)%2 != 0 || len(s) != len(shares[0]) {
			return nil, errShares
		}
		xs[i] = int32(binary.LittleEndian.Uint16(s)) >> 9
		for _, x := range xs[:i] {
			if x == xs[i] {
				return nil, errShares
			}
		}
	}
	secret := make([]byte, 0, len(shares[0])/2)
	for at := 0; at < len(shares[0]); at += 2 {
		sum := int32(0)
		for i, s := range shares {
			word := int32(binary.LittleEndian.Uint16(s[at:]))
			if word>>9 != xs[i] {
				return nil, errShares
			}
			v := reduce(word & 0x1ff)
			for j := range shares { // Lagrange at zero
				if j != i {
					v = mul(v, mul(xs[j], invert(sub(xs[j], xs[i]))))
				}
			}
			sum = add(sum, v)
		}
		if sum > 255 {
			return nil, errShares
		}
		secret = append(secret, byte(sum))
	}
	return secret, nil
}
