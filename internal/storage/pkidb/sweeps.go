package pkidb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
)

// selected is the condition of a selection on pki_certificates c. Signers of answers are
// left out: nobody looks whether they are revoked. Who owns a certificate and which line
// it is of, the inventory knows, on the same database.
func selected(sel revocation.Selection, now time.Time) (where string, args []any) {
	conditions := []string{}
	and := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1))
	}
	and("c.not_after >= ?", storage.Micros(now))
	and("c.profile <> ?", ocsp.SignerProfile)
	conditions = append(conditions, "(c.revocation = 0 OR c.reason = '"+revocation.Hold+"')")
	if sel.Authority != "" {
		and("c.authority = ?", sel.Authority)
	} else if sel.Profile != "" { // so that the index of authority and profile is of use
		conditions = append(conditions, "c.authority IN (SELECT a.id FROM pki_authorities a)")
	}
	if sel.Profile != "" {
		and("c.profile = ?", sel.Profile)
	}
	if sel.KeySHA256 != "" {
		and("c.key_sha256 = ?", sel.KeySHA256)
	}
	if !sel.IssuedAfter.IsZero() {
		and("c.created_at >= ?", storage.Micros(sel.IssuedAfter))
	}
	if !sel.IssuedBefore.IsZero() {
		and("c.created_at < ?", storage.Micros(sel.IssuedBefore))
	}
	if sel.Owner != "" {
		and("c.sha256 IN (SELECT i.sha256 FROM inventory_certificates i WHERE i.owner_key <> '' AND i.owner_key = ?)", strings.ToLower(sel.Owner))
	}
	if sel.Lineage != "" {
		and("c.sha256 IN (SELECT i.sha256 FROM inventory_certificates i WHERE i.lineage <> '' AND i.lineage = ?)", sel.Lineage)
	}
	return strings.Join(conditions, " AND "), args
}

// Match implements revocation.SweepStore.
func (s *Store) Match(ctx context.Context, sel revocation.Selection, now time.Time, limit int) (revocation.Preview, error) {
	var p revocation.Preview
	where, args := selected(sel, now)
	err := s.db.QueryRow(ctx, `SELECT COUNT(*), COUNT(DISTINCT c.authority) FROM pki_certificates c WHERE `+where, args...).Scan(&p.Count, &p.Authorities)
	if err != nil {
		return p, storage.Translate(err)
	}
	rows, err := s.db.Query(ctx, `SELECT c.serial, c.authority, c.profile, c.subject, c.state, c.not_before, c.not_after, c.created_at FROM pki_certificates c
		WHERE `+where+fmt.Sprintf(` ORDER BY c.created_at DESC, c.serial DESC LIMIT $%d`, len(args)+1), append(args, limit)...)
	p.Examples, err = storage.Collect(rows, err, func(row storage.Scanner) (issuance.Certificate, error) {
		var c issuance.Certificate
		var from, to, created int64
		err := row.Scan(&c.Serial, &c.Authority, &c.Profile, &c.Subject, &c.State, &from, &to, &created)
		c.NotBefore, c.NotAfter, c.CreatedAt = storage.Time(from), storage.Time(to), storage.Time(created)
		return c, err
	})
	return p, err
}

// InsertSweep implements revocation.SweepStore.
func (s *Store) InsertSweep(ctx context.Context, w revocation.Sweep) (int64, error) {
	selection, err := json.Marshal(w.Selection)
	if err != nil {
		return 0, err
	}
	var total int64
	err = s.db.Transact(ctx, func(ctx context.Context) error {
		where, args := selected(w.Selection, w.CreatedAt)
		res, err := s.db.Exec(ctx, fmt.Sprintf(`INSERT INTO pki_sweep_items (sweep, authority, serial) SELECT CAST($%d AS TEXT), c.authority, c.serial FROM pki_certificates c WHERE `, len(args)+1)+where,
			append(args, w.ID)...)
		if err != nil {
			return storage.Translate(err)
		}
		if total, err = res.RowsAffected(); err != nil {
			return storage.Translate(err)
		}
		_, err = s.db.Exec(ctx, `INSERT INTO pki_sweeps (id, selection, reason, invalid_since, state, total, revoked, skipped, requester, created_at, ended_at)
			VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, $8, 0)`,
			w.ID, string(selection), w.Reason, storage.Micros(w.InvalidSince), w.State, total, w.Requester, storage.Micros(w.CreatedAt))
		return storage.Translate(err)
	})
	return total, err
}

const sweepColumns = `id, selection, reason, invalid_since, state, total, revoked, skipped, requester, created_at, ended_at`

func scanSweep(row storage.Scanner) (revocation.Sweep, error) {
	var w revocation.Sweep
	var selection string
	var since, created, ended int64
	err := row.Scan(&w.ID, &selection, &w.Reason, &since, &w.State, &w.Total, &w.Revoked, &w.Skipped, &w.Requester, &created, &ended)
	if err != nil {
		return w, err
	}
	w.InvalidSince, w.CreatedAt, w.EndedAt = storage.Time(since), storage.Time(created), storage.Time(ended)
	return w, json.Unmarshal([]byte(selection), &w.Selection)
}

// Sweep implements revocation.SweepStore.
func (s *Store) Sweep(ctx context.Context, id string) (revocation.Sweep, error) {
	w, err := scanSweep(s.db.QueryRow(ctx, `SELECT `+sweepColumns+` FROM pki_sweeps WHERE id = $1`, id))
	return w, absent(err, "UnknownRevocation", "there is no bulk revocation %.64q", id)
}

// Sweeps implements revocation.SweepStore. Ids grow with time.
func (s *Store) Sweeps(ctx context.Context, after string, limit int) ([]revocation.Sweep, error) {
	rows, err := s.db.Query(ctx, `SELECT `+sweepColumns+` FROM pki_sweeps WHERE $1 = '' OR id < $1 ORDER BY id DESC LIMIT $2`, after, limit)
	return storage.Collect(rows, err, scanSweep)
}

// Items implements revocation.SweepStore.
func (s *Store) Items(ctx context.Context, id string, limit int) ([]revocation.Item, error) {
	rows, err := s.db.Query(ctx, `SELECT authority, serial FROM pki_sweep_items WHERE sweep = $1 ORDER BY serial LIMIT $2`, id, limit)
	return storage.Collect(rows, err, func(row storage.Scanner) (revocation.Item, error) {
		var i revocation.Item
		return i, row.Scan(&i.Authority, &i.Serial)
	})
}

// Advance implements revocation.SweepStore.
func (s *Store) Advance(ctx context.Context, id string, done []revocation.Item, revoked int) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		res, err := s.db.Exec(ctx, `UPDATE pki_sweeps SET revoked = revoked + $1, skipped = skipped + $2 WHERE id = $3 AND state = $4`,
			revoked, len(done)-revoked, id, revocation.Running)
		if err := ended(storage.One(res, err, "ended"), id); err != nil {
			return err
		}
		for _, i := range done {
			res, err := s.db.Exec(ctx, `DELETE FROM pki_sweep_items WHERE sweep = $1 AND serial = $2`, id, i.Serial)
			if err := ended(storage.One(res, err, "done"), id); err != nil {
				return err
			}
		}
		return nil
	})
}

// EndSweep implements revocation.SweepStore.
func (s *Store) EndSweep(ctx context.Context, id string, state revocation.SweepState, at time.Time) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		if _, err := s.Sweep(ctx, id); err != nil {
			return err
		}
		res, err := s.db.Exec(ctx, `UPDATE pki_sweeps SET state = $1, ended_at = $2 WHERE id = $3 AND state = $4`, state, storage.Micros(at), id, revocation.Running)
		if err := ended(storage.One(res, err, "ended"), id); err != nil {
			return err
		}
		_, err = s.db.Exec(ctx, `DELETE FROM pki_sweep_items WHERE sweep = $1`, id)
		return storage.Translate(err)
	})
}

func ended(err error, id string) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "SweepEnded", "bulk revocation %s has ended, or another process goes on with it", id)
	}
	return err
}
