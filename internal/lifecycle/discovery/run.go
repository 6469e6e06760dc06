package discovery

import (
	"context"
	"errors"
	"fmt"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/discovery/scan"
	"chatelaine.dev/internal/lifecycle/inventory"
)

// RunArgs ask for the work of one run.
type RunArgs struct {
	Run string `json:"run"` // id
}

// Kind implements job.Args.
func (RunArgs) Kind() string { return "discovery.run" }

// Limit implements job.Long. A longer run goes on with its next try.
func (RunArgs) Limit() time.Duration { return 24 * time.Hour }

// ScheduleArgs ask which campaigns are due.
type ScheduleArgs struct{}

// Kind implements job.Args.
func (ScheduleArgs) Kind() string { return "discovery.schedule" }

func jobOptions() job.Options { return job.Options{Attempts: 8} }

func system() access.Caller { return access.System("discovery") }

// HandleSchedule starts the runs that are due. A campaign whose last run is still under
// way waits for its next turn.
func (s *Service) HandleSchedule(ctx context.Context, _ ScheduleArgs) error {
	due, err := s.Store.Due(ctx, s.Now(), maxPage)
	if err != nil {
		return err
	}
	var failed []error
	for _, x := range due {
		err := s.Transact(ctx, func(ctx context.Context) error {
			next := x.Next
			for !next.IsZero() && !next.After(s.Now()) { // turns that passed while nothing ran are not made up for
				next = x.nextRun(later(next, s.Now().Add(-time.Duration(x.Interval)*time.Second)))
			}
			if err := s.Store.SetNext(ctx, x.ID, next); err != nil {
				return err
			}
			r := Run{ID: uuid.NewV4().String(), Campaign: x.ID, State: Queued, Queued: s.Now()}
			return s.enqueue(ctx, system(), r)
		})
		if fault.HasCode(err, "RunUnderWay") {
			err = s.Store.SetNext(ctx, x.ID, x.nextRun(s.Now()))
		}
		if err != nil && !fault.Is(err, fault.NotFound) { // deleted meanwhile
			failed = append(failed, fmt.Errorf("campaign %s: %w", x.ID, err))
		}
	}
	return errors.Join(failed...)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errEnded says that somebody else ended the run.
var errEnded = errors.New("the run has ended")

// HandleRun does a run, or what is left of it. What cannot work ends it as failed; a
// trouble that may pass is returned, and the queue tries again.
func (s *Service) HandleRun(ctx context.Context, a RunArgs) error {
	r, err := s.Store.Run(ctx, a.Run)
	if fault.Is(err, fault.NotFound) || err == nil && r.State.Final() {
		return nil // deleted with its campaign, or canceled
	}
	if err != nil {
		return err
	}
	x, err := s.Store.Campaign(ctx, r.Campaign)
	if err != nil {
		return err
	}
	r.State = Running
	if r.Started.IsZero() {
		r.Started = s.Now()
	}
	w := &work{s: s, r: r, campaign: x}
	if err := w.save(ctx, w.r); err != nil {
		return endedIsFine(err)
	}
	if x.Connection != "" {
		err = w.source(ctx)
	} else {
		err = w.network(ctx)
	}
	switch {
	case err == nil:
		return endedIsFine(w.end(ctx, Completed, ""))
	case errors.Is(err, errEnded):
		return nil
	case ctx.Err() != nil && !job.LastTry(ctx):
		return err // interrupted: the next try goes on
	case hopeless(err) || job.LastTry(ctx):
		w.s.Log.Error("discovery run failed", "run", r.ID, "campaign", r.Campaign, "error", err)
		return endedIsFine(w.end(context.WithoutCancel(ctx), Failed, problem(err)))
	}
	return fmt.Errorf("run %s: %w", r.ID, err)
}

func endedIsFine(err error) error {
	if errors.Is(err, errEnded) {
		return nil
	}
	return err
}

// hopeless reports whether trying again is pointless.
func hopeless(err error) bool {
	return fault.Is(err, fault.Invalid) || fault.Is(err, fault.Denied) || fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.NotFound)
}

// problem is what people may read of an error: the log has its cause.
func problem(err error) string {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "interrupted too often"
	}
	return fault.Of(err).Message
}

// work is a run under way in this process.
type work struct {
	s        *Service
	r        Run
	campaign Campaign
	waiting  []inventory.Observation
	flushed  time.Time
}

const (
	batchSize  = 100
	batchPause = time.Second // progress is stored at least this often while results come
)

// save stores a run; errEnded when it is final or gone.
func (w *work) save(ctx context.Context, r Run) error {
	err := w.s.Store.UpdateRun(ctx, r)
	if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		return errEnded
	}
	return err
}

// flush records what waits and stores the progress, both or neither.
func (w *work) flush(ctx context.Context) error {
	var r Run
	err := w.s.Transact(ctx, func(ctx context.Context) error {
		done, err := w.s.Inventory.Record(ctx, system(), w.waiting)
		if err != nil {
			return err
		}
		r = w.r
		r.New += done.New
		r.Changed += done.Changed
		return w.save(ctx, r)
	})
	if err != nil {
		return err
	}
	w.r, w.waiting, w.flushed = r, w.waiting[:0], w.s.Now()
	return nil
}

// flushWhenDue flushes a full batch, or one that waited long enough.
func (w *work) flushWhenDue(ctx context.Context) error {
	if len(w.waiting) < batchSize && w.s.Now().Sub(w.flushed) < batchPause {
		return nil
	}
	return w.flush(ctx)
}

// end makes the run final, with its record and event.
func (w *work) end(ctx context.Context, state RunState, why string) error {
	return w.s.Transact(ctx, func(ctx context.Context) error {
		r := w.r
		r.State, r.Finished, r.Problem = state, w.s.Now(), why
		if err := w.save(ctx, r); err != nil {
			return err
		}
		rec := system().Record("RunEnd", Path(r.Campaign))
		rec.Details[audit.Run], rec.Details[audit.Count] = r.ID, fmt.Sprint(r.Found)
		if state == Failed {
			rec.Outcome = audit.Failed
		}
		return w.s.tell(ctx, rec, "Chatelaine.RunEnded", r.ID, r)
	})
}

// tallied is what one probe adds to the counts, once the position passes over it.
type tallied struct{ found, unreachable int }

// network probes what the position has not passed yet. Counts are of probes before the
// position only: those after it are probed again when the run is interrupted, and would
// count twice.
func (w *work) network(ctx context.Context) error {
	plan, err := scan.NewPlan(w.campaign.plan())
	if err != nil {
		return err
	}
	if w.r.Total != 0 && w.r.Total != plan.Total() {
		w.r.Position, w.r.Found, w.r.Unreachable = 0, 0, 0 // the campaign was changed; begin anew
	}
	w.r.Total = plan.Total()
	config := w.s.Scan
	config.Versions = w.campaign.Versions
	ahead := map[int]tallied{}
	counted := w.r.Position
	w.flushed = w.s.Now()
	err = scan.New(config).Run(ctx, plan, w.r.Position, func(g scan.Progress, index int, rs []scan.Result) error {
		var t tallied
		for _, r := range rs {
			o, ok := w.observe(r)
			if !ok {
				continue
			}
			w.waiting = append(w.waiting, o)
			switch o.State {
			case inventory.Present:
				t.found++
			case inventory.Unreachable:
				t.unreachable++
			}
		}
		ahead[index] = t
		for ; counted < g.Position; counted++ {
			w.r.Found += ahead[counted].found
			w.r.Unreachable += ahead[counted].unreachable
			delete(ahead, counted)
		}
		w.r.Done, w.r.Position = g.Done, g.Position
		return w.flushWhenDue(ctx)
	})
	if err != nil {
		return err
	}
	return w.flush(ctx)
}

// observe turns a result into an observation. Addresses that are never scanned were not looked at.
func (w *work) observe(r scan.Result) (inventory.Observation, bool) {
	o := Observation(r)
	o.Campaign, o.Run = w.campaign.ID, w.r.ID
	return o, r.Outcome != scan.Forbidden
}

// Observation is a scan's result as the inventory takes it.
func Observation(r scan.Result) inventory.Observation {
	o := inventory.Observation{
		Place: inventory.Place{Source: inventory.Network, Host: r.Target.Name, Port: int(r.Target.Port), SNI: r.SNI},
		State: inventory.Unreachable, At: r.At, Problem: r.Problem,
	}
	if r.IP.IsValid() {
		o.Place.IP = r.IP.String()
	}
	switch r.Outcome {
	case scan.Found:
		o.State, o.DER, o.Chain = inventory.Present, r.Chain[0], r.Chain[1:]
		o.TLS = &inventory.TLS{Version: r.Version, Cipher: r.Cipher, Group: r.Group, Versions: r.Versions, ClientAuth: r.ClientAuth, Incomplete: r.Incomplete}
	case scan.NotTLS, scan.NoCertificate:
		o.State = inventory.Missing
	}
	return o
}

// source reads a connection to its end, from the beginning at every try: nobody promises
// an order in which one could go on.
func (w *work) source(ctx context.Context) error {
	source, err := w.s.source(ctx, w.campaign.Connection)
	if err != nil {
		return err
	}
	began := w.s.Now()
	w.r.Done, w.r.Found, w.r.Unreachable, w.flushed = 0, 0, 0, began
	err = source.Discover(ctx, func(f connector.Found) error {
		o := w.object(f)
		w.waiting = append(w.waiting, o)
		w.r.Done++
		if o.State == inventory.Present {
			w.r.Found++
		} else {
			w.r.Unreachable++
		}
		return w.flushWhenDue(ctx)
	})
	if err != nil {
		// What was seen is true; only what was not seen proves nothing.
		return errors.Join(err, w.flush(ctx))
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	gone, err := w.s.Inventory.Complete(ctx, system(), w.campaign.Connection, w.r.ID, began)
	w.r.Changed += gone
	w.r.Total = w.r.Done
	return err
}

func (w *work) object(f connector.Found) inventory.Observation {
	o := inventory.Observation{
		Place: inventory.Place{Source: w.campaign.Connection, Path: f.Location}, At: w.s.Now(),
		Campaign: w.campaign.ID, Run: w.r.ID, State: inventory.Unreachable, Problem: f.Problem,
		Object: &inventory.Object{Name: f.Name, Version: f.Version, Enabled: f.Enabled, Key: f.Key, Labels: f.Labels},
	}
	if len(f.Certificate) > 0 {
		o.State, o.DER, o.Chain = inventory.Present, f.Certificate, f.Chain
	}
	return o
}
