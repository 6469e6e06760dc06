package inventorydb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/storage"
)

// Campaigns implements discovery.Store.
type Campaigns struct{ db *storage.DB }

// NewCampaigns makes the store of a database.
func NewCampaigns(db *storage.DB) *Campaigns { return &Campaigns{db} }

const keptRuns = 100 // of one campaign

// InsertCampaign adds one.
func (s *Campaigns) InsertCampaign(ctx context.Context, c discovery.Campaign) error {
	draft, err := json.Marshal(c.Draft)
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `INSERT INTO campaigns (id, name, name_key, draft, next, created, updated, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		c.ID, c.Name, inventory.Fold(c.Name), string(draft), storage.Micros(c.Next), storage.Micros(c.Created), storage.Micros(c.Updated), c.Revision)
	return storage.Translate(err)
}

// UpdateCampaign replaces the row whose revision is c.Revision-1.
func (s *Campaigns) UpdateCampaign(ctx context.Context, c discovery.Campaign) error {
	draft, err := json.Marshal(c.Draft)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `UPDATE campaigns SET name = $3, name_key = $4, draft = $5, next = $6, updated = $7, revision = $8 WHERE id = $1 AND revision = $2`,
		c.ID, c.Revision-1, c.Name, inventory.Fold(c.Name), string(draft), storage.Micros(c.Next), storage.Micros(c.Updated), c.Revision)
	err = storage.One(res, err, "campaign not found")
	if fault.Is(err, fault.NotFound) {
		if _, e := s.Campaign(ctx, c.ID); e == nil {
			return fault.New(fault.Conflict, "Changed", "the campaign has another revision by now")
		}
	}
	return err
}

// SetNext changes the time of the next run.
func (s *Campaigns) SetNext(ctx context.Context, id string, next time.Time) error {
	res, err := s.db.Exec(ctx, `UPDATE campaigns SET next = $2 WHERE id = $1`, id, storage.Micros(next))
	return storage.One(res, err, "campaign not found")
}

// DeleteCampaign removes one with its runs.
func (s *Campaigns) DeleteCampaign(ctx context.Context, id string) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		if _, err := s.db.Exec(ctx, `DELETE FROM campaign_runs WHERE campaign = $1`, id); err != nil {
			return storage.Translate(err)
		}
		res, err := s.db.Exec(ctx, `DELETE FROM campaigns WHERE id = $1`, id)
		return storage.One(res, err, "campaign not found")
	})
}

const campaignColumns = `id, draft, next, created, updated, revision`

func scanCampaign(r storage.Scanner) (discovery.Campaign, error) {
	var c discovery.Campaign
	var draft string
	var next, created, updated int64
	if err := r.Scan(&c.ID, &draft, &next, &created, &updated, &c.Revision); err != nil {
		return c, storage.Translate(err)
	}
	if err := json.Unmarshal([]byte(draft), &c.Draft); err != nil {
		return c, fmt.Errorf("campaign %s: %w", c.ID, err)
	}
	c.Next, c.Created, c.Updated = storage.Time(next), storage.Time(created), storage.Time(updated)
	return c, nil
}

// Campaign returns one.
func (s *Campaigns) Campaign(ctx context.Context, id string) (discovery.Campaign, error) {
	return scanCampaign(s.db.QueryRow(ctx, `SELECT `+campaignColumns+` FROM campaigns WHERE id = $1`, id))
}

// Campaigns returns up to limit campaigns by name, after the given one.
func (s *Campaigns) Campaigns(ctx context.Context, after string, limit int) ([]discovery.Campaign, error) {
	rows, err := s.db.Query(ctx, `SELECT `+campaignColumns+` FROM campaigns WHERE name_key > $1 ORDER BY name_key LIMIT $2`, inventory.Fold(after), limit)
	return storage.Collect(rows, err, scanCampaign)
}

// Due returns campaigns whose Next has come.
func (s *Campaigns) Due(ctx context.Context, now time.Time, limit int) ([]discovery.Campaign, error) {
	rows, err := s.db.Query(ctx, `SELECT `+campaignColumns+` FROM campaigns WHERE next > 0 AND next <= $1 ORDER BY next LIMIT $2`, storage.Micros(now), limit)
	return storage.Collect(rows, err, scanCampaign)
}

const runColumns = `id, campaign, state, queued, started, finished, total, done, position, found, fresh, changed, unreachable, problem`

// InsertRun adds one and keeps the newest of its campaign.
func (s *Campaigns) InsertRun(ctx context.Context, r discovery.Run) error {
	return s.db.Transact(ctx, func(ctx context.Context) error {
		var busy int
		err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM campaign_runs WHERE campaign = $1 AND state IN ('queued', 'running')`, r.Campaign).Scan(&busy)
		if err != nil {
			return storage.Translate(err)
		}
		if busy > 0 { // asked first, because a violated constraint would end PostgreSQL's transaction
			return fault.New(fault.Conflict, "RunUnderWay", "a run of this campaign is under way")
		}
		_, err = s.db.Exec(ctx, `INSERT INTO campaign_runs (`+runColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			r.ID, r.Campaign, string(r.State), storage.Micros(r.Queued), storage.Micros(r.Started), storage.Micros(r.Finished),
			r.Total, r.Done, r.Position, r.Found, r.New, r.Changed, r.Unreachable, r.Problem)
		if err != nil {
			return storage.Translate(err)
		}
		_, err = s.db.Exec(ctx, `DELETE FROM campaign_runs WHERE campaign = $1 AND state NOT IN ('queued', 'running') AND id NOT IN
			(SELECT id FROM campaign_runs WHERE campaign = $1 ORDER BY queued DESC, id LIMIT $2)`, r.Campaign, keptRuns)
		return storage.Translate(err)
	})
}

// UpdateRun replaces a run that is not final.
func (s *Campaigns) UpdateRun(ctx context.Context, r discovery.Run) error {
	res, err := s.db.Exec(ctx, `UPDATE campaign_runs SET state = $2, started = $3, finished = $4, total = $5, done = $6, position = $7,
			found = $8, fresh = $9, changed = $10, unreachable = $11, problem = $12
		WHERE id = $1 AND state IN ('queued', 'running')`,
		r.ID, string(r.State), storage.Micros(r.Started), storage.Micros(r.Finished), r.Total, r.Done, r.Position, r.Found, r.New, r.Changed, r.Unreachable, r.Problem)
	err = storage.One(res, err, "run not found")
	if fault.Is(err, fault.NotFound) {
		if old, e := s.Run(ctx, r.ID); e == nil {
			return fault.New(fault.Conflict, "RunEnded", "the run is %s already", old.State)
		}
	}
	return err
}

func scanRun(r storage.Scanner) (discovery.Run, error) {
	var x discovery.Run
	var queued, started, finished int64
	err := r.Scan(&x.ID, &x.Campaign, &x.State, &queued, &started, &finished, &x.Total, &x.Done, &x.Position, &x.Found, &x.New, &x.Changed, &x.Unreachable, &x.Problem)
	x.Queued, x.Started, x.Finished = storage.Time(queued), storage.Time(started), storage.Time(finished)
	return x, storage.Translate(err)
}

// Run returns one.
func (s *Campaigns) Run(ctx context.Context, id string) (discovery.Run, error) {
	return scanRun(s.db.QueryRow(ctx, `SELECT `+runColumns+` FROM campaign_runs WHERE id = $1`, id))
}

// Runs returns runs, newest first.
func (s *Campaigns) Runs(ctx context.Context, q discovery.RunQuery) ([]discovery.Run, error) {
	before := inventory.Instant(q.Before)
	where, args := "queued < $1", []any{before, q.Limit}
	if q.Campaign != "" {
		where += " AND campaign = $3"
		args = append(args, q.Campaign)
	}
	rows, err := s.db.Query(ctx, `SELECT `+runColumns+` FROM campaign_runs WHERE `+where+` ORDER BY queued DESC, id LIMIT $2`, args...)
	return storage.Collect(rows, err, scanRun)
}
