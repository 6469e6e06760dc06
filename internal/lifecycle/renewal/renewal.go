// Package renewal keeps lineages fresh: it decides what is due, asks for it, and says in
// a sentence what happens next. Deciding is a chain of pure functions.
package renewal

import (
	"time"

	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
)

// Doing is what the engine does about a lineage.
type Doing string

// What it can do.
const (
	Wait   Doing = "wait"
	Create Doing = "create" // make a new request
	Retry  Doing = "retry"  // try the failed request again
)

// Decision is what to do now, and why.
type Decision struct {
	Do  Doing
	Why string
}

// Case is what a decision is made on.
type Case struct {
	Lineage lineage.Lineage
	Latest  *enrollment.Request // the newest request; nil when there is none
	Now     time.Time
}

// rule answers, or leaves the answer to the next one.
type rule func(Case) (Decision, bool)

// Decide is pure: the same case gets the same answer, always.
func Decide(c Case) Decision {
	for _, r := range []rule{paused, first, underWay, notDue, unused, sameWish} {
		if d, ok := r(c); ok {
			return d
		}
	}
	return Decision{Create, "it is due"}
}

func paused(c Case) (Decision, bool) {
	return Decision{Wait, "its renewal is paused"}, c.Lineage.Paused
}

func first(c Case) (Decision, bool) {
	return Decision{Wait, "nobody has asked for its first certificate"}, c.Lineage.Current.SHA256 == ""
}

func underWay(c Case) (Decision, bool) {
	return Decision{Wait, "a request is under way"}, c.Latest != nil && c.Latest.State.Live()
}

func notDue(c Case) (Decision, bool) {
	return Decision{Wait, "it is not due"}, c.Lineage.Due.IsZero() || c.Now.Before(c.Lineage.Due)
}

// unused brings a certificate to its targets that was issued but did not get there,
// instead of having another issued.
func unused(c Case) (Decision, bool) {
	if !failed(c) || c.Latest.Result.SHA256 == "" || c.Latest.Result.SHA256 == c.Lineage.Current.SHA256 || !c.Latest.Wanted.SameWish(c.Lineage.Wanted) {
		return Decision{}, false
	}
	due, _ := c.Lineage.Rule.Due(c.Lineage.ID, c.Latest.Result.NotBefore, c.Latest.Result.NotAfter)
	return Decision{Retry, "its new certificate is not installed yet"}, c.Now.Before(due)
}

// sameWish goes on with a request that failed before anything was issued: the issuer
// knows it by its id, so nothing can be issued twice.
func sameWish(c Case) (Decision, bool) {
	ok := failed(c) && c.Latest.Result.SHA256 == "" && c.Latest.Wanted.SameWish(c.Lineage.Wanted)
	return Decision{Retry, "its last request failed"}, ok
}

func failed(c Case) bool { return c.Latest != nil && c.Latest.State == enrollment.Failed }
