// Package auditdb keeps the audit trail in the database.
package auditdb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/storage"
)

// Store implements audit.Store.
type Store struct {
	db *storage.DB
	// head is the end of the chain as this process wrote it, or nil. Only flush uses it, and
	// only on SQLite, where nobody else writes.
	head *audit.Head
}

// New makes the store and takes over the database's flush: the entries of all changes of
// a commit are chained and written together, at its end.
func New(db *storage.DB) *Store {
	s := &Store{db: db}
	db.OnFlush(s.flush)
	return s
}

// Append implements audit.Store.
func (s *Store) Append(ctx context.Context, e audit.Entry) error { return s.db.Append(ctx, e) }

func (s *Store) flush(ctx context.Context, items []any) error {
	entries := make([]audit.Entry, 0, len(items))
	for _, it := range items {
		entries = append(entries, it.(audit.Entry))
	}
	head, err := s.lockHead(ctx)
	if err != nil {
		return err
	}
	segments, head := audit.Chain(head, entries)
	for _, x := range segments {
		if _, err := s.db.Exec(ctx, `INSERT INTO trail (first, last, time, terms, hash, body) VALUES ($1, $2, $3, $4, $5, $6)`,
			x.First, x.Last, storage.Micros(x.Time), x.Terms, x.Hash, x.Body); err != nil {
			return err
		}
	}
	s.head = nil
	if s.db.Dialect() == storage.SQLite {
		s.db.AfterCommit(ctx, func(committed bool) {
			if committed {
				s.head = &head
			}
		})
	}
	return nil
}

// chainLock is PostgreSQL's advisory lock of whoever chains, until its commit: "chain" in
// ASCII.
const chainLock = 0x636861696e

// lockHead returns the head, and holds it so that no other node chains at the same time.
func (s *Store) lockHead(ctx context.Context) (audit.Head, error) {
	if s.head != nil {
		return *s.head, nil
	}
	if s.db.Dialect() == storage.PostgreSQL {
		if _, err := s.db.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(chainLock)); err != nil {
			return audit.Head{}, err
		}
	}
	return s.Head(ctx)
}

// Segments implements audit.Store.
func (s *Store) Segments(ctx context.Context, after int64, limit int, fn func(audit.Segment) bool) error {
	rows, err := s.db.Query(ctx, `SELECT first, last, time, terms, hash, body FROM trail WHERE first > $1 ORDER BY first LIMIT $2`, after, limit)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var x audit.Segment
		var at int64
		if err := rows.Scan(&x.First, &x.Last, &at, &x.Terms, &x.Hash, &x.Body); err != nil {
			return err
		}
		x.Time = storage.Time(at)
		if !fn(x) {
			return nil
		}
	}
	return rows.Err()
}

// outlines that Older reads at a time.
const outlines = 1000

// Older implements audit.Store.
func (s *Store) Older(ctx context.Context, before int64, since time.Time, look func(audit.Segment) bool, fn func(audit.Segment) bool) error {
	for {
		list, err := s.outlines(ctx, before, since)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, x := range list {
			before = x.First
			if !look(x) {
				continue
			}
			if err := s.db.QueryRow(ctx, `SELECT hash, body FROM trail WHERE first = $1`, x.First).Scan(&x.Hash, &x.Body); err != nil {
				return storage.Translate(err)
			}
			if !fn(x) {
				return nil
			}
		}
	}
}

// outlines reads segments without their bodies, newest first.
func (s *Store) outlines(ctx context.Context, before int64, since time.Time) ([]audit.Segment, error) {
	rows, err := s.db.Query(ctx, `SELECT first, last, time, terms FROM trail WHERE first < $1 AND time >= $2 ORDER BY first DESC LIMIT $3`,
		before, storage.Micros(since), outlines)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var list []audit.Segment
	for rows.Next() {
		var x audit.Segment
		var at int64
		if err := rows.Scan(&x.First, &x.Last, &at, &x.Terms); err != nil {
			return nil, err
		}
		x.Time = storage.Time(at)
		list = append(list, x)
	}
	return list, rows.Err()
}

// Head implements audit.Store.
func (s *Store) Head(ctx context.Context) (audit.Head, error) {
	var h audit.Head
	var hash []byte
	err := s.db.QueryRow(ctx, `SELECT last, hash FROM trail ORDER BY first DESC LIMIT 1`).Scan(&h.Sequence, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return h, nil
	}
	if err == nil && copy(h.Hash[:], hash) != sha256.Size {
		err = fmt.Errorf("the hash of record %d has another length: %w", h.Sequence, audit.ErrTampered)
	}
	return h, err
}

// PutCheckpoint implements audit.Store. Of each hour the last note stays: one every ten
// seconds would be three million a year, all of which a verification holds in memory.
func (s *Store) PutCheckpoint(ctx context.Context, sequence int64, at time.Time, note []byte) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		_, err := s.db.Exec(ctx, `INSERT INTO audit_checkpoints (sequence, time, note) VALUES ($1, $2, $3) ON CONFLICT (sequence) DO NOTHING`,
			sequence, storage.Micros(at), string(note))
		if err != nil {
			return err
		}
		_, err = s.db.Exec(ctx, `DELETE FROM audit_checkpoints WHERE sequence = (SELECT MAX(sequence) FROM audit_checkpoints WHERE sequence < $1) AND time >= $2`,
			sequence, storage.Micros(at.UTC().Truncate(time.Hour)))
		return err
	})
}

// Checkpoints implements audit.Store.
func (s *Store) Checkpoints(ctx context.Context, limit int) ([][]byte, error) {
	rows, err := s.db.Query(ctx, `SELECT note FROM audit_checkpoints ORDER BY sequence DESC LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var notes [][]byte
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		notes = append(notes, []byte(n))
	}
	return notes, rows.Err()
}
