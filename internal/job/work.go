package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// GiveUp marks an error that no further try can cure: the job ends here.
func GiveUp(err error) error { return &ended{err} }

type ended struct{ err error }

func (e *ended) Error() string { return e.err.Error() }
func (e *ended) Unwrap() error { return e.err }

// Again is returned by a handler that is not done and did not fail, such as one that
// polls a CA: the same job runs again after the pause, and the try does not count.
func Again(pause time.Duration) error { return &again{pause} }

type again struct{ pause time.Duration }

func (a *again) Error() string { return fmt.Sprintf("again in %s", a.pause) }

// LastTry reports whether an error of the running handler will end the job, so that it
// can tell those who wait. It is false outside a handler.
func LastTry(ctx context.Context) bool {
	last, _ := ctx.Value(lastTryKey{}).(bool)
	return last
}

type lastTryKey struct{}

// worker is a handler as River wants it.
type worker[A Args] struct {
	river.WorkerDefaults[A]
	fn    func(ctx context.Context, args A) error
	queue *River
	log   *slog.Logger
}

func (w *worker[A]) Timeout(j *river.Job[A]) time.Duration {
	if l, ok := any(j.Args).(Long); ok {
		return l.Limit()
	}
	return 0 // Config's
}

// Work runs the handler and logs what went wrong: the queue keeps the error only until
// the job's row is cleaned away.
func (w *worker[A]) Work(ctx context.Context, j *river.Job[A]) error {
	last := j.Attempt >= j.MaxAttempts
	err := w.run(context.WithValue(ctx, lastTryKey{}, last), j.Args)
	var (
		done  *ended
		later *again
		log   = w.log.With("job", j.ID, "kind", j.Kind, "try", j.Attempt)
	)
	switch {
	case err == nil:
		w.complete(ctx, j)
		return nil
	case errors.As(err, &later):
		return river.JobSnooze(max(later.pause, 0))
	case errors.As(err, &done):
		log.Error("job given up", "error", err)
		return river.JobCancel(err)
	case errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely) || errors.Is(ctx.Err(), context.Canceled):
		log.Info("job interrupted", "error", err)
	case last:
		log.Error("job failed for the last time", "error", err)
	default:
		log.Warn("job failed and will be tried again", "error", err)
	}
	return err
}

// complete ends the job by the writer that commits in groups, before the next one
// starts. When that fails, River writes the same a little later, again and again.
func (w *worker[A]) complete(ctx context.Context, j *river.Job[A]) {
	err := w.queue.Transact(context.WithoutCancel(ctx), func(ctx context.Context) error {
		tx, ok := w.queue.Tx(ctx)
		if !ok {
			return errors.New("the transaction is not in its context")
		}
		_, err := river.JobCompleteTx[riverdriver.Driver[*sql.Tx]](ctx, tx, j)
		return err
	})
	if err != nil && !errors.Is(err, rivertype.ErrNotFound) { // another process took it for dead and ended it
		w.log.Warn("job is done, but could not be ended yet", "job", j.ID, "kind", j.Kind, "error", err)
	}
}

// run turns a panic into an error, so that it is logged and tried again like one.
func (w *worker[A]) run(ctx context.Context, args A) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("panic in a job", "kind", args.Kind(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.fn(ctx, args)
}

// quiet is the log without River's reports of ordinary work.
func (r *River) quiet() *slog.Logger { return slog.New(warnings{r.Log.Handler()}) }

// warnings drops what is below slog.LevelWarn.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }
