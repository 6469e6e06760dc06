package vaultdb

import (
	"context"
	"time"

	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/object"
)

var _ object.DueStore = (*Store)(nil)

// PutDue implements object.DueStore.
func (s *Store) PutDue(ctx context.Context, r object.DueRow) error {
	due := storage.Micros(r.At)
	_, err := s.db.Exec(ctx, `INSERT INTO dues (vault, kind, name, what, due, next, tries) VALUES ($1, $2, $3, $4, $5, $6, 0)
		ON CONFLICT (vault, kind, name, what) DO UPDATE SET due = excluded.due, next = excluded.next, tries = 0`,
		r.Vault, string(r.Kind), r.Name, r.What, due, max(due, 1))
	return storage.Translate(err)
}

// DropDue implements object.DueStore.
func (s *Store) DropDue(ctx context.Context, r object.DueRow) error {
	_, err := s.db.Exec(ctx, `DELETE FROM dues WHERE vault = $1 AND kind = $2 AND name = $3 AND what = $4`, r.Vault, string(r.Kind), r.Name, r.What)
	return storage.Translate(err)
}

const dueColumns = `vault, kind, name, what, due, tries`

func (s *Store) findDues(ctx context.Context, where string, args ...any) ([]object.DueRow, error) {
	rows, err := s.db.Query(ctx, `SELECT `+dueColumns+` FROM dues WHERE `+where, args...)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	var list []object.DueRow
	for rows.Next() {
		var r object.DueRow
		var due int64
		if err := rows.Scan(&r.Vault, &r.Kind, &r.Name, &r.What, &due, &r.Tries); err != nil {
			return nil, err
		}
		r.At = storage.Time(due)
		list = append(list, r)
	}
	return list, rows.Err()
}

// Dues implements object.DueStore.
func (s *Store) Dues(ctx context.Context, now time.Time, limit int) ([]object.DueRow, error) {
	return s.findDues(ctx, `next > 0 AND next <= $1 ORDER BY next LIMIT $2`, storage.Micros(now), limit)
}

// DuesOf implements object.DueStore.
func (s *Store) DuesOf(ctx context.Context, vault string, k object.Kind, name string) ([]object.DueRow, error) {
	return s.findDues(ctx, `vault = $1 AND kind = $2 AND name = $3 ORDER BY what`, vault, string(k), name)
}

// thisDue finds a row that is still due at the time that was read.
const thisDue = ` WHERE vault = $1 AND kind = $2 AND name = $3 AND what = $4 AND due = $5 AND next > 0`

// SettleDue implements object.DueStore.
func (s *Store) SettleDue(ctx context.Context, r object.DueRow) (bool, error) {
	res, err := s.db.Exec(ctx, `UPDATE dues SET next = 0`+thisDue, r.Vault, string(r.Kind), r.Name, r.What, storage.Micros(r.At))
	if err != nil {
		return false, storage.Translate(err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// PostponeDue implements object.DueStore.
func (s *Store) PostponeDue(ctx context.Context, r object.DueRow, until time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE dues SET next = $6, tries = tries + 1`+thisDue,
		r.Vault, string(r.Kind), r.Name, r.What, storage.Micros(r.At), storage.Micros(until))
	return storage.Translate(err)
}
