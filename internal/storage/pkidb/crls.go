package pkidb

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
)

const (
	crlHead  = `number, covers, entries, sha256, this_update, next_update`
	wholeCRL = crlHead + `, base, base_covers, base_at`
)

// scanCRL reads the columns of crlHead, and others after them.
func scanCRL(row storage.Scanner, c *revocation.CRL, more ...any) error {
	var this, next int64
	err := row.Scan(append([]any{&c.Number, &c.Covers, &c.Entries, &c.SHA256, &this, &next}, more...)...)
	c.ThisUpdate, c.NextUpdate = storage.Time(this), storage.Time(next)
	return err
}

// scanWhole reads the columns of wholeCRL, and others after them.
func scanWhole(row storage.Scanner, c *revocation.CRL, more ...any) error {
	var at int64
	err := scanCRL(row, c, append([]any{&c.Base.Number, &c.Base.Covers, &at}, more...)...)
	c.Base.At = storage.Time(at)
	return err
}

// Head implements revocation.Store.
func (s *Store) Head(ctx context.Context, id, part string) (revocation.CRL, error) {
	c := revocation.CRL{Authority: id, Part: part}
	var err error
	if part == "" {
		err = scanWhole(s.db.QueryRow(ctx, `SELECT `+wholeCRL+` FROM pki_crls WHERE authority = $1`, id), &c)
	} else {
		err = scanCRL(s.db.QueryRow(ctx, `SELECT `+crlHead+` FROM pki_partial_crls WHERE authority = $1 AND part = $2`, id, part), &c)
	}
	if err != nil {
		return revocation.CRL{}, absent(err, "NoCRL", "authority %.64q has no such CRL", id)
	}
	return c, nil
}

// CRL implements revocation.Store.
func (s *Store) CRL(ctx context.Context, id, part string) (revocation.CRL, error) {
	c := revocation.CRL{Authority: id, Part: part}
	var err error
	if part == "" {
		err = scanWhole(s.db.QueryRow(ctx, `SELECT `+wholeCRL+`, der FROM pki_crls WHERE authority = $1`, id), &c, &c.DER)
	} else {
		err = scanCRL(s.db.QueryRow(ctx, `SELECT `+crlHead+`, der FROM pki_partial_crls WHERE authority = $1 AND part = $2`, id, part), &c, &c.DER)
	}
	if err != nil {
		return revocation.CRL{}, absent(err, "NoCRL", "authority %.64q has no such CRL", id)
	}
	return c, nil
}

// Published implements revocation.Store.
func (s *Store) Published(ctx context.Context, id string) ([]revocation.CRL, error) {
	whole, err := s.Head(ctx, id, "")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT `+crlHead+`, part FROM pki_partial_crls WHERE authority = $1 ORDER BY length(part), part`, id)
	others, err := storage.Collect(rows, err, func(row storage.Scanner) (revocation.CRL, error) {
		c := revocation.CRL{Authority: id}
		err := scanCRL(row, &c, &c.Part)
		return c, err
	})
	return append([]revocation.CRL{whole}, others...), err
}

// PublishCRL implements revocation.Store.
func (s *Store) PublishCRL(ctx context.Context, c revocation.CRL, others []revocation.CRL, previous int64) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		args := append([]any{c.Authority}, crlValues(c)...)
		args = append(args, c.Base.Number, c.Base.Covers, storage.Micros(c.Base.At))
		q := `INSERT INTO pki_crls (authority, number, covers, entries, sha256, this_update, next_update, der, base, base_covers, base_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
		if previous != 0 {
			q = `UPDATE pki_crls SET number = $2, covers = $3, entries = $4, sha256 = $5, this_update = $6, next_update = $7, der = $8,
				base = $9, base_covers = $10, base_at = $11 WHERE authority = $1 AND number = $12`
			args = append(args, previous)
		}
		res, err := s.db.Exec(ctx, q, args...)
		if err = storage.One(res, err, "outrun"); fault.Is(err, fault.NotFound) {
			return fault.New(fault.Conflict, "Outrun", "CRL %d of %s is not the current one any more", previous, c.Authority)
		}
		if err != nil {
			return err
		}
		for _, o := range others {
			_, err := s.db.Exec(ctx, `INSERT INTO pki_partial_crls (authority, part, number, covers, entries, sha256, this_update, next_update, der)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (authority, part) DO UPDATE SET number = excluded.number, covers = excluded.covers,
				entries = excluded.entries, sha256 = excluded.sha256, this_update = excluded.this_update, next_update = excluded.next_update, der = excluded.der`,
				append([]any{o.Authority, o.Part}, crlValues(o)...)...)
			if err != nil {
				return storage.Translate(err)
			}
		}
		return nil
	})
}

func crlValues(c revocation.CRL) []any {
	return []any{c.Number, c.Covers, c.Entries, c.SHA256, storage.Micros(c.ThisUpdate), storage.Micros(c.NextUpdate), c.DER}
}

// Due implements revocation.Store.
func (s *Store) Due(ctx context.Context, d revocation.DueQuery) ([]string, error) {
	parts := ``
	if d.Parts {
		parts = ` OR a.partitions > (SELECT COUNT(*) FROM pki_partial_crls p WHERE p.authority = a.id AND p.part <> 'delta')`
	}
	rows, err := s.db.Query(ctx, `SELECT a.id FROM pki_authorities a LEFT JOIN pki_crls c ON c.authority = a.id
		WHERE a.id > $3 AND (c.authority IS NULL OR c.covers < a.revocations OR c.this_update <= $1 OR c.next_update <= $2`+parts+`)
		ORDER BY a.id LIMIT $4`, storage.Micros(d.ThisUpdate), storage.Micros(d.NextUpdate), d.After, d.Limit)
	return storage.Collect(rows, err, func(row storage.Scanner) (string, error) {
		var id string
		return id, row.Scan(&id)
	})
}
