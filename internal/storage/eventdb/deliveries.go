package eventdb

import (
	"context"
	"database/sql"
	"time"

	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
)

// Add implements subscription.Deliveries. One statement a row: of few texts each stays
// prepared.
func (s *Subscriptions) Add(ctx context.Context, event string, subscriptions []string, now time.Time) error {
	for _, id := range subscriptions {
		_, err := s.db.Exec(ctx, `INSERT INTO event_deliveries (subscription, event, since, due, tries, holder, died, problem)
			VALUES ($1, $2, $3, $3, 0, '', 0, '') ON CONFLICT DO NOTHING`, id, event, storage.Micros(now))
		if err != nil {
			return storage.Translate(err)
		}
	}
	return nil
}

// Due implements subscription.Deliveries.
func (s *Subscriptions) Due(ctx context.Context, now time.Time) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT s.id FROM event_subscriptions s WHERE EXISTS (
		SELECT 1 FROM event_deliveries d WHERE d.subscription = s.id AND d.died = 0 AND d.due <= $1)`, storage.Micros(now))
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, storage.Translate(err)
		}
		ids = append(ids, id)
	}
	return ids, storage.Translate(rows.Err())
}

// Claim implements subscription.Deliveries. Of two that claim at the same time on
// PostgreSQL, the second waits for the first's rows, finds them due later, and leaves them.
func (s *Subscriptions) Claim(ctx context.Context, c subscription.Claim) ([]subscription.Delivery, error) {
	rows, err := s.db.Query(ctx, `UPDATE event_deliveries SET due = $1, holder = $2, tries = tries + 1
		WHERE subscription = $3 AND died = 0 AND due <= $4 AND event IN (
			SELECT event FROM event_deliveries WHERE subscription = $3 AND died = 0 AND due <= $4 ORDER BY due, event LIMIT $5)
		RETURNING event, tries, since`,
		storage.Micros(c.Lease), c.Holder, c.Subscription, storage.Micros(c.Now), c.Limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	list, err := claimed(rows)
	if err != nil {
		return nil, err
	}
	for i, d := range list {
		e, err := scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM events WHERE id = $1`, d.Event.ID).Scan)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		if err == nil {
			list[i].Event = e
		}
	}
	return list, nil
}

func claimed(rows *sql.Rows) ([]subscription.Delivery, error) {
	defer rows.Close()
	var list []subscription.Delivery
	for rows.Next() {
		var d subscription.Delivery
		var since int64
		if err := rows.Scan(&d.Event.ID, &d.Tries, &since); err != nil {
			return nil, storage.Translate(err)
		}
		d.Since = storage.Time(since)
		list = append(list, d)
	}
	return list, storage.Translate(rows.Err())
}

// Settle implements subscription.Deliveries.
func (s *Subscriptions) Settle(ctx context.Context, id string, results []subscription.Result) error {
	for _, r := range results {
		var err error
		if r.Due.IsZero() && r.Died.IsZero() {
			_, err = s.db.Exec(ctx, `DELETE FROM event_deliveries WHERE subscription = $1 AND event = $2`, id, r.Event)
		} else {
			_, err = s.db.Exec(ctx, `UPDATE event_deliveries SET due = $1, died = $2, problem = $3, holder = '' WHERE subscription = $4 AND event = $5 AND died = 0`,
				storage.Micros(r.Due), storage.Micros(r.Died), r.Problem, id, r.Event)
		}
		if err != nil {
			return storage.Translate(err)
		}
	}
	return nil
}

// Release implements subscription.Deliveries.
func (s *Subscriptions) Release(ctx context.Context, now time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE event_deliveries SET due = $1, holder = '' WHERE holder <> '' AND died = 0`, storage.Micros(now))
	return storage.Translate(err)
}

// Count implements subscription.Deliveries.
func (s *Subscriptions) Count(ctx context.Context, id string, limit int) (waiting, dead int, err error) {
	err = s.db.QueryRow(ctx, `SELECT
		(SELECT COUNT(*) FROM (SELECT 1 FROM event_deliveries WHERE subscription = $1 AND died = 0 LIMIT $2) AS w),
		(SELECT COUNT(*) FROM (SELECT 1 FROM event_deliveries WHERE subscription = $1 AND died > 0 LIMIT $2) AS d)`, id, limit).Scan(&waiting, &dead)
	return waiting, dead, storage.Translate(err)
}

// Dead implements subscription.Deliveries.
func (s *Subscriptions) Dead(ctx context.Context, id string, after subscription.Position, limit int) ([]subscription.Letter, error) {
	where, args := ``, []any{id, limit}
	if after.Event != "" {
		where = ` AND (d.died, d.event) < ($3, $4)`
		args = append(args, storage.Micros(after.Died), after.Event)
	}
	rows, err := s.db.Query(ctx, `SELECT d.tries, d.since, d.died, d.problem, d.event, COALESCE(e.time, 0), COALESCE(e.source, ''), COALESCE(e.type, ''), COALESCE(e.subject, ''), COALESCE(e.data, '')
		FROM event_deliveries d LEFT JOIN events e ON e.id = d.event
		WHERE d.subscription = $1 AND d.died > 0`+where+` ORDER BY d.died DESC, d.event DESC LIMIT $2`, args...)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer rows.Close()
	var list []subscription.Letter
	for rows.Next() {
		var l subscription.Letter
		var since, died int64
		l.Event, err = scan(func(event ...any) error {
			return rows.Scan(append([]any{&l.Tries, &since, &died, &l.Problem}, event...)...)
		})
		if err != nil {
			return nil, err
		}
		l.Since, l.Died = storage.Time(since), storage.Time(died)
		list = append(list, l)
	}
	return list, storage.Translate(rows.Err())
}

// Revive implements subscription.Deliveries.
func (s *Subscriptions) Revive(ctx context.Context, id string, events []string, now time.Time, limit int) (int, error) {
	const revive = `UPDATE event_deliveries SET due = $1, since = $1, tries = 0, died = 0 WHERE subscription = $2 AND died > 0 AND `
	if len(events) == 0 {
		return s.count(ctx, revive+`event IN (SELECT event FROM event_deliveries WHERE subscription = $2 AND died > 0 ORDER BY died, event LIMIT $3)`,
			storage.Micros(now), id, limit)
	}
	total := 0
	for _, e := range events {
		n, err := s.count(ctx, revive+`event = $3`, storage.Micros(now), id, e)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// Tidy implements subscription.Deliveries.
func (s *Subscriptions) Tidy(ctx context.Context, r subscription.Rule, limit int) (int, error) {
	const these = ` WHERE (subscription, event) IN (SELECT subscription, event FROM event_deliveries `
	now := storage.Micros(r.Now)
	switch {
	case !r.Expired.IsZero():
		return s.count(ctx, `UPDATE event_deliveries SET died = $1, due = 0, holder = '', problem = CASE WHEN problem = '' THEN 'it could not be delivered in time' ELSE problem END`+these+
			`WHERE died = 0 AND since < $2 LIMIT $3)`, now, storage.Micros(r.Expired), limit)
	case !r.Forgotten.IsZero():
		return s.count(ctx, `DELETE FROM event_deliveries`+these+`WHERE died > 0 AND died < $1 LIMIT $2)`, storage.Micros(r.Forgotten), limit)
	case r.Orphans:
		return s.count(ctx, `DELETE FROM event_deliveries`+these+
			`d WHERE NOT EXISTS (SELECT 1 FROM event_subscriptions s WHERE s.id = d.subscription) LIMIT $1)`, limit)
	case r.Dead:
		return s.count(ctx, `DELETE FROM event_deliveries`+these+
			`WHERE subscription = $1 AND died > 0 ORDER BY died DESC, event DESC LIMIT $2 OFFSET $3)`, r.Subscription, limit, r.Keep)
	default:
		return s.count(ctx, `UPDATE event_deliveries SET died = $1, due = 0, holder = '', problem = 'too many events waited for this subscription'`+these+
			`WHERE subscription = $2 AND died = 0 ORDER BY since DESC, event DESC LIMIT $3 OFFSET $4)`, now, r.Subscription, limit, r.Keep)
	}
}

// count runs a statement and reports how many rows it changed.
func (s *Subscriptions) count(ctx context.Context, query string, args ...any) (int, error) {
	res, err := s.db.Exec(ctx, query, args...)
	if err != nil {
		return 0, storage.Translate(err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}
