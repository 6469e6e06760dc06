package pkidb

import (
	"context"
	"fmt"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/storage"
)

const authorityColumns = `id, parent, subject, certificate, serial, sha256, not_before, not_after, keystore, state, created_at`

func scanAuthority(row scanner) (authority.Authority, error) {
	var a authority.Authority
	var from, to, created int64
	err := row.Scan(&a.ID, &a.Parent, &a.Subject, &a.Certificate, &a.Serial, &a.SHA256, &from, &to, &a.Keystore, &a.State, &created)
	a.NotBefore, a.NotAfter, a.CreatedAt = storage.Time(from), storage.Time(to), storage.Time(created)
	return a, err
}

// InsertAuthority implements authority.Store.
func (s *Store) InsertAuthority(ctx context.Context, a authority.Authority, sealedKey []byte) error {
	_, err := s.db.Exec(ctx, `INSERT INTO pki_authorities (`+authorityColumns+`, sealed_key, revocations)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0)`,
		a.ID, a.Parent, a.Subject, a.Certificate, a.Serial, a.SHA256, storage.Micros(a.NotBefore), storage.Micros(a.NotAfter),
		a.Keystore, a.State, storage.Micros(a.CreatedAt), sealedKey)
	return storage.Translate(err)
}

// Authority implements authority.Store.
func (s *Store) Authority(ctx context.Context, id string) (authority.Authority, error) {
	a, err := scanAuthority(s.db.QueryRow(ctx, `SELECT `+authorityColumns+` FROM pki_authorities WHERE id = $1`, id))
	return a, absent(err, "UnknownAuthority", "there is no authority %.64q", id)
}

// SealedKey implements authority.Store.
func (s *Store) SealedKey(ctx context.Context, id string) ([]byte, error) {
	var sealed []byte
	err := s.db.QueryRow(ctx, `SELECT sealed_key FROM pki_authorities WHERE id = $1`, id).Scan(&sealed)
	return sealed, absent(err, "UnknownAuthority", "there is no authority %.64q", id)
}

// Authorities implements authority.Store.
func (s *Store) Authorities(ctx context.Context, after string, limit int) ([]authority.Authority, error) {
	rows, err := s.db.Query(ctx, `SELECT `+authorityColumns+` FROM pki_authorities WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	return collect(rows, err, scanAuthority)
}

// absent translates an error and gives a row that is not there its code and message.
func absent(err error, code, format string, args ...any) error {
	err = storage.Translate(err)
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(err, fault.NotFound, code, fmt.Sprintf(format, args...))
	}
	return err
}
