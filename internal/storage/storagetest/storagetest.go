// Package storagetest opens databases for tests: a temporary SQLite file and a fresh
// database of a real PostgreSQL.
package storagetest

import (
	"testing"

	"chatelaine.dev/internal/storage"
)

// Each runs f once on SQLite and once on PostgreSQL, each empty but migrated.
func Each(t *testing.T, f func(t *testing.T, db *storage.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); f(t, SQLite(t)) })
	t.Run("postgresql", func(t *testing.T) { t.Parallel(); f(t, Open(t, storage.Config{URL: Postgres(t)})) })
}

// SQLite opens an empty database in a temporary folder.
func SQLite(t testing.TB) *storage.DB {
	t.Helper()
	return Open(t, storage.Config{Dir: t.TempDir()})
}

// Open opens a database and closes it when the test ends.
func Open(t testing.TB, c storage.Config) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db
}
