package event

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
)

// Commit is what a storage offers whose changes share their commits; *storage.DB is one.
type Commit interface {
	// Shared returns the value that all changes of a commit have under a name.
	Shared(ctx context.Context, name string, open func() (any, error), close func(ctx context.Context, value any) error) (any, error)
	// OnRollback calls fn if the change of ctx is rolled back while others are not.
	OnRollback(ctx context.Context, fn func())
	// Try runs fn, and undoes what it did when it fails.
	Try(ctx context.Context, fn func(ctx context.Context) error) error
}

// maxTold bounds the events of one delivery.
const maxTold = 100

// told are the events of one commit for one subscriber.
type told struct{ events []Event }

// tell asks for the delivery of an event. Where many changes share a commit, one delivery
// carries the events of all: a job costs more than what most events tell of.
func (l *Log) tell(ctx context.Context, s Subscriber, e Event) error {
	if l.Commit == nil {
		return l.Jobs.Enqueue(ctx, Delivery{Event: e.ID, Subscriber: s.Name}, job.Options{})
	}
	value, err := l.Commit.Shared(ctx, "event/"+s.Name, func() (any, error) { return &told{}, nil }, func(ctx context.Context, value any) error {
		for list := range slices.Chunk(value.(*told).events, maxTold) {
			if l.within(ctx, s, list) {
				continue
			}
			d := Delivery{Event: list[0].ID, Subscriber: s.Name}
			for _, e := range list[1:] {
				d.Also = append(d.Also, e.ID)
			}
			if err := l.Jobs.Enqueue(ctx, d, job.Options{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t := value.(*told) //nolint:forcetypeassert // the name is this package's
	t.events = append(t.events, e)
	l.Commit.OnRollback(ctx, func() {
		t.events = slices.DeleteFunc(t.events, func(x Event) bool { return x.ID == e.ID })
	})
	return nil
}

// ErrLater is what a subscriber returns who cannot be told within the commit yet.
var ErrLater = errors.New("tell me later")

// within tells a subscriber of the events before their commit, and reports whether they
// need no delivery any more.
func (l *Log) within(ctx context.Context, s Subscriber, list []Event) bool {
	if s.Within == nil {
		return false
	}
	err := l.Commit.Try(ctx, func(ctx context.Context) error { return s.Within(ctx, list) })
	if err != nil && !errors.Is(err, ErrLater) {
		l.Config.Log.Warn("events are delivered later", "subscriber", s.Name, "events", len(list), "error", err)
	}
	return err == nil
}

// deliverMany tells a subscriber of the events of one commit. Each that fails is delivered
// again by itself, so that it holds up no other.
func (l *Log) deliverMany(ctx context.Context, s Subscriber, d Delivery) error {
	var found []Event
	for _, id := range append([]string{d.Event}, d.Also...) {
		e, err := l.Store.Get(ctx, id)
		if fault.Is(err, fault.NotFound) {
			l.Config.Log.Warn("event went away before its delivery", "event", id, "subscriber", s.Name)
			continue
		}
		if err != nil {
			return fmt.Errorf("deliver %s to %s: %w", id, s.Name, err)
		}
		found = append(found, e)
	}
	var failed []error
	for _, e := range found {
		if err := s.Handle(ctx, e); err != nil {
			l.Config.Log.Warn("event is delivered again", "event", e.ID, "subscriber", s.Name, "error", err)
			failed = append(failed, l.Jobs.Enqueue(ctx, Delivery{Event: e.ID, Subscriber: s.Name}, job.Options{}))
		}
	}
	return errors.Join(failed...)
}
