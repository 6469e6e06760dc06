package lifecycledb

import (
	"context"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/storage"
)

// InsertLineage implements lineage.Store.
func (s *Store) InsertLineage(ctx context.Context, l lineage.Lineage) error {
	sealed, err := s.seal(lineageKind, l.ID, l.Revision, l)
	if err != nil {
		return err
	}
	return s.db.Transact(ctx, func(ctx context.Context) error {
		if err := s.freeKeep(ctx, l); err != nil {
			return err
		}
		res, err := s.db.Exec(ctx, `INSERT INTO lifecycle_lineages (id, name_key, keep, owner, due, revision, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			l.ID, strings.ToLower(l.Name), keepKey(l.Keep), l.Owner, storage.Micros(l.Due), l.Revision, sealed)
		if err := storage.Inserted(res, err, "NameTaken"); err != nil {
			return err
		}
		return s.saveTargets(ctx, l)
	})
}

// UpdateLineage implements lineage.Store.
func (s *Store) UpdateLineage(ctx context.Context, l lineage.Lineage) error {
	sealed, err := s.seal(lineageKind, l.ID, l.Revision, l)
	if err != nil {
		return err
	}
	return s.db.Transact(ctx, func(ctx context.Context) error {
		if err := s.freeKeep(ctx, l); err != nil {
			return err
		}
		res, err := s.db.Exec(ctx, `UPDATE lifecycle_lineages SET name_key = $1, keep = $2, owner = $3, due = $4, revision = $5, sealed = $6 WHERE id = $7 AND revision = $8`,
			strings.ToLower(l.Name), keepKey(l.Keep), l.Owner, storage.Micros(l.Due), l.Revision, sealed, l.ID, l.Revision-1)
		if err := storage.Changed(res, err, "NameTaken"); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM lifecycle_targets WHERE lineage = $1`, l.ID); err != nil {
			return storage.Translate(err)
		}
		return s.saveTargets(ctx, l)
	})
}

func keepKey(k lineage.Keep) string { return strings.ToLower(k.Vault + "/" + k.Name) }

// freeKeep tells which lineage fills the certificate of the vault, if it is another.
func (s *Store) freeKeep(ctx context.Context, l lineage.Lineage) error {
	others, err := s.ids(ctx, `SELECT id FROM lifecycle_lineages WHERE keep = $1 AND id <> $2`, keepKey(l.Keep), l.ID)
	if err == nil && len(others) > 0 {
		err = fault.New(fault.Conflict, "KeepTaken", "lineage %s fills the certificate %s of vault %s already; choose another name", others[0], l.Keep.Name, l.Keep.Vault)
	}
	return err
}

func (s *Store) saveTargets(ctx context.Context, l lineage.Lineage) error {
	for _, t := range l.Targets {
		if _, err := s.db.Exec(ctx, `INSERT INTO lifecycle_targets (lineage, target, connection) VALUES ($1, $2, $3)`, l.ID, t.ID, t.Connection); err != nil {
			return storage.Translate(err)
		}
	}
	return nil
}

// DeleteLineage implements lineage.Store.
func (s *Store) DeleteLineage(ctx context.Context, id string, revision int64) error {
	res, err := s.db.Exec(ctx, `DELETE FROM lifecycle_lineages WHERE id = $1 AND revision = $2`, id, revision)
	return storage.Changed(res, err, "Changed")
}

// Lineage implements lineage.Store.
func (s *Store) Lineage(ctx context.Context, id string) (lineage.Lineage, error) {
	return one[lineage.Lineage](ctx, s, lineageKind, `SELECT id, revision, sealed FROM lifecycle_lineages WHERE id = $1`, id)
}

// Lineages implements lineage.Store.
func (s *Store) Lineages(ctx context.Context, q lineage.Query) ([]lineage.Lineage, error) {
	var c conditions
	c.add("owner = $%d", q.Owner)
	c.add("name_key > $%d", strings.ToLower(q.After))
	query := `SELECT id, revision, sealed FROM lifecycle_lineages` + c.where() + ` ORDER BY name_key LIMIT ` + c.limit(q.Limit)
	return all[lineage.Lineage](ctx, s, lineageKind, query, c.args...)
}

// DueLineages implements lineage.Store.
func (s *Store) DueLineages(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return s.ids(ctx, `SELECT id FROM lifecycle_lineages l WHERE due > 0 AND due <= $1
		AND NOT EXISTS (SELECT 1 FROM lifecycle_requests r WHERE r.guard = 'lineage/' || l.id)
		ORDER BY due, id LIMIT $2`, storage.Micros(now), limit)
}

// AddMember implements lineage.Store.
func (s *Store) AddMember(ctx context.Context, id string, m lineage.Member) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		since := storage.Micros(m.Since)
		if _, err := s.db.Exec(ctx, `UPDATE lifecycle_members SET replaced = $1 WHERE lineage = $2 AND replaced = 0 AND sha256 <> $3`, since, id, m.SHA256); err != nil {
			return storage.Translate(err)
		}
		_, err := s.db.Exec(ctx, `INSERT INTO lifecycle_members (lineage, sha256, position, not_before, not_after, version, request, since, replaced)
			VALUES ($1, $2, (SELECT COALESCE(MAX(position), 0) + 1 FROM lifecycle_members WHERE lineage = $1), $3, $4, $5, $6, $7, 0) ON CONFLICT (lineage, sha256) DO UPDATE SET replaced = 0`,
			id, m.SHA256, storage.Micros(m.NotBefore), storage.Micros(m.NotAfter), m.Version, m.Request, since)
		return storage.Translate(err)
	})
}

// Members implements lineage.Store.
func (s *Store) Members(ctx context.Context, id string, limit int) ([]lineage.Member, error) {
	rows, err := s.db.Query(ctx, `SELECT sha256, not_before, not_after, version, request, since, replaced FROM lifecycle_members
		WHERE lineage = $1 ORDER BY position DESC LIMIT $2`, id, limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer rows.Close()
	var list []lineage.Member
	for rows.Next() {
		var m lineage.Member
		var from, to, since, replaced int64
		if err := rows.Scan(&m.SHA256, &from, &to, &m.Version, &m.Request, &since, &replaced); err != nil {
			return nil, storage.Translate(err)
		}
		m.NotBefore, m.NotAfter, m.Since, m.Replaced = storage.Time(from), storage.Time(to), storage.Time(since), storage.Time(replaced)
		list = append(list, m)
	}
	return list, storage.Translate(rows.Err())
}
