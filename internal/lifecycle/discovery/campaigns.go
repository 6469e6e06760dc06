package discovery

import (
	"context"
	"encoding/json"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

// Create adds a campaign. One with an interval runs for the first time within a minute.
func (s *Service) Create(ctx context.Context, c access.Caller, d Draft) (Campaign, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "CampaignCreate"); err != nil {
		return Campaign{}, err
	}
	if err := s.check(ctx, d); err != nil {
		return Campaign{}, err
	}
	x := Campaign{ID: uuid.NewV4().String(), Draft: d, Created: s.Now(), Updated: s.Now(), Revision: 1}
	if !d.nextRun(s.Now()).IsZero() {
		x.Next = s.Now()
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.InsertCampaign(ctx, x); err != nil {
			return taken(err, d.Name)
		}
		return s.tell(ctx, c.Record("CampaignCreate", Path(x.ID)), "Chatelaine.CampaignCreated", x.ID, x.Draft)
	})
	return x, err
}

// Update changes a campaign of the given revision. A run that is under way keeps to the
// old one until its job is interrupted, so better cancel it.
func (s *Service) Update(ctx context.Context, c access.Caller, id string, revision int64, d Draft) (Campaign, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "CampaignUpdate"); err != nil {
		return Campaign{}, err
	}
	if err := s.check(ctx, d); err != nil {
		return Campaign{}, err
	}
	var x Campaign
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if x, err = s.campaign(ctx, id); err != nil {
			return err
		}
		if x.Revision != revision {
			return fault.New(fault.Conflict, "Changed", "the campaign is at revision %d by now; read it again", x.Revision)
		}
		if d.Interval != x.Interval || d.Enabled != x.Enabled {
			x.Next = d.nextRun(s.Now())
		}
		x.Draft, x.Updated = d, s.Now()
		x.Revision++
		if err := s.Store.UpdateCampaign(ctx, x); err != nil {
			return taken(err, d.Name)
		}
		return s.tell(ctx, c.Record("CampaignUpdate", Path(id)), "Chatelaine.CampaignUpdated", id, x.Draft)
	})
	return x, err
}

// Delete removes a campaign and its runs; one that is under way stops. What it found stays.
func (s *Service) Delete(ctx context.Context, c access.Caller, id string) error {
	if err := s.Guard.Authorize(ctx, c, Delete, access.Root, "CampaignDelete"); err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		x, err := s.campaign(ctx, id)
		if err != nil {
			return err
		}
		if err := s.Store.DeleteCampaign(ctx, id); err != nil {
			return err
		}
		return s.tell(ctx, c.Record("CampaignDelete", Path(id)), "Chatelaine.CampaignDeleted", id, x.Draft)
	})
}

// Get returns one campaign.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Campaign, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "CampaignGet"); err != nil {
		return Campaign{}, err
	}
	return s.campaign(ctx, id)
}

// List returns up to limit (1 to 500) campaigns by name, after the one named.
func (s *Service) List(ctx context.Context, c access.Caller, after string, limit int) ([]Campaign, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "CampaignList"); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, limit)
	}
	if after != "" && !nameForm.MatchString(after) {
		return nil, fault.New(fault.Invalid, "InvalidCursor", "%.64q is no name of a campaign", after)
	}
	return s.Store.Campaigns(ctx, after, limit)
}

// StartRun queues a run. fault.Conflict while one of the campaign is under way.
func (s *Service) StartRun(ctx context.Context, c access.Caller, campaign string) (Run, error) {
	if err := s.Guard.Authorize(ctx, c, Start, access.Root, "RunStart"); err != nil {
		return Run{}, err
	}
	r := Run{ID: uuid.NewV4().String(), Campaign: campaign, State: Queued, Queued: s.Now()}
	err := s.Transact(ctx, func(ctx context.Context) error {
		if _, err := s.campaign(ctx, campaign); err != nil {
			return err
		}
		return s.enqueue(ctx, c, r)
	})
	return r, err
}

// enqueue stores a run, its record and its job.
func (s *Service) enqueue(ctx context.Context, c access.Caller, r Run) error {
	err := s.Store.InsertRun(ctx, r)
	if fault.Is(err, fault.Conflict) {
		return fault.New(fault.Conflict, "RunUnderWay", "a run of this campaign is under way; wait for it or cancel it")
	}
	if err != nil {
		return err
	}
	rec := c.Record("RunStart", Path(r.Campaign))
	rec.Details[audit.Run] = r.ID
	if err := s.Audit.Record(ctx, rec); err != nil {
		return err
	}
	return s.Jobs.Enqueue(ctx, RunArgs{Run: r.ID}, jobOptions())
}

// CancelRun ends a run; what it recorded until then stays. It stops within seconds.
func (s *Service) CancelRun(ctx context.Context, c access.Caller, id string) (Run, error) {
	if err := s.Guard.Authorize(ctx, c, Start, access.Root, "RunCancel"); err != nil {
		return Run{}, err
	}
	var r Run
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if r, err = s.run(ctx, id); err != nil {
			return err
		}
		if r.State.Final() {
			return fault.New(fault.Conflict, "RunEnded", "the run is %s already", r.State)
		}
		r.State, r.Finished = Canceled, s.Now()
		if err := s.Store.UpdateRun(ctx, r); err != nil {
			return err
		}
		rec := c.Record("RunCancel", Path(r.Campaign))
		rec.Details[audit.Run] = r.ID
		return s.Audit.Record(ctx, rec)
	})
	return r, err
}

// GetRun returns one run, with its progress.
func (s *Service) GetRun(ctx context.Context, c access.Caller, id string) (Run, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "RunGet"); err != nil {
		return Run{}, err
	}
	return s.run(ctx, id)
}

// ListRuns returns runs, newest first.
func (s *Service) ListRuns(ctx context.Context, c access.Caller, q RunQuery) ([]Run, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "RunList"); err != nil {
		return nil, err
	}
	if q.Limit < 1 || q.Limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, q.Limit)
	}
	if q.Campaign != "" {
		if _, err := s.campaign(ctx, q.Campaign); err != nil {
			return nil, err
		}
	}
	return s.Store.Runs(ctx, q)
}

func (s *Service) campaign(ctx context.Context, id string) (Campaign, error) {
	if _, err := uuid.Parse(id); err != nil {
		return Campaign{}, fault.New(fault.NotFound, "CampaignNotFound", "there is no campaign %.64q", id)
	}
	x, err := s.Store.Campaign(ctx, id)
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.NotFound, "CampaignNotFound", "there is no campaign %.64q", id)
	}
	return x, err
}

func (s *Service) run(ctx context.Context, id string) (Run, error) {
	if _, err := uuid.Parse(id); err != nil {
		return Run{}, fault.New(fault.NotFound, "RunNotFound", "there is no run %.64q", id)
	}
	r, err := s.Store.Run(ctx, id)
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.NotFound, "RunNotFound", "there is no run %.64q", id)
	}
	return r, err
}

func taken(err error, name string) error {
	if fault.Is(err, fault.Conflict) {
		return fault.New(fault.Conflict, "NameTaken", "there is a campaign %q already, or it changed meanwhile", name)
	}
	return err
}

// tell writes the record and the event of a change.
func (s *Service) tell(ctx context.Context, rec audit.Record, kind, subject string, data any) error {
	if err := s.Audit.Record(ctx, rec); err != nil {
		return err
	}
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/campaigns", Type: kind, Subject: subject, Data: b})
}
