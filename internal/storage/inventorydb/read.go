package inventorydb

import (
	"context"
	"fmt"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
	"chatelaine.dev/internal/storage"
)

const annotationColumns = `c.trust, c.score, c.judged, c.stage, c.owner, c.lineage, c.revoked, c.revocation_reason, c.first_seen, c.last_seen`

// annotationScan gives the targets of annotationColumns and what to do after the scan.
func annotationScan(a *inventory.Annotations) (targets []any, finish func()) {
	var judged, revoked, first, last int64
	targets = []any{&a.Trust, &a.Score, &judged, &a.Stage, &a.Owner, &a.Lineage, &revoked, &a.RevocationReason, &first, &last}
	return targets, func() {
		a.Judged, a.RevokedAt = storage.Time(judged), storage.Time(revoked)
		a.FirstSeen, a.LastSeen = storage.Time(first), storage.Time(last)
		a.Score = max(a.Score, 0)
	}
}

// Entry returns a certificate, read again from its content: what the reader learns with
// a new version needs no migration.
func (s *Store) Entry(ctx context.Context, sha256 string) (inventory.Entry, error) {
	var e inventory.Entry
	var der []byte
	targets, finish := annotationScan(&e.Annotations)
	var oversized inventory.Certificate
	err := s.db.QueryRow(ctx, `SELECT d.der, c.name, `+annotationColumns+`
		FROM inventory_certificates c JOIN inventory_der d ON d.sha256 = c.sha256 WHERE c.sha256 = $1`, sha256).
		Scan(append([]any{&der, &oversized.Name}, targets...)...)
	if err != nil {
		return e, storage.Translate(err)
	}
	finish()
	e.Certificate = inventory.Parse(der)
	if len(der) == 0 {
		oversized.SHA256, oversized.Parser, oversized.ErrorClass = sha256, inventory.Raw, "size"
		e.Certificate = &oversized
	}
	return e, nil
}

// sortColumn is the column of a sortable field, and whether it holds text.
func sortColumn(f filter.Field) (column string, text bool, err error) {
	switch f {
	case filter.Name:
		return "c.name_key", true, nil
	case filter.Issuer:
		return "c.issuer_key", true, nil
	case filter.Expires:
		return "c.not_after", false, nil
	case filter.Issued:
		return "c.not_before", false, nil
	case filter.Lifetime:
		return "c.lifetime", false, nil
	case filter.KeySize:
		return "c.key_size", false, nil
	case filter.Grade:
		return "c.score", false, nil
	case filter.FirstSeen:
		return "c.first_seen", false, nil
	case filter.LastSeen:
		return "c.last_seen", false, nil
	}
	return "", false, fmt.Errorf("no order by %q", f)
}

// List returns a page of summaries.
func (s *Store) List(ctx context.Context, q inventory.Query) ([]inventory.Summary, error) {
	query, args, err := listing(q)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, query, args...)
	return storage.Collect(rows, err, scanSummary)
}

// listing is the query of a page.
func listing(q inventory.Query) (query string, args []any, err error) {
	b := &builder{}
	where, err := b.node(q.Filter)
	if err != nil {
		return "", nil, err
	}
	column, isText, err := sortColumn(q.Sort)
	if err != nil {
		return "", nil, err
	}
	direction, beyond := "ASC", ">"
	if q.Descending {
		direction, beyond = "DESC", "<"
	}
	if q.After != nil {
		var from any = q.After.Number
		if isText {
			from = q.After.Text
		}
		where += " AND (" + column + ", c.sha256) " + beyond + " (" + b.arg(from) + ", " + b.arg(q.After.SHA256) + ")"
	}
	query = `SELECT c.sha256, c.name, c.subject, c.issuer, c.serial, c.key_algorithm, c.key_parameters, c.key_size, c.post_quantum, c.signature,
			c.not_before, c.not_after, c.self_signed, c.wildcard, c.ca, c.parser,
			(SELECT COUNT(*) FROM inventory_installations i WHERE i.sha256 = c.sha256 AND i.latest), ` + annotationColumns + `
		FROM inventory_certificates c WHERE ` + where + `
		ORDER BY ` + column + ` ` + direction + `, c.sha256 ` + direction + ` LIMIT ` + b.arg(q.Limit)
	return query, b.args, nil
}

func scanSummary(r storage.Scanner) (inventory.Summary, error) {
	var c inventory.Summary
	var from, to int64
	targets, finish := annotationScan(&c.Annotations)
	err := r.Scan(append([]any{&c.SHA256, &c.Name, &c.Subject, &c.Issuer, &c.Serial, &c.Key.Algorithm, &c.Key.Parameters, &c.Key.Size, &c.Key.PostQuantum,
		&c.Signature, &from, &to, &c.SelfSigned, &c.Wildcard, &c.CA, &c.Parser, &c.Installations}, targets...)...)
	finish()
	c.NotBefore, c.NotAfter = instant(from), instant(to)
	return c, storage.Translate(err)
}

// Count is the exact number of matches.
func (s *Store) Count(ctx context.Context, f filter.Node) (n int64, err error) {
	b := &builder{}
	where, err := b.node(f)
	if err != nil {
		return 0, err
	}
	err = s.db.QueryRow(ctx, `SELECT COUNT(*) FROM inventory_certificates c WHERE `+where, b.args...).Scan(&n)
	return n, storage.Translate(err)
}

// Installations of a certificate, current ones first, then by last sighting.
func (s *Store) Installations(ctx context.Context, sha256 string, limit int) ([]inventory.Installation, error) {
	rows, err := s.db.Query(ctx, `SELECT `+installationColumns+` FROM inventory_installations WHERE sha256 = $1
		ORDER BY latest DESC, last_seen DESC, place LIMIT $2`, sha256, limit)
	return storage.Collect(rows, err, scanInstallation)
}

// Findings of a certificate, in the order of the judgement.
func (s *Store) Findings(ctx context.Context, sha256 string) ([]inventory.Finding, error) {
	rows, err := s.db.Query(ctx, `SELECT rule, severity, message, remedy, since, place, source FROM inventory_findings WHERE sha256 = $1 ORDER BY position`, sha256)
	return storage.Collect(rows, err, func(r storage.Scanner) (inventory.Finding, error) {
		var f inventory.Finding
		var since int64
		err := r.Scan(&f.Rule, &f.Severity, &f.Message, &f.WhatToDo, &since, &f.Place, &f.Source)
		f.Since = instant(since)
		return f, err
	})
}

// Failing counts certificates by the rule that they fail, in the order of rules.
func (s *Store) Failing(ctx context.Context) ([]inventory.Failing, error) {
	all := inventory.Severities()
	rank := "CASE severity"
	for n, severity := range all {
		rank += fmt.Sprintf(" WHEN '%s' THEN %d", severity, n)
	}
	rank += fmt.Sprintf(" ELSE %d END", len(all)-1)
	rows, err := s.db.Query(ctx, `SELECT rule, MIN(worst), COUNT(*) FROM (
			SELECT rule, sha256, MIN(`+rank+`) AS worst FROM inventory_findings GROUP BY rule, sha256
		) AS f GROUP BY rule ORDER BY rule`)
	return storage.Collect(rows, err, func(r storage.Scanner) (inventory.Failing, error) {
		var f inventory.Failing
		var worst int
		err := r.Scan(&f.Rule, &worst, &f.Certificates)
		f.Severity = all[min(max(worst, 0), len(all)-1)]
		return f, err
	})
}

// History of a certificate, newest first.
func (s *Store) History(ctx context.Context, sha256 string, limit int) ([]inventory.Change, error) {
	rows, err := s.db.Query(ctx, `SELECT h.place, h.at, h.sha256, h.state, h.run, i.source, i.host, i.ip, i.port, i.sni, i.path
		FROM inventory_history h JOIN inventory_installations i ON i.place = h.place AND i.sha256 = h.sha256
		WHERE h.sha256 = $1 ORDER BY h.at DESC, h.place, h.state LIMIT $2`, sha256, limit)
	return storage.Collect(rows, err, func(r storage.Scanner) (inventory.Change, error) {
		var c inventory.Change
		var at int64
		err := r.Scan(&c.ID, &at, &c.SHA256, &c.State, &c.Run, &c.Source, &c.Host, &c.IP, &c.Port, &c.SNI, &c.Path)
		c.At = storage.Time(at)
		return c, err
	})
}

// Endpoints lists the latest known certificate of every place, by ID.
func (s *Store) Endpoints(ctx context.Context, q inventory.EndpointQuery) ([]inventory.Installation, error) {
	where, args := "latest AND place > $1", []any{q.After, q.Limit}
	if q.Source != "" {
		where += " AND source = $3"
		args = append(args, q.Source)
	}
	rows, err := s.db.Query(ctx, `SELECT `+installationColumns+` FROM inventory_installations WHERE `+where+` ORDER BY place LIMIT $2`, args...)
	return storage.Collect(rows, err, scanInstallation)
}
