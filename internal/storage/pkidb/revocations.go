package pkidb

import (
	"context"
	"database/sql"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
)

// counted runs a change of a certificate with the next count of its authority. The update
// of the authority comes first: it holds the row until the commit, so that counts commit
// in their order. A change that is refused was not counted, whatever the transaction does next.
func (s *Store) counted(ctx context.Context, id string, change func(ctx context.Context, count int64) error) (int64, error) {
	var count int64
	err := s.db.Transact(ctx, func(ctx context.Context) error {
		err := s.db.QueryRow(ctx, `UPDATE pki_authorities SET revocations = revocations + 1 WHERE id = $1 RETURNING revocations`, id).Scan(&count)
		if err != nil {
			return absent(err, "UnknownAuthority", "there is no authority %.64q", id)
		}
		err = change(ctx, count)
		if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
			if _, undo := s.db.Exec(ctx, `UPDATE pki_authorities SET revocations = revocations - 1 WHERE id = $1`, id); undo != nil {
				return storage.Translate(undo)
			}
		}
		return err
	})
	return count, err
}

// Revoke implements revocation.Store.
func (s *Store) Revoke(ctx context.Context, r revocation.Revocation) (issuance.Certificate, int64, error) {
	var c issuance.Certificate
	count, err := s.counted(ctx, r.Authority, func(ctx context.Context, count int64) error {
		var err error
		c, err = scanCertificate(s.db.QueryRow(ctx, `UPDATE pki_certificates SET state = $1, reason = $2, revocation = $3, invalid_since = $4,
				revoked_at = CASE WHEN revocation = 0 THEN $5 ELSE revoked_at END
			WHERE serial = $6 AND authority = $7 AND (revocation = 0 OR (reason = $8 AND $2 <> $8)) RETURNING `+certificateColumns,
			issuance.Revoked, r.Reason, count, storage.Micros(r.InvalidSince), storage.Micros(r.At), r.Serial, r.Authority, revocation.Hold))
		if err = storage.Translate(err); fault.Is(err, fault.NotFound) {
			if c, err = s.CertificateBySerial(ctx, r.Authority, r.Serial); err == nil {
				err = fault.New(fault.Conflict, "AlreadyRevoked", "certificate %s was revoked at %s for %s", r.Serial, c.RevokedAt.Format(time.RFC3339), c.Reason)
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

// Release implements revocation.Store.
func (s *Store) Release(ctx context.Context, id, serial string) (issuance.Certificate, int64, error) {
	var c issuance.Certificate
	count, err := s.counted(ctx, id, func(ctx context.Context, count int64) error {
		var err error
		c, err = scanCertificate(s.db.QueryRow(ctx, `UPDATE pki_certificates SET reason = '', revocation = 0, invalid_since = 0, revoked_at = 0,
				state = CASE WHEN sha256 IS NOT NULL THEN $1 WHEN failure <> '' THEN $2 ELSE $3 END
			WHERE serial = $4 AND authority = $5 AND revocation > 0 AND reason = $6 RETURNING `+certificateColumns,
			issuance.Issued, issuance.Failed, issuance.Intended, serial, id, revocation.Hold))
		if err = storage.Translate(err); fault.Is(err, fault.NotFound) {
			if c, err = s.CertificateBySerial(ctx, id, serial); err == nil {
				err = fault.New(fault.Conflict, "NotOnHold", "certificate %s is not on hold; only a hold can be released", serial)
			}
		}
		if err != nil {
			return err
		}
		_, err = s.db.Exec(ctx, `INSERT INTO pki_releases (authority, change, serial) VALUES ($1, $2, $3)`, id, count, serial)
		return err
	})
	return c, count, err
}

// Revocations implements revocation.Store and ocsp.Store.
func (s *Store) Revocations(ctx context.Context, id string) (int64, error) {
	var n int64
	err := s.db.QueryRow(ctx, `SELECT revocations FROM pki_authorities WHERE id = $1`, id).Scan(&n)
	return n, absent(err, "UnknownAuthority", "there is no authority %.64q", id)
}

// Entries implements revocation.Store.
func (s *Store) Entries(ctx context.Context, x revocation.Scope, each func(revocation.Entry) error) error {
	q := `SELECT serial, revoked_at, reason, invalid_since FROM pki_certificates
		WHERE authority = $1 AND revocation > 0 AND (not_after >= $2 OR revocation > $3)`
	args := []any{x.Authority, storage.Micros(x.Expires), x.Covered}
	if x.Part != 0 {
		q, args = q+` AND part = $4`, append(args, x.Part)
	}
	rows, err := s.db.Query(ctx, q+` ORDER BY serial`, args...)
	if err != nil {
		return storage.Translate(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var e revocation.Entry
		var at, since int64
		if err := rows.Scan(&e.Serial, &at, &e.Reason, &since); err != nil {
			return storage.Translate(err)
		}
		e.RevokedAt, e.InvalidSince = storage.Time(at), storage.Time(since)
		if err := each(e); err != nil {
			return err
		}
	}
	return storage.Translate(rows.Err())
}

// Changes implements revocation.Store.
func (s *Store) Changes(ctx context.Context, id string, since int64, limit int) ([]revocation.Change, error) {
	rows, err := s.db.Query(ctx, `SELECT serial, revoked_at, reason, invalid_since, part, revocation AS change, 0 AS released FROM pki_certificates
			WHERE authority = $1 AND revocation > 0 AND revocation > $2
		UNION ALL SELECT r.serial, 0, '', 0, c.part, r.change, 1 FROM pki_releases r JOIN pki_certificates c ON c.serial = r.serial
			WHERE r.authority = $1 AND r.change > $2
		ORDER BY change LIMIT $3`, id, since, limit)
	return storage.Collect(rows, err, func(row storage.Scanner) (revocation.Change, error) {
		var c revocation.Change
		var at, since, released int64
		err := row.Scan(&c.Serial, &at, &c.Reason, &since, &c.Part, &c.Count, &released)
		c.RevokedAt, c.InvalidSince, c.Released = storage.Time(at), storage.Time(since), released == 1
		return c, err
	})
}

// SerialChanges implements ocsp.Store.
func (s *Store) SerialChanges(ctx context.Context, id string, since int64, limit int) ([]string, int64, error) {
	changes, err := s.Changes(ctx, id, since, limit)
	if err != nil || len(changes) == 0 {
		return nil, since, err
	}
	serials := make([]string, len(changes))
	for i, c := range changes {
		serials[i] = c.Serial
	}
	return serials, changes[len(changes)-1].Count, nil
}

// SerialStatus implements ocsp.Store.
func (s *Store) SerialStatus(ctx context.Context, id, serial string) (ocsp.Status, error) {
	var x ocsp.Status
	var sum sql.NullString
	var count, at, since int64
	var reason string
	err := s.db.QueryRow(ctx, `SELECT sha256, revocation, revoked_at, reason, invalid_since FROM pki_certificates WHERE serial = $1 AND authority = $2`, serial, id).
		Scan(&sum, &count, &at, &reason, &since)
	if err != nil {
		return x, absent(err, "UnknownCertificate", "authority %s has no certificate %.64q", id, serial)
	}
	x.Issued = sum.Valid
	if count > 0 {
		x.RevokedAt, x.Reason, x.InvalidSince = storage.Time(at), revocation.ReasonCode(reason), storage.Time(since)
	}
	return x, nil
}

// Partitions implements revocation.Store.
func (s *Store) Partitions(ctx context.Context, id string) (int, error) {
	var n int
	err := s.db.QueryRow(ctx, `SELECT partitions FROM pki_authorities WHERE id = $1`, id).Scan(&n)
	return n, absent(err, "UnknownAuthority", "there is no authority %.64q", id)
}

// SetPartitions implements revocation.Store.
func (s *Store) SetPartitions(ctx context.Context, id string, n int) error {
	res, err := s.db.Exec(ctx, `UPDATE pki_authorities SET partitions = $1 WHERE id = $2 AND partitions < $1`, n, id)
	if err = storage.One(res, err, "not lower"); !fault.Is(err, fault.NotFound) {
		return err
	}
	now, err := s.Partitions(ctx, id)
	if err != nil {
		return err
	}
	return fault.New(fault.Conflict, "PartitionsOnlyGrow", "the list of %s has %d parts, which certificates name; only a higher number can be set", id, now)
}
