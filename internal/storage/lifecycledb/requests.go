package lifecycledb

import (
	"context"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/storage"
)

// guardOf names what only one request may do at a time; empty when it is not under way.
func guardOf(e enrollment.Entry) string {
	switch {
	case !e.State.Live():
		return ""
	case e.Kind == enrollment.Revocation:
		return "revoke/" + e.Revoke
	case e.Kind == enrollment.Direct:
		return "direct/" + e.ID // many at a time
	case e.Kind == enrollment.Certify:
		return e.Once // the vault lets one order of a certificate wait at a time
	}
	return "lineage/" + e.Lineage
}

// InsertRequest implements enrollment.Store.
func (s *Store) InsertRequest(ctx context.Context, e enrollment.Entry) error {
	sealed, err := s.seal(requestKind, e.ID, e.Revision, e)
	if err != nil {
		return err
	}
	return s.db.Transact(ctx, func(ctx context.Context) error {
		res, err := s.db.Exec(ctx, `INSERT INTO lifecycle_requests (id, kind, lineage, state, guard, once, wake, revision, sealed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
			e.ID, string(e.Kind), e.Lineage, string(e.State), optional(guardOf(e)), e.Once, storage.Micros(e.Wake), e.Revision, sealed)
		err = storage.Inserted(res, err, "Live")
		if !fault.HasCode(err, "Live") {
			return err
		}
		if _, onceErr := s.RequestOnce(ctx, e.Once); onceErr == nil {
			return fault.New(fault.Conflict, "Exists", "the request was made before")
		}
		return err
	})
}

// UpdateRequest implements enrollment.Store.
func (s *Store) UpdateRequest(ctx context.Context, e enrollment.Entry) error {
	sealed, err := s.seal(requestKind, e.ID, e.Revision, e)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `UPDATE lifecycle_requests SET state = $1, guard = $2, wake = $3, revision = $4, sealed = $5 WHERE id = $6 AND revision = $7`,
		string(e.State), optional(guardOf(e)), storage.Micros(e.Wake), e.Revision, sealed, e.ID, e.Revision-1)
	return storage.Changed(res, err, "Live")
}

// Request implements enrollment.Store.
func (s *Store) Request(ctx context.Context, id string) (enrollment.Entry, error) {
	return one[enrollment.Entry](ctx, s, requestKind, `SELECT id, revision, sealed FROM lifecycle_requests WHERE id = $1`, id)
}

// RequestOnce implements enrollment.Store.
func (s *Store) RequestOnce(ctx context.Context, once string) (enrollment.Entry, error) {
	return one[enrollment.Entry](ctx, s, requestKind, `SELECT id, revision, sealed FROM lifecycle_requests WHERE once = $1`, once)
}

// LatestRequest implements enrollment.Store.
func (s *Store) LatestRequest(ctx context.Context, lineage string) (enrollment.Entry, error) {
	return one[enrollment.Entry](ctx, s, requestKind,
		`SELECT id, revision, sealed FROM lifecycle_requests WHERE lineage = $1 AND kind <> $2 ORDER BY id DESC LIMIT 1`,
		lineage, string(enrollment.Revocation))
}

// Requests implements enrollment.Store.
func (s *Store) Requests(ctx context.Context, q enrollment.Query) ([]enrollment.Entry, error) {
	var c conditions
	c.add("lineage = $%d", q.Lineage)
	c.add("state = $%d", string(q.State))
	c.add("kind = $%d", string(q.Kind))
	c.add("id < $%d", q.After)
	query := `SELECT id, revision, sealed FROM lifecycle_requests` + c.where() + ` ORDER BY id DESC LIMIT ` + c.limit(q.Limit)
	return all[enrollment.Entry](ctx, s, requestKind, query, c.args...)
}

// OverdueRequests implements enrollment.Store.
func (s *Store) OverdueRequests(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return s.ids(ctx, `SELECT id FROM lifecycle_requests WHERE wake > 0 AND wake <= $1 ORDER BY wake LIMIT $2`, storage.Micros(now), limit)
}
