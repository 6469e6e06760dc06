package acmedb

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"time"

	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/storage"
)

func identifier(i acme.Identifier, wildcard bool) string {
	if wildcard {
		return i.Type + ":*." + i.Value
	}
	return i.Type + ":" + i.Value
}

// InsertAuthorization implements acme.Store.
func (s *Store) InsertAuthorization(ctx context.Context, a acme.Authorization) error {
	entry, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return inserted(s.db.Exec(ctx, `INSERT INTO acme_authorizations (id, account, identifier, status, expires, revision, entry)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		a.ID, a.Account, identifier(a.Identifier, a.Wildcard), string(a.Status), storage.Micros(a.Expires), a.Revision, string(entry)))
}

// UpdateAuthorization implements acme.Store.
func (s *Store) UpdateAuthorization(ctx context.Context, a acme.Authorization) error {
	entry, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return updated(s.db.Exec(ctx, `UPDATE acme_authorizations SET status = $1, expires = $2, revision = $3, entry = $4 WHERE id = $5 AND revision = $6`,
		string(a.Status), storage.Micros(a.Expires), a.Revision, string(entry), a.ID, a.Revision-1))
}

func readAuthorization(row storage.Scanner) (a acme.Authorization, err error) {
	var entry string
	if err := row.Scan(&entry); err != nil {
		return a, storage.Translate(err)
	}
	if err := json.Unmarshal([]byte(entry), &a); err != nil {
		return a, fmt.Errorf("an ACME authorization: %w", err)
	}
	return a, nil
}

// Authorization implements acme.Store.
func (s *Store) Authorization(ctx context.Context, id string) (acme.Authorization, error) {
	return readAuthorization(s.db.QueryRow(ctx, `SELECT entry FROM acme_authorizations WHERE id = $1`, id))
}

// ValidAuthorization implements acme.Store.
func (s *Store) ValidAuthorization(ctx context.Context, account string, id acme.Identifier, now time.Time) (acme.Authorization, error) {
	return readAuthorization(s.db.QueryRow(ctx, `SELECT entry FROM acme_authorizations
		WHERE account = $1 AND identifier = $2 AND status = 'valid' AND expires > $3 ORDER BY expires DESC LIMIT 1`,
		account, identifier(id, false), storage.Micros(now)))
}
