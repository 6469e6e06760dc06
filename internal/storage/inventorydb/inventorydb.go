// Package inventorydb keeps the inventory and the campaigns of discovery in SQL.
package inventorydb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/storage"
)

// Store implements inventory.Store and inventory.Reader.
type Store struct{ db *storage.DB }

// New makes the store of a database.
func New(db *storage.DB) *Store { return &Store{db} }

const installationColumns = `place, sha256, source, host, ip, port, sni, path, latest, state,
	first_seen, last_seen, checked, problem, campaign, run, detail`

// detail is the part of an installation that nobody searches by.
type detail struct {
	TLS    *inventory.TLS    `json:"tls,omitempty"`
	Object *inventory.Object `json:"object,omitempty"`
	Chain  []string          `json:"chain,omitempty"`
}

func scanInstallation(r storage.Scanner) (inventory.Installation, error) {
	var i inventory.Installation
	var first, last, checked int64
	var text string
	err := r.Scan(&i.ID, &i.SHA256, &i.Source, &i.Host, &i.IP, &i.Port, &i.SNI, &i.Path, &i.Current, &i.State,
		&first, &last, &checked, &i.Problem, &i.Campaign, &i.Run, &text)
	if err != nil {
		return i, storage.Translate(err)
	}
	var d detail
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return i, fmt.Errorf("installation %s: %w", i.ID, err)
	}
	i.FirstSeen, i.LastSeen, i.Checked = storage.Time(first), storage.Time(last), storage.Time(checked)
	i.TLS, i.Object, i.Chain = d.TLS, d.Object, d.Chain
	return i, nil
}

// instant undoes inventory.Instant.
func instant(us int64) time.Time {
	if us == inventory.Never {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Save inserts the certificate, or widens its first and last sighting.
func (s *Store) Save(ctx context.Context, c *inventory.Certificate, seen time.Time) (bool, error) {
	at := storage.Micros(seen)
	res, err := s.db.Exec(ctx, `
		INSERT INTO inventory_certificates (sha256, spki, subject_hash, serial, name, name_key, subject, subject_key, issuer, issuer_key,
			key_algorithm, key_parameters, key_size, post_quantum, signature, not_before, not_after, expiring, lifetime,
			self_signed, wildcard, ca, parser, trust, score, judged, stage, owner, owner_key, lineage, revoked, revocation_reason, first_seen, last_seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
			'unknown', -1, 0, 'discovered', '', '', '', 0, '', $24, $24)
		ON CONFLICT (sha256) DO NOTHING`,
		c.SHA256, c.SPKI, string(c.SubjectHash()), c.Serial, c.Name, inventory.Fold(c.Name), c.Subject, inventory.Fold(c.Subject), c.Issuer, inventory.Fold(c.Issuer),
		c.Key.Algorithm, c.Key.Parameters, c.Key.Size, c.Key.PostQuantum, c.Signature.Algorithm,
		inventory.Instant(c.NotBefore), inventory.Instant(c.NotAfter), expiring(c), int64(c.Lifetime()/time.Second),
		c.SelfSigned, c.Wildcard, c.CA, string(c.Parser), at)
	if err != nil {
		return false, storage.Translate(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		if err != nil {
			return false, err
		}
		_, err = s.db.Exec(ctx, `
			UPDATE inventory_certificates
			SET first_seen = CASE WHEN $2 < first_seen THEN $2 ELSE first_seen END,
			    last_seen = CASE WHEN $2 > last_seen THEN $2 ELSE last_seen END
			WHERE sha256 = $1 AND ($2 < first_seen OR $2 > last_seen)`, c.SHA256, at)
		return false, storage.Translate(err)
	}
	return true, s.saveContent(ctx, c)
}

func expiring(c *inventory.Certificate) int64 {
	if c.NotBefore.IsZero() || c.NotAfter.IsZero() {
		return inventory.Never
	}
	return inventory.Instant(inventory.ExpiringFrom(c.NotBefore, c.NotAfter))
}

func (s *Store) saveContent(ctx context.Context, c *inventory.Certificate) error {
	der := c.DER
	if der == nil {
		der = []byte{} // too large to keep; NULL would be refused
	}
	if _, err := s.db.Exec(ctx, `INSERT INTO inventory_der (sha256, der) VALUES ($1, $2)`, c.SHA256, der); err != nil {
		return storage.Translate(err)
	}
	for _, n := range c.Names {
		if _, err := s.db.Exec(ctx, `INSERT INTO inventory_names (sha256, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, c.SHA256, inventory.Fold(n.Value)); err != nil {
			return storage.Translate(err)
		}
	}
	for _, u := range c.ExtKeyUsage {
		if _, err := s.db.Exec(ctx, `INSERT INTO inventory_usages (sha256, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, c.SHA256, inventory.Fold(u)); err != nil {
			return storage.Translate(err)
		}
	}
	return nil
}

// Current returns the installation that is the latest known at a place.
func (s *Store) Current(ctx context.Context, place string) (inventory.Installation, error) {
	return scanInstallation(s.db.QueryRow(ctx, `SELECT `+installationColumns+` FROM inventory_installations WHERE place = $1 AND latest`, place))
}

// Installation returns a certificate at a place.
func (s *Store) Installation(ctx context.Context, place, sha256 string) (inventory.Installation, error) {
	return scanInstallation(s.db.QueryRow(ctx, `SELECT `+installationColumns+` FROM inventory_installations WHERE place = $1 AND sha256 = $2`, place, sha256))
}

// SaveInstallation inserts or replaces it.
func (s *Store) SaveInstallation(ctx context.Context, i inventory.Installation) error {
	text, err := json.Marshal(detail{i.TLS, i.Object, i.Chain})
	if err != nil {
		return err
	}
	if i.Current {
		if _, err := s.db.Exec(ctx, `UPDATE inventory_installations SET latest = FALSE WHERE place = $1 AND latest AND sha256 <> $2`, i.ID, i.SHA256); err != nil {
			return storage.Translate(err)
		}
	}
	_, err = s.db.Exec(ctx, `
		INSERT INTO inventory_installations (`+installationColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
		ON CONFLICT (place, sha256) DO UPDATE SET latest = excluded.latest, state = excluded.state, first_seen = excluded.first_seen,
			last_seen = excluded.last_seen, checked = excluded.checked, problem = excluded.problem,
			campaign = excluded.campaign, run = excluded.run, detail = excluded.detail`,
		i.ID, i.SHA256, i.Source, i.Host, i.IP, i.Port, i.SNI, i.Path, i.Current, string(i.State),
		storage.Micros(i.FirstSeen), storage.Micros(i.LastSeen), storage.Micros(i.Checked), i.Problem, i.Campaign, i.Run, string(text))
	return storage.Translate(err)
}

// AddChange appends a line of history; the same line twice is one.
func (s *Store) AddChange(ctx context.Context, c inventory.Change) error {
	_, err := s.db.Exec(ctx, `INSERT INTO inventory_history (place, at, sha256, state, run) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		c.ID, storage.Micros(c.At), c.SHA256, string(c.State), c.Run)
	return storage.Translate(err)
}

// Unchecked returns current installations of a source at which nobody looked since a time.
func (s *Store) Unchecked(ctx context.Context, source string, since time.Time, limit int) ([]inventory.Installation, error) {
	rows, err := s.db.Query(ctx, `SELECT `+installationColumns+` FROM inventory_installations
		WHERE source = $1 AND checked < $2 AND latest AND state <> 'missing' ORDER BY checked LIMIT $3`, source, storage.Micros(since), limit)
	return storage.Collect(rows, err, scanInstallation)
}

// Issuers returns CA certificates with the subject name, by first sighting.
func (s *Store) Issuers(ctx context.Context, name inventory.NameHash) ([][]byte, error) {
	rows, err := s.db.Query(ctx, `SELECT d.der FROM inventory_certificates c JOIN inventory_der d ON d.sha256 = c.sha256
		WHERE c.subject_hash = $1 AND c.ca ORDER BY c.first_seen, c.sha256 LIMIT 16`, string(name))
	return storage.Collect(rows, err, func(r storage.Scanner) (der []byte, err error) { return der, r.Scan(&der) })
}

// SaveVerdict replaces the findings, trust and score.
func (s *Store) SaveVerdict(ctx context.Context, sha256 string, v inventory.Verdict, at time.Time) error {
	res, err := s.db.Exec(ctx, `UPDATE inventory_certificates SET trust = $2, score = $3, judged = $4 WHERE sha256 = $1`, sha256, string(v.Trust), v.Score, storage.Micros(at))
	if err := storage.One(res, err, "certificate not found"); err != nil {
		return err
	}
	if _, err := s.db.Exec(ctx, `DELETE FROM inventory_findings WHERE sha256 = $1`, sha256); err != nil {
		return storage.Translate(err)
	}
	for n, f := range v.Findings {
		_, err := s.db.Exec(ctx, `INSERT INTO inventory_findings (sha256, position, rule, severity, message, remedy, since, place, source)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			sha256, n, f.Rule, string(f.Severity), f.Message, f.WhatToDo, inventory.Instant(f.Since), f.Place, f.Source)
		if err != nil {
			return storage.Translate(err)
		}
	}
	return nil
}

// SetLineage sets lineage, owner and stage.
func (s *Store) SetLineage(ctx context.Context, sha256, lineage, owner string, stage inventory.Stage) error {
	res, err := s.db.Exec(ctx, `UPDATE inventory_certificates SET lineage = $2, owner = $3, owner_key = $4, stage = $5 WHERE sha256 = $1`,
		sha256, lineage, owner, inventory.Fold(owner), string(stage))
	return storage.One(res, err, "certificate not found")
}

// SetRevoked keeps an earlier revocation as it is, unless it is a hold.
func (s *Store) SetRevoked(ctx context.Context, sha256 string, at time.Time, reason string) error {
	_, err := s.db.Exec(ctx, `UPDATE inventory_certificates SET revoked = $2, revocation_reason = $3
		WHERE sha256 = $1 AND (revoked = 0 OR revocation_reason = 'certificateHold')`, sha256, storage.Micros(at), reason)
	return storage.Translate(err)
}

// Fingerprints returns the SHA256 of certificates after the given one, in order.
func (s *Store) Fingerprints(ctx context.Context, after string, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT sha256 FROM inventory_certificates WHERE sha256 > $1 ORDER BY sha256 LIMIT $2`, after, limit)
	return storage.Collect(rows, err, func(r storage.Scanner) (h string, err error) { return h, r.Scan(&h) })
}
