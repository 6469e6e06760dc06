package job

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"
)

// Limit is the longest that one try of a job may take, unless its Args are Long.
const Limit = 10 * time.Minute

const (
	attempts     = 25                     // tries of a job: three weeks, with River's growing pauses
	pollInterval = 100 * time.Millisecond // a job starts within this after its commit
	longQueue    = "long"
	longWorkers  = 4

	graceAfterInterrupt = 5 * time.Second // for jobs whose context has ended to return
)

// Config is what a River needs. Fields without a comment on their zero value are required.
type Config struct {
	// Pool is the pool that writes. On SQLite it has one connection.
	Pool *sql.DB
	// Row asks for one row, outside of any transaction; nil asks Pool.
	Row func(ctx context.Context, query string, args ...any) *sql.Row
	// PostgreSQL says which engine Pool is; false means SQLite, and that no other
	// process uses the database.
	PostgreSQL bool
	// Tx returns the transaction that a context carries.
	Tx func(ctx context.Context) (*sql.Tx, bool)
	// Transact runs fn in a transaction, which Tx finds in fn's context.
	Transact func(ctx context.Context, fn func(ctx context.Context) error) error
	// Workers is how many jobs run at a time in this process; 0 means 16. Four more run Long ones.
	Workers int
	// Pause is how long to wait after the n-th failed try; nil means n⁴ seconds.
	Pause func(n int) time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// River is a Queue and the workers that empty it, on the database of the product. Give it
// its handlers and schedules, then Start it. Many processes may share a PostgreSQL.
type River struct {
	Config
	id       string // of this process, in the rows of the jobs that it runs
	driver   riverdriver.Driver[*sql.Tx]
	inserter *river.Client[*sql.Tx]
	workers  *river.Workers
	kinds    map[string]bool
	periodic []*river.PeriodicJob

	news *news

	mu       sync.Mutex
	client   *river.Client[*sql.Tx] // nil until Start
	presence presence
	stop     context.CancelFunc
	rescuing sync.WaitGroup

	lookEvery time.Duration
	unknown   map[string]bool // processes that the last look did not find; nil before the first
}

// New brings the queue's tables up to date. Jobs can be enqueued from then on.
func New(ctx context.Context, c Config) (*River, error) {
	if c.Workers == 0 {
		c.Workers = 16
	}
	if c.Row == nil {
		c.Row = c.Pool.QueryRowContext
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	r := &River{
		Config:  c,
		id:      fmt.Sprintf("%.60s-%d-%s", host, os.Getpid(), rand.Text()[:8]),
		workers: river.NewWorkers(),
		kinds:   map[string]bool{},

		lookEvery: rescueInterval,
	}
	if c.PostgreSQL {
		r.driver = riverdatabasesql.New(c.Pool)
		r.presence = &locks{pool: c.Pool, id: r.id}
	} else {
		r.driver = riversqlite.New(c.Pool)
		r.presence = alone{id: r.id}
		r.news = &news{looked: map[string]time.Time{}}
	}
	if err := r.migrate(ctx); err != nil {
		return nil, fmt.Errorf("job queue: migrate: %w", err)
	}
	r.inserter, err = river.NewClient(r.driver, &river.Config{Logger: r.quiet()})
	if err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return r, nil
}

// Handle registers the function that does one kind of work. It may run more than once for
// the same job, after a crash or an error, and must then go on where it stopped.
// Call it before Start; a kind that has a handler already is a mistake of the program and panics.
func Handle[A Args](r *River, fn func(ctx context.Context, args A) error) {
	var args A
	r.kinds[args.Kind()] = true
	river.AddWorker(r.workers, &worker[A]{fn: fn, queue: r, log: r.Log})
}

// Every enqueues args once in each period, counted from midnight UTC, on one process of
// many. Periods that passed while no process ran are not made up for, but the current
// one is. A period is a second to a day. Call it before Start.
func (r *River) Every(period time.Duration, args Args) error {
	if period < time.Second || period > 24*time.Hour {
		return fmt.Errorf("job %s: a period of %s, want a second to a day", args.Kind(), period)
	}
	o := insertOptions(args, Options{})
	// Finished ones count too: what ran in this period does not run again after a restart.
	o.UniqueOpts = river.UniqueOpts{ByArgs: true, ByPeriod: period}
	r.periodic = append(r.periodic, river.NewPeriodicJob(
		aligned(period),
		func() (river.JobArgs, *river.InsertOpts) { return args, o },
		&river.PeriodicJobOpts{RunOnStart: true},
	))
	return nil
}

// aligned is a schedule whose times do not depend on when the process started.
type aligned time.Duration

func (a aligned) Next(t time.Time) time.Time {
	return t.UTC().Truncate(time.Duration(a)).Add(time.Duration(a))
}

// Enqueue implements Queue. Outside a transaction the job is on the disk when it returns.
// Once started, a kind without a handler is refused: nobody would ever run it.
func (r *River) Enqueue(ctx context.Context, args Args, o Options) error {
	tx, ok := r.Tx(ctx)
	if !ok {
		return r.Transact(ctx, func(ctx context.Context) error { return r.Enqueue(ctx, args, o) })
	}
	if r.started() && !r.kinds[args.Kind()] {
		return fmt.Errorf("enqueue %s: no handler is registered for this kind", args.Kind())
	}
	r.news.spread(time.Now())
	if _, err := r.inserter.InsertTx(ctx, tx, args, insertOptions(args, o)); err != nil {
		return fmt.Errorf("enqueue %s: %w", args.Kind(), err)
	}
	return nil
}

func insertOptions(args Args, o Options) *river.InsertOpts {
	i := &river.InsertOpts{MaxAttempts: o.Attempts, ScheduledAt: o.At}
	if i.MaxAttempts == 0 {
		i.MaxAttempts = attempts
	}
	if _, ok := args.(Long); ok {
		i.Queue = longQueue
	}
	if o.Unique {
		i.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}}
	}
	return i
}

// Start takes up the jobs of processes that died, and begins to work. The context is for
// starting only; Stop ends the work.
func (r *River) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return errors.New("job queue: started already")
	}
	client, err := river.NewClient[*sql.Tx](peeking{r.driver, r.Row, r.news}, r.clientConfig())
	if err != nil {
		return fmt.Errorf("job queue: %w", err)
	}
	if err := r.presence.enter(ctx); err != nil {
		return fmt.Errorf("job queue: enter: %w", err)
	}
	if err := r.rescue(ctx); err != nil {
		return errors.Join(fmt.Errorf("job queue: rescue jobs of dead processes: %w", err), r.presence.leave(ctx))
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	if err := client.Start(background); err != nil {
		stop()
		return errors.Join(fmt.Errorf("job queue: start: %w", err), r.presence.leave(ctx))
	}
	r.client, r.stop = client, stop
	r.rescuing.Go(func() { r.keepRescuing(background) })
	return nil
}

func (r *River) clientConfig() *river.Config {
	c := &river.Config{
		ID:                  r.id,
		Logger:              r.quiet(),
		Workers:             r.workers,
		PeriodicJobs:        r.periodic,
		Queues:              map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: r.Workers}, longQueue: {MaxWorkers: longWorkers}},
		JobTimeout:          Limit,
		MaxAttempts:         attempts,
		FetchCooldown:       pollInterval / 2,
		FetchPollInterval:   pollInterval,
		PollOnly:            true, // no second connection to listen on, and the same on both engines
		FetchOnlyKnownKinds: true, // while an upgrade rolls, newer kinds wait for newer processes
		// Every remembers its last run by the finished row, for a day at most.
		CompletedJobRetentionPeriod: 48 * time.Hour,
	}
	if r.Pause != nil {
		c.RetryPolicy = pauses{r.Pause, r.Now}
	}
	return c
}

// pauses is the RetryPolicy of Config.Pause.
type pauses struct {
	pause func(n int) time.Duration
	now   func() time.Time
}

func (p pauses) NextRetry(j *rivertype.JobRow) time.Time { return p.now().Add(p.pause(j.Attempt)) }

func (r *River) started() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client != nil
}

// Stop takes no more work and waits for what runs. When ctx ends first, running jobs are
// interrupted; they begin again at the next start, and the try does not count.
func (r *River) Stop(ctx context.Context) error {
	r.mu.Lock()
	client := r.client
	r.mu.Unlock()
	if client == nil {
		return nil
	}
	err := client.Stop(ctx)
	if err != nil && ctx.Err() != nil {
		r.Log.Warn("job queue: interrupting the jobs that still run")
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), graceAfterInterrupt)
		defer cancel()
		err = client.StopAndCancel(ctx)
	}
	r.stop()
	r.rescuing.Wait()
	return errors.Join(err, r.presence.leave(ctx))
}
