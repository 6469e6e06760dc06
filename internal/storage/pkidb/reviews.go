package pkidb

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/review"
	"chatelaine.dev/internal/storage"
)

var _ review.Store = (*Store)(nil)

const reviewColumns = `id, state, queued, started, finished, total, checked, found, place, problem, asked_by`

func scanReview(row storage.Scanner) (r review.Review, err error) {
	var queued, started, finished int64
	var place string
	err = row.Scan(&r.ID, &r.State, &queued, &started, &finished, &r.Total, &r.Checked, &r.Found, &place, &r.Problem, &r.Requester)
	if err != nil {
		return r, err
	}
	r.Queued, r.Started, r.Finished = storage.Time(queued), storage.Time(started), storage.Time(finished)
	r.Place, err = issuance.ParseCursor(place)
	return r, err
}

// InsertReview implements review.Store.
func (s *Store) InsertReview(ctx context.Context, r review.Review, keep int) error {
	_, err := s.db.Exec(ctx, `INSERT INTO pki_reviews (`+reviewColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		r.ID, string(r.State), storage.Micros(r.Queued), storage.Micros(r.Started), storage.Micros(r.Finished), r.Total, r.Checked, r.Found,
		r.Place.String(), r.Problem, r.Requester)
	if err != nil {
		return storage.Translate(err)
	}
	const kept = `(SELECT id FROM pki_reviews ORDER BY queued DESC, id DESC LIMIT $1)`
	for _, q := range []string{`DELETE FROM pki_review_findings WHERE review NOT IN ` + kept, `DELETE FROM pki_reviews WHERE id NOT IN ` + kept} {
		if _, err := s.db.Exec(ctx, q, keep); err != nil {
			return storage.Translate(err)
		}
	}
	return nil
}

// UpdateReview implements review.Store.
func (s *Store) UpdateReview(ctx context.Context, r review.Review) error {
	res, err := s.db.Exec(ctx, `UPDATE pki_reviews SET state = $1, started = $2, finished = $3, checked = $4, found = $5, place = $6, problem = $7
		WHERE id = $8 AND state IN ($9, $10)`,
		string(r.State), storage.Micros(r.Started), storage.Micros(r.Finished), r.Checked, r.Found, r.Place.String(), r.Problem,
		r.ID, string(review.Queued), string(review.Running))
	return unchanged(storage.One(res, err, "the review is final"))
}

// Review implements review.Store.
func (s *Store) Review(ctx context.Context, id string) (review.Review, error) {
	r, err := scanReview(s.db.QueryRow(ctx, `SELECT `+reviewColumns+` FROM pki_reviews WHERE id = $1`, id))
	return r, absent(err, "UnknownReview", "there is no issuance audit %.64q", id)
}

// Reviews implements review.Store.
func (s *Store) Reviews(ctx context.Context, limit int) ([]review.Review, error) {
	rows, err := s.db.Query(ctx, `SELECT `+reviewColumns+` FROM pki_reviews ORDER BY queued DESC, id DESC LIMIT $1`, limit)
	return storage.Collect(rows, err, scanReview)
}

// AddFindings implements review.Store.
func (s *Store) AddFindings(ctx context.Context, list []review.Finding) (int64, error) {
	var added int64
	for _, f := range list {
		res, err := s.db.Exec(ctx, `INSERT INTO pki_review_findings (review, serial, rule, authority, profile, subject, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`, f.Review, f.Serial, f.Rule, f.Authority, f.Profile, f.Subject, f.Detail)
		err = storage.One(res, err, "it is there")
		switch {
		case err == nil:
			added++
		case !fault.Is(err, fault.NotFound):
			return 0, err
		}
	}
	return added, nil
}

// Findings implements review.Store.
func (s *Store) Findings(ctx context.Context, id, serial, rule string, limit int) ([]review.Finding, error) {
	rows, err := s.db.Query(ctx, `SELECT review, serial, rule, authority, profile, subject, detail FROM pki_review_findings
		WHERE review = $1 AND (serial, rule) > ($2, $3) ORDER BY serial, rule LIMIT $4`, id, serial, rule, limit)
	return storage.Collect(rows, err, func(row storage.Scanner) (f review.Finding, err error) {
		return f, row.Scan(&f.Review, &f.Serial, &f.Rule, &f.Authority, &f.Profile, &f.Subject, &f.Detail)
	})
}

// CountCertificates implements review.Store.
func (s *Store) CountCertificates(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT COUNT(*) FROM pki_certificates WHERE sha256 IS NOT NULL`).Scan(&n)
	return n, storage.Translate(err)
}
