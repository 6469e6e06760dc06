package renewal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
)

// Requests makes and retries requests.
type Requests interface {
	Create(ctx context.Context, c access.Caller, d enrollment.Draft) (enrollment.Request, error)
	Retry(ctx context.Context, c access.Caller, id string) (enrollment.Request, error)
	// Latest returns the newest request of a lineage, or fault.NotFound.
	Latest(ctx context.Context, lineage string) (enrollment.Request, error)
}

// Lineages is what renewal needs of the lineages' store.
type Lineages interface {
	Lineage(ctx context.Context, id string) (lineage.Lineage, error)
	UpdateLineage(ctx context.Context, l lineage.Lineage) error
	DueLineages(ctx context.Context, now time.Time, limit int) ([]string, error)
}

// Deps are what the service needs.
type Deps struct {
	Lineages Lineages
	Requests Requests
	// Batch is how many lineages one tick renews at most, so that a thousand that are due at
	// once do not fall on their issuer at once; 0 means 100.
	Batch    int
	Transact audit.Transact
	Audit    audit.Recorder
	Guard    access.Guard
	Now      func() time.Time
	Log      *slog.Logger
}

// Service is the renewal engine.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service {
	if d.Batch == 0 {
		d.Batch = 100
	}
	return &Service{d}
}

// TickArgs is the periodic look for lineages that are due. Have it run every minute.
type TickArgs struct{}

// Kind implements job.Args.
func (TickArgs) Kind() string { return "renewal.tick" }

// HandleTick renews what is due, the longest due first. One lineage that fails does not
// stop the others.
func (s *Service) HandleTick(ctx context.Context, _ TickArgs) error {
	ids, err := s.Lineages.DueLineages(ctx, s.Now(), s.Batch)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if err := s.renew(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("renew lineage %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) renew(ctx context.Context, id string) error {
	c, err := s.look(ctx, id)
	if err != nil {
		return err
	}
	d, caller := Decide(c), access.System("renewal")
	switch d.Do {
	case Create:
		_, err = s.Requests.Create(ctx, caller, enrollment.Draft{Lineage: id, Comment: d.Why})
	case Retry:
		_, err = s.Requests.Retry(ctx, caller, c.Latest.ID)
	default:
		return nil
	}
	switch {
	case err == nil:
		s.Log.Info("renewal", "lineage", id, "does", d.Do, "why", d.Why)
		return nil
	case fault.Is(err, fault.Internal) || fault.Is(err, fault.Unavailable) || fault.HasCode(err, "RequestUnderWay"):
		return err
	}
	return s.refused(ctx, id, err)
}

// refused notes at the lineage that nothing could even be asked for, and looks again later.
func (s *Service) refused(ctx context.Context, id string, cause error) error {
	s.Log.Error("renewal refused", "lineage", id, "error", cause)
	return s.Transact(ctx, func(ctx context.Context) error {
		l, err := s.Lineages.Lineage(ctx, id)
		if err != nil {
			return err
		}
		l.Fail(lineage.Problem(cause), s.Now())
		if err := s.Lineages.UpdateLineage(ctx, l); err != nil {
			return err
		}
		rec := access.System("renewal").Record("LineageRenew", lineage.Path(id))
		rec.Outcome = audit.Failed
		rec.Details[audit.Lineage], rec.Details[audit.Reason] = id, fault.Of(cause).Code
		return s.Audit.Record(ctx, rec)
	})
}

// look collects what a decision is made on.
func (s *Service) look(ctx context.Context, id string) (Case, error) {
	l, err := s.Lineages.Lineage(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return Case{}, fault.New(fault.NotFound, "LineageNotFound", "there is no lineage %.64q", id)
	}
	if err != nil {
		return Case{}, err
	}
	c := Case{Lineage: l, Now: s.Now()}
	r, err := s.Requests.Latest(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return c, nil
	}
	c.Latest = &r
	return c, err
}

// Next says what happens next to a lineage.
func (s *Service) Next(ctx context.Context, c access.Caller, id string) (Next, error) {
	if err := s.Guard.Authorize(ctx, c, lineage.Read, lineage.Scope(id), "LineageGet"); err != nil {
		return Next{}, err
	}
	found, err := s.look(ctx, id)
	if err != nil {
		return Next{}, err
	}
	return Outlook(found), nil
}
