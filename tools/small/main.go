// Command small writes the table of internal/pki/weak: a Bloom filter of the public keys on
// P-256 whose private key is one of the first 65,536 numbers.
package main

import (
	"crypto/ecdh"
	"encoding/binary"
	"fmt"
	"os"
)

const (
	keys = 1 << 16
	size = 1 << 16 // bytes: eight bits a key
)

func main() {
	var table [size]byte
	for d := 1; d <= keys; d++ {
		var scalar [32]byte
		binary.BigEndian.PutUint32(scalar[28:], uint32(d))
		k, err := ecdh.P256().NewPrivateKey(scalar[:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		x := k.PublicKey().Bytes()[1:33] // of the uncompressed point; that of −d is the same
		for i := 0; i < 24; i += 4 {
			bit := binary.BigEndian.Uint32(x[i:]) % (8 * size)
			table[bit/8] |= 1 << (bit % 8)
		}
	}
	if _, err := os.Stdout.Write(table[:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
