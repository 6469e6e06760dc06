// Package eventdb keeps the event log in the database.
package eventdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/storage"
)

// Store implements event.Store.
type Store struct{ db *storage.DB }

// New makes the store.
func New(db *storage.DB) *Store { return &Store{db: db} }

const columns = `id, time, source, type, subject, data`

// Append implements event.Store.
func (s *Store) Append(ctx context.Context, e event.Event) error {
	_, err := s.db.Exec(ctx, `INSERT INTO events (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		e.ID, storage.Micros(e.Time), e.Source, e.Type, e.Subject, string(e.Data))
	return storage.Translate(err)
}

// Get implements event.Store.
func (s *Store) Get(ctx context.Context, id string) (event.Event, error) {
	return scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM events WHERE id = $1`, id).Scan)
}

// Find implements event.Store.
func (s *Store) Find(ctx context.Context, q event.Query) ([]event.Event, error) {
	var (
		where []string
		args  []any
	)
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	// Prefixes are compared by substr: LIKE would read wildcards in them, and a range
	// would depend on the collation.
	if q.Source != "" {
		add(`(source = ? OR substr(source, 1, length(?) + 1) = ? || '/')`, strings.TrimSuffix(q.Source, "/"))
	}
	if q.Type != "" {
		add(`substr(type, 1, length(?)) = ?`, q.Type)
	}
	if q.Subject != "" {
		add(`subject = ?`, q.Subject)
	}
	if !q.Before.IsZero() {
		args = append(args, storage.Micros(q.Before.Time), q.Before.ID)
		where = append(where, fmt.Sprintf(`(time, id) < ($%d, $%d)`, len(args)-1, len(args)))
	}
	query := `SELECT ` + columns + ` FROM events`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, ` AND `)
	}
	args = append(args, q.Limit)
	rows, err := s.db.Query(ctx, query+fmt.Sprintf(` ORDER BY time DESC, id DESC LIMIT $%d`, len(args)), args...)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var found []event.Event
	for rows.Next() {
		e, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, storage.Translate(rows.Err())
}

// Prune implements event.Store.
func (s *Store) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	res, err := s.db.Exec(ctx, `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE time < $1 ORDER BY time LIMIT $2)`,
		storage.Micros(before), limit)
	if err != nil {
		return 0, storage.Translate(err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func scan(from func(...any) error) (event.Event, error) {
	var (
		e      event.Event
		micros int64
		data   string
	)
	if err := from(&e.ID, &micros, &e.Source, &e.Type, &e.Subject, &data); err != nil {
		return event.Event{}, storage.Translate(err)
	}
	e.Time = storage.Time(micros)
	if data != "" {
		e.Data = json.RawMessage(data)
	}
	return e, nil
}
