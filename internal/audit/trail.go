package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Line is a record as it is stored: its canonical JSON and the hash that chains it.
type Line struct {
	Record Record
	Body   []byte
	Hash   [sha256.Size]byte
}

// Head is the end of the chain.
type Head struct {
	Sequence int64
	Hash     [sha256.Size]byte
}

// Store keeps the trail.
type Store interface {
	// Append gives the records to the transaction of ctx, or to one of its own. The
	// trail's Chain is run once for all records of a commit, just before it.
	Append(ctx context.Context, r Record) error
	// Lines calls fn with the stored lines after the sequence, ascending, until fn
	// returns false or limit lines were read.
	Lines(ctx context.Context, after int64, limit int, fn func(Stored) bool) error
	// Find returns stored lines that match, newest first.
	Find(ctx context.Context, q Query) ([]Stored, error)
	// Head returns the end of the chain; the zero Head when nothing was recorded yet.
	Head(ctx context.Context) (Head, error)
	// PutCheckpoint stores a signed note about the chain's head at the sequence.
	PutCheckpoint(ctx context.Context, sequence int64, at time.Time, note []byte) error
	// Checkpoints returns the newest notes first.
	Checkpoints(ctx context.Context, limit int) ([][]byte, error)
}

// Stored is a line as the database has it, not yet believed.
type Stored struct {
	Sequence  int64
	Time      time.Time
	Operation string
	Target    string
	Principal string
	Outcome   Outcome
	Body      []byte
	Hash      []byte
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

const (
	maxValue   = 256
	maxDetails = 32
)

// fields is the allow-list behind Field.
var fields = map[Field]bool{
	Version: true, Algorithm: true, KeyType: true, APIVersion: true, Serial: true, Fingerprint: true,
	Profile: true, Issuer: true, Subject: true, Role: true, Scope: true, Assignee: true, Request: true,
	Lineage: true, Step: true, Target: true, Endpoint: true, Run: true, Count: true, Reason: true,
	Connection: true, Number: true, Action: true, Audience: true, Grant: true, Policy: true, Owner: true,
}

// check refuses details that are not on the list and cuts long values.
func (r *Record) check() error {
	if r.Operation == "" || r.Target == "" || r.Outcome == "" || r.Principal == "" {
		return fmt.Errorf("audit record %q on %q: operation, target, outcome and principal are required", r.Operation, r.Target)
	}
	if len(r.Details) > maxDetails {
		return fmt.Errorf("audit record %q: %d details, at most %d", r.Operation, len(r.Details), maxDetails)
	}
	cut := func(s string) string {
		if len(s) > maxValue {
			return s[:maxValue]
		}
		return s
	}
	r.Name, r.Application, r.Address, r.Agent, r.Correlation = cut(r.Name), cut(r.Application), cut(r.Address), cut(r.Agent), cut(r.Correlation)
	details := make(map[Field]string, len(r.Details))
	for f, v := range r.Details {
		if !fields[f] {
			return fmt.Errorf("audit record %q: detail %q is not on the list", r.Operation, f)
		}
		details[f] = cut(v)
	}
	r.Details = details
	return nil
}

// Chain numbers and chains records behind head. The body is the record's JSON with
// sorted details; the hash is SHA-256 over the predecessor's hash and the body.
func Chain(head Head, records []Record) ([]Line, Head, error) {
	lines := make([]Line, 0, len(records))
	for _, r := range records {
		head.Sequence++
		r.Sequence = head.Sequence
		r.Time = r.Time.UTC().Truncate(time.Microsecond)
		body, err := json.Marshal(r)
		if err != nil {
			return nil, head, err
		}
		head.Hash = link(head.Hash, body)
		lines = append(lines, Line{Record: r, Body: body, Hash: head.Hash})
	}
	return lines, head, nil
}

func link(previous [sha256.Size]byte, body []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(body)
	return [sha256.Size]byte(h.Sum(nil))
}

// Decode reads a stored line and checks that the columns say what the body says.
func (s Stored) Decode() (Record, error) {
	var r Record
	if err := json.Unmarshal(s.Body, &r); err != nil {
		return r, fmt.Errorf("record %d: %w", s.Sequence, err)
	}
	if r.Sequence != s.Sequence || !r.Time.Equal(s.Time) || r.Operation != s.Operation || r.Target != s.Target ||
		r.Principal != s.Principal || r.Outcome != s.Outcome {
		return r, fmt.Errorf("record %d: a column was changed: %w", s.Sequence, ErrTampered)
	}
	return r, nil
}

// ErrTampered says that the trail is not what was written.
var ErrTampered = errors.New("the audit trail was altered")
