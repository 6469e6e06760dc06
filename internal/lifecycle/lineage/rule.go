package lineage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"chatelaine.dev/internal/fault"
)

// Rule says when a certificate is renewed: a number of days before its end, or when a
// share of its life is over. The zero Rule is two thirds, which suits long and short
// lives alike (certificate-rules: 47-day certificates renew about every 31 days).
type Rule struct {
	DaysBefore int `json:"daysBefore,omitempty"` // 1 to 365
	Percent    int `json:"percent,omitempty"`    // of the life that is over: 10 to 95
}

func (r Rule) check() error {
	switch {
	case r.DaysBefore != 0 && r.Percent != 0:
		return fault.New(fault.Invalid, "InvalidRule", "a renewal rule has days before the end or a percentage, not both")
	case r.DaysBefore < 0 || r.DaysBefore > 365:
		return fault.New(fault.Invalid, "InvalidRule", "renewal %d days before the end is not possible; use 1 to 365", r.DaysBefore)
	case r.Percent != 0 && (r.Percent < 10 || r.Percent > 95):
		return fault.New(fault.Invalid, "InvalidRule", "renewal at %d %% of the life is not possible; use 10 to 95", r.Percent)
	}
	return nil
}

const (
	twoThirds = 200 // per 300
	// smear spreads the renewals of certificates that were made together over a hundredth
	// of their life.
	smear = 100
)

// Due returns when a certificate of this lineage is renewed, and why then. It is never
// before the middle of its life, so that a rule that does not fit a short life cannot
// make the engine renew without end.
func (r Rule) Due(lineage string, notBefore, notAfter time.Time) (time.Time, string) {
	life := notAfter.Sub(notBefore)
	if life <= 0 {
		return notAfter, "its dates leave it no life"
	}
	var at time.Time
	var why string
	switch {
	case r.DaysBefore > 0:
		at, why = notAfter.AddDate(0, 0, -r.DaysBefore), fmt.Sprintf("%d days before its end", r.DaysBefore)
	case r.Percent > 0:
		at, why = notBefore.Add(life/100*time.Duration(r.Percent)), fmt.Sprintf("when %d %% of its life are over", r.Percent)
	default:
		at, why = notBefore.Add(life/300*twoThirds), "when two thirds of its life are over"
	}
	at = at.Add(-offset(lineage, life/smear))
	if half := notBefore.Add(life / 2); at.Before(half) {
		return half, "when half of its life is over, because its rule asks for more than that"
	}
	return at, why
}

// offset is the same for the same lineage, always, and even over all of them.
func offset(lineage string, within time.Duration) time.Duration {
	if within <= 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(lineage))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(within))
}

const (
	firstPause = time.Hour
	lastPause  = 24 * time.Hour
	leastPause = 10 * time.Minute
)

// Again returns when to try again after a number of failures in a row: an hour later, then
// twice as long each time up to a day, but at least eight times in what is left of the
// certificate's life.
func Again(now time.Time, failures int, notAfter time.Time) time.Time {
	pause := lastPause
	if failures < 6 {
		pause = min(firstPause<<max(0, failures-1), lastPause)
	}
	if left := notAfter.Sub(now); !notAfter.IsZero() && left > 0 {
		pause = min(pause, left/8)
	}
	return now.Add(max(pause, leastPause))
}
