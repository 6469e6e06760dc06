package acmedb

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/seal"
)

// externalKey is one inside its seal: its secret cannot be encoded otherwise.
type externalKey struct {
	acme.ExternalKey `json:",inline"`
	Text             string `json:"text"`
}

func identity(id string, revision int64) seal.Identity {
	return seal.Identity{Vault: "acme", Kind: "key", Name: id, Revision: revision}
}

func (s *Store) seal(k acme.ExternalKey) ([]byte, error) {
	b, err := json.Marshal(externalKey{k, k.Secret.Reveal()})
	if err != nil {
		return nil, err
	}
	return s.sealer.Seal(identity(k.ID, k.Revision), b), nil
}

// InsertExternalKey implements acme.Keys.
func (s *Store) InsertExternalKey(ctx context.Context, k acme.ExternalKey) error {
	sealed, err := s.seal(k)
	if err != nil {
		return err
	}
	return inserted(s.db.Exec(ctx, `INSERT INTO acme_keys (id, profile, revision, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		k.ID, k.Profile, k.Revision, sealed))
}

// UpdateExternalKey implements acme.Keys.
func (s *Store) UpdateExternalKey(ctx context.Context, k acme.ExternalKey) error {
	sealed, err := s.seal(k)
	if err != nil {
		return err
	}
	return updated(s.db.Exec(ctx, `UPDATE acme_keys SET revision = $1, sealed = $2 WHERE id = $3 AND revision = $4`, k.Revision, sealed, k.ID, k.Revision-1))
}

func (s *Store) readKey(row storage.Scanner) (acme.ExternalKey, error) {
	var id string
	var revision int64
	var sealed []byte
	if err := row.Scan(&id, &revision, &sealed); err != nil {
		return acme.ExternalKey{}, storage.Translate(err)
	}
	var k externalKey
	b, err := s.sealer.Open(identity(id, revision), sealed)
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		return acme.ExternalKey{}, fmt.Errorf("ACME key %s: %w", id, err)
	}
	k.Secret = access.NewSecret(k.Text)
	return k.ExternalKey, nil
}

// ExternalKey implements acme.Keys.
func (s *Store) ExternalKey(ctx context.Context, id string) (acme.ExternalKey, error) {
	k, err := s.readKey(s.db.QueryRow(ctx, `SELECT id, revision, sealed FROM acme_keys WHERE id = $1`, id))
	if fault.Is(err, fault.NotFound) {
		err = fault.Wrap(err, fault.NotFound, "UnknownKey", "there is no external account key of this id")
	}
	return k, err
}

// ExternalKeys implements acme.Keys.
func (s *Store) ExternalKeys(ctx context.Context, profile, after string, limit int) ([]acme.ExternalKey, error) {
	rows, err := s.db.Query(ctx, `SELECT id, revision, sealed FROM acme_keys WHERE id > $1 AND ($2 = '' OR profile = $2) ORDER BY id LIMIT $3`, after, profile, limit)
	return storage.Collect(rows, err, s.readKey)
}

// InsertWindow implements acme.Keys.
func (s *Store) InsertWindow(ctx context.Context, w acme.Window) error {
	entry, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return inserted(s.db.Exec(ctx, `INSERT INTO acme_windows (id, until, entry) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, w.ID, storage.Micros(w.End), string(entry)))
}

// DeleteWindow implements acme.Keys.
func (s *Store) DeleteWindow(ctx context.Context, id string) error {
	res, err := s.db.Exec(ctx, `DELETE FROM acme_windows WHERE id = $1`, id)
	return storage.One(res, err, "there is no such window")
}

// Windows implements acme.Keys.
func (s *Store) Windows(ctx context.Context, until time.Time, limit int) ([]acme.Window, error) {
	rows, err := s.db.Query(ctx, `SELECT entry FROM acme_windows WHERE until > $1 ORDER BY id LIMIT $2`, storage.Micros(until), limit)
	return storage.Collect(rows, err, func(row storage.Scanner) (w acme.Window, err error) {
		var entry string
		if err := row.Scan(&entry); err != nil {
			return w, storage.Translate(err)
		}
		return w, json.Unmarshal([]byte(entry), &w)
	})
}

// DeleteWindows implements acme.Keys.
func (s *Store) DeleteWindows(ctx context.Context, before time.Time) error {
	_, err := s.db.Exec(ctx, `DELETE FROM acme_windows WHERE until < $1`, storage.Micros(before))
	return storage.Translate(err)
}
