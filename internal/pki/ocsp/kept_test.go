package ocsp

import (
	"encoding/hex"
	"testing"
	"time"
)

func keptID(serial, way byte) certID { return certID{raw: []byte{way, serial}, serial: []byte{serial}} }

func keptAnswer(now time.Time) Answer {
	return Answer{DER: []byte{1}, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
}

func TestAnswersAreKeptApartAndWithinBounds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	has := func(k *kept, serial, way byte) bool {
		_, ok := k.get(keptID(serial, way), now)
		return ok
	}
	put := func(k *kept, serial, way byte) {
		k.put(keptID(serial, way), keptAnswer(now), now.Add(time.Hour), k.generation())
	}

	k := &kept{}
	put(k, 1, 1)
	if !has(k, 1, 1) || has(k, 1, 2) || has(k, 2, 1) {
		t.Error("an answer is for one certificate, named in one way")
	}
	for way := byte(2); way < 10; way++ {
		put(k, 1, way)
	}
	if !has(k, 1, maxVariants) || has(k, 1, maxVariants+1) {
		t.Errorf("more than %d ways to name a certificate are kept", maxVariants)
	}

	// What was read before a change must not be kept after it.
	before := k.generation()
	k.drop([]string{hex.EncodeToString([]byte{3})})
	k.put(keptID(3, 1), keptAnswer(now), now.Add(time.Hour), before)
	if has(k, 3, 1) {
		t.Error("an answer from before a change is kept")
	}

	// Two generations, and no more.
	k = &kept{}
	put(k, 1, 1)
	k.size = maxKept + 1
	put(k, 2, 1)
	if !has(k, 1, 1) || !has(k, 2, 1) {
		t.Error("the older generation is forgotten too early")
	}
	k.drop([]string{"01", "02", "no hex"})
	if has(k, 1, 1) || has(k, 2, 1) {
		t.Error("an answer of either generation survives its change")
	}
	put(k, 1, 1)
	for range 2 {
		k.size = maxKept + 1
		put(k, 2, 1)
	}
	if has(k, 1, 1) {
		t.Error("a third generation is kept")
	}
	k.clear()
	if has(k, 2, 1) {
		t.Error("something is kept after all was forgotten")
	}
}
