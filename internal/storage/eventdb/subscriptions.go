package eventdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/vault/seal"
)

// Sealer seals subscriptions. A *seal.Box is one.
type Sealer interface {
	Seal(id seal.Identity, plaintext []byte) []byte
	Open(id seal.Identity, sealed []byte) ([]byte, error)
}

// Subscriptions implements subscription.Store and subscription.Deliveries.
type Subscriptions struct {
	db     *storage.DB
	sealer Sealer
}

var (
	_ subscription.Store      = (*Subscriptions)(nil)
	_ subscription.Deliveries = (*Subscriptions)(nil)
)

// NewSubscriptions makes the store.
func NewSubscriptions(db *storage.DB, s Sealer) *Subscriptions { return &Subscriptions{db, s} }

// storedSubscription is one inside its seal: its secrets cannot be encoded otherwise.
type storedSubscription struct {
	ID, Name, Source             string
	Types                        []string
	SubjectPrefix, SubjectSuffix string
	Endpoint, Key, Code          string
	Schema, State, Problem       string
	CodeUntil, Created, Updated  time.Time
}

func (s *Subscriptions) identity(id string, revision int64) seal.Identity {
	return seal.Identity{Vault: "events", Kind: "subscription", Name: id, Revision: revision}
}

func (s *Subscriptions) seal(x subscription.Stored) ([]byte, error) {
	b, err := json.Marshal(storedSubscription{
		x.ID, x.Name, x.Source, x.Types, x.SubjectPrefix, x.SubjectSuffix, x.Endpoint.Reveal(), x.Key.Reveal(), x.Code.Reveal(),
		string(x.Schema), string(x.State), x.Problem, x.CodeUntil, x.Created, x.Updated,
	})
	if err != nil {
		return nil, fmt.Errorf("encode subscription %s: %w", x.ID, err)
	}
	return s.sealer.Seal(s.identity(x.ID, x.Revision), b), nil
}

func (s *Subscriptions) open(scan func(...any) error) (subscription.Stored, error) {
	var (
		id       string
		revision int64
		sealed   []byte
		k        storedSubscription
	)
	if err := scan(&id, &revision, &sealed); err != nil {
		return subscription.Stored{}, storage.Translate(err)
	}
	b, err := s.sealer.Open(s.identity(id, revision), sealed)
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		return subscription.Stored{}, fmt.Errorf("subscription %s: %w", id, err)
	}
	return subscription.Stored{
		ID: k.ID, Name: k.Name,
		Filter:   subscription.Filter{Source: k.Source, Types: k.Types, SubjectPrefix: k.SubjectPrefix, SubjectSuffix: k.SubjectSuffix},
		Endpoint: access.NewSecret(k.Endpoint), Schema: subscription.Schema(k.Schema), Key: access.NewSecret(k.Key),
		State: subscription.State(k.State), Problem: k.Problem, Code: access.NewSecret(k.Code), CodeUntil: k.CodeUntil,
		Created: k.Created, Updated: k.Updated, Revision: revision,
	}, nil
}

// InsertSubscription implements subscription.Store.
func (s *Subscriptions) InsertSubscription(ctx context.Context, x subscription.Stored) error {
	sealed, err := s.seal(x)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `INSERT INTO event_subscriptions (id, name_key, revision, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		x.ID, strings.ToLower(x.Name), x.Revision, sealed)
	if err != nil {
		return storage.Translate(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fault.New(fault.Conflict, "NameTaken", "it exists already")
}

// UpdateSubscription implements subscription.Store.
func (s *Subscriptions) UpdateSubscription(ctx context.Context, x subscription.Stored) error {
	sealed, err := s.seal(x)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `UPDATE event_subscriptions SET revision = $1, sealed = $2 WHERE id = $3 AND revision = $4`,
		x.Revision, sealed, x.ID, x.Revision-1)
	if err != nil {
		return storage.Translate(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fault.New(fault.Conflict, "Changed", "it was changed or removed in between; read it again")
}

// DeleteSubscription implements subscription.Store.
func (s *Subscriptions) DeleteSubscription(ctx context.Context, id string) error {
	res, err := s.db.Exec(ctx, `DELETE FROM event_subscriptions WHERE id = $1`, id)
	return storage.One(res, err, "there is no such subscription")
}

// Subscription implements subscription.Store.
func (s *Subscriptions) Subscription(ctx context.Context, id string) (subscription.Stored, error) {
	return s.open(s.db.QueryRow(ctx, `SELECT id, revision, sealed FROM event_subscriptions WHERE id = $1`, id).Scan)
}

// Subscriptions implements subscription.Store.
func (s *Subscriptions) Subscriptions(ctx context.Context, after string, limit int) ([]subscription.Stored, error) {
	rows, err := s.db.Query(ctx, `SELECT id, revision, sealed FROM event_subscriptions WHERE name_key > $1 ORDER BY name_key LIMIT $2`,
		strings.ToLower(after), limit)
	if err != nil {
		return nil, storage.Translate(err)
	}
	defer rows.Close()
	var list []subscription.Stored
	for rows.Next() {
		x, err := s.open(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, storage.Translate(rows.Err())
}

// AfterCommit implements subscription.Store.
func (s *Subscriptions) AfterCommit(ctx context.Context, fn func(committed bool)) {
	s.db.AfterCommit(ctx, fn)
}
