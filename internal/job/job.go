// Package job is durable work: a queue, schedules and retries that survive kill -9.
package job

import (
	"context"
	"time"
)

// Args are the arguments of one piece of work, kept as JSON. Kind names the work and
// never changes, because queued rows outlive an upgrade. No secret belongs in Args.
type Args interface{ Kind() string }

// Options say when and how often. The zero value: at once, unique by nothing, 25 tries.
type Options struct {
	At       time.Time // not before
	Attempts int       // tries before the job is given up; 0 means 25
	Unique   bool      // refuse a second one with equal Args while one waits or runs
}

// Queue takes work. Inside a transaction the job joins it: it exists only if the
// change that asked for it does.
type Queue interface {
	Enqueue(ctx context.Context, args Args, o Options) error
}
