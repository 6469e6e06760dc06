package subscription

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

const (
	maxRevived = 1000
	maxWaiting = 100_000 // of one subscription; the oldest beyond are given up
	maxDead    = 10_000  // of one subscription; the oldest beyond are forgotten
	keepDead   = 90 * 24 * time.Hour
	tidyBatch  = 1000
)

// Letters is a part of the list of dead ones.
type Letters struct {
	Letters []Letter
	Next    string // cursor; empty at the end
}

// DeadLetters returns what was given up, the latest first; limit is 1 to 500.
func (s *Service) DeadLetters(ctx context.Context, c access.Caller, id, cursor string, limit int) (l Letters, err error) {
	if _, err := s.load(ctx, c, Read, id, "SubscriptionDeadLetters"); err != nil {
		return l, err
	}
	if limit < 1 || limit > maxPage {
		return l, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, limit)
	}
	var after Position
	if cursor != "" {
		if after, err = parseCursor(cursor); err != nil {
			return l, err
		}
	}
	if l.Letters, err = s.Deliveries.Dead(ctx, id, after, limit); err != nil {
		return l, err
	}
	if n := len(l.Letters); n == limit {
		last := l.Letters[n-1]
		l.Next = cursorOf(Position{last.Died, last.Event.ID})
	}
	return l, nil
}

func cursorOf(p Position) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", p.Died.UnixMicro(), p.Event))
}

func parseCursor(cursor string) (Position, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	micros, id, ok := strings.Cut(string(b), " ")
	us, timeErr := strconv.ParseInt(micros, 10, 64)
	if err != nil || timeErr != nil || !ok || id == "" {
		return Position{}, fault.New(fault.Invalid, "InvalidCursor", "the cursor is not one that this server gave; begin again without one")
	}
	return Position{time.UnixMicro(us).UTC(), id}, nil
}

// Redeliver sends dead letters again, with all their tries before them: those of the
// events named, or up to 1000 when none is named. It reports how many.
func (s *Service) Redeliver(ctx context.Context, c access.Caller, id string, events []string) (n int, err error) {
	x, err := s.load(ctx, c, Write, id, "SubscriptionRedeliver")
	if err != nil {
		return 0, err
	}
	if len(events) > maxRevived {
		return 0, fault.New(fault.Invalid, "TooManyEvents", "%d events were named; at most %d at a time", len(events), maxRevived)
	}
	if x.State != Active {
		return 0, fault.New(fault.Conflict, "SubscriptionNotActive", "the subscription is %s: %s", x.State, x.Problem)
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		if n, err = s.Deliveries.Revive(ctx, id, events, s.Now(), maxRevived); err != nil {
			return err
		}
		rec := c.Record("SubscriptionRedeliver", Path(id))
		rec.Details[audit.Count] = strconv.Itoa(n)
		return s.Audit.Record(ctx, rec)
	})
	if err == nil && n > 0 {
		s.wake(id)
	}
	return n, err
}

// TidyArgs are the arguments of the scheduled work that gives up and forgets.
type TidyArgs struct{}

// Kind implements job.Args.
func (TidyArgs) Kind() string { return "event.tidy-deliveries" }

// HandleTidy keeps what waits and what is dead within its bounds. Each batch is a
// transaction of its own, so that other writers never wait long.
func (s *Service) HandleTidy(ctx context.Context, _ TidyArgs) error {
	now := s.Now()
	rules := []Rule{{Now: now, Expired: now.Add(-lifetime)}, {Now: now, Forgotten: now.Add(-keepDead)}, {Now: now, Orphans: true}}
	all, err := s.Store.Subscriptions(ctx, "", maxSubscriptions)
	if err != nil {
		return err
	}
	for _, x := range all {
		waiting, dead, err := s.Deliveries.Count(ctx, x.ID, maxWaiting+1)
		if err != nil {
			return err
		}
		if waiting > maxWaiting {
			rules = append(rules, Rule{Now: now, Subscription: x.ID, Keep: maxWaiting})
			dead += waiting - maxWaiting
		}
		if dead > maxDead {
			rules = append(rules, Rule{Now: now, Subscription: x.ID, Keep: maxDead, Dead: true})
		}
	}
	for _, r := range rules {
		total := 0
		for {
			n, err := s.Deliveries.Tidy(ctx, r, tidyBatch)
			if err != nil {
				return err
			}
			if total += n; n < tidyBatch {
				break
			}
		}
		if total > 0 && r.Keep > 0 {
			s.Log.Warn("a subscription has more than it may keep", "subscription", r.Subscription, "dead", r.Dead, "removed", total)
		}
	}
	return nil
}
