package lifecycledb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/storage"
)

const passcodeKind = "passcode"

var _ passcode.Store = (*Store)(nil)

// InsertPasscode implements passcode.Store.
func (s *Store) InsertPasscode(ctx context.Context, e passcode.Entry) error {
	sealed, err := s.seal(passcodeKind, e.ID, 1, e.Passcode)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `INSERT INTO lifecycle_passcodes (id, digest, expires, spent_for, spent_at, revision, sealed)
		VALUES ($1, $2, $3, '', 0, 1, $4) ON CONFLICT DO NOTHING`, e.ID, e.Digest, storage.Micros(e.Expires), sealed)
	return storage.Inserted(res, err, "Exists")
}

const passcodeColumns = `SELECT id, digest, spent_for, spent_at, revision, sealed FROM lifecycle_passcodes `

func (s *Store) passcode(row storage.Scanner) (passcode.Entry, error) {
	var e passcode.Entry
	var id string
	var spent, revision int64
	var sealed []byte
	if err := row.Scan(&id, &e.Digest, &e.SpentFor, &spent, &revision, &sealed); err != nil {
		return e, storage.Translate(err)
	}
	b, err := s.sealer.Open(identity(passcodeKind, id, revision), sealed)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(b, &e.Passcode); err != nil {
		return e, fmt.Errorf("decode passcode %s: %w", id, err)
	}
	if spent > 0 {
		e.Spent = time.UnixMicro(spent).UTC()
	}
	return e, nil
}

// Passcode implements passcode.Store.
func (s *Store) Passcode(ctx context.Context, id string) (passcode.Entry, error) {
	return s.passcode(s.db.QueryRow(ctx, passcodeColumns+`WHERE id = $1`, id))
}

// PasscodeByDigest implements passcode.Store.
func (s *Store) PasscodeByDigest(ctx context.Context, digest string) (passcode.Entry, error) {
	return s.passcode(s.db.QueryRow(ctx, passcodeColumns+`WHERE digest = $1`, digest))
}

// Passcodes implements passcode.Store.
func (s *Store) Passcodes(ctx context.Context, after string, limit int) ([]passcode.Entry, error) {
	var c conditions
	c.add("id < $%d", after)
	rows, err := s.db.Query(ctx, passcodeColumns+c.where()+` ORDER BY id DESC LIMIT `+c.limit(limit), c.args...)
	return storage.Collect(rows, err, s.passcode)
}

// SpendPasscode implements passcode.Store.
func (s *Store) SpendPasscode(ctx context.Context, id, csr string, at time.Time) error {
	if csr == "" {
		_, err := s.db.Exec(ctx, `UPDATE lifecycle_passcodes SET spent_for = '', spent_at = 0 WHERE id = $1`, id)
		return storage.Translate(err)
	}
	res, err := s.db.Exec(ctx, `UPDATE lifecycle_passcodes SET spent_for = $1, spent_at = $2 WHERE id = $3 AND (spent_for = '' OR spent_for = $1)`,
		csr, storage.Micros(at), id)
	return storage.Changed(res, err, "Spent")
}

// DeletePasscode implements passcode.Store.
func (s *Store) DeletePasscode(ctx context.Context, id string) error {
	res, err := s.db.Exec(ctx, `DELETE FROM lifecycle_passcodes WHERE id = $1`, id)
	return storage.Changed(res, err, "Spent")
}

// ForgetPasscodes implements passcode.Store.
func (s *Store) ForgetPasscodes(ctx context.Context, before time.Time) error {
	_, err := s.db.Exec(ctx, `DELETE FROM lifecycle_passcodes WHERE expires < $1`, storage.Micros(before))
	return storage.Translate(err)
}

// waitingKept is how long a client may come back for what it waits for: longer than a
// request waits for an approval.
const waitingKept = 30 * 24 * time.Hour

// Wait notes which request a client waits for, in place of one before.
func (s *Store) Wait(ctx context.Context, key, request string, now time.Time) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM lifecycle_waiting WHERE created < $1`, storage.Micros(now.Add(-waitingKept))); err != nil {
		return storage.Translate(err)
	}
	_, err := s.db.Exec(ctx, `INSERT INTO lifecycle_waiting (key, request, created) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET request = excluded.request, created = excluded.created`, key, request, storage.Micros(now))
	return storage.Translate(err)
}

// Waiting is the request that a client waits for, or fault.NotFound.
func (s *Store) Waiting(ctx context.Context, key string) (string, error) {
	var request string
	err := s.db.QueryRow(ctx, `SELECT request FROM lifecycle_waiting WHERE key = $1`, key).Scan(&request)
	return request, storage.Translate(err)
}

// Waited forgets it.
func (s *Store) Waited(ctx context.Context, key string) error {
	_, err := s.db.Exec(ctx, `DELETE FROM lifecycle_waiting WHERE key = $1`, key)
	return storage.Translate(err)
}
