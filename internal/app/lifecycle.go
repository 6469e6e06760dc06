package app

import (
	"context"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/enrolment"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connectors"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/discovery/scan"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/policy"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/storage/inventorydb"
	"chatelaine.dev/internal/storage/lifecycledb"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/vault/seal"
)

// lifecycleFloor is the control plane.
type lifecycleFloor struct {
	Inventory   *inventory.Service
	Discovery   *discovery.Service
	Connections *connection.Service
	Lineages    *lineage.Service
	Requests    *enrollment.Service
	Deployments *deployment.Service
	Renewal     *renewal.Service
	Enrolment   *enrolment.Doors
	rules       *policy.Rules
}

func (a *App) openLifecycle(ctx context.Context) (*lifecycleFloor, error) {
	f := &lifecycleFloor{}
	if err := a.openInventory(ctx, f); err != nil {
		return nil, err
	}
	if err := a.openLineages(ctx, f); err != nil {
		return nil, err
	}
	f.Discovery = discovery.New(discovery.Deps{
		Store: inventorydb.NewCampaigns(a.db), Inventory: f.Inventory, Sources: f.Connections, Scan: scan.Config{},
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Jobs: a.jobs, Now: a.now, Log: a.log,
	})
	return f, nil
}

// openLineages opens what renews and installs. Requests, lineages and deployments know
// each other by functions: one asks, another is told.
func (a *App) openLineages(ctx context.Context, f *lifecycleFloor) error {
	if err := connectors.Validate(); err != nil {
		return err
	}
	chest, err := seal.OpenChest(ctx, a.root, a.settings, "lifecycle")
	if err != nil {
		return err
	}
	store := lifecycledb.New(a.db, chest)
	kept := enrollment.Certificates{Service: a.Certificates}
	f.Connections = connection.New(connection.Deps{
		Definitions: connectors.All(), Env: connector.Env{Log: a.log, Now: a.now, Transport: dialer{}.transport}, Store: store,
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Now: a.now, Log: a.log,
	})
	f.Lineages = lineage.New(lineage.Deps{
		Store: store, Inventory: f.Inventory, Connections: f.Connections, Vaults: a.Certificates, Policy: lineage.Profiles{Source: a.Profiles},
		Busy:     func(ctx context.Context, id string) (bool, error) { return f.Requests.Busy(ctx, id) },
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Now: a.now, Log: a.log,
	})
	f.Deployments = deployment.New(deployment.Deps{
		Store: store, Targets: f.Connections, Bundles: kept, Inventory: f.Inventory, Lineages: store, Dialer: dialer{},
		Ended:    func(ctx context.Context, request string) error { return f.Requests.Wake(ctx, request) },
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Jobs: a.jobs, Now: a.now, Log: a.log,
		Wait: wait,
	})
	f.Requests = enrollment.New(enrollment.Deps{
		Store: store, Lineages: store, Policy: lineage.Profiles{Source: a.Profiles}, Profiles: a.Profiles, Keystore: a.keystore,
		Issuers: enrollment.Authorities{Issuance: a.Issuance, Revocation: a.Revocation},
		Vault:   kept, Orders: kept, Inventory: f.Inventory, Deployments: f.Deployments,
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Jobs: a.jobs, Now: a.now, Log: a.log,
	})
	f.Enrolment = enrolment.Open(enrolment.Config{
		Store: store, Profiles: a.Profiles, Requests: f.Requests, Issued: pkidb.New(a.db), Authorities: a.Authorities,
		Issuance: a.Issuance, CRLs: a.Revocation, Keystore: a.keystore,
		Directory: a.Directory, Refusals: a.refusals, Transact: a.db.Transact, Audit: a.trail, Now: a.now,
	})
	f.Renewal = renewal.New(renewal.Deps{
		Lineages: store, Requests: f.Requests, Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Now: a.now, Log: a.log,
	})
	return nil
}

// dialTimeout bounds the connection to an endpoint that is to be verified.
const dialTimeout = 10 * time.Second

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
		if above := x.Outside(); len(above) > 0 {
			roots = append(roots, above[len(above)-1])
		} else if x.Parent == "" && x.State != authority.Pending {
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
