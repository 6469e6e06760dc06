package accessdb

import (
	"context"
	"fmt"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/storage"
)

var _ session.Store = (*Store)(nil)

// PutLink implements session.Store.
func (s *Store) PutLink(ctx context.Context, r session.Row) error {
	_, err := s.db.Exec(ctx, `INSERT INTO access_links (hash, expires, used, sealed) VALUES ($1, $2, FALSE, $3)`,
		r.Hash[:], storage.Micros(r.Expires), r.Sealed)
	return storage.Translate(err)
}

// UseLink implements session.Store. The update takes the row's lock, so of two that come
// together the second finds it used.
func (s *Store) UseLink(ctx context.Context, hash access.Digest) (session.Row, error) {
	r := session.Row{Hash: hash}
	var expires int64
	err := s.db.QueryRow(ctx, `UPDATE access_links SET used = TRUE WHERE hash = $1 AND NOT used RETURNING expires, sealed`, hash[:]).
		Scan(&expires, &r.Sealed)
	r.Expires = storage.Time(expires)
	return r, storage.Translate(err)
}

// PutSession implements session.Store.
func (s *Store) PutSession(ctx context.Context, r session.Row) error {
	_, err := s.db.Exec(ctx, `INSERT INTO access_sessions (hash, principal, expires, seen, sealed) VALUES ($1, $2, $3, $4, $5)`,
		r.Hash[:], r.Principal, storage.Micros(r.Expires), storage.Micros(r.Seen), r.Sealed)
	return storage.Translate(err)
}

// Session implements session.Store.
func (s *Store) Session(ctx context.Context, hash access.Digest) (session.Row, error) {
	r := session.Row{Hash: hash}
	var expires, seen int64
	err := s.db.QueryRow(ctx, `SELECT principal, expires, seen, sealed FROM access_sessions WHERE hash = $1`, hash[:]).
		Scan(&r.Principal, &expires, &seen, &r.Sealed)
	r.Expires, r.Seen = storage.Time(expires), storage.Time(seen)
	return r, storage.Translate(err)
}

// Touch implements session.Store.
func (s *Store) Touch(ctx context.Context, hash access.Digest, seen time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE access_sessions SET seen = $1 WHERE hash = $2`, storage.Micros(seen), hash[:])
	return storage.Translate(err)
}

// End implements session.Store.
func (s *Store) End(ctx context.Context, hash access.Digest) error {
	_, err := s.db.Exec(ctx, `DELETE FROM access_sessions WHERE hash = $1`, hash[:])
	return storage.Translate(err)
}

// EndAll implements session.Store.
func (s *Store) EndAll(ctx context.Context, principal string) error {
	_, err := s.db.Exec(ctx, `DELETE FROM access_sessions WHERE principal = $1`, principal)
	return storage.Translate(err)
}

// Purge implements session.Store.
func (s *Store) Purge(ctx context.Context, before, idle time.Time) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM access_links WHERE expires <= $1`, storage.Micros(before)); err != nil {
		return fmt.Errorf("purge links: %w", storage.Translate(err))
	}
	if _, err := s.db.Exec(ctx, `DELETE FROM access_sessions WHERE expires <= $1 OR seen <= $2`, storage.Micros(before), storage.Micros(idle)); err != nil {
		return fmt.Errorf("purge sessions: %w", storage.Translate(err))
	}
	return nil
}
