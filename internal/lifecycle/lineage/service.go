package lineage

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/vault/object"
)

// Inventory is what lineages need of the inventory.
type Inventory interface {
	Get(ctx context.Context, c access.Caller, sha256 string) (inventory.Detail, error)
	// SetLineage joins the transaction of ctx.
	SetLineage(ctx context.Context, sha256, lineage, owner string) error
}

// Connections is what lineages need of the connections.
type Connections interface {
	CheckPlace(ctx context.Context, id string, place connector.Settings) error
}

// Vaults says whether a caller may put a certificate into a vault, by whatever decides
// there; fault.NotFound if there is no such vault.
type Vaults interface {
	MayImport(ctx context.Context, c access.Caller, r object.Ref) error
}

// Deps are what the service needs.
type Deps struct {
	Store       Store
	Inventory   Inventory
	Connections Connections
	Vaults      Vaults
	Policy      Policy
	// Busy reports whether a request of a lineage is under way.
	Busy     func(ctx context.Context, lineage string) (bool, error)
	Transact audit.Transact
	Audit    audit.Recorder
	Guard    access.Guard
	Events   event.Emitter
	Now      func() time.Time
	Log      *slog.Logger
}

// Service is the lineages.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

// Create makes a lineage that has no certificate yet. Ask for one with a request.
func (s *Service) Create(ctx context.Context, c access.Caller, w Wanted, targets []Target) (Lineage, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "LineageCreate"); err != nil {
		return Lineage{}, err
	}
	l := s.begin(w, targets)
	l.complete()
	if err := s.check(ctx, c, l, "LineageCreate"); err != nil {
		return Lineage{}, err
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		if err := s.insert(ctx, l); err != nil {
			return err
		}
		return s.tell(ctx, c.Record("LineageCreate", Path(l.ID)), "Chatelaine.LineageCreated", l)
	})
	return l, err
}

func (s *Service) begin(w Wanted, targets []Target) Lineage {
	now := s.Now()
	return Lineage{ID: uuid.NewV4().String(), Wanted: w, Targets: targets, Created: now, Updated: now, Revision: 1}
}

func (s *Service) insert(ctx context.Context, l Lineage) error {
	err := s.Store.InsertLineage(ctx, l)
	if fault.HasCode(err, "NameTaken") {
		return fault.New(fault.Conflict, "NameTaken", "there is a lineage named %q already", l.Name)
	}
	return err
}

// Get returns one lineage.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Lineage, error) {
	if err := s.Guard.Authorize(ctx, c, Read, Scope(id), "LineageGet"); err != nil {
		return Lineage{}, err
	}
	return s.stored(ctx, id)
}

const maxPage = 500

// List returns a page of lineages by name.
func (s *Service) List(ctx context.Context, c access.Caller, q Query) ([]Lineage, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "LineageList"); err != nil {
		return nil, err
	}
	if q.Limit < 1 || q.Limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, q.Limit)
	}
	return s.Store.Lineages(ctx, q)
}

// Members returns the latest 500 certificates of a lineage, newest first.
func (s *Service) Members(ctx context.Context, c access.Caller, id string) ([]Member, error) {
	if err := s.Guard.Authorize(ctx, c, Read, Scope(id), "LineageMembers"); err != nil {
		return nil, err
	}
	return s.Store.Members(ctx, id, maxPage)
}

// Update changes what is wanted and where it is installed, of the lineage as the caller
// has seen it; fault.Conflict when it has changed since. The rest of seen is not looked at.
func (s *Service) Update(ctx context.Context, c access.Caller, seen Lineage) (Lineage, error) {
	if err := s.Guard.Authorize(ctx, c, Write, Scope(seen.ID), "LineageUpdate"); err != nil {
		return Lineage{}, err
	}
	wanted := Lineage{ID: seen.ID, Wanted: seen.Wanted, Targets: seen.Targets}
	wanted.complete()
	if err := s.check(ctx, c, wanted, "LineageUpdate"); err != nil {
		return Lineage{}, err
	}
	var l Lineage
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if l, err = s.stored(ctx, seen.ID); err != nil {
			return err
		}
		if l.Revision != seen.Revision {
			return fault.New(fault.Conflict, "Changed", "somebody else has changed the lineage; read it again and repeat the change")
		}
		owner := l.Owner
		l.Wanted, l.Targets = wanted.Wanted, wanted.Targets
		l.reschedule()
		l.stamp(s.Now())
		if err := s.update(ctx, l); err != nil {
			return err
		}
		if owner != l.Owner && l.Current.SHA256 != "" {
			if err := s.Inventory.SetLineage(ctx, l.Current.SHA256, l.ID, l.Owner); err != nil {
				return err
			}
		}
		return s.tell(ctx, c.Record("LineageUpdate", Path(l.ID)), "Chatelaine.LineageUpdated", l)
	})
	return l, err
}

// reschedule computes Due anew. A lineage without a certificate is never due: somebody
// must ask for the first one.
func (l *Lineage) reschedule() {
	l.Due = time.Time{}
	if !l.Paused && l.Current.SHA256 != "" {
		l.Due, _ = l.Rule.Due(l.ID, l.Current.NotBefore, l.Current.NotAfter)
	}
}

func (s *Service) update(ctx context.Context, l Lineage) error {
	err := s.Store.UpdateLineage(ctx, l)
	if fault.HasCode(err, "NameTaken") {
		return fault.New(fault.Conflict, "NameTaken", "there is a lineage named %q already", l.Name)
	}
	return err
}

// Remove ends the management of a line of certificates. The certificates stay where they
// are; the inventory knows them as before. fault.Conflict while a request is under way.
func (s *Service) Remove(ctx context.Context, c access.Caller, id string) error {
	if err := s.Guard.Authorize(ctx, c, Delete, Scope(id), "LineageDelete"); err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		l, err := s.stored(ctx, id)
		if err != nil {
			return err
		}
		busy, err := s.Busy(ctx, id)
		if err != nil {
			return err
		}
		if busy {
			return fault.New(fault.Conflict, "RequestUnderWay", "a request of this lineage is under way; wait for its end or cancel it")
		}
		members, err := s.Store.Members(ctx, id, maxPage)
		if err != nil {
			return err
		}
		for _, m := range members {
			if err := s.Inventory.SetLineage(ctx, m.SHA256, "", l.Owner); err != nil {
				return err
			}
		}
		if err := s.Store.DeleteLineage(ctx, id, l.Revision); err != nil {
			return err
		}
		return s.tell(ctx, c.Record("LineageDelete", Path(id)), "Chatelaine.LineageDeleted", l)
	})
}

// Revoked makes the lineage that a certificate serves renew it at once. It does not
// authorise: whoever hears of a revocation tells it, at least once.
func (s *Service) Revoked(ctx context.Context, sha256 string) error {
	caller := access.System("lineage")
	found, err := s.Inventory.Get(ctx, caller, sha256)
	if fault.Is(err, fault.NotFound) || err == nil && found.Lineage == "" {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		l, err := s.Store.Lineage(ctx, found.Lineage)
		if fault.Is(err, fault.NotFound) || err == nil && (l.Current.SHA256 != found.SHA256 || !l.Due.After(s.Now())) {
			return nil
		}
		if err != nil {
			return err
		}
		l.Hasten(s.Now())
		if err := s.update(ctx, l); err != nil {
			return err
		}
		return s.tell(ctx, caller.Record("LineageHasten", Path(l.ID)), "Chatelaine.LineageUpdated", l)
	})
}

func (s *Service) stored(ctx context.Context, id string) (Lineage, error) {
	l, err := s.Store.Lineage(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return l, fault.New(fault.NotFound, "LineageNotFound", "there is no lineage %.64q", id)
	}
	return l, err
}

// tell writes the record and the event of a change.
func (s *Service) tell(ctx context.Context, rec audit.Record, kind string, l Lineage) error {
	rec.Details[audit.Lineage], rec.Details[audit.Owner], rec.Details[audit.Profile] = l.ID, l.Owner, l.Profile
	if l.Current.SHA256 != "" {
		rec.Details[audit.Fingerprint] = l.Current.SHA256
	}
	if err := s.Audit.Record(ctx, rec); err != nil {
		return err
	}
	data, err := json.Marshal(map[string]any{"name": l.Name, "owner": l.Owner, "sha256": l.Current.SHA256, "notAfter": l.Current.NotAfter})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/lineages", Type: kind, Subject: l.ID, Data: data})
}
