package pkidb

import (
	"context"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
)

// Revoke implements revocation.Store. The update of the authority comes first: it holds
// the row until the commit, so that counts commit in their order.
func (s *Store) Revoke(ctx context.Context, id, serial, reason string, at time.Time) (issuance.Certificate, int64, error) {
	var c issuance.Certificate
	var count int64
	err := s.db.Transact(ctx, func(ctx context.Context) error {
		err := s.db.QueryRow(ctx, `UPDATE pki_authorities SET revocations = revocations + 1 WHERE id = $1 RETURNING revocations`, id).Scan(&count)
		if err != nil {
			return absent(err, "UnknownAuthority", "there is no authority %.64q", id)
		}
		c, err = scanCertificate(s.db.QueryRow(ctx, `UPDATE pki_certificates SET state = $1, revoked_at = $2, reason = $3, revocation = $4
			WHERE serial = $5 AND authority = $6 AND revocation = 0 RETURNING `+certificateColumns,
			issuance.Revoked, storage.Micros(at), reason, count, serial, id))
		if err = storage.Translate(err); fault.Is(err, fault.NotFound) {
			if c, err = s.CertificateBySerial(ctx, id, serial); err == nil {
				err = fault.New(fault.Conflict, "AlreadyRevoked", "certificate %s was revoked at %s for %s", serial, c.RevokedAt.Format(time.RFC3339), c.Reason)
			}
		}
		if err != nil || c.SHA256 == "" {
			return err
		}
		_, err = s.db.Exec(ctx, `UPDATE pki_authorities SET state = $1 WHERE sha256 = $2`, authority.Revoked, c.SHA256)
		return err
	})
	return c, count, err
}

// Revocations implements revocation.Store.
func (s *Store) Revocations(ctx context.Context, id string) (int64, error) {
	var n int64
	err := s.db.QueryRow(ctx, `SELECT revocations FROM pki_authorities WHERE id = $1`, id).Scan(&n)
	return n, absent(err, "UnknownAuthority", "there is no authority %.64q", id)
}

// Entries implements revocation.Store.
func (s *Store) Entries(ctx context.Context, id string, expires time.Time, covered int64) ([]revocation.Entry, error) {
	rows, err := s.db.Query(ctx, `SELECT serial, revoked_at, reason FROM pki_certificates
		WHERE authority = $1 AND revocation > 0 AND (not_after >= $2 OR revocation > $3) ORDER BY serial`, id, storage.Micros(expires), covered)
	return collect(rows, err, func(row scanner) (revocation.Entry, error) {
		var e revocation.Entry
		var at int64
		err := row.Scan(&e.Serial, &at, &e.Reason)
		e.RevokedAt = storage.Time(at)
		return e, err
	})
}

// CRL implements revocation.Store.
func (s *Store) CRL(ctx context.Context, id string) (revocation.CRL, error) {
	c := revocation.CRL{Authority: id}
	var this, next int64
	err := s.db.QueryRow(ctx, `SELECT number, covers, entries, sha256, this_update, next_update, der FROM pki_crls WHERE authority = $1`, id).
		Scan(&c.Number, &c.Covers, &c.Entries, &c.SHA256, &this, &next, &c.DER)
	if err != nil {
		return revocation.CRL{}, absent(err, "NoCRL", "authority %.64q has no CRL", id)
	}
	c.ThisUpdate, c.NextUpdate = storage.Time(this), storage.Time(next)
	return c, nil
}

// PublishCRL implements revocation.Store.
func (s *Store) PublishCRL(ctx context.Context, c revocation.CRL, previous int64) error {
	args := []any{c.Authority, c.Number, c.Covers, c.Entries, c.SHA256, storage.Micros(c.ThisUpdate), storage.Micros(c.NextUpdate), c.DER}
	q := `INSERT INTO pki_crls (authority, number, covers, entries, sha256, this_update, next_update, der)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	if previous != 0 {
		q = `UPDATE pki_crls SET number = $2, covers = $3, entries = $4, sha256 = $5, this_update = $6, next_update = $7, der = $8
			WHERE authority = $1 AND number = $9`
		args = append(args, previous)
	}
	res, err := s.db.Exec(ctx, q, args...)
	if err = storage.One(res, err, "outrun"); fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "Outrun", "CRL %d of %s is not the current one any more", previous, c.Authority)
	}
	return err
}

// Due implements revocation.Store.
func (s *Store) Due(ctx context.Context, thisUpdate, nextUpdate time.Time, after string, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT a.id FROM pki_authorities a LEFT JOIN pki_crls c ON c.authority = a.id
		WHERE a.id > $3 AND (c.authority IS NULL OR c.covers < a.revocations OR c.this_update <= $1 OR c.next_update <= $2)
		ORDER BY a.id LIMIT $4`, storage.Micros(thisUpdate), storage.Micros(nextUpdate), after, limit)
	return collect(rows, err, func(row scanner) (string, error) {
		var id string
		return id, row.Scan(&id)
	})
}
