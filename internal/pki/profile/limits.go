package profile

import (
	_ "embed" // the dated limits
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// limitsText is what the standards say about the validity, with the day from which each
// limit binds what is issued.
//
//go:embed limits.json
var limitsText []byte

// Limit is the longest validity that a standard allows from a day on.
type Limit struct {
	Standard string   `json:"standard"` // of Profile.Standards
	Source   string   `json:"source"`
	From     string   `json:"from"` // the first day, UTC
	Max      Duration `json:"max"`
}

// shortLived is the standard of profiles without revocation information.
const shortLived = "RFC9608"

var limits = sync.OnceValue(func() []Limit {
	var list []Limit
	if err := json.Unmarshal(limitsText, &list); err != nil {
		panic(err) // the text is part of the program, and a test reads it
	}
	return list
})

// limit returns the shortest limit that binds a certificate of the profile issued at a
// time, or false when none does.
func (p Profile) limit(at time.Time) (Limit, bool) {
	claimed := p.Standards
	if p.NoRevocation {
		claimed = append(slices.Clone(claimed), shortLived)
	}
	day := at.UTC().Format(time.DateOnly)
	var shortest Limit
	for _, s := range claimed {
		var newest Limit
		for _, l := range limits() {
			if l.Standard == s && l.From <= day && l.From > newest.From {
				newest = l
			}
		}
		if newest.Max > 0 && (shortest.Max == 0 || newest.Max < shortest.Max) {
			shortest = newest
		}
	}
	return shortest, shortest.Max > 0
}
