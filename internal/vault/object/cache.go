package object

import (
	"maps"
	"sync"
)

// place is where an entry is found. version is empty for the newest.
type place struct {
	vault   *Vault
	kind    Kind
	name    string
	version string
}

// cached is an entry with the rows that it was opened from.
type cached struct {
	Entry
	head, version rowMark
}

// cache keeps opened entries, so that a read costs neither a query nor a decryption. An
// entry counts only while both of its rows are what was last written, which the vault's
// revisions know: a change makes it worthless in the moment of its commit, and nothing has
// to be removed. It is of use only where every commit passes through this process.
//
// There are two generations. What is used moves to the young one; when that is full the
// old one is dropped whole, so that memory is bounded and a look-up touches no list.
type cache struct {
	budget int // bytes of one generation; 0 keeps nothing

	mu         sync.RWMutex
	young, old map[place]*cached
	size       int // bytes in young
}

// overhead is what an entry takes besides its contents: structs, map, parsed key.
const overhead = 1500

// get returns an entry that is still what was last written.
func (c *cache) get(at place) (Entry, bool) {
	if c.budget == 0 {
		return Entry{}, false
	}
	c.mu.RLock()
	x, young := c.young[at]
	if !young {
		x = c.old[at]
	}
	c.mu.RUnlock()
	if x == nil || !at.vault.rows.settled(x.head, x.version) {
		return Entry{}, false
	}
	if !young {
		c.keep(at, x)
	}
	return x.Entry, true
}

// put keeps an entry, if both of its rows are committed: what a transaction reads of its
// own may be rolled back, and another change may then have the same revision.
func (c *cache) put(at place, e Entry) {
	if c.budget == 0 {
		return
	}
	h, v := e.rows.Head, e.rows.Version
	x := &cached{
		Entry:   e,
		head:    rowMark{markOf(h.Kind, h.Name, ""), h.Revision},
		version: rowMark{markOf(v.Kind, v.Name, v.Version), v.Revision},
	}
	if at.vault.rows.settled(x.head, x.version) {
		c.keep(at, x)
	}
}

func (c *cache) keep(at place, x *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || c.size > c.budget {
		c.old, c.young, c.size = c.young, map[place]*cached{}, 0
	}
	c.young[at] = x
	c.size += overhead + len(x.Head.Extra) + len(x.Version.Body)
}

// forget drops all that is kept of a vault.
func (c *cache) forget(v *Vault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, entries := range []map[place]*cached{c.young, c.old} {
		maps.DeleteFunc(entries, func(at place, _ *cached) bool { return at.vault == v })
	}
}

// derived is what a kind has made of an entry's version, such as a parsed key. It lives
// and ends with the entry in the cache.
type derived struct {
	mu    sync.Mutex
	value any
}

// Derived returns what make makes of the version, made once as long as the entry stays in
// memory. What it returns is shared and must not be changed.
func Derived[T any](e Entry, make func(Version) (T, error)) (T, error) {
	if e.derived == nil {
		return make(e.Version)
	}
	e.derived.mu.Lock()
	defer e.derived.mu.Unlock()
	if x, ok := e.derived.value.(T); ok {
		return x, nil
	}
	x, err := make(e.Version)
	if err == nil {
		e.derived.value = x
	}
	return x, err
}
