// Package nonce makes the anti-replay nonces of ACME (RFC 8555 section 6.5) without
// storing them: a nonce is a time and random bytes under a MAC whose key all nodes share, so
// each node takes those of every other. A node remembers what it has taken; what must not
// happen twice on two nodes is made unique by its nonce in the database.
package nonce

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

const (
	stampSize  = 8
	randomSize = 8
	macSize    = 16
	size       = stampSize + randomSize + macSize

	// Life is how long a nonce is good for.
	Life = time.Hour
	// generation is how many used nonces one half of the memory holds: 16 MiB or so.
	generation = 250_000
)

// Source makes and takes nonces. It is safe for concurrent use.
type Source struct {
	key []byte
	now func() time.Time

	mu         sync.Mutex
	floor      time.Time // nonces that were made before are not taken any more
	newer, old map[[randomSize]byte]int64
}

// New makes a Source. key has at least 32 bytes and is the same on all nodes. Nonces from
// before floor are refused: a program that is alone passes the time of its start, because
// it does not remember what it took before.
func New(key []byte, floor time.Time, now func() time.Time) *Source {
	return &Source{key: key, floor: floor, now: now, newer: map[[randomSize]byte]int64{}}
}

// Make returns a new nonce.
func (s *Source) Make() string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, size), uint64(s.now().UnixMicro()))
	b = b[:stampSize+randomSize]
	_, _ = rand.Read(b[stampSize:]) // never fails
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b)...))
}

func (s *Source) mac(b []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	_, _ = h.Write(b) // never fails
	return h.Sum(nil)[:macSize]
}

// Take reports whether the nonce is one of ours, young enough, and was not taken before.
func (s *Source) Take(text string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != size || !hmac.Equal(s.mac(b[:stampSize+randomSize]), b[stampSize+randomSize:]) {
		return false
	}
	stamp := int64(binary.BigEndian.Uint64(b))
	id := [randomSize]byte(b[stampSize:])
	now := s.now()
	made := time.UnixMicro(stamp)
	// Another node's clock may be a little ahead.
	if now.Sub(made) > Life || made.Sub(now) > time.Minute {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if made.Before(s.floor) {
		return false
	}
	if _, used := s.newer[id]; used {
		return false
	}
	if _, used := s.old[id]; used {
		return false
	}
	s.newer[id] = stamp
	if len(s.newer) >= generation {
		s.forget()
	}
	return true
}

// forget drops the older half of the memory. Nothing that was in it may be taken again, so
// the floor rises above the newest of it; clients try again with a new nonce.
func (s *Source) forget() {
	for _, stamp := range s.old {
		if at := time.UnixMicro(stamp); !at.Before(s.floor) {
			s.floor = at.Add(time.Microsecond)
		}
	}
	s.old, s.newer = s.newer, make(map[[randomSize]byte]int64, generation)
}
