package object

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Due is something that must happen to an object at a time: a key rotates, a certificate
// is renewed, a secret is about to expire.
type Due struct {
	What string // such as "rotate"; it never changes, because stored rows outlive an upgrade
	At   time.Time
}

// Planner tells what is due for a live object, from its head and latest version alone; a
// zero time is never.
// It must be pure: the table of due times is an index of what planners say, which every
// change of an object updates in its own transaction, and which can be rebuilt.
type Planner func(e Entry) ([]Due, error)

// DueRow is a stored Due. Once done, it stays until the object says another time.
type DueRow struct {
	Vault string
	Kind  Kind
	Name  string // lower case
	Due
	Tries int // that failed
}

// DueStore keeps the table of due times. Inside a transaction every method joins it.
type DueStore interface {
	// PutDue inserts a row, or replaces the one of the same object and What; it is not done.
	PutDue(ctx context.Context, r DueRow) error
	// DropDue removes a row, if it is there.
	DropDue(ctx context.Context, r DueRow) error
	// Dues returns rows that are not done and whose time has come, the longest due first.
	Dues(ctx context.Context, now time.Time, limit int) ([]DueRow, error)
	// DuesOf returns all rows of an object, done or not.
	DuesOf(ctx context.Context, vault string, k Kind, name string) ([]DueRow, error)
	// SettleDue marks a row as done. It reports false when it is done already, is gone,
	// or has another time by now.
	SettleDue(ctx context.Context, r DueRow) (bool, error)
	// PostponeDue counts a failure, and hides a row from Dues until then.
	PostponeDue(ctx context.Context, r DueRow, until time.Time) error
}

// Plan adds a planner for a kind. name identifies it and how it plans, as "rotation/1":
// where a planner has another name than before, existing objects are planned anew. It
// must be called before the first change, by whoever makes the kind's service.
func (vs *Vaults) Plan(k Kind, name string, p Planner) {
	if vs.planners == nil {
		vs.planners = map[Kind][]Planner{}
	}
	vs.planners[k] = append(vs.planners[k], p)
	vs.plans = append(vs.plans, string(k)+" "+name)
}

// due is what the planners say of an object. Only the latest version of a live object
// has anything due.
func (vs *Vaults) due(k Kind, e Entry) ([]Due, error) {
	planners := vs.planners[k]
	if len(planners) == 0 || !e.Head.Deleted.IsZero() || e.Version.ID == "" || e.Version.ID != e.Head.Latest {
		return nil, nil
	}
	var all []Due
	for _, p := range planners {
		list, err := p(e)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if !d.At.IsZero() {
				d.At = d.At.UTC().Truncate(time.Microsecond) // as it is stored
				all = append(all, d)
			}
		}
	}
	return all, nil
}

// schedule writes what a change of an object did to what is due. Where that stays the
// same, as with every object that does not expire, nothing is written.
func (t *turn) schedule(ctx context.Context, k Kind, before, after Entry) error {
	vs := t.v.vaults
	was, err := vs.due(k, before)
	if err != nil {
		return err
	}
	is, err := vs.due(k, after)
	if err != nil {
		return err
	}
	if before.Version.ID != after.Version.ID { // what was done for one is to be done for the other, though it be due at the same time
		for i := range was {
			was[i].At = time.Time{}
		}
	}
	for _, r := range t.v.differences(k, after.Head.Name, was, is) {
		if err := r.write(ctx, vs.dues); err != nil {
			return err
		}
	}
	return nil
}

// dueChange is one row of the table to put, or to drop.
type dueChange struct {
	DueRow
	drop bool
}

func (c dueChange) write(ctx context.Context, s DueStore) error {
	if c.drop {
		return s.DropDue(ctx, c.DueRow)
	}
	return s.PutDue(ctx, c.DueRow)
}

// differences are the changes that make what is due of what was.
func (v *Vault) differences(k Kind, name string, was, is []Due) []dueChange {
	row := func(d Due) DueRow { return DueRow{Vault: v.Name, Kind: k, Name: strings.ToLower(name), Due: d} }
	var list []dueChange
	for _, d := range was {
		if !slices.ContainsFunc(is, func(x Due) bool { return x.What == d.What }) {
			list = append(list, dueChange{DueRow: row(d), drop: true})
		}
	}
	for _, d := range is {
		if !slices.Contains(was, d) {
			list = append(list, dueChange{DueRow: row(d)})
		}
	}
	return list
}
