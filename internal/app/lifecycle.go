package app

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/policy"
	"chatelaine.dev/internal/storage/inventorydb"
)

// lifecycleFloor is the control plane.
type lifecycleFloor struct {
	Inventory *inventory.Service
	rules     *policy.Rules
}

func (a *App) openLifecycle(ctx context.Context) (*lifecycleFloor, error) {
	f := &lifecycleFloor{}
	if err := a.openInventory(ctx, f); err != nil {
		return nil, err
	}
	return f, nil
}

// openInventory opens the inventory and the policy that judges it. The roots that count
// as known are those of the public web and our own.
func (a *App) openInventory(ctx context.Context, f *lifecycleFloor) error {
	limits, err := policy.DefaultLimits()
	if err != nil {
		return err
	}
	own, err := a.Authorities.List(ctx, access.System("policy"), "", 1000)
	if err != nil {
		return err
	}
	var roots [][]byte
	for _, x := range own {
		if x.Parent == "" {
			roots = append(roots, x.Certificate)
		}
	}
	anchors := policy.NewAnchors(policy.PublicRoots(), roots)
	f.rules = policy.New(limits, func() *policy.Anchors { return anchors })
	store := inventorydb.New(a.db)
	f.Inventory = inventory.New(inventory.Deps{
		Store: store, Reader: store, Judge: f.rules, Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Now: a.now, Log: a.log,
	})
	return nil
}
