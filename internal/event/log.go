package event

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"uuid"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
)

const (
	maxText = 1024     // bytes of a source, type or subject
	maxData = 64 << 10 // bytes of Data
	keep    = 400 * 24 * time.Hour
	batch   = 1000 // events that one transaction prunes
)

// Store keeps events. Its methods join the transaction of ctx, if it carries one.
type Store interface {
	// Append adds an event. fault.Conflict: the id is taken.
	Append(ctx context.Context, e Event) error
	// Get returns the event of an id, or fault.NotFound.
	Get(ctx context.Context, id string) (Event, error)
	// Find returns at most q.Limit events that match, newest first: by time, then by id.
	Find(ctx context.Context, q Query) ([]Event, error)
	// Prune removes at most limit events from before a time and reports how many it did.
	Prune(ctx context.Context, before time.Time, limit int) (int, error)
}

// Subscriber is told of events, at least once each and in no particular order, after the
// change that caused them is on the disk.
type Subscriber struct {
	Name  string   // stays the same across upgrades: waiting deliveries carry it
	Types []string // prefixes of Event.Type; "" is every event
	// Handle is tried again after an error, for three weeks. Event.ID tells a repetition.
	Handle func(ctx context.Context, e Event) error
	// Within, when it is set, is told of events in the transaction that they are committed
	// with, so that what it does is there when the cause is acknowledged. It must be quick
	// and do nothing outside of the database. When it fails, what it did is undone, and each
	// event goes to Handle, later.
	Within func(ctx context.Context, list []Event) error
}

func (s Subscriber) wants(e Event) bool {
	for _, prefix := range s.Types {
		if strings.HasPrefix(e.Type, prefix) {
			return true
		}
	}
	return false
}

// Outbox takes the deliveries of events to those who subscribed while the product runs.
type Outbox interface {
	// Take notes who is to get the event, in the transaction of ctx. It runs for every
	// event of every change, so an event that nobody wants must cost it nothing.
	Take(ctx context.Context, e Event) error
}

// Config is what a Log needs.
type Config struct {
	Store    Store
	Transact audit.Transact // nil: each Emit is called inside a transaction
	Jobs     job.Queue
	Commit   Commit        // nil: each event is a delivery of its own
	Keep     time.Duration // age at which events are pruned; 0 means 400 days
	Now      func() time.Time
	Log      *slog.Logger
}

// Log is the Emitter that stores events and delivers them to subscribers.
type Log struct {
	Config
	subscribers []Subscriber
	outbox      Outbox // nil: nobody can subscribe at run time
}

// New makes a Log. Add its subscribers, and register Deliver and Prune as handlers,
// before the first event.
func New(c Config) *Log {
	if c.Keep == 0 {
		c.Keep = keep
	}
	return &Log{Config: c}
}

// Subscribe adds a subscriber. A name that is taken is a mistake of the program and panics.
func (l *Log) Subscribe(s Subscriber) {
	for _, other := range l.subscribers {
		if other.Name == s.Name {
			panic(fmt.Sprintf("event: two subscribers are named %q", s.Name))
		}
	}
	l.subscribers = append(l.subscribers, s)
}

// Forward hands every event to an outbox as well. Call it before the first event.
func (l *Log) Forward(o Outbox) { l.outbox = o }

// Emit implements Emitter: the event and its deliveries exist once the transaction is
// committed, and never without each other.
func (l *Log) Emit(ctx context.Context, e Event) error {
	if err := check(e); err != nil {
		return err
	}
	if e.ID == "" {
		e.ID = uuid.NewV7().String() // in the order of time, so that the index grows at its end alone
	}
	if e.Time.IsZero() {
		e.Time = l.Now()
	}
	store := func(ctx context.Context) error {
		if err := l.Store.Append(ctx, e); err != nil {
			return fmt.Errorf("emit %s: %w", e.Type, err)
		}
		for _, s := range l.subscribers {
			if !s.wants(e) {
				continue
			}
			if err := l.tell(ctx, s, e); err != nil {
				return fmt.Errorf("emit %s to %s: %w", e.Type, s.Name, err)
			}
		}
		if l.outbox == nil {
			return nil
		}
		if err := l.outbox.Take(ctx, e); err != nil {
			return fmt.Errorf("emit %s to its subscriptions: %w", e.Type, err)
		}
		return nil
	}
	if l.Transact == nil {
		return store(ctx)
	}
	return l.Transact(ctx, store)
}

// check holds what CloudEvents requires, and the limits of a row.
func check(e Event) error {
	switch {
	case e.Type == "" || e.Source == "":
		return fmt.Errorf("event %q from %q: CloudEvents wants a type and a source", e.Type, e.Source)
	case len(e.Type) > maxText || len(e.Source) > maxText || len(e.Subject) > maxText:
		return fmt.Errorf("event %.64q: source, type and subject have at most %d bytes each", e.Type, maxText)
	case len(e.Data) > maxData:
		return fmt.Errorf("event %s: %d bytes of data, at most %d are allowed", e.Type, len(e.Data), maxData)
	}
	return nil
}

// Delivery is the work of telling one subscriber of one event.
type Delivery struct {
	Event      string   `json:"event"`
	Also       []string `json:"also,omitempty"` // events that were committed with it
	Subscriber string   `json:"subscriber"`
}

// Kind implements job.Args.
func (Delivery) Kind() string { return "event.deliver" }

// Deliver is the handler of a Delivery. An event that was pruned, or a subscriber that an
// upgrade took away, leaves nothing to do.
func (l *Log) Deliver(ctx context.Context, d Delivery) error {
	for _, s := range l.subscribers {
		if s.Name != d.Subscriber {
			continue
		}
		if len(d.Also) > 0 {
			return l.deliverMany(ctx, s, d)
		}
		e, err := l.Store.Get(ctx, d.Event)
		if fault.Is(err, fault.NotFound) {
			l.Config.Log.Warn("event went away before its delivery", "event", d.Event, "subscriber", d.Subscriber)
			return nil
		}
		if err != nil {
			return fmt.Errorf("deliver %s to %s: %w", d.Event, d.Subscriber, err)
		}
		if err := s.Handle(ctx, e); err != nil {
			return fmt.Errorf("deliver %s %s to %s: %w", e.Type, e.ID, s.Name, err)
		}
		return nil
	}
	l.Config.Log.Warn("subscriber of an event is gone", "event", d.Event, "subscriber", d.Subscriber)
	return nil
}

// Pruning is the work of removing old events. Schedule it once a day.
type Pruning struct{}

// Kind implements job.Args.
func (Pruning) Kind() string { return "event.prune" }

// Prune is the handler of a Pruning. Each batch is a transaction of its own, so that
// other writers never wait long.
func (l *Log) Prune(ctx context.Context, _ Pruning) error {
	before := l.Now().Add(-l.Keep)
	for {
		n, err := l.Store.Prune(ctx, before, batch)
		if err != nil {
			return fmt.Errorf("prune events: %w", err)
		}
		if n < batch {
			return nil
		}
	}
}
