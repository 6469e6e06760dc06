package lifecycletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"
	"uuid"

	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/storage"
)

// Queue is a job.Queue in the database. Like the product's it joins transactions, and
// what it holds outlives the process; unlike it, it runs jobs one by one, when Drain is called.
type Queue struct{ w *World }

const queueTable = `CREATE TABLE IF NOT EXISTS test_jobs (id TEXT PRIMARY KEY, kind TEXT NOT NULL, args TEXT NOT NULL, due BIGINT NOT NULL, tries BIGINT NOT NULL)`

func newQueue(t testing.TB, w *World) *Queue {
	t.Helper()
	_, err := w.DB.Exec(t.Context(), queueTable)
	must(t, err)
	return &Queue{w}
}

// Enqueue implements job.Queue.
func (q *Queue) Enqueue(ctx context.Context, args job.Args, o job.Options) error {
	b, err := json.Marshal(args)
	if err != nil {
		return err
	}
	if o.Unique {
		var n int
		if err := q.w.DB.QueryRow(ctx, `SELECT COUNT(*) FROM test_jobs WHERE kind = $1 AND args = $2`, args.Kind(), string(b)).Scan(&n); err != nil || n > 0 {
			return err
		}
	}
	at := o.At
	if at.IsZero() {
		at = q.w.Time()
	}
	_, err = q.w.DB.Exec(ctx, `INSERT INTO test_jobs (id, kind, args, due, tries) VALUES ($1, $2, $3, $4, 0)`, uuid.NewV7().String(), args.Kind(), string(b), storage.Micros(at))
	return err
}

// Len is how many jobs wait.
func (q *Queue) Len(t testing.TB) int {
	t.Helper()
	var n int
	must(t, q.w.DB.QueryRow(t.Context(), `SELECT COUNT(*) FROM test_jobs`).Scan(&n))
	return n
}

// Drain runs jobs until none waits, moving the clock to the time of the next one. A
// killed process is restarted. A job that fails is tried again a minute later, 25 times.
func (q *Queue) Drain(t testing.TB) {
	t.Helper()
	for range 5000 {
		if !q.Step(t) {
			return
		}
	}
	t.Fatal("the queue is never empty")
}

// Step runs the next job, moving the clock to its time. It reports whether there was one.
func (q *Queue) Step(t testing.TB) bool {
	t.Helper()
	if q.Len(t) == 0 {
		return false
	}
	var id, kind, args string
	var due, tries int64
	must(t, q.w.DB.QueryRow(t.Context(), `SELECT id, kind, args, due, tries FROM test_jobs ORDER BY due, id LIMIT 1`).Scan(&id, &kind, &args, &due, &tries))
	if wait := storage.Time(due).Sub(q.w.Time()); wait > 0 {
		q.w.Advance(wait)
	}
	err := q.w.Fuse.Survive(t, q.w, func() error { return q.run(t.Context(), kind, []byte(args)) })
	switch {
	case errors.Is(err, ErrKilled):
		return true // the job is still there
	case err == nil || tries >= 24:
		if err != nil {
			t.Logf("job %s %s given up: %v", kind, args, err)
		}
		_, err = q.w.DB.Exec(t.Context(), `DELETE FROM test_jobs WHERE id = $1`, id)
	default:
		_, err = q.w.DB.Exec(t.Context(), `UPDATE test_jobs SET tries = tries + 1, due = $1 WHERE id = $2`, storage.Micros(q.w.Time().Add(time.Minute)), id)
	}
	must(t, err)
	return true
}

func (q *Queue) run(ctx context.Context, kind string, args []byte) error {
	switch kind {
	case enrollment.RunArgs{}.Kind():
		return handle(ctx, args, q.w.Requests.HandleRun)
	case deployment.RunArgs{}.Kind():
		return handle(ctx, args, q.w.Deployments.HandleRun)
	}
	return fmt.Errorf("nobody handles %s", kind)
}

func handle[A any](ctx context.Context, encoded []byte, fn func(context.Context, A) error) error {
	var args A
	if err := json.Unmarshal(encoded, &args); err != nil {
		return err
	}
	return fn(ctx, args)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}
