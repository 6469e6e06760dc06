package weak

import (
	_ "embed" // the table of small keys
	"encoding/binary"
)

// smallKeys is a Bloom filter of the public keys on P-256 whose private key d, or −d, is
// one of 1 to 65,536. Six words of a key's X, which is as good as a hash, name its bits.
// scripts/small-keys makes it.
//
//go:embed small.bin
var smallKeys []byte

// MaybeSmall is false for a public key on P-256, by its X of 32 bytes, whose private key
// is surely none of the numbers that anybody would try first. True is a reason to look
// closely: it is said of one in fifty of the others, too.
func MaybeSmall(x [32]byte) bool {
	for i := 0; i < 24; i += 4 {
		bit := int(binary.BigEndian.Uint32(x[i:])) % (8 * len(smallKeys))
		if smallKeys[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}
