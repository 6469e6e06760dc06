package weak

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"testing"
)

func xOf(k *ecdh.PrivateKey) [32]byte { return [32]byte(k.PublicKey().Bytes()[1:33]) }

func TestEverySmallKeyIsInTheTableAndFewOthers(t *testing.T) {
	t.Parallel()
	for d := uint32(1); d <= 1<<16; d++ {
		var scalar [32]byte
		binary.BigEndian.PutUint32(scalar[28:], d)
		k, err := ecdh.P256().NewPrivateKey(scalar[:])
		if err != nil {
			t.Fatal(err)
		}
		if !MaybeSmall(xOf(k)) {
			t.Fatalf("the key %d is not found", d)
		}
	}
	found := 0
	for range 1000 {
		k, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if MaybeSmall(xOf(k)) {
			found++
		}
	}
	if found > 100 {
		t.Errorf("%d of 1000 good keys are suspected", found)
	}
}
