package audit

import (
	"context"
	"errors"
	"math"
	"time"
)

// exportSegments bounds what one call of After reads, when few records match.
const exportSegments = 2000

// After returns records that match and follow a sequence, oldest first, and the sequence
// to go on after, at once or in a year; it stays the same only when there is nothing new.
// A page has about q.Limit records, 1 to 1000, and the rest of their commit; it may be
// empty though more follow. q.Before is not used.
func (t *Trail) After(ctx context.Context, after int64, q Query) (records []Record, next int64, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit, q.Before = min(q.Limit, 1000), 0
	terms, next := q.terms(), after
	var bad error
	take := func(s Segment) bool {
		if mayHold(s.Terms, terms) {
			list, err := s.records()
			if err != nil {
				bad = err
				return false
			}
			for _, r := range list {
				if r.Sequence > after && q.wants(r) {
					records = append(records, r)
				}
			}
		}
		next = max(next, s.Last)
		return len(records) < q.Limit
	}
	if after > 0 { // it may be in the middle of a segment
		all := func(Segment) bool { return true }
		err = t.store.Older(ctx, min(after, math.MaxInt64-1)+1, time.Time{}, all, func(s Segment) bool {
			if s.Last > after {
				take(s)
			}
			return false
		})
	}
	if err := errors.Join(err, bad); err != nil {
		return nil, after, err
	}
	if len(records) < q.Limit {
		err = t.store.Segments(ctx, after, exportSegments, take)
	}
	if err := errors.Join(err, bad); err != nil {
		return nil, after, err
	}
	return records, next, nil
}
