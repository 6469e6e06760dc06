// Package settingsdb keeps small named facts of the installation in the database. It
// stores the bytes that it is given: what is secret is sealed by its owner.
package settingsdb

import (
	"context"

	"chatelaine.dev/internal/storage"
)

// Store keeps settings by name.
type Store struct{ db *storage.DB }

// New makes the store.
func New(db *storage.DB) *Store { return &Store{db: db} }

// Get returns a setting; fault.NotFound if it was never put.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := s.db.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
	return value, storage.Translate(err)
}

// Add stores a setting unless it is there, and returns the one that is.
func (s *Store) Add(ctx context.Context, name string, value []byte) (stored []byte, err error) {
	err = s.db.Transact(ctx, func(ctx context.Context) error {
		if _, err := s.db.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, value); err != nil {
			return storage.Translate(err)
		}
		stored, err = s.Get(ctx, name)
		return err
	})
	return stored, err
}

// Put stores a setting, over an older one.
func (s *Store) Put(ctx context.Context, name string, value []byte) error {
	_, err := s.db.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return storage.Translate(err)
}
