package ocsp

import (
	"bytes"
	"encoding/hex"
	"sync"
	"time"
)

// The bounds of what is kept of one authority: two generations of this many bytes, and
// ways to name one certificate (the hash, and whether it has parameters).
const (
	maxKept     = 32 << 20
	maxVariants = 4
	overhead    = 256 // bytes that an answer takes besides its own
)

// kept are answers by serial. When the young ones are many, they become the old ones and
// the old ones are forgotten; who is asked for comes back.
type kept struct {
	mu         sync.RWMutex
	young, old map[string][]variant
	size       int   // bytes of young
	drops      int64 // how often something was dropped because it changed
}

// variant is the answer to one way of asking.
type variant struct {
	id     []byte // CertID in DER
	answer Answer
	until  time.Time // when it is signed anew
}

// get returns the answer that is kept, unless it is too old.
func (k *kept) get(id certID, now time.Time) (Answer, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, m := range []map[string][]variant{k.young, k.old} {
		for _, v := range m[string(id.serial)] {
			if bytes.Equal(v.id, id.raw) {
				// A clock that went back would send what is not valid yet.
				return v.answer, now.Before(v.until) && !now.Before(v.answer.ThisUpdate)
			}
		}
	}
	return Answer{}, false
}

// generation changes whenever something is dropped.
func (k *kept) generation() int64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.drops
}

// put keeps an answer, unless something was dropped since generation: what it says may
// have been read before that change.
func (k *kept) put(id certID, a Answer, until time.Time, generation int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.drops != generation {
		return
	}
	if k.young == nil || k.size > maxKept {
		k.young, k.old, k.size = map[string][]variant{}, k.young, 0
	}
	serial := string(id.serial)
	next := variant{id: bytes.Clone(id.raw), answer: a, until: until}
	list := k.young[serial]
	for i, v := range list {
		if bytes.Equal(v.id, id.raw) {
			k.size += len(a.DER) - len(v.answer.DER)
			list[i] = next
			return
		}
	}
	if len(list) == maxVariants {
		return
	}
	k.young[serial] = append(list, next)
	k.size += len(a.DER) + len(next.id) + overhead
}

// drop forgets the answers about serials, in hex.
func (k *kept) drop(serials []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drops++
	for _, s := range serials {
		raw, err := hex.DecodeString(s)
		if err != nil {
			continue // was never answered about
		}
		serial := string(bytes.TrimLeft(raw, "\x00"))
		delete(k.young, serial)
		delete(k.old, serial)
	}
}

// clear forgets everything.
func (k *kept) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drops++
	k.young, k.old, k.size = nil, nil, 0
}
