package vaultdb

import (
	"context"
	"database/sql"
	"time"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/object"
)

const vaultColumns = `name, datakey, sealed, revision, ledger, epoch, state, purge, generation`

func scanVault(scan func(...any) error) (object.VaultRow, error) {
	var r object.VaultRow
	var purge int64
	err := scan(&r.Name, &r.DataKey, &r.Sealed, &r.Revision, &r.Ledger, &r.Epoch, &r.State, &purge, &r.Generation)
	r.Purge = storage.Time(purge)
	return r, storage.Translate(err)
}

// Vault implements object.VaultStore.
func (s *Store) Vault(ctx context.Context, name string) (object.VaultRow, error) {
	return scanVault(s.db.QueryRow(ctx, `SELECT `+vaultColumns+` FROM vaults WHERE name = $1`, name).Scan)
}

// Vaults implements object.VaultStore.
func (s *Store) Vaults(ctx context.Context, state object.VaultState, after string, limit int) ([]object.VaultRow, error) {
	rows, err := s.db.Query(ctx, `SELECT `+vaultColumns+` FROM vaults WHERE state = $1 AND name > $2 ORDER BY name LIMIT $3`, int(state), after, limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var list []object.VaultRow
	for rows.Next() {
		r, err := scanVault(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// DueVaults implements object.VaultStore.
func (s *Store) DueVaults(ctx context.Context, now time.Time, after string, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT name FROM vaults WHERE ((state = 1 AND purge <= $1) OR state = 2) AND name > $2 ORDER BY name LIMIT $3`,
		storage.Micros(now), after, limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// next is the generation of a change. Its row stays locked until the transaction ends, so
// whoever sees a generation sees all changes up to it.
func (s *Store) next(ctx context.Context) (generation int64, err error) {
	err = s.db.QueryRow(ctx, `UPDATE vault_generation SET generation = generation + 1 WHERE id = 1 RETURNING generation`).Scan(&generation)
	return generation, storage.Translate(err)
}

// AddVault implements object.VaultStore.
func (s *Store) AddVault(ctx context.Context, r object.VaultRow) error {
	generation, err := s.next(ctx)
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `INSERT INTO vaults (`+vaultColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.Name, r.DataKey, r.Sealed, r.Revision, r.Ledger, r.Epoch, int(r.State), storage.Micros(r.Purge), generation)
	return storage.Translate(err)
}

// PutVault implements object.VaultStore.
func (s *Store) PutVault(ctx context.Context, r object.VaultRow) (int64, error) {
	generation, err := s.next(ctx)
	if err != nil {
		return 0, err
	}
	res, err := s.db.Exec(ctx, `UPDATE vaults SET datakey = $2, sealed = $3, revision = $4, state = $5, purge = $6, generation = $7 WHERE name = $1`,
		r.Name, r.DataKey, r.Sealed, r.Revision, int(r.State), storage.Micros(r.Purge), generation)
	return generation, storage.One(res, err, "the vault is gone")
}

// Erase implements object.VaultStore.
func (s *Store) Erase(ctx context.Context, name string, limit int) (done bool, err error) {
	s.db.Erased(ctx)
	res, err := s.db.Exec(ctx, `DELETE FROM objects WHERE vault = $1 AND EXISTS (SELECT 1 FROM vaults WHERE name = $1 AND state = 2)
		AND (kind, name, version) IN (SELECT kind, name, version FROM objects WHERE vault = $1 LIMIT $2)`, name, limit)
	if err != nil {
		return false, storage.Translate(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == int64(limit) {
		return false, err
	}
	if _, err := s.next(ctx); err != nil {
		return false, err
	}
	_, err = s.db.Exec(ctx, `DELETE FROM vaults WHERE name = $1 AND state = 2`, name)
	return true, storage.Translate(err)
}

// Marks implements object.VaultStore.
func (s *Store) Marks(ctx context.Context, since int64) (generation int64, marks []object.VaultMark, err error) {
	err = s.db.QueryRow(ctx, `SELECT generation FROM vault_generation WHERE id = 1`).Scan(&generation)
	if err != nil || generation == since {
		return generation, nil, storage.Translate(err)
	}
	rows, err := s.db.Query(ctx, `SELECT name, generation FROM vaults`)
	if err != nil {
		return 0, nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var m object.VaultMark
		if err := rows.Scan(&m.Name, &m.Generation); err != nil {
			return 0, nil, err
		}
		marks = append(marks, m)
	}
	return generation, marks, rows.Err()
}

// Advance implements object.VaultStore.
func (s *Store) Advance(ctx context.Context, name string) (ledger []byte, epoch int64, err error) {
	err = s.db.QueryRow(ctx, `UPDATE vaults SET epoch = epoch + 1 WHERE name = $1 AND state < 2 RETURNING ledger, epoch`, name).Scan(&ledger, &epoch)
	return ledger, epoch, storage.Translate(err)
}

// PutLedger implements object.VaultStore.
func (s *Store) PutLedger(ctx context.Context, name string, ledger []byte, epoch int64) error {
	res, err := s.db.Exec(ctx, `UPDATE vaults SET ledger = $2, epoch = $3 WHERE name = $1`, name, ledger, epoch)
	return storage.One(res, err, "the vault is gone")
}

// Shared implements object.VaultStore.
func (s *Store) Shared(ctx context.Context, name string, open func() (any, error), close func(ctx context.Context, value any) error) (any, error) {
	return s.db.Shared(ctx, name, open, close)
}

// OnRollback implements object.VaultStore.
func (s *Store) OnRollback(ctx context.Context, fn func()) { s.db.OnRollback(ctx, fn) }

// Ledger implements object.VaultStore.
func (s *Store) Ledger(ctx context.Context, name string, fn func(object.RowID)) (ledger []byte, epoch int64, err error) {
	rows, err := s.db.Query(storage.Outside(ctx), `SELECT v.ledger, v.epoch, v.revision, o.kind, o.name, o.version, o.revision
		FROM vaults v LEFT JOIN objects o ON o.vault = v.name WHERE v.name = $1 AND v.state < 2`, name)
	if err != nil {
		return nil, 0, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	for first := true; rows.Next(); first = false {
		var kind, name_, version sql.NullString
		var revision sql.NullInt64
		var settings int64
		if err := rows.Scan(&ledger, &epoch, &settings, &kind, &name_, &version, &revision); err != nil {
			return nil, 0, err
		}
		if first && settings > 1 {
			fn(object.RowID{Kind: object.SettingsRow, Revision: settings})
		}
		if kind.Valid {
			fn(object.RowID{Kind: object.Kind(kind.String), Name: name_.String, Version: version.String, Revision: revision.Int64})
		}
	}
	if ledger == nil && rows.Err() == nil {
		return nil, 0, storage.Translate(sql.ErrNoRows)
	}
	return ledger, epoch, rows.Err()
}
