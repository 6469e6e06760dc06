package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
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
	return t.store.Append(ctx, r)
}

// List returns records, newest first. Who may read them is decided by the caller's
// floor: see access.AuditReader.
func (t *Trail) List(ctx context.Context, q Query) ([]Record, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 1000)
	stored, err := t.store.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	records := make([]Record, 0, len(stored))
	for _, s := range stored {
		r, err := s.Decode()
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
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
	end, err := t.store.Head(ctx)
	if err != nil {
		return rep, err
	}
	for seq := range want { // those met on the way were removed
		if seq != 0 {
			return rep, fmt.Errorf("the trail ends at record %d, a checkpoint knows record %d: %w", head.Sequence, seq, ErrTampered)
		}
	}
	if end.Sequence < head.Sequence || (end.Sequence == head.Sequence && end.Hash != head.Hash) {
		return rep, fmt.Errorf("the head says record %d, the trail ends at %d: %w", end.Sequence, head.Sequence, ErrTampered)
	}
	rep.Head = fmt.Sprintf("%x", head.Hash)
	return rep, nil
}

const page = 5000

func (t *Trail) verifyPage(ctx context.Context, head *Head, rep *Report, want map[int64][sha256.Size]byte) (int, error) {
	var n int
	var bad error
	err := t.store.Lines(ctx, head.Sequence, page, func(s Stored) bool {
		n++
		r, err := s.Decode()
		switch {
		case err != nil:
			bad = err
		case s.Sequence != head.Sequence+1:
			bad = fmt.Errorf("record %d is followed by %d: %w", head.Sequence, s.Sequence, ErrTampered)
		}
		if bad != nil {
			return false
		}
		head.Sequence, head.Hash = s.Sequence, link(head.Hash, s.Body)
		if string(head.Hash[:]) != string(s.Hash) {
			bad = fmt.Errorf("record %d does not follow from its predecessor: %w", s.Sequence, ErrTampered)
			return false
		}
		if h, ok := want[s.Sequence]; ok {
			if h != head.Hash {
				bad = fmt.Errorf("record %d is not what was signed: %w", s.Sequence, ErrTampered)
				return false
			}
			delete(want, s.Sequence)
		}
		rep.Records, rep.Last = s.Sequence, r.Time
		return true
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
