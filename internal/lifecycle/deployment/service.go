package deployment

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
)

// Targets opens connections as targets.
type Targets interface {
	Target(ctx context.Context, connection string) (connector.Target, error)
}

// Bundles gives up certificates of vaults with their keys. The key is empty when it may
// not leave the vault.
type Bundles interface {
	Bundle(ctx context.Context, c access.Caller, k lineage.Keep, version string) (connector.Bundle, error)
}

// Inventory takes what handshakes showed.
type Inventory interface {
	Record(ctx context.Context, c access.Caller, observations []inventory.Observation) (inventory.Recorded, error)
}

// Lineages reads lineages.
type Lineages interface {
	Lineage(ctx context.Context, id string) (lineage.Lineage, error)
}

// Deps are what the service needs.
type Deps struct {
	Store     Store
	Targets   Targets
	Bundles   Bundles
	Inventory Inventory
	Lineages  Lineages
	Dialer    Dialer
	// Ended is told, in the transaction that ends it, that a deployment of a request ended.
	Ended func(ctx context.Context, request string) error
	// Wait returns after a time or when ctx ends, with its error.
	Wait     func(ctx context.Context, d time.Duration) error
	Transact audit.Transact
	Audit    audit.Recorder
	Guard    access.Guard
	Events   event.Emitter
	Jobs     job.Queue
	Now      func() time.Time
	Log      *slog.Logger
}

// Service is the deployments.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

// RunArgs is the work of one deployment.
type RunArgs struct {
	Deployment string `json:"deployment"`
}

// Kind implements job.Args.
func (RunArgs) Kind() string { return "deployment.run" }

// Order asks for a deployment.
type Order struct {
	Request string // may be empty
	Lineage string
	Target  lineage.Target
	Keep    lineage.Keep
	Version string
	SHA256  string
}

// Start begins a deployment in the transaction of ctx. Its caller has authorised it.
// fault.Conflict with the code Exists when the request has one for the target, or another
// to the same target is under way.
func (s *Service) Start(ctx context.Context, c access.Caller, o Order) (Deployment, error) {
	now := s.Now()
	d := Deployment{
		ID: uuid.NewV7().String(), Request: o.Request, Lineage: o.Lineage, Target: o.Target, Keep: o.Keep, Version: o.Version, SHA256: o.SHA256,
		State: Running, Stage: Prepare, Created: now, Updated: now, Wake: now.Add(patience), Revision: 1,
	}
	if err := s.Store.InsertDeployment(ctx, d); err != nil {
		return d, err
	}
	if err := s.tell(ctx, c.Record("DeploymentStart", Path(d.ID)), "Chatelaine.DeploymentStarted", d); err != nil {
		return d, err
	}
	return d, s.Jobs.Enqueue(ctx, RunArgs{d.ID}, job.Options{})
}

// Deploy installs the current certificate of a lineage at one of its targets once more.
func (s *Service) Deploy(ctx context.Context, c access.Caller, lineageID, target string) (Deployment, error) {
	if err := s.Guard.Authorize(ctx, c, Deploy, lineage.Scope(lineageID), "DeploymentStart"); err != nil {
		return Deployment{}, err
	}
	var d Deployment
	err := s.Transact(ctx, func(ctx context.Context) error {
		l, err := s.Lineages.Lineage(ctx, lineageID)
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.NotFound, "LineageNotFound", "there is no lineage %.64q", lineageID)
		}
		if err != nil {
			return err
		}
		if l.Current.Version == "" {
			return fault.New(fault.Conflict, "KeyElsewhere", "the key of the current certificate is in no vault; renew it first")
		}
		for _, t := range l.Targets {
			if t.ID == target {
				d, err = s.Start(ctx, c, Order{Lineage: l.ID, Target: t, Keep: l.Keep, Version: l.Current.Version, SHA256: l.Current.SHA256})
				return underWay(err)
			}
		}
		return fault.New(fault.NotFound, "TargetNotFound", "the lineage has no target %.64q", target)
	})
	return d, err
}

func underWay(err error) error {
	if fault.HasCode(err, "Exists") {
		return fault.New(fault.Conflict, "DeploymentUnderWay", "a deployment to this target is under way; wait for its end")
	}
	return err
}

// Restart gives the failed deployments of a request another try, to the targets as they
// are now, in the transaction of ctx. One that could not be rolled back is rolled back
// first, where it was, and stays failed. Its caller has authorised it.
func (s *Service) Restart(ctx context.Context, c access.Caller, request string, targets []lineage.Target) error {
	ds, err := s.OfRequest(ctx, request)
	if err != nil {
		return err
	}
	for _, d := range ds {
		switch d.State {
		case Failed:
			d.State, d.Stage = Running, Prepare
			for _, t := range targets {
				if t.ID == d.Target.ID {
					d.Target = t
				}
			}
		case Stuck:
			d.State = RollingBack
		default:
			continue
		}
		if err := s.restart(ctx, c, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) restart(ctx context.Context, c access.Caller, d Deployment) error {
	d.Attempts, d.Problem, d.RollBack, d.Failed = 0, "", "", ""
	d.touch(s.Now())
	if err := s.Store.UpdateDeployment(ctx, d); err != nil {
		return underWay(err)
	}
	if err := s.tell(ctx, c.Record("DeploymentRestart", Path(d.ID)), "Chatelaine.DeploymentStarted", d); err != nil {
		return err
	}
	return s.Jobs.Enqueue(ctx, RunArgs{d.ID}, job.Options{})
}

// touch prepares a deployment for being stored again.
func (d *Deployment) touch(now time.Time) {
	d.Updated, d.Wake = now, time.Time{}
	if d.State.Live() {
		d.Wake = now.Add(patience)
	}
	d.Revision++
}

// OfRequest returns the deployments of a request, for the request's own use.
func (s *Service) OfRequest(ctx context.Context, request string) ([]Deployment, error) {
	return s.Store.Deployments(ctx, Query{Request: request, Limit: maxPage})
}

// Get returns one deployment.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Deployment, error) {
	d, err := s.Store.Deployment(ctx, id)
	scope := access.Root
	if err == nil {
		scope = lineage.Scope(d.Lineage)
	}
	if err := s.Guard.Authorize(ctx, c, Read, scope, "DeploymentGet"); err != nil {
		return Deployment{}, err
	}
	if fault.Is(err, fault.NotFound) {
		return d, fault.New(fault.NotFound, "DeploymentNotFound", "there is no deployment %.64q", id)
	}
	return d, err
}

const maxPage = 500

// List returns a page of deployments, newest first.
func (s *Service) List(ctx context.Context, c access.Caller, q Query) ([]Deployment, error) {
	scope := access.Root
	if q.Lineage != "" {
		scope = lineage.Scope(q.Lineage)
	}
	if err := s.Guard.Authorize(ctx, c, Read, scope, "DeploymentList"); err != nil {
		return nil, err
	}
	if q.Limit < 1 || q.Limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, q.Limit)
	}
	return s.Store.Deployments(ctx, q)
}

// tell writes a record, and an event if kind is not empty.
func (s *Service) tell(ctx context.Context, rec audit.Record, kind string, d Deployment) error {
	rec.Details[audit.Lineage], rec.Details[audit.Target], rec.Details[audit.Connection] = d.Lineage, d.Target.ID, d.Target.Connection
	rec.Details[audit.Fingerprint] = d.SHA256
	if d.Request != "" {
		rec.Details[audit.Request] = d.Request
	}
	if err := s.Audit.Record(ctx, rec); err != nil || kind == "" {
		return err
	}
	data, err := json.Marshal(map[string]any{
		"lineage": d.Lineage, "request": d.Request, "target": d.Target.ID, "connection": d.Target.Connection,
		"sha256": d.SHA256, "state": d.State, "stage": d.Stage, "problem": d.Problem,
	})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/deployments", Type: kind, Subject: d.ID, Data: data})
}
