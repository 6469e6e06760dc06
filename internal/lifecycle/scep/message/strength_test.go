package message

import (
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"testing"
)

func TestKeysOfASizeThatNobodyNeedsAreNotTaken(t *testing.T) {
	t.Parallel()
	for bits, want := range map[uint]bool{1024: false, 2047: false, 2048: true, 8192: true, 8193: false, 65536: false} {
		if got := strong(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}); got != want {
			t.Errorf("%d bits: %v", bits, got)
		}
	}
}

func TestBrokenDigestsAreNotTaken(t *testing.T) {
	t.Parallel()
	for _, a := range []asn1.ObjectIdentifier{{1, 2, 840, 113549, 2, 5}, {1, 2, 840, 113549, 2, 2}, {2, 16, 840, 1, 101, 3, 4, 2, 4}, {1, 2, 3}} { // MD5, MD2, SHA-224
		if digest(a, false) || digest(a, true) {
			t.Errorf("%v is taken", a)
		}
	}
}
