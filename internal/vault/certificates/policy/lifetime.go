package policy

import (
	"strings"
	"time"
)

// At is when the trigger comes in the life of a certificate; zero for a trigger that
// says nothing.
func (t Trigger) At(from, to time.Time) time.Time {
	switch {
	case t.LifetimePercentage != nil:
		// Seconds, so that no length of life overflows.
		return from.Add(time.Duration(to.Sub(from)/time.Second) * time.Duration(*t.LifetimePercentage) / 100 * time.Second)
	case t.DaysBeforeExpiry != nil:
		return to.AddDate(0, 0, -*t.DaysBeforeExpiry)
	}
	return time.Time{}
}

// When is when an action of the policy, such as AutoRenew, comes; zero for never. A policy
// that is switched off does nothing.
func (p Policy) When(action string, from, to time.Time) time.Time {
	if p.Attributes != nil && p.Attributes.Enabled != nil && !*p.Attributes.Enabled {
		return time.Time{}
	}
	for _, a := range p.Lifetime {
		if a.Action != nil && a.Trigger != nil && strings.EqualFold(a.Action.Type, action) {
			return a.Trigger.At(from, to)
		}
	}
	return time.Time{}
}
