package acme

import (
	"net/netip"
	"sync"
	"time"
)

// Limits are how much is taken from whom, on each node.
type Limits struct {
	Orders   int // new ones of an account in an hour; renewals by ARI do not count
	Accounts int // new ones from an address in an hour
	Failures int // failed validations of a name by an account in an hour
	// Validations are those at once, of all accounts.
	Validations int
}

// Unlimited takes a limit away.
const Unlimited = -1

func (l Limits) filled() Limits {
	for _, x := range []struct {
		field *int
		usual int
	}{{&l.Orders, 1000}, {&l.Accounts, 100}, {&l.Failures, 10}, {&l.Validations, 100}} {
		if *x.field == 0 {
			*x.field = x.usual
		}
	}
	if l.Validations < 0 {
		l.Validations = 10_000
	}
	return l
}

// renewals are the orders that may replace one certificate in an hour without being counted.
const renewals = 10

// network is who makes accounts from an address: of IPv6 a household has 2⁶⁴ of them.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, _ := a.WithZone("").Prefix(64) // never fails
	return p.String()
}

// rateKey is who is limited in what.
type rateKey struct{ what, who, name string }

// bucket holds what is left; it fills up evenly over an hour.
type bucket struct {
	left float64
	at   time.Time
}

// rates are token buckets. They are bounded: when there are too many, those that nobody
// has touched for longest are forgotten, which can only forgive.
type rates struct {
	now  func() time.Time
	mu   sync.Mutex
	seen map[rateKey]bucket
	old  map[rateKey]bucket
}

const maxBuckets = 100_000

// take takes one from the bucket, or says how long until there is one.
func (r *rates) take(k rateKey, perHour int) time.Duration {
	if perHour < 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.bucket(k, perHour)
	if b.left < 1 {
		return time.Duration((1-b.left)/float64(perHour)*float64(time.Hour)).Round(time.Second) + time.Second
	}
	b.left--
	r.put(k, b)
	return 0
}

// empty reports how long until the bucket has one again, without taking it.
func (r *rates) empty(k rateKey, perHour int) time.Duration {
	if perHour < 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.bucket(k, perHour); b.left < 1 {
		return time.Duration((1-b.left)/float64(perHour)*float64(time.Hour)).Round(time.Second) + time.Second
	}
	return 0
}

func (r *rates) bucket(k rateKey, perHour int) bucket {
	now := r.now()
	b, ok := r.seen[k]
	if !ok {
		if b, ok = r.old[k]; !ok {
			return bucket{float64(perHour), now}
		}
	}
	b.left = min(float64(perHour), b.left+max(0, now.Sub(b.at).Hours())*float64(perHour))
	b.at = now
	return b
}

func (r *rates) put(k rateKey, b bucket) {
	if len(r.seen) >= maxBuckets {
		r.old, r.seen = r.seen, make(map[rateKey]bucket, maxBuckets)
	}
	r.seen[k] = b
}

// limited is the problem of who asks too often.
func limited(what string, wait time.Duration) *Problem {
	p := problem("rateLimited", "too many %s; try again in %s", what, wait)
	p.RetryAfter = wait
	return p
}
