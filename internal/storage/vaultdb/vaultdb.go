// Package vaultdb keeps vaults and their objects in the database.
package vaultdb

import (
	"context"
	"database/sql"
	"time"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/object"
)

// Store implements object.Store and object.VaultStore.
type Store struct{ db *storage.DB }

// New makes the store.
func New(db *storage.DB) *Store { return &Store{db: db} }

const (
	headColumns    = `h.name, h.position, h.deleted, h.purge, h.revision, h.sealed`
	versionColumns = `v.version, v.position, v.revision, v.sealed`
)

// scanPair reads headColumns and versionColumns.
func scanPair(scan func(...any) error, vault string, k object.Kind) (object.Pair, error) {
	var p object.Pair
	var purge int64
	var version sql.NullString
	var position, revision sql.NullInt64
	h := &p.Head
	if err := scan(&h.Name, &h.Position, &h.Deleted, &purge, &h.Revision, &h.Sealed, &version, &position, &revision, &p.Version.Sealed); err != nil {
		return p, storage.Translate(err)
	}
	h.Vault, h.Kind, h.Purge = vault, k, storage.Time(purge)
	v := &p.Version
	v.Vault, v.Kind, v.Name, v.Version, v.Position, v.Revision = vault, k, h.Name, version.String, position.Int64, revision.Int64
	return p, nil
}

// Get implements object.Store.
func (s *Store) Get(ctx context.Context, vault string, k object.Kind, name, version string) (object.Pair, error) {
	join, args := `v.position = h.position`, []any{vault, string(k), name}
	if version != "" {
		join, args = `v.version = $4`, append(args, version)
	}
	row := s.db.QueryRow(ctx, `SELECT `+headColumns+`, `+versionColumns+` FROM objects h
		LEFT JOIN objects v ON v.vault = h.vault AND v.kind = h.kind AND v.name = h.name AND v.version <> '' AND `+join+`
		WHERE h.vault = $1 AND h.kind = $2 AND h.name = $3 AND h.version = ''`, args...)
	return scanPair(row.Scan, vault, k)
}

// Heads implements object.Store.
func (s *Store) Heads(ctx context.Context, vault string, k object.Kind, deleted bool, after string, limit int) ([]object.Pair, error) {
	rows, err := s.db.Query(ctx, `SELECT `+headColumns+`, `+versionColumns+` FROM objects h
		LEFT JOIN objects v ON v.vault = h.vault AND v.kind = h.kind AND v.name = h.name AND v.version <> '' AND v.position = h.position
		WHERE h.vault = $1 AND h.kind = $2 AND h.deleted = $3 AND h.name > $4 AND h.version = '' ORDER BY h.name LIMIT $5`,
		vault, string(k), deleted, after, limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var list []object.Pair
	for rows.Next() {
		p, err := scanPair(rows.Scan, vault, k)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// Versions implements object.Store.
func (s *Store) Versions(ctx context.Context, vault string, k object.Kind, name string, after int64, limit int) ([]object.Row, error) {
	rows, err := s.db.Query(ctx, `SELECT version, position, revision, sealed FROM objects
		WHERE vault = $1 AND kind = $2 AND name = $3 AND version <> '' AND position > $4 ORDER BY position LIMIT $5`,
		vault, string(k), name, after, limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var list []object.Row
	for rows.Next() {
		r := object.Row{Vault: vault, Kind: k, Name: name}
		if err := rows.Scan(&r.Version, &r.Position, &r.Revision, &r.Sealed); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Put implements object.Store.
func (s *Store) Put(ctx context.Context, r object.Row) error {
	_, err := s.db.Exec(ctx, `INSERT INTO objects (vault, kind, name, version, position, deleted, purge, revision, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (vault, kind, name, version) DO UPDATE SET position = excluded.position, deleted = excluded.deleted,
			purge = excluded.purge, revision = excluded.revision, sealed = excluded.sealed`,
		r.Vault, string(r.Kind), r.Name, r.Version, r.Position, r.Deleted, storage.Micros(r.Purge), r.Revision, r.Sealed)
	return storage.Translate(err)
}

// Remove implements object.Store.
func (s *Store) Remove(ctx context.Context, vault string, k object.Kind, name string) ([]object.Row, error) {
	s.db.Erased(ctx)
	rows, err := s.db.Query(ctx, `DELETE FROM objects WHERE vault = $1 AND kind = $2 AND name = $3 RETURNING version, revision`, vault, string(k), name)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var removed []object.Row
	for rows.Next() {
		r := object.Row{Vault: vault, Kind: k, Name: name}
		if err := rows.Scan(&r.Version, &r.Revision); err != nil {
			return nil, err
		}
		removed = append(removed, r)
	}
	return removed, rows.Err()
}

// Due implements object.Store.
func (s *Store) Due(ctx context.Context, now time.Time, after object.Row, limit int) ([]object.Row, error) {
	rows, err := s.db.Query(ctx, `SELECT vault, kind, name, purge FROM objects
		WHERE version = '' AND deleted AND purge <= $1 AND (purge, vault, kind, name) > ($2, $3, $4, $5) ORDER BY purge, vault, kind, name LIMIT $6`,
		storage.Micros(now), storage.Micros(after.Purge), after.Vault, string(after.Kind), after.Name, limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var due []object.Row
	for rows.Next() {
		var r object.Row
		var purge int64
		if err := rows.Scan(&r.Vault, &r.Kind, &r.Name, &purge); err != nil {
			return nil, err
		}
		r.Purge = storage.Time(purge)
		due = append(due, r)
	}
	return due, rows.Err()
}

// AfterCommit implements object.Store.
func (s *Store) AfterCommit(ctx context.Context, fn func(committed bool)) { s.db.AfterCommit(ctx, fn) }
