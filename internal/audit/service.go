package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// Trail is the audit trail of this installation.
type Trail struct {
	store  Store
	signer *Signer
	now    func() time.Time
	log    *slog.Logger
	last   atomic.Int64 // sequence of the newest checkpoint
}

// Config is what a Trail needs.
type Config struct {
	Store  Store
	Signer *Signer
	Now    func() time.Time
	Log    *slog.Logger
}

// New makes the trail.
func New(c Config) *Trail {
	return &Trail{store: c.Store, signer: c.Signer, now: c.Now, log: c.Log}
}

// Record implements Recorder.
func (t *Trail) Record(ctx context.Context, r Record) error {
	if r.Time.IsZero() {
		r.Time = t.now()
	}
	if err := r.check(); err != nil {
		return err
	}
	e, err := entryOf(r)
	if err != nil {
		return fmt.Errorf("audit record %q: %w", r.Operation, err)
	}
	return t.store.Append(ctx, e)
}

// List returns records, newest first. Who may read them is decided by the caller's
// floor: see access.AuditReader.
func (t *Trail) List(ctx context.Context, q Query) ([]Record, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 1000)
	if q.Before <= 0 {
		q.Before = math.MaxInt64
	}
	terms := q.terms()
	found := make([]Record, 0, q.Limit)
	var bad error
	err := t.store.Older(ctx, q.Before, q.Since, func(s Segment) bool { return mayHold(s.Terms, terms) }, func(s Segment) bool {
		list, err := s.records()
		if err != nil {
			bad = err
			return false
		}
		for _, r := range slices.Backward(list) {
			if q.wants(r) && len(found) < q.Limit {
				found = append(found, r)
			}
		}
		return len(found) < q.Limit
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, err
	}
	return found, nil
}

// Report is what Verify found.
type Report struct {
	Records     int64     `json:"records"`
	Checkpoints int       `json:"checkpoints"`
	Last        time.Time `json:"last"` // time of the newest record
	Head        string    `json:"head"` // hash of the newest record, hex
	// Problem says what is wrong; empty when everything is as it was written.
	Problem string `json:"problem,omitempty"`
}

// Verify reads the whole trail and checks every hash, every column and every signed
// checkpoint. external are checkpoints kept outside the database; a trail that is
// shorter than one of them, or differs, was cut or replaced. progress, if not nil, is
// told how many records were read.
func (t *Trail) Verify(ctx context.Context, external [][]byte, progress func(int64)) (Report, error) {
	notes, err := t.store.Checkpoints(ctx, 1_000_000)
	if err != nil {
		return Report{}, err
	}
	want := map[int64][sha256.Size]byte{}
	for _, note := range append(notes, external...) {
		h, err := t.signer.Open(note)
		if err != nil {
			return Report{}, fmt.Errorf("checkpoint: %w: %w", err, ErrTampered)
		}
		if other, ok := want[h.Sequence]; ok && other != h.Hash {
			return Report{}, fmt.Errorf("two checkpoints of record %d disagree: %w", h.Sequence, ErrTampered)
		}
		want[h.Sequence] = h.Hash
	}
	rep := Report{Checkpoints: len(want)}
	var head Head
	for {
		n, err := t.verifyPage(ctx, &head, &rep, want)
		if err != nil {
			return rep, err
		}
		if n == 0 {
			break
		}
		if progress != nil {
			progress(rep.Records)
		}
	}
	for seq := range want { // those met on the way were removed
		if seq != 0 {
			return rep, fmt.Errorf("the trail ends at record %d, a checkpoint knows record %d: %w", head.Sequence, seq, ErrTampered)
		}
	}
	rep.Head = fmt.Sprintf("%x", head.Hash)
	return rep, nil
}

const page = 1000 // segments

func (t *Trail) verifyPage(ctx context.Context, head *Head, rep *Report, want map[int64][sha256.Size]byte) (int, error) {
	var n int
	var bad error
	err := t.store.Segments(ctx, head.Sequence, page, func(s Segment) bool {
		n++
		*head, bad = s.follow(*head, func(h Head) error {
			if signed, ok := want[h.Sequence]; ok {
				if signed != h.Hash {
					return fmt.Errorf("record %d is not what was signed: %w", h.Sequence, ErrTampered)
				}
				delete(want, h.Sequence)
			}
			return nil
		})
		rep.Records, rep.Last = head.Sequence, s.Time
		return bad == nil
	})
	return n, errors.Join(err, bad)
}

// Checkpoint signs the head of the chain if it has grown since the last checkpoint, and
// returns the note, or nil when there was nothing new. The operator keeps notes outside
// the database: they are what shows that the end of the trail was cut off.
func (t *Trail) Checkpoint(ctx context.Context) ([]byte, error) {
	h, err := t.store.Head(ctx)
	if err != nil || h.Sequence == 0 || h.Sequence == t.last.Load() {
		return nil, err
	}
	note, err := t.signer.Sign(h)
	if err != nil {
		return nil, err
	}
	if err := t.store.PutCheckpoint(ctx, h.Sequence, t.now(), note); err != nil {
		return nil, err
	}
	t.last.Store(h.Sequence)
	return note, nil
}

// PublicKey verifies checkpoints, in the form of a note verifier (golang.org/x/mod/sumdb/note).
func (t *Trail) PublicKey() (name string, key ed25519.PublicKey) {
	return t.signer.name, t.signer.public
}
