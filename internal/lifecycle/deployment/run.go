package deployment

import (
	"context"
	"fmt"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
)

const (
	// patience is how long a deployment under way may be silent before Sweep has it looked at.
	patience = 15 * time.Minute
	// tries of what may work a little later: preparing, which changes nothing, and rolling
	// back, which must not be given up early.
	prepareTries  = 5
	rollBackTries = 10
	firstPause    = 5 * time.Second
	lastPause     = 10 * time.Minute
	sweepBatch    = 1000
)

// HandleRun takes a deployment as far as it gets. It may run again for the same
// deployment at any time, and goes on with the stage that was noted last.
func (s *Service) HandleRun(ctx context.Context, a RunArgs) error {
	d, err := s.Store.Deployment(ctx, a.Deployment)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	r := runner{Service: s, d: d}
	for err == nil && r.d.State.Live() && !r.waits {
		err = r.step(ctx)
	}
	if fault.HasCode(err, "Changed") {
		return nil // whoever changed it has asked for a run of its own
	}
	return err
}

// runner is one run of one deployment.
type runner struct {
	*Service
	d      Deployment
	bundle *connector.Bundle
	waits  bool
}

func (r *runner) caller() access.Caller {
	c := access.System("deployment")
	c.Correlation = r.d.ID
	return c
}

// step does what is next and notes what came of it.
func (r *runner) step(ctx context.Context) error {
	err := r.act(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // the process is stopping: this says nothing about the target
	}
	if err != nil {
		return r.fail(ctx, err)
	}
	switch {
	case r.d.State == RollingBack:
		return r.end(ctx, Failed, "DeploymentRollBack", "Chatelaine.DeploymentFailed")
	case r.d.Stage == Finish:
		r.d.Problem = ""
		return r.end(ctx, Completed, "DeploymentFinish", "Chatelaine.DeploymentCompleted")
	}
	return r.advance(ctx)
}

// fail decides what follows from an error: another try, rolling back, or the end.
func (r *runner) fail(ctx context.Context, err error) error {
	r.Log.Warn("deployment", "deployment", r.d.ID, "state", r.d.State, "stage", r.d.Stage, "attempt", r.d.Attempts+1, "error", err)
	tried := r.d.Attempts + 1
	if r.d.State == RollingBack {
		r.d.RollBack = lineage.Problem(err)
		if tried < rollBackTries {
			return r.wait(ctx)
		}
		return r.end(ctx, Stuck, "DeploymentRollBack", "Chatelaine.DeploymentStuck")
	}
	r.d.Problem = lineage.Problem(err)
	switch r.d.Stage {
	case Prepare: // nothing was changed
		if lineage.Passing(err) && tried < prepareTries {
			return r.wait(ctx)
		}
		r.d.Failed = Prepare
		return r.end(ctx, Failed, "DeploymentFail", "Chatelaine.DeploymentFailed")
	case Finish: // it is served; only what was kept for a roll-back could not be dropped
		if tried < rollBackTries {
			return r.wait(ctx)
		}
		return r.end(ctx, Completed, "DeploymentFinish", "Chatelaine.DeploymentCompleted")
	}
	r.d.Failed = r.d.Stage
	return r.turnBack(ctx)
}

// act does the stage, or the roll-back.
func (r *runner) act(ctx context.Context) error {
	target, err := r.Targets.Target(ctx, r.d.Target.Connection)
	if err != nil {
		return err
	}
	d := connector.Deployment{ID: r.d.ID}
	if d.Place, err = r.d.Target.PlaceSettings(); err != nil {
		return err
	}
	if r.d.State == RollingBack {
		return target.RollBack(ctx, d)
	}
	if r.d.Stage == Finish {
		return target.Finish(ctx, d)
	}
	if d.Bundle, err = r.load(ctx); err != nil {
		return err
	}
	switch r.d.Stage {
	case Prepare:
		return target.Prepare(ctx, d)
	case Install:
		return target.Install(ctx, d)
	case Activate:
		return target.Activate(ctx, d)
	case Verify:
		return target.Verify(ctx, d)
	case Handshake:
		return r.handshakes(ctx, d.Certificate)
	}
	return fmt.Errorf("deployment %s has the unknown stage %q", r.d.ID, r.d.Stage)
}

// load fetches the certificate and its key from the vault, once in a run.
func (r *runner) load(ctx context.Context) (connector.Bundle, error) {
	if r.bundle == nil {
		b, err := r.Bundles.Bundle(ctx, r.caller(), r.d.Keep, r.d.Version)
		if err != nil {
			return b, fmt.Errorf("fetch the certificate from vault %s: %w", r.d.Keep.Vault, err)
		}
		r.bundle = &b
	}
	return *r.bundle, nil
}

// handshakes proves that every endpoint serves the certificate, and tells the inventory.
func (r *runner) handshakes(ctx context.Context, certificate []byte) error {
	var seen []inventory.Observation
	for _, e := range r.d.Target.Endpoints {
		x, err := r.prove(ctx, e, certificate)
		if err != nil {
			return err
		}
		seen = append(seen, inventory.Observation{
			Place: e.Place(), State: inventory.Present, DER: x.certificate, Chain: x.chain, At: r.Now(), TLS: &x.tls,
		})
	}
	_, err := r.Inventory.Record(ctx, r.caller(), seen)
	return err
}

// advance notes that a stage is done.
func (r *runner) advance(ctx context.Context) error {
	order := []Stage{Prepare, Install, Activate, Verify, Handshake, Finish}
	next, kind := r.d, ""
	for i, stage := range order[:len(order)-1] {
		if stage == r.d.Stage {
			next.Stage = order[i+1]
		}
	}
	if r.d.Stage == Handshake && len(r.d.Target.Endpoints) > 0 {
		next.Verified, kind = r.Now(), "Chatelaine.DeploymentVerified"
	}
	next.Attempts, next.Problem = 0, ""
	rec := r.caller().Record("DeploymentAdvance", Path(r.d.ID))
	rec.Details[audit.Step] = string(r.d.Stage)
	return r.save(ctx, next, rec, kind, nil)
}

// wait notes a failure that may pass, and comes back later.
func (r *runner) wait(ctx context.Context) error {
	next := r.d
	next.Attempts++
	at := r.Now().Add(min(firstPause<<min(next.Attempts-1, 10), lastPause))
	rec := r.caller().Record("DeploymentWait", Path(r.d.ID))
	rec.Outcome, rec.Details[audit.Step] = audit.Failed, string(r.d.Stage)
	r.waits = true
	return r.save(ctx, next, rec, "", func(ctx context.Context) error {
		return r.Jobs.Enqueue(ctx, RunArgs{next.ID}, job.Options{At: at})
	})
}

// turnBack begins to roll back.
func (r *runner) turnBack(ctx context.Context) error {
	next := r.d
	next.State, next.Attempts = RollingBack, 0
	rec := r.caller().Record("DeploymentFail", Path(r.d.ID))
	rec.Outcome, rec.Details[audit.Step] = audit.Failed, string(r.d.Failed)
	return r.save(ctx, next, rec, "", nil)
}

// end notes the end and tells the request.
func (r *runner) end(ctx context.Context, state State, operation, kind string) error {
	next := r.d
	next.State = state
	rec := r.caller().Record(operation, Path(r.d.ID))
	if state == Completed {
		next.Attempts = 0
	} else {
		rec.Details[audit.Step] = string(r.d.Failed)
	}
	if state == Stuck || operation == "DeploymentFail" {
		rec.Outcome = audit.Failed
	}
	return r.save(ctx, next, rec, kind, func(ctx context.Context) error {
		if next.Request == "" {
			return nil
		}
		return r.Ended(ctx, next.Request)
	})
}

// save stores the next state with its record, its event and what else belongs to it.
func (r *runner) save(ctx context.Context, next Deployment, rec audit.Record, kind string, also func(context.Context) error) error {
	next.touch(r.Now())
	err := r.Transact(ctx, func(ctx context.Context) error {
		if err := r.Store.UpdateDeployment(ctx, next); err != nil {
			return err
		}
		if err := r.tell(ctx, rec, kind, next); err != nil {
			return err
		}
		if also != nil {
			return also(ctx)
		}
		return nil
	})
	if err == nil {
		r.d = next
	}
	return err
}

// SweepArgs is the periodic look for deployments that were lost.
type SweepArgs struct{}

// Kind implements job.Args.
func (SweepArgs) Kind() string { return "deployment.sweep" }

// HandleSweep has another look taken at every deployment that was silent for too long.
// The queue loses no job; this is for what nobody thought of.
func (s *Service) HandleSweep(ctx context.Context, _ SweepArgs) error {
	ids, err := s.Store.OverdueDeployments(ctx, s.Now(), sweepBatch)
	if err != nil {
		return err
	}
	for _, id := range ids {
		s.Log.Warn("deployment was silent for too long; looking at it again", "deployment", id)
		if err := s.Jobs.Enqueue(ctx, RunArgs{id}, job.Options{Unique: true}); err != nil {
			return err
		}
	}
	return nil
}
