// Package expiry tells that the current version of a key, secret or certificate is about
// to expire, and that it has (contract §3). It tells of live objects alone, enabled or
// not; of a certificate once, not of its key and secret as well.
package expiry

import (
	"context"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// What is due. The names never change: stored rows outlive an upgrade.
const (
	nearExpiry = "near-expiry" // of secrets and certificates; keys have it by their rotation policy
	expired    = "expired"
)

// warning is how long before the end it is told.
const warning = 30 * 24 * time.Hour

// Tell adds what expires to the agenda. Call it before the first change of an object.
func Tell(d object.Deps, a *object.Agenda) {
	for _, k := range []object.Kind{object.Keys, object.Secrets, object.Certificates} {
		t := teller{object.NewShelf(d, k, nil), d.Now}
		a.On(k, expired, a.In(t.expired))
		if k == object.Keys {
			d.Vaults.Plan(k, "expiry/1", end)
			continue
		}
		a.On(k, nearExpiry, a.In(t.near))
		d.Vaults.Plan(k, "expiry/1", both)
	}
}

// end is the object.Planner of keys.
func end(e object.Entry) ([]object.Due, error) {
	if e.Head.Managed || e.Version.Expires.IsZero() {
		return nil, nil
	}
	return []object.Due{{What: expired, At: e.Version.Expires}}, nil
}

// both is the object.Planner of secrets and certificates.
func both(e object.Entry) ([]object.Due, error) {
	list, err := end(e)
	if len(list) > 0 {
		list = append(list, object.Due{What: nearExpiry, At: e.Version.Expires.Add(-warning)})
	}
	return list, err
}

// teller tells of one kind.
type teller struct {
	shelf *object.Shelf
	now   func() time.Time
}

func (t teller) near(ctx context.Context, task object.Task) error {
	if !t.now().Before(task.Version.Expires) {
		return nil // too late to be near
	}
	return t.tell(ctx, "NearExpiry", task.Entry)
}

func (t teller) expired(ctx context.Context, task object.Task) error {
	return t.tell(ctx, "Expired", task.Entry)
}

func (t teller) tell(ctx context.Context, what string, e object.Entry) error {
	if err := t.shelf.Announce(ctx, what, e); err != nil {
		return err
	}
	return t.shelf.Done(ctx, access.System("expiry"), object.Operation(what+"EventGridNotification"),
		object.Ref{Vault: e.Vault.Name, Name: e.Head.Name, Version: e.Version.ID}, nil)
}
