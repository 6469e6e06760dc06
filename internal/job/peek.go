package job

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

// peeking is River's driver that looks before it claims. A claim is an UPDATE that the
// engine has to parse anew, on the connection that writes; most of the twenty a second find
// nothing.
type peeking struct {
	riverdriver.Driver[*sql.Tx]
	row  func(ctx context.Context, query string, args ...any) *sql.Row
	news *news // nil where other processes enqueue too: then every look is one at the database
}

// GetExecutor implements riverdriver.Driver.
func (p peeking) GetExecutor() riverdriver.Executor {
	return peekingExecutor{p.Driver.GetExecutor(), p.row, p.news}
}

type peekingExecutor struct {
	riverdriver.Executor
	row  func(ctx context.Context, query string, args ...any) *sql.Row
	news *news
}

// JobGetAvailable implements riverdriver.Executor.
func (e peekingExecutor) JobGetAvailable(ctx context.Context, p *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	if !e.news.worthALook(p.Queue, time.Now()) {
		return &riverdriver.JobGetAvailableResult{}, nil
	}
	var waits bool
	err := e.row(ctx, `SELECT EXISTS (SELECT 1 FROM river_job WHERE state = 'available' AND queue = $1)`, p.Queue).Scan(&waits)
	if err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	if !waits {
		return &riverdriver.JobGetAvailableResult{}, nil
	}
	e.news.spread(time.Now()) // more may wait than are claimed at a time
	return e.Executor.JobGetAvailable(ctx, p)
}

// quiet is how long after the last news the database is asked at every poll, and how often
// it is asked without any: what River itself makes available, such as a try after a failure,
// is no news.
const quiet = time.Second

// news remembers when something was last enqueued.
type news struct {
	mu     sync.Mutex
	until  time.Time            // there are news
	looked map[string]time.Time // by queue
}

// spread says that something was enqueued, or is about to be.
func (n *news) spread(now time.Time) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.until = now.Add(quiet)
}

func (n *news) worthALook(queue string, now time.Time) bool {
	if n == nil {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.After(n.until) && now.Sub(n.looked[queue]) < quiet {
		return false
	}
	n.looked[queue] = now
	return true
}
