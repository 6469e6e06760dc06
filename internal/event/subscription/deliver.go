package subscription

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"chatelaine.dev/internal/access"
)

const (
	tickEvery = 3 * time.Second // how late another node sees a new subscription
	parallel  = 4               // requests to one endpoint at a time
	round     = 16              // deliveries claimed at a time
	// lease outlasts a round in which every request takes its whole time.
	lease = 3 * time.Minute

	maxTries = 30
	lifetime = 24 * time.Hour // of a delivery; then it is a dead letter
	longest  = time.Hour      // wait that an endpoint may ask for

	// An endpoint that failed this many rounds is asked with one event at a time, and
	// rarer and rarer, until it takes one: its backlog must not be a flood.
	sick      = 3
	sickPause = 10 * time.Second
	sickMost  = 5 * time.Minute
)

// pauses are the waits after each failed try, as Event Grid has them; the last repeats.
func pauses() []time.Duration {
	return []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour}
}

// post delivers. Each subscription has a courier of its own, so a slow endpoint holds up
// nobody but itself.
type post struct {
	bell chan struct{} // somebody was woken

	mu      sync.Mutex
	woken   map[string]bool
	running map[string]bool // couriers under way
	health  map[string]*health
	busy    sync.WaitGroup
	stop    context.CancelFunc
}

type health struct {
	failures int // rounds in a row
	until    time.Time
}

func (p *post) init() {
	p.bell = make(chan struct{}, 1)
	p.woken, p.running, p.health = map[string]bool{}, map[string]bool{}, map[string]*health{}
}

// wake says that there may be something to deliver. It never waits: the writer of the
// database calls it.
func (p *post) wake(ids ...string) {
	p.mu.Lock()
	for _, id := range ids {
		p.woken[id] = true
	}
	p.mu.Unlock()
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// Start begins to deliver, until Stop. alone says that no other process uses the
// database: what a process that died held is due at once.
func (s *Service) Start(ctx context.Context, alone bool) error {
	if alone {
		if err := s.Deliveries.Release(ctx, s.Now()); err != nil {
			return err
		}
	}
	if err := s.Refresh(ctx); err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.busy.Go(func() { s.loop(ctx) })
	return nil
}

// Stop interrupts what is under way and waits for it. An event whose answer is not known
// is sent again at the next start.
func (s *Service) Stop() {
	if s.stop != nil {
		s.stop()
		s.busy.Wait()
	}
}

func (s *Service) loop(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for look := true; ; {
		if look { // at first for what the last process left
			if err := s.look(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("look for events to deliver", "error", err)
			}
		}
		s.dispatch(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.bell:
			look = false
		case <-tick.C:
			look = true
		}
	}
}

// look reads which subscriptions there are, and wakes those with something due: retries,
// and what processes that died left.
func (s *Service) look(ctx context.Context) error {
	if err := s.Refresh(ctx); err != nil || len(*s.active.Load()) == 0 {
		return err
	}
	ids, err := s.Deliveries.Due(ctx, s.Now())
	if err == nil && len(ids) > 0 {
		s.wake(ids...)
	}
	return err
}

// dispatch sends couriers to those who were woken and have none under way.
func (s *Service) dispatch(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.woken {
		if s.running[id] {
			continue // it is looked at again when that courier is back
		}
		delete(s.woken, id)
		s.running[id] = true
		s.busy.Go(func() {
			s.courier(ctx, id)
			s.mu.Lock()
			delete(s.running, id)
			again := s.woken[id]
			s.mu.Unlock()
			if again {
				s.wake(id)
			}
		})
	}
}

func (s *Service) courier(ctx context.Context, id string) {
	for ctx.Err() == nil {
		n, err := s.Deliver(ctx, id)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("deliver events", "subscription", id, "error", err)
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// Deliver tries what is due for a subscription, one round of it, and reports how many.
func (s *Service) Deliver(ctx context.Context, id string) (int, error) {
	x := s.find(id)
	if x == nil {
		return 0, nil
	}
	limit := s.capacity(id)
	if limit == 0 {
		return 0, nil
	}
	var claimed []Delivery
	err := s.Transact(ctx, func(ctx context.Context) (err error) {
		now := s.Now()
		claimed, err = s.Deliveries.Claim(ctx, Claim{Subscription: id, Holder: s.Holder, Now: now, Lease: now.Add(lease), Limit: limit})
		return err
	})
	if err != nil || len(claimed) == 0 {
		return 0, err
	}
	results := make([]Result, len(claimed))
	answers := make([]answer, len(claimed))
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, d := range claimed {
		g.Go(func() error {
			if d.Event.Type == "" { // pruned: nobody knows any more what it was
				results[i], answers[i].status = Result{Event: d.Event.ID}, http.StatusOK
				return nil
			}
			answers[i] = s.try(ctx, *x, d)
			results[i] = s.judge(ctx, d, answers[i])
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx) // what was answered is written, also when we are stopped
	err = s.Transact(ctx, func(ctx context.Context) error { return s.Deliveries.Settle(ctx, id, results) })
	s.note(id, answers)
	return len(claimed), errors.Join(err, s.retire(ctx, *x, answers))
}

func (s *Service) find(id string) *Stored {
	for _, x := range *s.active.Load() {
		if x.ID == id {
			return x
		}
	}
	return nil
}

// judge decides what becomes of a delivery.
func (s *Service) judge(ctx context.Context, d Delivery, a answer) Result {
	r := Result{Event: d.Event.ID, Problem: a.problem()}
	if r.Problem == "" {
		return r
	}
	now := s.Now()
	if ctx.Err() != nil { // we are stopping: the endpoint is not to blame
		r.Due = now
		return r
	}
	steps := pauses()
	wait := steps[min(d.Tries, len(steps))-1]
	wait += time.Duration(rand.Int64N(int64(wait)/10 + 1)) //nolint:gosec // spreads retries; nobody gains by guessing it
	wait = max(wait, min(a.after, longest))
	if hopeless(a.status) || d.Tries >= maxTries || now.Add(wait).Sub(d.Since) > lifetime {
		r.Died = now
		return r
	}
	r.Due = now.Add(wait)
	return r
}

// capacity is how many deliveries may be claimed now.
func (s *Service) capacity(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.health[id]
	switch {
	case h == nil || h.failures < sick:
		return round
	case s.Now().Before(h.until):
		return 0
	}
	return 1
}

// note remembers how an endpoint does.
func (s *Service) note(id string, answers []answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range answers {
		if a.problem() == "" || hopeless(a.status) { // it is there, and says what it thinks
			delete(s.health, id)
			return
		}
	}
	h := s.health[id]
	if h == nil {
		h = &health{}
		s.health[id] = h
	}
	h.failures++
	if n := h.failures - sick; n >= 0 {
		h.until = s.Now().Add(min(sickPause<<min(n, 10), sickMost))
	}
}

// retire stops a subscription whose endpoint says that it is gone for good.
func (s *Service) retire(ctx context.Context, x Stored, answers []answer) error {
	for _, a := range answers {
		if a.status != http.StatusGone {
			continue
		}
		_, err := s.change(ctx, access.System("webhooks").Record("SubscriptionRetire", Path(x.ID)), x.ID, func(x *Stored) error {
			x.State, x.Problem = Gone, "the endpoint answered 410 Gone; test the subscription when it is back"
			return nil
		})
		return err
	}
	return nil
}
