package object

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"chatelaine.dev/internal/fault"
)

// Agenda does what is due. What each handler does commits together with the mark that it
// is done: a node that dies before leaves it to the next run, and where nodes run beside
// each other nothing is done twice.
type Agenda struct {
	Deps
	store    DueStore
	log      *slog.Logger
	handlers map[string]Handler // fixed once it runs
	running  sync.Mutex
}

// NewAgenda makes an empty agenda.
func NewAgenda(d Deps, store DueStore, log *slog.Logger) *Agenda {
	return &Agenda{Deps: d, store: store, log: log, handlers: map[string]Handler{}}
}

// Task is one Due that has come. Entry is the object as it was read a moment ago.
type Task struct {
	Entry
	Row DueRow

	store DueStore
}

// ErrSettled says that a task is no longer to be done: another node did it, or the
// object has changed since.
var ErrSettled = errors.New("the task is done, or the object has changed since it was due")

// Settle marks the task as done, in the transaction of the change that does it. The
// handler passes its error on: after ErrSettled nothing may be changed.
func (t Task) Settle(ctx context.Context) error {
	ok, err := t.store.SettleDue(ctx, t.Row)
	if err == nil && !ok {
		return ErrSettled
	}
	return err
}

// Handler does a task. It makes what is slow first, and then runs one transaction with
// Settle and its change. A task that a handler returns from without an error is settled
// anyhow; after an error it comes again, later and later.
type Handler func(ctx context.Context, t Task) error

// On says who does what is due for a kind. Without a handler it waits for a program that
// has one.
func (a *Agenda) On(k Kind, what string, h Handler) { a.handlers[string(k)+" "+what] = h }

// In makes a handler of a change that needs nothing slow: fn runs in the transaction that
// settles the task.
func (a *Agenda) In(fn func(ctx context.Context, t Task) error) Handler {
	return func(ctx context.Context, t Task) error {
		return a.Transact(ctx, func(ctx context.Context) error {
			if err := t.Settle(ctx); err != nil {
				return err
			}
			return fn(ctx, t)
		})
	}
}

// DueArgs are the arguments of the scheduled work that does what is due, for job.Queue.
type DueArgs struct{}

// Kind implements job.Args.
func (DueArgs) Kind() string { return "vault.due" }

const (
	duePage  = 100
	dueRun   = 5 * time.Minute // then the next run goes on; a job has ten
	dueRetry = time.Minute     // after the first failure; twice as long after each
	dueRest  = 6 * time.Hour   // the longest wait
)

// HandleDue does all that is due. One task that fails does not stop the others. While one
// run goes on in this process, another has nothing to do.
func (a *Agenda) HandleDue(ctx context.Context, _ DueArgs) error {
	if !a.running.TryLock() {
		return nil
	}
	defer a.running.Unlock()
	for began := a.Now(); a.Now().Sub(began) < dueRun; {
		rows, err := a.store.Dues(ctx, a.Now(), duePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := a.do(ctx, r); err != nil {
				return fmt.Errorf("%s %s/%s/%s: %w", r.What, r.Vault, r.Kind, r.Name, err)
			}
		}
	}
	return nil
}

// do does one task. Its error is one of the database.
func (a *Agenda) do(ctx context.Context, r DueRow) error {
	h := a.handlers[string(r.Kind)+" "+r.What]
	t, current, err := a.task(ctx, r)
	switch {
	case err == nil && !current:
		return nil
	case err == nil && h == nil:
		err = errors.New("nobody handles it in this program")
	case err == nil:
		err = h(ctx, t)
	}
	if err == nil {
		_, err := a.store.SettleDue(ctx, r)
		return err
	}
	if errors.Is(err, ErrSettled) || ctx.Err() != nil {
		return ctx.Err()
	}
	wait := min(dueRetry<<min(r.Tries, 16), dueRest)
	a.log.Error("what is due could not be done", "vault", r.Vault, "kind", r.Kind, "name", r.Name, "what", r.What, "tries", r.Tries+1, "again", wait, "error", err)
	return a.store.PostponeDue(ctx, r, a.Now().Add(wait))
}

// task holds a row against the object that it is about. A row that says otherwise than
// the object is made right and is not current: the table is no authority.
func (a *Agenda) task(ctx context.Context, r DueRow) (t Task, current bool, err error) {
	v, err := a.Vaults.OpenAny(ctx, r.Vault)
	if fault.Is(err, fault.NotFound) {
		return t, false, a.store.DropDue(ctx, r)
	}
	if err != nil {
		return t, false, err
	}
	if !v.Settings().Deleted.IsZero() { // it may be recovered; until then nothing happens in it
		return t, false, a.store.PostponeDue(ctx, r, a.Now().Add(dueRest))
	}
	e, due, err := v.planned(ctx, r.Kind, r.Name)
	if err != nil {
		return t, false, err
	}
	if !slices.Contains(due, r.Due) {
		return t, false, a.replan(ctx, v, r.Kind, r.Name)
	}
	return Task{Entry: e, Row: r, store: a.store}, true, nil
}
