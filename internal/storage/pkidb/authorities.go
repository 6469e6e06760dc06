package pkidb

import (
	"context"
	"fmt"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/storage"
)

const authorityColumns = `id, parent, subject, certificate, serial, sha256, not_before, not_after, keystore, state, created_at, above, successor`

const (
	completeAuthorities = `SELECT ` + authorityColumns + `, partitions, EXISTS (
		WITH RECURSIVE up(id) AS (SELECT pki_authorities.parent UNION SELECT p.parent FROM pki_authorities p JOIN up ON p.id = up.id)
		SELECT 1 FROM up JOIN pki_authorities r ON r.id = up.id WHERE r.state = 'revoked') FROM pki_authorities`
	pendingAuthorities = `SELECT id, '', subject, NULL, '', '', 0, 0, keystore, 'pending', created_at, NULL, '', 0, FALSE FROM pki_pending_authorities`
)

func scanAuthority(row storage.Scanner) (authority.Authority, error) {
	var a authority.Authority
	var from, to, created int64
	err := row.Scan(&a.ID, &a.Parent, &a.Subject, &a.Certificate, &a.Serial, &a.SHA256, &from, &to, &a.Keystore, &a.State, &created, &a.Above, &a.Successor, &a.Partitions, &a.Severed)
	if a.State != authority.Pending {
		a.NotBefore, a.NotAfter = storage.Time(from), storage.Time(to)
	}
	a.CreatedAt = storage.Time(created)
	return a, err
}

// InsertAuthority implements authority.Store.
func (s *Store) InsertAuthority(ctx context.Context, a authority.Authority, sealedKey []byte) error {
	_, err := s.db.Exec(ctx, `INSERT INTO pki_authorities (`+authorityColumns+`, sealed_key, revocations)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0)`,
		a.ID, a.Parent, a.Subject, a.Certificate, a.Serial, a.SHA256, storage.Micros(a.NotBefore), storage.Micros(a.NotAfter),
		a.Keystore, a.State, storage.Micros(a.CreatedAt), a.Above, a.Successor, sealedKey)
	return storage.Translate(err)
}

// InsertPending implements authority.Store.
func (s *Store) InsertPending(ctx context.Context, a authority.Authority, request, sealedKey []byte) error {
	_, err := s.db.Exec(ctx, `INSERT INTO pki_pending_authorities (id, subject, request, keystore, sealed_key, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.ID, a.Subject, request, a.Keystore, sealedKey, storage.Micros(a.CreatedAt))
	return storage.Translate(err)
}

// Complete implements authority.Store.
func (s *Store) Complete(ctx context.Context, a authority.Authority) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		var sealed []byte
		err := s.db.QueryRow(ctx, `DELETE FROM pki_pending_authorities WHERE id = $1 RETURNING sealed_key`, a.ID).Scan(&sealed)
		if err = storage.Translate(err); fault.Is(err, fault.NotFound) {
			return fault.New(fault.Conflict, "AuthorityNotPending", "authority %s does not wait for a certificate any more", a.ID)
		}
		if err != nil {
			return err
		}
		return s.InsertAuthority(ctx, a, sealed)
	})
}

// SetState implements authority.Store.
func (s *Store) SetState(ctx context.Context, id string, from, to authority.State, successor string) error {
	r, err := s.db.Exec(ctx, `UPDATE pki_authorities SET state = $1, successor = $2 WHERE id = $3 AND state = $4`, to, successor, id, from)
	if err != nil {
		return storage.Translate(err)
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "AuthorityChanged", "authority %s is not %s any more; look at it again", id, from)
	}
	return err
}

// Authority implements authority.Store.
func (s *Store) Authority(ctx context.Context, id string) (authority.Authority, error) {
	a, err := scanAuthority(s.db.QueryRow(ctx, completeAuthorities+` WHERE id = $1`, id))
	if fault.Is(storage.Translate(err), fault.NotFound) {
		a, err = scanAuthority(s.db.QueryRow(ctx, pendingAuthorities+` WHERE id = $1`, id))
	}
	return a, absent(err, "UnknownAuthority", "there is no authority %.64q", id)
}

// SealedKey implements authority.Store.
func (s *Store) SealedKey(ctx context.Context, id string) ([]byte, error) {
	var sealed []byte
	err := s.db.QueryRow(ctx, `SELECT sealed_key FROM pki_authorities WHERE id = $1
		UNION ALL SELECT sealed_key FROM pki_pending_authorities WHERE id = $1`, id).Scan(&sealed)
	return sealed, absent(err, "UnknownAuthority", "there is no authority %.64q", id)
}

// PendingRequest implements authority.Store.
func (s *Store) PendingRequest(ctx context.Context, id string) ([]byte, error) {
	var der []byte
	err := s.db.QueryRow(ctx, `SELECT request FROM pki_pending_authorities WHERE id = $1`, id).Scan(&der)
	return der, absent(err, "UnknownAuthority", "no authority %.64q waits for a certificate", id)
}

// Authorities implements authority.Store.
func (s *Store) Authorities(ctx context.Context, after string, limit int) ([]authority.Authority, error) {
	rows, err := s.db.Query(ctx, `SELECT * FROM (`+completeAuthorities+` UNION ALL `+pendingAuthorities+`) AS a WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	return storage.Collect(rows, err, scanAuthority)
}

const crossColumns = `authority, issuer, serial, sha256, certificate, above, not_before, not_after, created_at`

// InsertCross implements authority.Store.
func (s *Store) InsertCross(ctx context.Context, x authority.Cross) error {
	_, err := s.db.Exec(ctx, `INSERT INTO pki_cross_certificates (`+crossColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		x.Authority, x.Issuer, x.Serial, x.SHA256, x.Certificate, x.Above, storage.Micros(x.NotBefore), storage.Micros(x.NotAfter), storage.Micros(x.CreatedAt))
	return storage.Translate(err)
}

// Crosses implements authority.Store.
func (s *Store) Crosses(ctx context.Context, id string) ([]authority.Cross, error) {
	rows, err := s.db.Query(ctx, `SELECT `+crossColumns+`, EXISTS (SELECT 1 FROM pki_certificates c WHERE c.sha256 = x.sha256 AND c.revocation > 0)
		FROM pki_cross_certificates x WHERE authority = $1 ORDER BY sha256 LIMIT $2`, id, authority.MaxCrosses)
	return storage.Collect(rows, err, func(row storage.Scanner) (authority.Cross, error) {
		var x authority.Cross
		var from, to, created int64
		err := row.Scan(&x.Authority, &x.Issuer, &x.Serial, &x.SHA256, &x.Certificate, &x.Above, &from, &to, &created, &x.Revoked)
		x.NotBefore, x.NotAfter, x.CreatedAt = storage.Time(from), storage.Time(to), storage.Time(created)
		return x, err
	})
}

// absent translates an error and gives a row that is not there its code and message.
func absent(err error, code, format string, args ...any) error {
	err = storage.Translate(err)
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(err, fault.NotFound, code, fmt.Sprintf(format, args...))
	}
	return err
}
