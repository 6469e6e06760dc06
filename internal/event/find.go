package event

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
)

// ReadEvents is the action that reading the event log needs: it tells what the trail tells.
const ReadEvents access.Action = "Chatelaine/audit/read"

// Query filters events. Zero fields do not filter.
type Query struct {
	Source  string   // this path and everything below it
	Type    string   // prefix of the type
	Subject string   // exactly
	Before  Position // only events older than this one; for the next page
	Limit   int      // 1 to 1000; 0 means 100
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Position is an event's place in the order of the log. The zero Position is the newest end.
type Position struct {
	Time time.Time
	ID   string
}

// PositionOf tells where an event stands.
func PositionOf(e Event) Position { return Position{e.Time, e.ID} }

// IsZero reports whether p is the newest end.
func (p Position) IsZero() bool { return p.ID == "" }

// Page is a part of the log, newest first.
type Page struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty"` // cursor of the next page; empty at the end
}

// Find returns matching events, newest first. It is for services that have authorised
// their caller for what the query asks; doors call Reader.List.
func (l *Log) Find(ctx context.Context, q Query) ([]Event, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	return l.Store.Find(ctx, q)
}

// check fills in the default limit.
func (q *Query) check() error {
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return fault.New(fault.Invalid, "InvalidLimit", "limit %d: want 1 to %d", q.Limit, maxLimit)
	}
	return nil
}

// Reader shows the log to callers who may read the audit trail.
type Reader struct {
	Store Store
	Guard access.Guard
}

// List returns a page of events. cursor is Next of the page before, or empty. Errors:
// fault.Denied, and fault.Invalid for a limit or cursor that makes no sense.
func (r Reader) List(ctx context.Context, c access.Caller, q Query, cursor string) (Page, error) {
	if err := r.Guard.Authorize(ctx, c, ReadEvents, "/", "ListEvents"); err != nil {
		return Page{}, err
	}
	if cursor != "" {
		var err error
		if q.Before, err = parseCursor(cursor); err != nil {
			return Page{}, err
		}
	}
	if err := q.check(); err != nil {
		return Page{}, err
	}
	events, err := r.Store.Find(ctx, q)
	if err != nil {
		return Page{}, err
	}
	p := Page{Events: events}
	if len(events) == q.Limit {
		p.Next = cursorOf(PositionOf(events[len(events)-1]))
	}
	return p, nil
}

func cursorOf(p Position) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", p.Time.UnixMicro(), p.ID))
}

func parseCursor(cursor string) (Position, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	micros, id, ok := strings.Cut(string(b), " ")
	us, timeErr := strconv.ParseInt(micros, 10, 64)
	if err != nil || timeErr != nil || !ok || id == "" {
		return Position{}, fault.New(fault.Invalid, "InvalidCursor", "the cursor is not one that this server gave; begin again without one")
	}
	return Position{time.UnixMicro(us), id}, nil
}
