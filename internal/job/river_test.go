package job_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

type greet struct {
	Name string `json:"name"`
}

func (greet) Kind() string { return "test.greet" }

type survey struct{}

func (survey) Kind() string         { return "test.survey" }
func (survey) Limit() time.Duration { return time.Hour }

// patience is how long a test waits for something that must happen soon.
const patience = time.Minute

func newQueue(t *testing.T, db *storage.DB) *job.River {
	t.Helper()
	r, err := job.New(t.Context(), job.Config{
		Pool: db.Pool(), PostgreSQL: db.Dialect() == storage.PostgreSQL,
		Tx: storage.Tx, Transact: db.Transact,
		Pause: func(int) time.Duration { return 10 * time.Millisecond },
		Now:   time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func start(t *testing.T, r *job.River) {
	t.Helper()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}

func enqueue(t *testing.T, r *job.River, args job.Args, o job.Options) {
	t.Helper()
	if err := r.Enqueue(t.Context(), args, o); err != nil {
		t.Fatal(err)
	}
}

// next returns what a handler sent, or fails the test.
func next[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("the job did not run in time")
	}
	return v
}

// greeted runs a job that can only come after all that was enqueued before it, and
// returns what ran until then. One worker keeps the order.
func greeted(t *testing.T, r *job.River, names <-chan string) (before []string) {
	t.Helper()
	enqueue(t, r, greet{"last"}, job.Options{})
	for {
		name := next(t, names)
		if name == "last" {
			return before
		}
		before = append(before, name)
	}
}

func greeting(t *testing.T, db *storage.DB) (*job.River, <-chan string) {
	r := newQueue(t, db)
	r.Workers = 1
	names := make(chan string, 100)
	job.Handle(r, func(_ context.Context, a greet) error { names <- a.Name; return nil })
	return r, names
}

func TestJobStartsSoonAfterItsCommit(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r, names := greeting(t, db)
		start(t, r)
		fastest := patience

		for range 5 {
			enqueue(t, r, greet{"hello"}, job.Options{})
			committed := time.Now()
			next(t, names)
			fastest = min(fastest, time.Since(committed))
		}

		if fastest > 500*time.Millisecond { // the fastest of five, so that a busy machine does not decide
			t.Errorf("the fastest of five jobs started %s after its commit, want about 0.1 s", fastest)
		}
	})
}

func TestJobOfAFailedChangeDoesNotExist(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r, names := greeting(t, db)
		start(t, r)

		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := r.Enqueue(ctx, greet{"undone"}, job.Options{}); err != nil {
				t.Fatal(err)
			}
			return errors.New("the change fails")
		})
		if err == nil {
			t.Fatal("the change did not fail")
		}
		err = db.Transact(t.Context(), func(ctx context.Context) error {
			return r.Enqueue(ctx, greet{"done"}, job.Options{})
		})
		if err != nil {
			t.Fatal(err)
		}

		if got := greeted(t, r, names); len(got) != 1 || got[0] != "done" {
			t.Errorf("ran %v, want only the job of the change that was committed", got)
		}
	})
}

func TestFailedJobIsTriedAgainUntilItsLastTry(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newQueue(t, db)
		lastTries := make(chan bool, 100)
		job.Handle(r, func(ctx context.Context, a greet) error {
			lastTries <- job.LastTry(ctx)
			if a.Name == "panics" {
				panic("boom")
			}
			return errors.New("the CA is away")
		})
		start(t, r)

		for _, name := range []string{"fails", "panics"} {
			enqueue(t, r, greet{name}, job.Options{Attempts: 3})

			for try, want := range []bool{false, false, true} {
				if got := next(t, lastTries); got != want {
					t.Errorf("%s: try %d: LastTry %v, want %v", name, try+1, got, want)
				}
			}
		}
	})
}

func TestGivenUpJobIsNotTriedAgain(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newQueue(t, db)
		r.Workers = 1
		names := make(chan string, 100)
		job.Handle(r, func(_ context.Context, a greet) error {
			names <- a.Name
			if a.Name == "hopeless" {
				return job.GiveUp(errors.New("no such lineage"))
			}
			return nil
		})
		start(t, r)
		enqueue(t, r, greet{"hopeless"}, job.Options{})
		next(t, names)

		// Three more jobs take longer than the pause before a second try.
		for range 3 {
			if got := greeted(t, r, names); len(got) != 0 {
				t.Errorf("ran %v again", got)
			}
		}
	})
}

func TestJobThatIsNotDoneRunsAgainWithoutCountingTheTry(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newQueue(t, db)
		runs := make(chan int, 10)
		n := 0
		job.Handle(r, func(ctx context.Context, _ greet) error {
			n++
			runs <- n
			if n < 3 {
				return job.Again(time.Millisecond)
			}
			return nil
		})
		start(t, r)

		enqueue(t, r, greet{"poll"}, job.Options{Attempts: 1})

		for want := 1; want <= 3; want++ {
			if got := next(t, runs); got != want {
				t.Errorf("run %d, want %d", got, want)
			}
		}
	})
}

func TestUniqueJobWaitsOrRunsOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r, names := greeting(t, db)

		for range 3 { // waiting
			enqueue(t, r, greet{"one"}, job.Options{Unique: true})
		}
		enqueue(t, r, greet{"two"}, job.Options{Unique: true})
		enqueue(t, r, greet{"many"}, job.Options{})
		enqueue(t, r, greet{"many"}, job.Options{})
		start(t, r)

		if got := greeted(t, r, names); fmt.Sprint(got) != "[one two many many]" {
			t.Errorf("ran %v", got)
		}
		enqueue(t, r, greet{"one"}, job.Options{Unique: true}) // it has ended, so it may come again
		if got := greeted(t, r, names); fmt.Sprint(got) != "[one]" {
			t.Errorf("after its end: ran %v, want one", got)
		}
	})
}

func TestJobDoesNotStartBeforeItsTime(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r, names := greeting(t, db)
		start(t, r)
		due := time.Now().Add(2 * time.Second)

		enqueue(t, r, greet{"later"}, job.Options{At: due})

		if got := greeted(t, r, names); len(got) != 0 {
			t.Errorf("ran %v before its time", got)
		}
		next(t, names)
		if early := time.Until(due); early > 0 {
			t.Errorf("started %s too early", early)
		}
	})
}

func TestScheduleRunsOncePerPeriodAndNotAgainAfterARestart(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		daily, names := greeting(t, db)
		if err := daily.Every(24*time.Hour, greet{"daily"}); err != nil {
			t.Fatal(err)
		}
		start(t, daily)
		if got := next(t, names); got != "daily" {
			t.Fatalf("ran %s", got)
		}
		if err := daily.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}

		again, names := greeting(t, db)
		for _, err := range []error{
			again.Every(24*time.Hour, greet{"daily"}),
			again.Every(time.Second, greet{"tick"}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		start(t, again)

		for range 3 { // by the second tick, the daily one would have run
			if got := next(t, names); got != "tick" {
				t.Errorf("ran %s again in the same day", got)
			}
		}
	})
}

func TestLongJobsDoNotHoldUpTheOthers(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r, names := greeting(t, db)
		limits, release := make(chan time.Duration, 100), make(chan struct{})
		job.Handle(r, func(ctx context.Context, _ survey) error {
			deadline, _ := ctx.Deadline()
			limits <- time.Until(deadline)
			<-release
			return nil
		})
		start(t, r)
		for range 20 {
			enqueue(t, r, survey{}, job.Options{})
		}
		limit := next(t, limits)

		greeted(t, r, names)

		if limit < 50*time.Minute || limit > time.Hour {
			t.Errorf("limit %s, want that of the args", limit)
		}
		close(release)
	})
}

func TestStopWaitsForRunningJobsAndInterruptsThemInTheEnd(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newQueue(t, db)
		began, finish, ended := make(chan string, 10), make(chan struct{}), make(chan error, 10)
		job.Handle(r, func(ctx context.Context, a greet) error {
			began <- a.Name
			select {
			case <-finish:
				ended <- nil
				return nil
			case <-ctx.Done():
				ended <- ctx.Err()
				return ctx.Err()
			}
		})
		start(t, r)
		enqueue(t, r, greet{"patient"}, job.Options{Attempts: 1})
		next(t, began)
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()

		if err := r.Stop(soon); err != nil {
			t.Errorf("stop: %v", err)
		}

		if err := next(t, ended); err == nil {
			t.Error("the job was not interrupted")
		}
		second := newQueue(t, db)
		job.Handle(second, func(_ context.Context, a greet) error { began <- a.Name; return nil })
		start(t, second)
		if got := next(t, began); got != "patient" {
			t.Errorf("after the next start %s ran, want the interrupted job: its only try must not have counted", got)
		}
	})
}

func TestKindWithoutAHandlerIsRefusedOnceStarted(t *testing.T) {
	r, _ := greeting(t, storagetest.SQLite(t))
	start(t, r)

	if err := r.Enqueue(t.Context(), survey{}, job.Options{}); err == nil {
		t.Error("a job that nobody would run was taken")
	}
}

// The child enqueues two jobs with a change and begins one of them; then it is killed.
func TestJobsSurviveKill(t *testing.T) {
	if where := os.Getenv("JOB_TEST_CHILD"); where != "" {
		beginAndHang(t, where)
	}
	kinds := map[string]func(t *testing.T) storage.Config{
		"sqlite":     func(t *testing.T) storage.Config { return storage.Config{Dir: t.TempDir()} },
		"postgresql": func(t *testing.T) storage.Config { return storage.Config{URL: storagetest.Postgres(t)} },
	}
	for name, place := range kinds {
		t.Run(name, func(t *testing.T) {
			c := place(t)
			child := exec.Command(os.Args[0], "-test.run=^TestJobsSurviveKill$")
			child.Env = append(os.Environ(), "JOB_TEST_CHILD="+c.Dir+"|"+c.URL)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "began"; {
				t.Log(lines.Text())
			}

			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			child.Wait()

			db := storagetest.Open(t, c)
			noticed(t, db)
			r, names := greeting(t, db)
			r.LookOnce() // what is not taken up at the start never is
			start(t, r)
			got := map[string]bool{next(t, names): true, next(t, names): true}
			if !got["running"] || !got["waiting"] {
				t.Errorf("ran %v, want the running and the waiting job", got)
			}
		})
	}
}

// noticed returns when PostgreSQL has seen that the killed process is gone: a server that
// has much to do takes a while.
func noticed(t *testing.T, db *storage.DB) {
	t.Helper()
	if db.Dialect() != storage.PostgreSQL {
		return
	}
	for held := 1; held > 0; {
		err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&held)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func beginAndHang(t *testing.T, where string) {
	dir, url, _ := strings.Cut(where, "|")
	db, err := storage.Open(t.Context(), storage.Config{Dir: dir, URL: url})
	if err != nil {
		t.Fatal(err)
	}
	r := newQueue(t, db)
	r.Workers = 1
	job.Handle(r, func(context.Context, greet) error {
		fmt.Println("began")
		select {}
	})
	err = db.Transact(t.Context(), func(ctx context.Context) error {
		if err := r.Enqueue(ctx, greet{"running"}, job.Options{}); err != nil {
			return err
		}
		return r.Enqueue(ctx, greet{"waiting"}, job.Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, r)
	select {}
}

// Two processes on one PostgreSQL: one must not take the other's running job for an orphan.
func TestJobsOfALivingProcessAreLeftAlone(t *testing.T) {
	db := storagetest.Open(t, storage.Config{URL: storagetest.Postgres(t)})
	began, finish := make(chan string, 10), make(chan struct{})
	first := newQueue(t, db)
	job.Handle(first, func(context.Context, greet) error { began <- "first"; <-finish; return nil })
	start(t, first)
	enqueue(t, first, greet{"one"}, job.Options{})
	next(t, began)

	second := newQueue(t, db)
	job.Handle(second, func(_ context.Context, a greet) error { began <- "second " + a.Name; return nil })
	second.Workers = 1
	start(t, second)
	enqueue(t, second, greet{"two"}, job.Options{})

	if got := next(t, began); got == "second one" {
		t.Error("the second process runs the first one's job")
	}
	close(finish)
}
