// Package job is durable work: a queue, schedules and retries that survive kill -9.
package job

import (
	"context"
	"time"
)

// Args are the arguments of one piece of work, kept as JSON. Kind names the work and
// never changes, because queued rows outlive an upgrade. No secret belongs in Args.
type Args interface{ Kind() string }

// Long is implemented by Args of work that may take longer than Limit. It runs apart, a
// few at a time, so that a scan of a large network never holds up a renewal.
type Long interface {
	Args
	// Limit is the longest that one try may take; its context ends then.
	Limit() time.Duration
}

// Options say when and how often. The zero value: at once, unique by nothing, 25 tries.
type Options struct {
	At       time.Time // not before, and up to five seconds later
	Attempts int       // tries before the job is given up; 0 means 25
	// Unique drops this one, without an error, while another of the same kind with equal
	// Args waits or runs. A job that may have begun before the change that asks for
	// it must not be Unique: it would miss the change.
	Unique bool
}

// Queue takes work. Inside a transaction the job joins it: it exists only if the
// change that asked for it does.
type Queue interface {
	Enqueue(ctx context.Context, args Args, o Options) error
}
