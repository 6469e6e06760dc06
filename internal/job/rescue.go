package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// River itself takes up the jobs of a dead process only when they have run for longer than
// any job may, an hour and more. Here a process's death is known, so they are taken up at
// once. This file alone uses River's driver interface, which may change between
// its releases.

const (
	rescueInterval = 10 * time.Second
	rescueBatch    = 1000
)

// migrate brings River's tables up to date.
func (r *River) migrate(ctx context.Context) error {
	unlock, err := r.presence.lockSchema(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	m, err := rivermigrate.New(r.driver, &rivermigrate.Config{Logger: r.quiet()})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// keepRescuing looks for processes that died until ctx ends.
func (r *River) keepRescuing(ctx context.Context) {
	tick := time.NewTicker(r.lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := r.presence.enter(ctx) // again, when the database went away in between
		if err == nil {
			err = r.rescue(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("job queue: looking for jobs of dead processes", "error", err)
		}
	}
}

// rescue makes the running jobs of dead processes available again, and takes the lead
// from a dead leader. The interrupted try counts.
func (r *River) rescue(ctx context.Context) error {
	exec := r.driver.GetExecutor()
	horizon := r.Now()
	if !r.PostgreSQL {
		horizon = horizon.AddDate(1, 0, 0) // nobody else runs, whatever the clock did in between
	}
	dead := r.remember()
	for after := int64(0); ; {
		jobs, err := exec.JobGetStuck(ctx, &riverdriver.JobGetStuckParams{AfterID: after, Max: rescueBatch, StuckHorizon: horizon})
		if err != nil {
			return err
		}
		orphans := &riverdriver.JobRescueManyParams{StuckHorizon: horizon}
		for _, j := range jobs {
			after = j.ID
			of := ""
			if n := len(j.AttemptedBy); n > 0 {
				of = j.AttemptedBy[n-1]
			}
			gone, err := dead(ctx, of)
			if err != nil {
				return err
			}
			if gone {
				if err := r.orphan(orphans, j, of); err != nil {
					return err
				}
			}
		}
		if n := len(orphans.ID); n > 0 {
			if _, err := exec.JobRescueMany(ctx, orphans); err != nil {
				return err
			}
			r.Log.Info("took up the jobs of a process that died", "jobs", n)
		}
		if len(jobs) < rescueBatch {
			break
		}
	}
	return r.replaceLeader(ctx, exec, dead)
}

// orphan adds a job to those that begin again, or that end when this was their last try.
func (r *River) orphan(p *riverdriver.JobRescueManyParams, j *rivertype.JobRow, of string) error {
	now := r.Now()
	message, err := json.Marshal(rivertype.AttemptError{At: now, Attempt: max(j.Attempt, 0), Error: fmt.Sprintf("the process %s ended while it ran this", of)})
	if err != nil {
		return err
	}
	state, finalized, scheduled := rivertype.JobStateAvailable, (*time.Time)(nil), now
	switch {
	case j.Attempt >= j.MaxAttempts:
		state, finalized, scheduled = rivertype.JobStateDiscarded, &now, j.ScheduledAt
		r.Log.Error("job given up: the process ended in its last try", "job", j.ID, "kind", j.Kind, "try", j.Attempt)
	case j.Attempt > 3: // perhaps it is this job that ends processes: give the others room
		scheduled = now.Add(time.Duration(j.Attempt) * time.Minute)
	}
	p.ID = append(p.ID, j.ID)
	p.Error = append(p.Error, message)
	p.FinalizedAt = append(p.FinalizedAt, finalized)
	p.ScheduledAt = append(p.ScheduledAt, scheduled)
	p.State = append(p.State, string(state))
	return nil
}

// replaceLeader ends the term of a leader that died, so that schedules and retries do not
// wait until it runs out.
func (r *River) replaceLeader(ctx context.Context, exec riverdriver.Executor, dead func(context.Context, string) (bool, error)) error {
	leader, err := exec.LeaderGetElectedLeader(ctx, &riverdriver.LeaderGetElectedLeaderParams{})
	if errors.Is(err, rivertype.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if gone, err := dead(ctx, leader.LeaderID); err != nil || !gone {
		return err
	}
	_, err = exec.LeaderResign(ctx, &riverdriver.LeaderResignParams{ElectedAt: leader.ElectedAt, LeaderID: leader.LeaderID})
	return err
}

// remember asks presence once for each process. At start a process that is not known is
// dead. Later it must be unknown at two looks in a row: when the database was away,
// every process is unknown until it has entered again.
func (r *River) remember() func(ctx context.Context, id string) (bool, error) {
	known, before := map[string]bool{r.id: false}, r.unknown
	r.unknown = map[string]bool{}
	return func(ctx context.Context, id string) (bool, error) {
		if gone, ok := known[id]; ok {
			return gone, nil
		}
		alive, err := r.presence.alive(ctx, id)
		if err != nil {
			return false, err
		}
		r.unknown[id] = !alive
		known[id] = !alive && (before == nil || before[id])
		return known[id], nil
	}
}
