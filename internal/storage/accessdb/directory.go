// Package accessdb keeps the directory, sign-in links and sessions in the database.
package accessdb

import (
	"context"
	"fmt"

	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/storage"
)

// Store implements directory.Store and session.Store.
type Store struct{ db *storage.DB }

// New makes the store.
func New(db *storage.DB) *Store { return &Store{db: db} }

var _ directory.Store = (*Store)(nil)

// State implements directory.Store.
func (s *Store) State(ctx context.Context) (directory.State, error) {
	var st directory.State
	err := s.db.QueryRow(ctx, `SELECT generation, sealed FROM access_state WHERE id = 1`).Scan(&st.Generation, &st.Sealed)
	return st, storage.Translate(err)
}

// Entries implements directory.Store.
func (s *Store) Entries(ctx context.Context) ([]directory.Entry, error) {
	rows, err := s.db.Query(ctx, `SELECT kind, id, revision, sealed FROM access_entries`)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var out []directory.Entry
	for rows.Next() {
		var e directory.Entry
		if err := rows.Scan(&e.Kind, &e.ID, &e.Revision, &e.Sealed); err != nil {
			return nil, storage.Translate(err)
		}
		out = append(out, e)
	}
	return out, storage.Translate(rows.Err())
}

// Advance implements directory.Store. It holds the state's row until the transaction
// ends, so changes of different nodes follow one another.
func (s *Store) Advance(ctx context.Context, st directory.State) error {
	query := `UPDATE access_state SET generation = $1, sealed = $2 WHERE id = 1 AND generation = $3`
	args := []any{st.Generation, st.Sealed, st.Generation - 1}
	if st.Generation == 1 {
		query = `INSERT INTO access_state (id, generation, sealed) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING`
		args = args[:2]
	}
	res, err := s.db.Exec(ctx, query, args...)
	if err != nil {
		return storage.Translate(err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("directory: %d rows advanced: %w", n, storage.ErrRace)
	}
	return nil
}

// Put implements directory.Store.
func (s *Store) Put(ctx context.Context, e directory.Entry) error {
	_, err := s.db.Exec(ctx, `INSERT INTO access_entries (kind, id, revision, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed`, e.Kind, e.ID, e.Revision, e.Sealed)
	return storage.Translate(err)
}

// Remove implements directory.Store.
func (s *Store) Remove(ctx context.Context, kind, id string) error {
	res, err := s.db.Exec(ctx, `DELETE FROM access_entries WHERE kind = $1 AND id = $2`, kind, id)
	return storage.One(res, err, "the directory has no such "+kind)
}

// AfterCommit implements directory.Store.
func (s *Store) AfterCommit(ctx context.Context, fn func(committed bool)) { s.db.AfterCommit(ctx, fn) }
