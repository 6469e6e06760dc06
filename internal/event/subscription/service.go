package subscription

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

const (
	maxSubscriptions = 500
	maxEndpoint      = 2048 // bytes
	maxPage          = 500
	countLimit       = 100_000 // waiting and dead letters are counted this far
)

// Service is the subscriptions. Start begins to deliver.
type Service struct {
	Deps
	active  atomic.Pointer[[]*Stored] // replaced as a whole
	reading sync.Mutex                // an older list must not replace a newer one
	post
}

// New makes the service. Nobody is told of anything before the first Refresh.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.active.Store(&[]*Stored{})
	s.post.init()
	return s
}

// Refresh reads which subscriptions there are. Other nodes see a change by it.
func (s *Service) Refresh(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	all, err := s.Store.Subscriptions(ctx, "", maxSubscriptions)
	if err != nil {
		return err
	}
	var active []*Stored
	for i := range all {
		if all[i].State == Active {
			active = append(active, &all[i])
		}
	}
	s.active.Store(&active)
	return nil
}

// refreshed reads the list after a change that is committed already: its caller is to
// find what happens from here on delivered. A failure is made good by the next tick.
func (s *Service) refreshed(ctx context.Context) {
	if err := s.Refresh(context.WithoutCancel(ctx)); err != nil {
		s.Log.Error("read subscriptions", "error", err)
	}
}

// Draft is a subscription to be made.
type Draft struct {
	Name string
	Filter
	Endpoint access.Secret
	Schema   Schema        // CloudEvents when empty
	Key      access.Secret // "whsec_" and base64 of 24 to 64 bytes; empty for no signature
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$`)

// KeyPrefix begins the text of a signing key, as standardwebhooks.com has it.
const KeyPrefix = "whsec_"

func (s *Service) check(d *Draft) error {
	if !nameForm.MatchString(d.Name) || strings.HasSuffix(d.Name, " ") {
		return fault.New(fault.Invalid, "InvalidName", "a subscription's name has 1 to 64 letters, digits, spaces, dots, dashes and underscores")
	}
	if d.Schema == "" {
		d.Schema = CloudEvents
	}
	if d.Schema != CloudEvents && d.Schema != EventGrid {
		return fault.New(fault.Invalid, "InvalidSchema", "schema %.64q is not known; choose %s or %s", d.Schema, CloudEvents, EventGrid)
	}
	if _, err := signingKey(d.Key); err != nil {
		return err
	}
	return s.checkEndpoint(d.Endpoint)
}

// checkEndpoint refuses addresses that are no webhook's. Which hosts may be reached is
// decided where the connection is made, after the name was resolved.
func (s *Service) checkEndpoint(endpoint access.Secret) error {
	text := endpoint.Reveal()
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || len(text) > maxEndpoint {
		return fault.New(fault.Invalid, "InvalidEndpoint", "the endpoint is no address of at most %d bytes; write https://host/path", maxEndpoint)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && s.PlainHTTP) {
		return fault.New(fault.Invalid, "InvalidEndpoint", "the endpoint must begin with https://; what is sent by http can be read and changed on its way")
	}
	if u.User != nil || u.Fragment != "" {
		return fault.New(fault.Invalid, "InvalidEndpoint", "the endpoint must have no user, password or fragment; put a token into its query, which is kept sealed and never shown")
	}
	return nil
}

// signingKey decodes the text of a key; the empty one is nil.
func signingKey(key access.Secret) ([]byte, error) {
	text := key.Reveal()
	if text == "" {
		return nil, nil
	}
	encoded, ok := strings.CutPrefix(text, KeyPrefix)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(raw) < 24 || len(raw) > 64 {
		return nil, fault.New(fault.Invalid, "InvalidKey", "the signing key must be %s followed by the base64 of 24 to 64 random bytes", KeyPrefix)
	}
	return raw, nil
}

// Create adds a subscription and asks its endpoint whether it wants events. One that does
// not agree stays Pending, with the reason: Test asks again.
func (s *Service) Create(ctx context.Context, c access.Caller, d Draft) (Subscription, error) {
	if err := d.Filter.check(); err != nil {
		return Subscription{}, err
	}
	if err := s.Guard.Authorize(ctx, c, Write, access.Scope(d.Source), "SubscriptionCreate"); err != nil {
		return Subscription{}, err
	}
	if err := s.check(&d); err != nil {
		return Subscription{}, err
	}
	x := Stored{
		ID: uuid.NewV4().String(), Name: d.Name, Filter: d.Filter, Endpoint: d.Endpoint, Schema: d.Schema, Key: d.Key,
		State: Pending, Problem: notAnswered, Code: access.Generate(""), CodeUntil: s.Now().Add(codeLife),
		Created: s.Now(), Updated: s.Now(), Revision: 1,
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		others, err := s.Store.Subscriptions(ctx, "", maxSubscriptions)
		if err != nil {
			return err
		}
		if len(others) == maxSubscriptions {
			return fault.New(fault.Conflict, "TooManySubscriptions", "there are %d subscriptions already; delete one that nobody needs", maxSubscriptions)
		}
		if err := s.Store.InsertSubscription(ctx, x); err != nil {
			if fault.HasCode(err, "NameTaken") {
				return fault.New(fault.Conflict, "NameTaken", "there is a subscription named %q already", d.Name)
			}
			return err
		}
		return s.tell(ctx, c.Record("SubscriptionCreate", Path(x.ID)), "Created", x)
	})
	if err != nil {
		return Subscription{}, err
	}
	if x, err = s.validate(ctx, c, x); err != nil {
		return Subscription{}, err
	}
	return x.show(), nil
}

// tell writes the record and the event of a change.
func (s *Service) tell(ctx context.Context, rec audit.Record, kind string, x Stored) error {
	rec.Details[audit.Scope] = x.Source
	if u, err := url.Parse(x.Endpoint.Reveal()); err == nil {
		rec.Details[audit.Endpoint] = u.Host
	}
	if err := s.Audit.Record(ctx, rec); err != nil {
		return err
	}
	data, err := json.Marshal(map[string]string{"name": x.Name, "source": x.Source, "state": string(x.State)})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/subscriptions", Type: "Chatelaine.Subscription" + kind, Subject: x.ID, Data: data})
}

// load returns a subscription to a caller who may do the action at its source. Who may
// do it nowhere above learns nothing of which there are.
func (s *Service) load(ctx context.Context, c access.Caller, a access.Action, id, operation string) (Stored, error) {
	x, err := s.Store.Subscription(ctx, id)
	scope := access.Scope(x.Source)
	if missing := fault.Is(err, fault.NotFound); missing {
		scope = access.Root
	} else if err != nil {
		return x, err
	}
	if err := s.Guard.Authorize(ctx, c, a, scope, operation); err != nil {
		return x, err
	}
	if err != nil {
		return x, fault.New(fault.NotFound, "SubscriptionNotFound", "there is no subscription %.64q", id)
	}
	return x, nil
}

// Get returns one subscription, with the number of what waits for it.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Subscription, error) {
	x, err := s.load(ctx, c, Read, id, "SubscriptionGet")
	if err != nil {
		return Subscription{}, err
	}
	shown := x.show()
	shown.Waiting, shown.Dead, err = s.Deliveries.Count(ctx, id, countLimit)
	return shown, err
}

// List returns up to limit subscriptions to a source and what is below it, by name, after
// the one named; limit is 1 to 500.
func (s *Service) List(ctx context.Context, c access.Caller, source, after string, limit int) ([]Subscription, error) {
	if source == "" {
		source = "/"
	}
	scope, err := access.ParseScope(source)
	if err != nil {
		return nil, err
	}
	if err := s.Guard.Authorize(ctx, c, Read, scope, "SubscriptionList"); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, limit)
	}
	all, err := s.Store.Subscriptions(ctx, after, maxSubscriptions)
	if err != nil {
		return nil, err
	}
	list := []Subscription{}
	for _, x := range all {
		if len(list) < limit && access.Scope(x.Source).Within(scope) {
			list = append(list, x.show())
		}
	}
	return list, nil
}

// Delete removes a subscription; what waits for it is dropped.
func (s *Service) Delete(ctx context.Context, c access.Caller, id string) error {
	x, err := s.load(ctx, c, Write, id, "SubscriptionDelete")
	if err != nil {
		return err
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.DeleteSubscription(ctx, id); err != nil {
			return err
		}
		return s.tell(ctx, c.Record("SubscriptionDelete", Path(id)), "Deleted", x)
	})
	if err == nil {
		s.refreshed(ctx)
	}
	return err
}

// change edits a subscription as it is now, and records it.
func (s *Service) change(ctx context.Context, rec audit.Record, id string, edit func(x *Stored) error) (x Stored, err error) {
	err = s.Transact(ctx, func(ctx context.Context) error {
		if x, err = s.Store.Subscription(ctx, id); err != nil {
			return err
		}
		if err := edit(&x); err != nil {
			return err
		}
		x.Updated = s.Now()
		x.Revision++
		if err := s.Store.UpdateSubscription(ctx, x); err != nil {
			return err
		}
		return s.tell(ctx, rec, "Changed", x)
	})
	if err == nil {
		s.refreshed(ctx)
	}
	return x, err
}

// codeLife is how long an endpoint's owner may take to agree by hand.
const codeLife = 10 * time.Minute

// notAnswered is the Problem of a subscription while its endpoint is asked.
const notAnswered = "its endpoint has not answered yet"
