// Package subscription sends events to webhooks: who wants which, the proof that an
// endpoint wants them, deliveries that are repeated until they succeed, and the letters
// that never arrived.
package subscription

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
)

// The actions of this service. The scope is the source that a subscription listens to:
// who may subscribe to one vault hears of that vault alone.
const (
	Read  access.Action = access.ControlPrefix + "subscriptions/read"
	Write access.Action = access.ControlPrefix + "subscriptions/write"
)

// Schema is the form of a delivery.
type Schema string

// The schemas.
const (
	CloudEvents Schema = "CloudEventSchemaV1_0" // one event as structured JSON, as Azure names it
	EventGrid   Schema = "EventGridSchema"      // an array of one event
)

// State tells whether a subscription gets events.
type State string

// The states.
const (
	Pending State = "pending" // its endpoint has not agreed yet; what happens meanwhile is not kept for it
	Active  State = "active"
	Gone    State = "gone" // the endpoint answered 410: it is not told any more
)

// Filter says which events are wanted. Zero fields do not filter.
type Filter struct {
	Source        string   // this path and everything below it, such as /vaults/payroll; "/" is everything
	Types         []string // whole types, or beginnings that end with "*"
	SubjectPrefix string   // without regard to case, as the names of vault objects are
	SubjectSuffix string
}

// Stored is a subscription as the Store keeps it.
type Stored struct {
	ID   string
	Name string // unique without regard to case
	Filter
	Endpoint  access.Secret // its query often is a password
	Schema    Schema
	Key       access.Secret // signs deliveries; empty for none
	State     State
	Problem   string        // why it is not Active
	Code      access.Secret // proves the endpoint's consent while Pending
	CodeUntil time.Time
	Created   time.Time
	Updated   time.Time
	Revision  int64 // 1, 2, 3…
}

// Subscription is what people see of one.
type Subscription struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Source        string    `json:"source"`
	Types         []string  `json:"types"`
	SubjectPrefix string    `json:"subjectPrefix,omitempty"`
	SubjectSuffix string    `json:"subjectSuffix,omitempty"`
	Endpoint      string    `json:"endpoint"` // without what may be a secret in it
	Schema        Schema    `json:"schema"`
	Signed        bool      `json:"signed"`
	State         State     `json:"state"`
	Problem       string    `json:"problem,omitempty"`
	Created       time.Time `json:"created"`
	Updated       time.Time `json:"updated"`
	Waiting       int       `json:"waiting"` // events still to be delivered; of one subscription alone, not in lists
	Dead          int       `json:"dead"`    // likewise, given up
}

func (x Stored) show() Subscription {
	s := Subscription{
		ID: x.ID, Name: x.Name, Source: x.Source, Types: append([]string{}, x.Types...),
		SubjectPrefix: x.SubjectPrefix, SubjectSuffix: x.SubjectSuffix, Schema: x.Schema, Signed: x.Key.Reveal() != "",
		State: x.State, Problem: x.Problem, Created: x.Created, Updated: x.Updated,
	}
	s.Endpoint = outline(x.Endpoint)
	return s
}

// outline is an address as people may see it: many services put a token into the path,
// others into the query, so the first segment must do.
func outline(endpoint access.Secret) string {
	u, err := url.Parse(endpoint.Reveal())
	if err != nil {
		return ""
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	text := u.Scheme + "://" + u.Host + "/" + first
	if rest != "" {
		text += "/…"
	}
	if u.RawQuery != "" {
		text += "?…"
	}
	return text
}

// Path is the subscription in records.
func Path(id string) string { return "/subscriptions/" + id }

// Store keeps subscriptions. Every method joins the transaction of ctx. What is not there
// is fault.NotFound.
type Store interface {
	// InsertSubscription adds one; fault.Conflict with code NameTaken when the name is taken.
	InsertSubscription(ctx context.Context, x Stored) error
	// UpdateSubscription replaces the row whose revision is x.Revision-1; fault.Conflict
	// when it has another.
	UpdateSubscription(ctx context.Context, x Stored) error
	DeleteSubscription(ctx context.Context, id string) error
	Subscription(ctx context.Context, id string) (Stored, error)
	// Subscriptions returns up to limit by name, after the given one.
	Subscriptions(ctx context.Context, after string, limit int) ([]Stored, error)
	// AfterCommit calls fn when the fate of the running transaction is known.
	AfterCommit(ctx context.Context, fn func(committed bool))
}

// Deliveries keeps what is still to be delivered, and what was given up. Every method
// joins the transaction of ctx.
type Deliveries interface {
	// Add notes an event for each of the subscriptions. One that is there already stays.
	Add(ctx context.Context, event string, subscriptions []string, now time.Time) error
	// Due returns the subscriptions that have deliveries whose time has come.
	Due(ctx context.Context, now time.Time) ([]string, error)
	// Claim takes up to limit deliveries of a subscription whose time has come, the
	// longest due first, and counts a try of each. Until the lease nobody else gets them. It must run
	// inside a transaction.
	Claim(ctx context.Context, c Claim) ([]Delivery, error)
	// Settle writes what became of claimed deliveries.
	Settle(ctx context.Context, subscription string, results []Result) error
	// Release makes what processes hold due again: for a start when no other runs.
	Release(ctx context.Context, now time.Time) error
	// Count tells how many deliveries wait and how many are dead, each counted up to limit.
	Count(ctx context.Context, subscription string, limit int) (waiting, dead int, err error)
	// Dead returns dead letters, the latest first, from after the position.
	Dead(ctx context.Context, subscription string, after Position, limit int) ([]Letter, error)
	// Revive makes dead letters due at now, with all their tries before them: those named, or up to limit when none is
	// named. It reports how many.
	Revive(ctx context.Context, subscription string, events []string, now time.Time, limit int) (int, error)
	// Tidy gives up, or forgets, up to limit rows that a rule is about, and reports how many.
	Tidy(ctx context.Context, r Rule, limit int) (int, error)
}

// Claim asks for deliveries.
type Claim struct {
	Subscription string
	Holder       string // process
	Now, Lease   time.Time
	Limit        int
}

// Delivery is an event on its way to a subscription.
type Delivery struct {
	Event event.Event // ID alone, without a Type, when the event was pruned
	Tries int         // this one included
	Since time.Time   // when it was first due
}

// Result is what became of one try. The zero Due and Died: it was delivered.
type Result struct {
	Event   string
	Due     time.Time // tried again then
	Died    time.Time // given up
	Problem string
}

// Letter is a dead letter.
type Letter struct {
	Event   event.Event `json:"event"`
	Tries   int         `json:"tries"`
	Since   time.Time   `json:"since"`
	Died    time.Time   `json:"died"`
	Problem string      `json:"problem"`
}

// Position is a letter's place in the list of dead ones. The zero one is the beginning.
type Position struct {
	Died  time.Time
	Event string
}

// Rule is what Tidy does. One of the fields beside Now is set.
type Rule struct {
	Now time.Time
	// Expired gives up what waits since before this time.
	Expired time.Time
	// Forgotten removes what died before this time.
	Forgotten time.Time
	// Orphans removes deliveries without a subscription.
	Orphans bool
	// Keep is how many waiting, or with Dead how many dead, a subscription may have: the
	// oldest waiting ones beyond are given up, the oldest dead ones removed.
	Keep int
	Dead bool
	// Subscription is whom Keep is about.
	Subscription string
}

// Refusals records what strangers tried in vain; *access.Refusals is one.
type Refusals interface {
	Note(ctx context.Context, r audit.Record) error
}

// Deps are what the service needs.
type Deps struct {
	Store      Store
	Deliveries Deliveries
	Events     event.Emitter
	Transact   audit.Transact
	Audit      audit.Recorder
	Refusals   Refusals
	Guard      access.Guard
	// Transport reaches endpoints, and only those that may be reached.
	Transport http.RoundTripper
	// PlainHTTP allows endpoints without TLS.
	PlainHTTP bool
	// Origin is our name in the handshake of CloudEvents, a DNS name.
	Origin string
	// Callback is where an endpoint's owner opens a link to agree by hand.
	Callback func(id, code string) string
	// Source is the absolute source, and the topic, of an event's source.
	Source func(source string) string
	Holder string // this process
	Now    func() time.Time
	Log    *slog.Logger
}
