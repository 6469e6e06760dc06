package enrollment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/lineage"
)

const (
	// patience is how long a request under way may be silent before Sweep has it looked at.
	patience = 2 * time.Hour
	// tries of one step before the request fails: with the pauses, about half a day.
	tries      = 20
	firstPause = 5 * time.Second
	lastPause  = time.Hour
	// How soon and how late an issuer that thinks is asked again.
	leastAsk   = 2 * time.Second
	mostAsk    = time.Hour
	sweepBatch = 1000
)

// RunArgs is the work of one request.
type RunArgs struct {
	Request string `json:"request"`
}

// Kind implements job.Args.
func (RunArgs) Kind() string { return "enrollment.run" }

// Wake has a request looked at again, in the transaction of ctx. Deployments call it when
// they end.
func (s *Service) Wake(ctx context.Context, request string) error {
	return s.Jobs.Enqueue(ctx, RunArgs{request}, job.Options{})
}

// HandleRun takes a request as far as it gets. It may run again for the same request at
// any time, and goes on with the step that was noted last.
func (s *Service) HandleRun(ctx context.Context, a RunArgs) error {
	e, err := s.Store.Request(ctx, a.Request)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	r := runner{Service: s, e: e}
	if err == nil && e.State == Pending {
		return r.expire(ctx)
	}
	for err == nil && r.e.State.Live() && !r.waits {
		err = r.step(ctx)
	}
	if fault.HasCode(err, "Changed") {
		return nil // whoever changed it has asked for a run of its own
	}
	return err
}

// runner is one run of one request.
type runner struct {
	*Service
	e     Entry
	waits bool
}

func (r *runner) caller() access.Caller {
	c := access.System("enrollment")
	c.Correlation = r.e.ID
	return c
}

// outcome is what a step has done: the entry as it shall be stored, and what belongs into
// the same transaction.
type outcome struct {
	next Entry
	// also runs in the transaction that notes the step.
	also func(ctx context.Context) error
	// event is emitted with it, if not empty.
	event string
	// waits ends the run: something else wakes the request, or a job at a time if it is set.
	waits bool
	// idle says that nothing happened that would have to be noted.
	idle bool
	at   time.Time
}

// step does what is next and notes what came of it.
func (r *runner) step(ctx context.Context) error {
	o, err := r.act(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // the process is stopping: this says nothing about the request
	}
	if err == nil && o.idle {
		r.waits = true
		return nil
	}
	if err == nil {
		if err = r.note(ctx, o); !fault.HasCode(err, "Exists") {
			return err
		}
		err = fault.Wrap(err, fault.Unavailable, "TargetBusy", "another deployment to the same target is under way")
	}
	switch {
	case fault.HasCode(err, "Changed"):
		return err
	case lineage.Passing(err) && r.e.Attempts+1 < tries:
		return r.wait(ctx, err)
	}
	return r.fail(ctx, err)
}

func (r *runner) act(ctx context.Context) (outcome, error) {
	switch r.e.Step {
	case MakeKey:
		return r.makeKey(ctx)
	case Issue:
		return r.issue(ctx)
	case Keep:
		return r.keep(ctx)
	case Deliver:
		return r.deliver(ctx)
	case Record:
		return r.record(ctx)
	case Deploy:
		return r.deploy(ctx)
	case Retire:
		return r.retire()
	case Withdraw:
		return r.withdraw(ctx)
	case Mark:
		return r.mark(), nil
	}
	return outcome{}, fmt.Errorf("request %s has the unknown step %q", r.e.ID, r.e.Step)
}

// begun is the entry to change: its work has begun.
func (r *runner) begun() Entry {
	e := r.e
	e.State = InProgress
	return e
}

// to is the outcome that the step is done and another follows.
func (r *runner) to(next Step) outcome {
	o := outcome{next: r.begun()}
	o.next.Step = next
	return o
}

// note stores the outcome of a step.
func (r *runner) note(ctx context.Context, o outcome) error {
	rec := r.caller().Record("RequestAdvance", Path(r.e.ID))
	rec.Details[audit.Step] = string(r.e.Step)
	if o.next.Step != r.e.Step || o.next.State != r.e.State {
		o.next.Attempts = 0
		if o.next.Problem == r.e.Problem {
			o.next.Problem = "" // it was overcome
		}
	}
	return r.save(ctx, o, rec)
}

// wait notes a failure that may pass, and comes back later.
func (r *runner) wait(ctx context.Context, err error) error {
	r.Log.Warn("request waits", "request", r.e.ID, "step", r.e.Step, "attempt", r.e.Attempts+1, "error", err)
	o := outcome{next: r.begun(), waits: true}
	o.next.Attempts++
	o.next.Problem = lineage.Problem(err)
	o.at = r.Now().Add(min(firstPause<<min(o.next.Attempts-1, 20), lastPause))
	rec := r.caller().Record("RequestWait", Path(r.e.ID))
	rec.Outcome, rec.Details[audit.Step] = audit.Failed, string(r.e.Step)
	return r.save(ctx, o, rec)
}

// fail ends the request until somebody, or the renewal engine, tries it again.
func (r *runner) fail(ctx context.Context, err error) error {
	r.Log.Error("request failed", "request", r.e.ID, "step", r.e.Step, "attempt", r.e.Attempts+1, "error", err)
	o := outcome{next: r.begun(), event: "Chatelaine.RequestFailed"}
	o.next.State, o.next.Problem = Failed, lineage.Problem(err)
	code := fault.Of(err).Code
	o.also = func(ctx context.Context) error {
		return errors.Join(r.blame(ctx, o.next.Problem), r.refuse(ctx, r.e, code, o.next.Problem))
	}
	rec := r.caller().Record("RequestFail", Path(r.e.ID))
	rec.Outcome, rec.Details[audit.Step] = audit.Failed, string(r.e.Step)
	return r.save(ctx, o, rec)
}

// blame notes the failure at the lineage, whose renewal is then tried again later.
func (r *runner) blame(ctx context.Context, problem string) error {
	if r.e.Lineage == "" || r.e.Kind == Revocation {
		return nil
	}
	l, err := r.Lineages.Lineage(ctx, r.e.Lineage)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	l.Fail(problem, r.Now())
	return r.Lineages.UpdateLineage(ctx, l)
}

// expire ends a request that nobody approved in time.
func (r *runner) expire(ctx context.Context) error {
	if r.Now().Before(r.e.Wake) {
		return nil
	}
	o := outcome{next: r.e, event: "Chatelaine.RequestExpired"}
	o.next.State, o.next.Key = Expired, nil
	o.also = func(ctx context.Context) error {
		return errors.Join(r.postpone(ctx, r.e.Lineage), r.refuse(ctx, r.e, "RequestExpired", "Nobody approved the request in time."))
	}
	return r.save(ctx, o, r.caller().Record("RequestExpire", Path(r.e.ID)))
}

// save stores an outcome with its record, its event, its next job and what else belongs to it.
func (r *runner) save(ctx context.Context, o outcome, rec audit.Record) error {
	o.next.touch(r.Now())
	err := r.Transact(ctx, func(ctx context.Context) error {
		if err := r.Store.UpdateRequest(ctx, o.next); err != nil {
			return err
		}
		if o.also != nil {
			if err := o.also(ctx); err != nil {
				return err
			}
		}
		if !o.at.IsZero() {
			if err := r.Jobs.Enqueue(ctx, RunArgs{o.next.ID}, job.Options{At: o.at}); err != nil {
				return err
			}
		}
		return r.tell(ctx, rec, o.event, o.next.Request)
	})
	if err == nil {
		r.e, r.waits = o.next, o.waits
	}
	return err
}

// pending notes that the issuer thinks. One that does not say for how long is asked
// rarely when it has thought for long already.
func (r *runner) pending(p connector.Pending) outcome {
	o := r.to(Issue)
	o.waits, o.next.Token, o.next.Problem, o.next.Attempts = true, p.Token, "", 0
	pause := p.After
	if pause <= 0 {
		pause = r.Now().Sub(r.e.Created) / 10
	}
	o.at = r.Now().Add(min(max(pause, leastAsk), mostAsk))
	return o
}

// SweepArgs is the periodic look for requests that nobody approved or that were lost.
type SweepArgs struct{}

// Kind implements job.Args.
func (SweepArgs) Kind() string { return "enrollment.sweep" }

// HandleSweep has another look taken at every request that was silent for too long.
func (s *Service) HandleSweep(ctx context.Context, _ SweepArgs) error {
	ids, err := s.Store.OverdueRequests(ctx, s.Now(), sweepBatch)
	if err != nil {
		return err
	}
	for _, id := range ids {
		s.Log.Info("request was silent for too long; looking at it again", "request", id)
		if err := s.Jobs.Enqueue(ctx, RunArgs{id}, job.Options{Unique: true}); err != nil {
			return err
		}
	}
	return nil
}
