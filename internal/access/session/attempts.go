package session

import (
	"strings"
	"sync"
	"time"

	"chatelaine.dev/internal/fault"
)

// Wrong passwords in a window. The pair of user and address is the narrow limit; the
// wider one of the user alone is high, so that an attacker elsewhere does not lock the
// user out for long.
const (
	window     = 15 * time.Minute
	perPair    = 5
	perUser    = 50
	perAddress = 30
	maxTracked = 10_000 // users and addresses
)

// attempts counts wrong passwords of the last window.
type attempts struct {
	now func() time.Time

	mu    sync.Mutex
	began time.Time
	made  map[string]int
}

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, made: map[string]int{}}
}

// limits are the counters of an attempt, and what each may reach. Names are folded like
// sign-in names, so that another case is not another counter.
func limits(name, address string) map[string]int {
	name = strings.ToLower(name)
	if len(name) > 128 {
		name = name[:128]
	}
	return map[string]int{"pair " + address + " " + name: perPair, "user " + name: perUser, "address " + address: perAddress}
}

// begin counts an attempt before it is made, so that many at the same time do not all
// pass. It returns fault.Limited when one of the counters is full, or when there are too
// many: somebody tries very many names from very many addresses, and until the window
// ends only links let people in.
func (a *attempts) begin(name, address string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); now.Sub(a.began) >= window {
		a.began, a.made = now, map[string]int{}
	}
	full := len(a.made) >= maxTracked
	for key, limit := range limits(name, address) {
		full = full || a.made[key] >= limit
	}
	if full {
		return fault.New(fault.Limited, "TooManySignIns", "too many wrong passwords; wait %d minutes, or ask for a sign-in link", int(window/time.Minute))
	}
	for key := range limits(name, address) {
		a.made[key]++
	}
	return nil
}

// succeeded takes an attempt back, and with it the wrong ones of the same user from the
// same address.
func (a *attempts) succeeded(name, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, limit := range limits(name, address) {
		if a.made[key]--; limit == perPair || a.made[key] <= 0 {
			delete(a.made, key)
		}
	}
}
