// Package externalmu verifies ML-DSA signatures whose message representative μ was made
// elsewhere (FIPS 204 section 6.2). crypto/mldsa signs a μ, and verifies messages only.
// Everything here is public, so nothing needs constant time.
package externalmu

import (
	"bytes"
	"crypto/mldsa"
	"crypto/sha3"
	"math/bits"
)

// Size is the length of μ.
const Size = 64

// The constants of all parameter sets (FIPS 204 section 4, table 1).
const (
	n     = 256     // coefficients of a polynomial
	q     = 8380417 // they are numbers below q
	root  = 1753    // a 512th root of unity
	scale = 8347681 // 1/256
	d     = 13      // bits that are dropped from t
)

// parameters are those of one set.
type parameters struct {
	k, l    int   // rows and columns of the matrix
	tau     int   // coefficients of the challenge that are not zero
	beta    int32 // tau times eta
	gamma1  int32 // range of the mask
	gamma2  int32 // range of the low bits
	omega   int   // most ones in the hint
	digest  int   // bytes of the commitment's hash
	maskLen int   // bits of a coefficient of z
	highLen int   // bits of a coefficient of w1
}

func parametersOf(p mldsa.Parameters) parameters {
	switch p {
	case mldsa.MLDSA44():
		return parameters{k: 4, l: 4, tau: 39, beta: 78, gamma1: 1 << 17, gamma2: (q - 1) / 88, omega: 80, digest: 32, maskLen: 18, highLen: 6}
	case mldsa.MLDSA65():
		return parameters{k: 6, l: 5, tau: 49, beta: 196, gamma1: 1 << 19, gamma2: (q - 1) / 32, omega: 55, digest: 48, maskLen: 20, highLen: 4}
	default: // ML-DSA-87
		return parameters{k: 8, l: 7, tau: 60, beta: 120, gamma1: 1 << 19, gamma2: (q - 1) / 32, omega: 75, digest: 64, maskLen: 20, highLen: 4}
	}
}

// poly is a polynomial, or its transform.
type poly [n]uint32

// Verify reports whether sig is a signature of μ by pub: Algorithm 8 from line 7 on.
func Verify(pub *mldsa.PublicKey, mu, sig []byte) bool {
	p := parametersOf(pub.Parameters())
	if len(mu) != Size || len(sig) != pub.Parameters().SignatureSize() {
		return false
	}
	key := pub.Bytes()
	rho, t1 := key[:32], key[32:]
	challenge, rest := sig[:p.digest], sig[p.digest:]
	maskBytes := p.l * n * p.maskLen / 8
	z, ok := p.masks(rest[:maskBytes])
	if !ok {
		return false
	}
	hints, ok := p.hints(rest[maskBytes:])
	if !ok {
		return false
	}

	zetas := powers()
	c := p.sampleInBall(challenge)
	c.transform(zetas)
	for i := range z {
		z[i].transform(zetas)
	}
	h := sha3.NewSHAKE256()
	_, _ = h.Write(mu)
	for row := range p.k {
		w := product(z, rho, row)
		var t poly
		for i, x := range unpack(t1[row*n*10/8:][:n*10/8], 10) {
			t[i] = x << d
		}
		t.transform(zetas)
		for i := range w {
			w[i] = subtract(w[i], multiply(c[i], t[i]))
		}
		w.back(zetas)
		_, _ = h.Write(p.highBits(&w, &hints[row]))
	}
	again := make([]byte, p.digest)
	_, _ = h.Read(again)
	return bytes.Equal(again, challenge)
}

// product is one row of the matrix, made of rho (Algorithms 30 and 32), times z. All are
// transforms.
func product(z []poly, rho []byte, row int) poly {
	var w poly
	for column := range z {
		stream := sha3.NewSHAKE128()
		_, _ = stream.Write(rho)
		_, _ = stream.Write([]byte{byte(column), byte(row)})
		var b [3]byte
		for i := 0; i < n; {
			_, _ = stream.Read(b[:])
			a := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2]&0x7f)<<16
			if a < q {
				w[i] = add(w[i], multiply(a, z[column][i]))
				i++
			}
		}
	}
	return w
}

// masks reads z (Algorithm 19) and refuses coefficients that are too large.
func (p parameters) masks(b []byte) ([]poly, bool) {
	z := make([]poly, p.l)
	size := n * p.maskLen / 8
	for i := range z {
		for j, x := range unpack(b[i*size:][:size], p.maskLen) {
			v := p.gamma1 - int32(x)
			if v >= p.gamma1-p.beta || -v >= p.gamma1-p.beta {
				return nil, false
			}
			z[i][j] = uint32((v + q) % q)
		}
	}
	return z, true
}

// hints reads the hint (Algorithm 21), which has one form only.
func (p parameters) hints(b []byte) ([][n]bool, bool) {
	h := make([][n]bool, p.k)
	index := 0
	for i := range h {
		first, end := index, int(b[p.omega+i])
		if end < index || end > p.omega {
			return nil, false
		}
		for ; index < end; index++ {
			if index > first && b[index-1] >= b[index] {
				return nil, false
			}
			h[i][b[index]] = true
		}
	}
	for _, x := range b[index:p.omega] {
		if x != 0 {
			return nil, false
		}
	}
	return h, true
}

// sampleInBall makes the challenge of its seed (Algorithm 29).
func (p parameters) sampleInBall(seed []byte) poly {
	var c poly
	stream := sha3.NewSHAKE256()
	_, _ = stream.Write(seed)
	var signs [8]byte
	_, _ = stream.Read(signs[:])
	var j [1]byte
	for i := n - p.tau; i < n; i++ {
		for {
			if _, _ = stream.Read(j[:]); int(j[0]) <= i {
				break
			}
		}
		c[i] = c[j[0]]
		c[j[0]] = 1
		if bit := i + p.tau - n; signs[bit/8]>>(bit%8)&1 == 1 {
			c[j[0]] = q - 1
		}
	}
	return c
}

// highBits rounds w with the help of the hint (Algorithms 36 and 40) and encodes the
// result (Algorithm 28).
func (p parameters) highBits(w *poly, hint *[n]bool) []byte {
	m := (q - 1) / (2 * p.gamma2)
	out := make([]byte, n*p.highLen/8)
	for i, x := range w {
		r := int32(x)
		low := r % (2 * p.gamma2)
		if low > p.gamma2 {
			low -= 2 * p.gamma2
		}
		var high int32
		if r-low == q-1 {
			low--
		} else {
			high = (r - low) / (2 * p.gamma2)
		}
		switch {
		case hint[i] && low > 0:
			high = (high + 1) % m
		case hint[i]:
			high = (high + m - 1) % m
		}
		for bit := range p.highLen {
			at := i*p.highLen + bit
			out[at/8] |= byte(high>>bit&1) << (at % 8)
		}
	}
	return out
}

// unpack reads 256 numbers of so many bits each, the lowest bit first (Algorithm 18).
func unpack(b []byte, size int) *[n]uint32 {
	var out [n]uint32
	var have, at int
	var window uint64
	for i := range out {
		for have < size {
			window |= uint64(b[at]) << have
			have += 8
			at++
		}
		out[i] = uint32(window & (1<<size - 1))
		window >>= size
		have -= size
	}
	return &out
}

// powers are those of the root, in the order in which the transform uses them
// (FIPS 204 appendix B).
func powers() *[n]uint32 {
	var out [n]uint32
	x := uint32(1)
	for i := range n {
		out[bits.Reverse8(uint8(i))] = x
		x = multiply(x, root)
	}
	return &out
}

// transform is the number theoretic transform (Algorithm 41).
func (w *poly) transform(zetas *[n]uint32) {
	m := 0
	for size := n / 2; size >= 1; size /= 2 {
		for start := 0; start < n; start += 2 * size {
			m++
			for j := start; j < start+size; j++ {
				t := multiply(zetas[m], w[j+size])
				w[j+size] = subtract(w[j], t)
				w[j] = add(w[j], t)
			}
		}
	}
}

// back is its inverse (Algorithm 42).
func (w *poly) back(zetas *[n]uint32) {
	m := n
	for size := 1; size < n; size *= 2 {
		for start := 0; start < n; start += 2 * size {
			m--
			for j := start; j < start+size; j++ {
				t := w[j]
				w[j] = add(t, w[j+size])
				w[j+size] = multiply(q-zetas[m], subtract(t, w[j+size]))
			}
		}
	}
	for j := range w {
		w[j] = multiply(w[j], scale)
	}
}

func add(a, b uint32) uint32 {
	if s := a + b; s < q {
		return s
	}
	return a + b - q
}

func subtract(a, b uint32) uint32 { return add(a, q-b) }

func multiply(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) % q) }
