package vaultdb

import (
	"context"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/object"
)

// RolesMark implements role.Store.
func (s *Store) RolesMark(ctx context.Context, vault string) (m role.Mark, err error) {
	err = s.db.QueryRow(storage.Outside(ctx), `SELECT COALESCE(MAX(revision), 0), COUNT(*) FROM objects WHERE vault = $1 AND kind IN ($2, $3)`,
		vault, string(object.RoleDefinitions), string(object.RoleAssignments)).Scan(&m.Revision, &m.Rows)
	return m, storage.Translate(err)
}
