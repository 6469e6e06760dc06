package pkidb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/storage"
)

const certificateColumns = `serial, authority, sha256, request, profile, subject, names, key_sha256, state, not_before, not_after,
	tbs, der, created_at, issued_at, requester, failure, revoked_at, reason`

func scanCertificate(row storage.Scanner) (issuance.Certificate, error) {
	var c issuance.Certificate
	var sum, request sql.NullString
	var names string
	var from, to, created, issued, revoked int64
	err := row.Scan(&c.Serial, &c.Authority, &sum, &request, &c.Profile, &c.Subject, &names, &c.KeySHA256, &c.State, &from, &to,
		&c.TBS, &c.DER, &created, &issued, &c.Requester, &c.Failure, &revoked, &c.Reason)
	if err != nil {
		return c, err
	}
	c.SHA256, c.Request = sum.String, request.String
	c.NotBefore, c.NotAfter, c.CreatedAt = storage.Time(from), storage.Time(to), storage.Time(created)
	c.IssuedAt, c.RevokedAt = storage.Time(issued), storage.Time(revoked)
	if err := json.Unmarshal([]byte(names), &c.Names); err != nil {
		return c, fmt.Errorf("names of certificate %s: %w", c.Serial, err)
	}
	return c, nil
}

// Intend implements issuance.Store.
func (s *Store) Intend(ctx context.Context, c issuance.Certificate) error {
	names, err := json.Marshal(c.Names)
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `INSERT INTO pki_certificates (serial, authority, request, profile, subject, names, key_sha256, state,
		not_before, not_after, tbs, created_at, requester, part, issued_at, failure, revoked_at, reason, revocation)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, '', 0, '', 0)`,
		c.Serial, c.Authority, sql.NullString{String: c.Request, Valid: c.Request != ""}, c.Profile, c.Subject, string(names), c.KeySHA256,
		issuance.Intended, storage.Micros(c.NotBefore), storage.Micros(c.NotAfter), c.TBS, storage.Micros(c.CreatedAt), c.Requester, c.Part)
	return storage.Translate(err)
}

// Finish implements issuance.Store.
func (s *Store) Finish(ctx context.Context, c issuance.Certificate) error {
	res, err := s.db.Exec(ctx, `UPDATE pki_certificates SET state = $1, sha256 = $2, der = $3, issued_at = $4, tbs = NULL
		WHERE serial = $5 AND state = $6 AND tbs = $7`,
		issuance.Issued, c.SHA256, c.DER, storage.Micros(c.IssuedAt), c.Serial, issuance.Intended, c.TBS)
	return intended(res, err, c.Serial)
}

// Fail implements issuance.Store.
func (s *Store) Fail(ctx context.Context, serial, code string) error {
	res, err := s.db.Exec(ctx, `UPDATE pki_certificates SET state = $1, failure = $2 WHERE serial = $3 AND state = $4`,
		issuance.Failed, code, serial, issuance.Intended)
	return intended(res, err, serial)
}

// intended wants exactly one row changed: the one that was intended.
func intended(res sql.Result, err error, serial string) error {
	if err = storage.One(res, err, "not intended"); fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "NotIntended", "certificate %s is not intended as it was recorded", serial)
	}
	return err
}

// CertificateBySerial implements issuance.Store.
func (s *Store) CertificateBySerial(ctx context.Context, authority, serial string) (issuance.Certificate, error) {
	c, err := scanCertificate(s.db.QueryRow(ctx, `SELECT `+certificateColumns+` FROM pki_certificates WHERE serial = $1 AND authority = $2`, serial, authority))
	return c, absent(err, "UnknownCertificate", "authority %s has no certificate %.64q", authority, serial)
}

// CertificateBySHA256 implements issuance.Store.
func (s *Store) CertificateBySHA256(ctx context.Context, sha256 string) (issuance.Certificate, error) {
	c, err := scanCertificate(s.db.QueryRow(ctx, `SELECT `+certificateColumns+` FROM pki_certificates WHERE sha256 = $1`, sha256))
	return c, absent(err, "UnknownCertificate", "no authority of ours issued the certificate with the SHA-256 %.64s", sha256)
}

// CertificateByRequest implements issuance.Store.
func (s *Store) CertificateByRequest(ctx context.Context, request string) (issuance.Certificate, error) {
	c, err := scanCertificate(s.db.QueryRow(ctx, `SELECT `+certificateColumns+` FROM pki_certificates WHERE request = $1 AND sha256 IS NOT NULL`, request))
	return c, absent(err, "UnknownCertificate", "no certificate was issued for request %.128q", request)
}

// Compromised implements issuance.Store. The reason is not a parameter, so that the query
// finds the index of those few rows.
func (s *Store) Compromised(ctx context.Context, keySHA256 string) (bool, error) {
	var found bool
	err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pki_certificates WHERE key_sha256 = $1 AND reason = 'keyCompromise')`, keySHA256).Scan(&found)
	return found, storage.Translate(err)
}

// Certificates implements issuance.Store.
func (s *Store) Certificates(ctx context.Context, f issuance.Filter, after issuance.Cursor, limit int) ([]issuance.Certificate, error) {
	q, args := listing(f, after, limit)
	rows, err := s.db.Query(ctx, q, args...)
	return storage.Collect(rows, err, scanCertificate)
}

// listing is the query of a page.
func listing(f issuance.Filter, after issuance.Cursor, limit int) (q string, args []any) {
	var where []string
	and := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	if f.Authority != "" {
		and("authority = ?", f.Authority)
	}
	if f.Profile != "" {
		and("profile = ?", f.Profile)
	}
	switch f.State { // the few are found by the indexes that hold them alone, which want to be asked in their words
	case "":
	case issuance.Failed:
		and("state = 'failed'")
	case issuance.Revoked:
		and("state = 'revoked'")
	case issuance.Intended:
		and("sha256 IS NULL AND state = 'intended'")
	default:
		and("state = ?", string(f.State))
	}
	if after != (issuance.Cursor{}) {
		and("(created_at, serial) < (?, ?)", storage.Micros(after.CreatedAt), after.Serial)
	}
	q = `SELECT ` + certificateColumns + ` FROM pki_certificates`
	if len(where) > 0 {
		q += ` WHERE ` + strings.Join(where, ` AND `)
	}
	args = append(args, limit)
	return q + fmt.Sprintf(` ORDER BY created_at DESC, serial DESC LIMIT $%d`, len(args)), args
}
