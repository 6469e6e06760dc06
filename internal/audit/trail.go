package audit

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Store keeps the trail.
type Store interface {
	// Append gives an entry to the transaction of ctx, or to the next commit. Chain is run
	// once for all entries of a commit, just before it.
	Append(ctx context.Context, e Entry) error
	// Segments calls fn with the stored segments after the sequence, ascending, until fn
	// returns false or limit segments were read.
	Segments(ctx context.Context, after int64, limit int, fn func(Segment) bool) error
	// Older calls fn with segments that begin before the sequence and have a record from
	// since or later, newest first, until fn returns false. look tells from all but the
	// body and hash whether a segment is of interest; the others are passed over.
	Older(ctx context.Context, before int64, since time.Time, look func(Segment) bool, fn func(Segment) bool) error
	// Head returns the end of the chain; the zero Head when nothing was recorded yet.
	Head(ctx context.Context) (Head, error)
	// PutCheckpoint stores a signed note about the chain's head at the sequence. It may drop
	// the one before, if that is of the same hour.
	PutCheckpoint(ctx context.Context, sequence int64, at time.Time, note []byte) error
	// Checkpoints returns the newest notes first.
	Checkpoints(ctx context.Context, limit int) ([][]byte, error)
}

// Query filters records. Zero fields do not filter.
type Query struct {
	Before    int64 // sequence; for the next page
	Operation string
	Target    string // this path and everything below it
	Principal string
	Outcome   Outcome
	Since     time.Time
	Until     time.Time
	Limit     int // 1 to 1000; 0 means 100
}

// wants reports whether a record matches.
func (q Query) wants(r Record) bool {
	target := strings.TrimSuffix(q.Target, "/")
	return (q.Before == 0 || r.Sequence < q.Before) &&
		(q.Operation == "" || r.Operation == q.Operation) &&
		(q.Target == "" || r.Target == target || strings.HasPrefix(r.Target, target+"/")) &&
		(q.Principal == "" || r.Principal == q.Principal) &&
		(q.Outcome == "" || r.Outcome == q.Outcome) &&
		(q.Since.IsZero() || !r.Time.Before(q.Since)) &&
		(q.Until.IsZero() || r.Time.Before(q.Until))
}

const (
	maxValue   = 256
	maxDetails = 32
)

// fields is the allow-list behind Field.
var fields = map[Field]bool{
	Version: true, Algorithm: true, KeyType: true, Exchange: true, APIVersion: true, Serial: true, Fingerprint: true,
	Profile: true, Issuer: true, Subject: true, Role: true, Scope: true, Assignee: true, Request: true,
	Lineage: true, Step: true, Target: true, Endpoint: true, Run: true, Count: true, Reason: true,
	Connection: true, Number: true, Action: true, Audience: true, Grant: true, Policy: true, Owner: true,
	Permissions: true, Digest: true, Door: true, Account: true,
}

// check refuses details that are not on the list and cuts long values.
func (r *Record) check() error {
	if r.Operation == "" || r.Target == "" || r.Outcome == "" || r.Principal == "" {
		return fmt.Errorf("audit record %q on %q: operation, target, outcome and principal are required", r.Operation, r.Target)
	}
	if len(r.Details) > maxDetails {
		return fmt.Errorf("audit record %q: %d details, at most %d", r.Operation, len(r.Details), maxDetails)
	}
	r.Name, r.Application, r.Address, r.Agent, r.Correlation = cut(r.Name), cut(r.Application), cut(r.Address), cut(r.Agent), cut(r.Correlation)
	for f, v := range r.Details {
		if !fields[f] {
			return fmt.Errorf("audit record %q: detail %q is not on the list", r.Operation, f)
		}
		if len(v) > maxValue {
			r.Details[f] = cut(v)
		}
	}
	return nil
}

func cut(s string) string { return s[:min(len(s), maxValue)] }
