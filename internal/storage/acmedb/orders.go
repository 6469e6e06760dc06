package acmedb

import (
	"context"
	"database/sql"
	"encoding/json/v2"
	"encoding/pem"
	"fmt"
	"time"

	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/storage"
)

// order is one as its row has it.
type order struct {
	acme.Order `json:",inline"`
	From       time.Time `json:"from,omitzero"`
	To         time.Time `json:"to,omitzero"`
	Issued     time.Time `json:"issued,omitzero"`
}

// How long orders are kept: those that led to nothing, for questions; those that led to a
// certificate, beyond its end.
const (
	afterOrder       = 24 * time.Hour
	afterCertificate = 30 * 24 * time.Hour
)

func over(o acme.Order) int64 {
	if o.Status == acme.Valid {
		return storage.Micros(o.Certificate.NotAfter.Add(afterCertificate))
	}
	return storage.Micros(o.Expires.Add(afterOrder))
}

func encode(o acme.Order) (string, error) {
	c := o.Certificate
	b, err := json.Marshal(order{o, c.NotBefore, c.NotAfter, c.Issued})
	return string(b), err
}

// InsertOrder implements acme.Orders.
func (s *Store) InsertOrder(ctx context.Context, o acme.Order) error {
	entry, err := encode(o)
	if err != nil {
		return err
	}
	return inserted(s.db.Exec(ctx, `INSERT INTO acme_orders (id, account, once, replaced_by, over, revision, entry)
		VALUES ($1, $2, $3, '', $4, $5, $6) ON CONFLICT DO NOTHING`, o.ID, o.Account, o.Once, over(o), o.Revision, entry))
}

// UpdateOrder implements acme.Orders.
func (s *Store) UpdateOrder(ctx context.Context, o acme.Order) error {
	entry, err := encode(o)
	if err != nil {
		return err
	}
	var chain []byte
	for _, der := range o.Certificate.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	text := func(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
	return updated(s.db.Exec(ctx, `UPDATE acme_orders SET renewal_id = $1, sha256 = $2, over = $3, revision = $4, entry = $5, der = $6, chain = $7
		WHERE id = $8 AND revision = $9`, text(o.Certificate.RenewalID), text(o.Certificate.SHA256), over(o), o.Revision, entry,
		o.Certificate.DER, chain, o.ID, o.Revision-1))
}

const orderColumns = `SELECT entry, once, renewal_id, sha256, replaced_by, der, chain FROM acme_orders`

func readOrder(row storage.Scanner) (acme.Order, error) {
	var entry string
	var renewal, sum sql.NullString
	var chain []byte
	var o order
	c := &o.Certificate
	if err := row.Scan(&entry, &o.Once, &renewal, &sum, &c.ReplacedBy, &c.DER, &chain); err != nil {
		return o.Order, storage.Translate(err)
	}
	if err := json.Unmarshal([]byte(entry), &o); err != nil {
		return o.Order, fmt.Errorf("an ACME order: %w", err)
	}
	c.RenewalID, c.SHA256, c.NotBefore, c.NotAfter, c.Issued = renewal.String, sum.String, o.From, o.To, o.Issued
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		c.Chain = append(c.Chain, block.Bytes)
	}
	return o.Order, nil
}

// Order implements acme.Orders.
func (s *Store) Order(ctx context.Context, id string) (acme.Order, error) {
	return readOrder(s.db.QueryRow(ctx, orderColumns+` WHERE id = $1`, id))
}

// OrderByRenewalID implements acme.Orders.
func (s *Store) OrderByRenewalID(ctx context.Context, id string) (acme.Order, error) {
	return readOrder(s.db.QueryRow(ctx, orderColumns+` WHERE renewal_id = $1`, id))
}

// OrderByCertificate implements acme.Orders.
func (s *Store) OrderByCertificate(ctx context.Context, sha256 string) (acme.Order, error) {
	return readOrder(s.db.QueryRow(ctx, orderColumns+` WHERE sha256 = $1`, sha256))
}

// OrdersOf implements acme.Orders.
func (s *Store) OrdersOf(ctx context.Context, account, before string, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT id FROM acme_orders WHERE account = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3`, account, before, limit)
	return storage.Collect(rows, err, func(row storage.Scanner) (id string, err error) { return id, row.Scan(&id) })
}

// MarkReplaced implements acme.Orders.
func (s *Store) MarkReplaced(ctx context.Context, renewalID, by string) error {
	_, err := s.db.Exec(ctx, `UPDATE acme_orders SET replaced_by = $1 WHERE renewal_id = $2 AND replaced_by = ''`, by, renewalID)
	return storage.Translate(err)
}

// Prune implements acme.Orders. Orders go first: one that is there finds its authorizations.
func (s *Store) Prune(ctx context.Context, now time.Time, limit int) (int64, error) {
	var total int64
	for _, step := range []struct {
		query  string
		before time.Time
	}{
		{`DELETE FROM acme_orders WHERE id IN (SELECT id FROM acme_orders WHERE over < $1 ORDER BY over LIMIT $2)`, now},
		// An order may point to an authorization for as long as it waits for a person.
		{`DELETE FROM acme_authorizations WHERE id IN (SELECT id FROM acme_authorizations WHERE expires < $1 ORDER BY expires LIMIT $2)`, now.Add(-2 * afterOrder)},
	} {
		res, err := s.db.Exec(ctx, step.query, storage.Micros(step.before), limit)
		if err != nil {
			return total, storage.Translate(err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return total, err
		}
		total = max(total, n)
	}
	return total, nil
}
