package access

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"chatelaine.dev/internal/audit"
)

const (
	refusalWindow = time.Minute
	refusalKinds  = 128 // told apart in one window
)

// Refusals records failed attempts of whoever is not known yet, so that a flood of them
// does not fill the disk: the first of its kind at once, the others of the same minute as
// one record with their number. It is safe for concurrent use.
type Refusals struct {
	recorder audit.Recorder
	now      func() time.Time

	mu    sync.Mutex
	began time.Time
	seen  map[refusalKey]*tally
}

type refusalKey struct{ operation, principal, application, address, reason string }

type tally struct {
	record audit.Record // the newest
	more   int          // after the first, which was recorded
}

// NewRefusals makes an empty one.
func NewRefusals(recorder audit.Recorder, now func() time.Time) *Refusals {
	return &Refusals{recorder: recorder, now: now, seen: map[refusalKey]*tally{}}
}

// Note records a failed attempt, now or with others like it.
func (r *Refusals) Note(ctx context.Context, rec audit.Record) error {
	if rec.Principal == "" {
		rec.Principal = "anonymous"
	}
	first, due := r.count(&rec)
	for _, d := range due {
		if err := r.recorder.Record(ctx, d); err != nil {
			return err
		}
	}
	if first {
		return r.recorder.Record(ctx, rec)
	}
	return nil
}

// count adds the attempt to its kind. When there are too many kinds, all that are new
// become one of their operation, so rec loses what tells it apart.
func (r *Refusals) count(rec *audit.Record) (first bool, due []audit.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.began) >= refusalWindow {
		due = r.drain()
		r.began = now
	}
	key := refusalKey{rec.Operation, rec.Principal, rec.Application, rec.Address, rec.Details[audit.Reason]}
	t, known := r.seen[key]
	if !known && len(r.seen) >= refusalKinds {
		rec.Principal, rec.Name, rec.Application, rec.Address, rec.Agent, rec.Correlation = "many", "", "", "", "", ""
		key = refusalKey{operation: rec.Operation, principal: rec.Principal, reason: rec.Details[audit.Reason]}
		t, known = r.seen[key]
	}
	if !known {
		r.seen[key] = &tally{record: *rec}
		return true, due
	}
	t.record = *rec
	t.more++
	return false, due
}

// drain empties the window and returns one record for each kind that came again.
func (r *Refusals) drain() []audit.Record {
	var due []audit.Record
	for _, t := range r.seen {
		if t.more == 0 {
			continue
		}
		rec := t.record
		rec.Details = map[audit.Field]string{}
		for k, v := range t.record.Details {
			rec.Details[k] = v
		}
		rec.Details[audit.Count] = strconv.Itoa(t.more)
		due = append(due, rec)
	}
	r.seen = map[refusalKey]*tally{}
	return due
}

// Flush records what was counted and not recorded yet. Call it every minute or so, and
// before the end.
func (r *Refusals) Flush(ctx context.Context) error {
	r.mu.Lock()
	due := r.drain()
	r.mu.Unlock()
	var errs []error
	for _, rec := range due {
		errs = append(errs, r.recorder.Record(ctx, rec))
	}
	return errors.Join(errs...)
}
