// Package auditdb keeps the audit trail in the database.
package auditdb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/storage"
)

// Store implements audit.Store.
type Store struct{ db *storage.DB }

// New makes the store and takes over the database's flush: the records of all changes
// of a commit are chained and written together, at its end.
func New(db *storage.DB) *Store {
	s := &Store{db: db}
	db.OnFlush(s.flush)
	return s
}

// Append implements audit.Store.
func (s *Store) Append(ctx context.Context, r audit.Record) error {
	if s.db.Defer(ctx, r) {
		return nil
	}
	return s.db.Transact(ctx, func(ctx context.Context) error {
		s.db.Defer(ctx, r)
		return nil
	})
}

// rows per INSERT; each takes eight parameters.
const chunk = 64

func (s *Store) flush(ctx context.Context, items []any) error {
	records := make([]audit.Record, 0, len(items))
	for _, it := range items {
		records = append(records, it.(audit.Record))
	}
	head, err := s.lockHead(ctx)
	if err != nil {
		return err
	}
	lines, head, err := audit.Chain(head, records)
	if err != nil {
		return err
	}
	for len(lines) > 0 {
		n := min(chunk, len(lines))
		if err := s.insert(ctx, lines[:n]); err != nil {
			return err
		}
		lines = lines[n:]
	}
	_, err = s.db.Exec(ctx, `UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1`, head.Sequence, head.Hash[:])
	return err
}

// lockHead reads the head and holds its row, so that no other node chains at the same time.
func (s *Store) lockHead(ctx context.Context) (audit.Head, error) {
	var h audit.Head
	var hash []byte
	err := s.db.QueryRow(ctx, `INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, $1)
		ON CONFLICT (id) DO UPDATE SET sequence = audit_head.sequence RETURNING sequence, hash`, make([]byte, sha256.Size)).Scan(&h.Sequence, &hash)
	if err != nil {
		return h, err
	}
	if copy(h.Hash[:], hash) != sha256.Size {
		return h, errors.New("audit head: bad hash")
	}
	return h, nil
}

func (s *Store) insert(ctx context.Context, lines []audit.Line) error {
	var q strings.Builder
	q.WriteString(`INSERT INTO audit (sequence, time, operation, target, principal, outcome, body, hash) VALUES `)
	args := make([]any, 0, len(lines)*8)
	for i, l := range lines {
		if i > 0 {
			q.WriteByte(',')
		}
		k := i * 8
		fmt.Fprintf(&q, "($%d,$%d,$%d,$%d,$%d,$%d,$%d,$%d)", k+1, k+2, k+3, k+4, k+5, k+6, k+7, k+8)
		r := l.Record
		args = append(args, r.Sequence, storage.Micros(r.Time), r.Operation, r.Target, r.Principal, string(r.Outcome), string(l.Body), l.Hash[:])
	}
	_, err := s.db.Exec(ctx, q.String(), args...)
	return err
}

const columns = `sequence, time, operation, target, principal, outcome, body, hash`

func scan(rows *sql.Rows) (audit.Stored, error) {
	var l audit.Stored
	var at int64
	var body string
	err := rows.Scan(&l.Sequence, &at, &l.Operation, &l.Target, &l.Principal, &l.Outcome, &body, &l.Hash)
	l.Time, l.Body = storage.Time(at), []byte(body)
	return l, err
}

// Lines implements audit.Store.
func (s *Store) Lines(ctx context.Context, after int64, limit int, fn func(audit.Stored) bool) error {
	rows, err := s.db.Query(ctx, `SELECT `+columns+` FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2`, after, limit)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		l, err := scan(rows)
		if err != nil {
			return err
		}
		if !fn(l) {
			return nil
		}
	}
	return rows.Err()
}

// Find implements audit.Store.
func (s *Store) Find(ctx context.Context, q audit.Query) ([]audit.Stored, error) {
	where, args := []string{"1=1"}, []any{}
	add := func(clause string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			clause = strings.Replace(clause, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, clause)
	}
	if q.Before > 0 {
		add("sequence < ?", q.Before)
	}
	if q.Operation != "" {
		add("operation = ?", q.Operation)
	}
	if q.Target != "" { // not LIKE (a name may hold its wildcards), not a range (collations differ)
		below := strings.TrimSuffix(q.Target, "/") + "/"
		add("(target = ? OR substr(target, 1, length(?)) = ?)", q.Target, below, below)
	}
	if q.Principal != "" {
		add("principal = ?", q.Principal)
	}
	if q.Outcome != "" {
		add("outcome = ?", string(q.Outcome))
	}
	if !q.Since.IsZero() {
		add("time >= ?", storage.Micros(q.Since))
	}
	if !q.Until.IsZero() {
		add("time < ?", storage.Micros(q.Until))
	}
	args = append(args, q.Limit)
	rows, err := s.db.Query(ctx, `SELECT `+columns+` FROM audit WHERE `+strings.Join(where, " AND ")+
		fmt.Sprintf(" ORDER BY sequence DESC LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []audit.Stored
	for rows.Next() {
		l, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	return found, rows.Err()
}

// Head implements audit.Store.
func (s *Store) Head(ctx context.Context) (audit.Head, error) {
	var h audit.Head
	var hash []byte
	err := s.db.QueryRow(ctx, `SELECT sequence, hash FROM audit_head WHERE id = 1`).Scan(&h.Sequence, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return h, nil
	}
	copy(h.Hash[:], hash)
	return h, err
}

// PutCheckpoint implements audit.Store.
func (s *Store) PutCheckpoint(ctx context.Context, sequence int64, at time.Time, note []byte) error {
	_, err := s.db.Exec(ctx, `INSERT INTO audit_checkpoints (sequence, time, note) VALUES ($1, $2, $3) ON CONFLICT (sequence) DO NOTHING`,
		sequence, storage.Micros(at), string(note))
	return err
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
