package token

import (
	"crypto/sha256"
	"sync"
	"time"

	"chatelaine.dev/internal/access"
)

const maxCached = 1 << 16 // tokens; about 30 MiB

// verified is what a token's signature vouched for. Whether it still holds is asked on
// every use.
type verified struct {
	caller     access.Caller
	audience   string
	expires    time.Time
	credential string
	epoch      int64
}

// cache keeps verified tokens by the hash of their text, so that a token is verified
// once. Only tokens that we signed enter it. The zero value with a map is ready.
type cache struct {
	mu       sync.RWMutex
	verified map[[sha256.Size]byte]verified
}

func (c *cache) get(key [sha256.Size]byte) (verified, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.verified[key]
	return v, ok
}

func (c *cache) put(key [sha256.Size]byte, v verified, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.verified) >= maxCached {
		c.shrink(now)
	}
	c.verified[key] = v
}

func (c *cache) drop(key [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.verified, key)
}

// shrink makes room: expired tokens first, else an eighth of them, as the map has them.
func (c *cache) shrink(now time.Time) {
	for k, v := range c.verified {
		if !now.Before(v.expires) {
			delete(c.verified, k)
		}
	}
	for k := range c.verified {
		if len(c.verified) < maxCached-maxCached/8 {
			return
		}
		delete(c.verified, k)
	}
}
