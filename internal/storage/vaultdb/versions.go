package vaultdb

import (
	"context"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/object"
)

// RemoveVersion implements object.Store.
func (s *Store) RemoveVersion(ctx context.Context, r object.Row) error {
	s.db.Erased(ctx)
	res, err := s.db.Exec(ctx, `DELETE FROM objects WHERE vault = $1 AND kind = $2 AND name = $3 AND version = $4 AND version <> '' AND revision = $5`,
		r.Vault, string(r.Kind), r.Name, r.Version, r.Revision)
	return storage.One(res, err, "the version is gone")
}

// Before implements object.Store.
func (s *Store) Before(ctx context.Context, r object.Row) (object.Row, error) {
	found := object.Row{Vault: r.Vault, Kind: r.Kind, Name: r.Name}
	err := s.db.QueryRow(ctx, `SELECT version, position, revision, sealed FROM objects
		WHERE vault = $1 AND kind = $2 AND name = $3 AND version <> '' AND position < $4 ORDER BY position DESC LIMIT 1`,
		r.Vault, string(r.Kind), r.Name, r.Position).Scan(&found.Version, &found.Position, &found.Revision, &found.Sealed)
	return found, storage.Translate(err)
}
