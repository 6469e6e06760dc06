// Package discovery looks for certificates again and again: a campaign says where and how
// often, a run is one execution of it, a durable job that goes on where it stopped. What it
// sees goes to the inventory.
package discovery

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/discovery/scan"
	"chatelaine.dev/internal/lifecycle/inventory"
)

// The actions of this service, at the scope "/". Run is what starting and cancelling need.
const (
	Read   access.Action = "Chatelaine/campaigns/read"
	Write  access.Action = "Chatelaine/campaigns/write"
	Delete access.Action = "Chatelaine/campaigns/delete"
	Start  access.Action = "Chatelaine/campaigns/run"
)

// Draft is a campaign to be made or changed: either Targets of the network, or a
// Connection whose connector is a source.
type Draft struct {
	Name       string   `json:"name"`                 // unique without regard to case
	Targets    []string `json:"targets,omitempty"`    // names, addresses, networks, ranges: see scan.PlanOptions
	Ports      string   `json:"ports,omitempty"`      // 443,9000-9010; empty for scan.DefaultPorts
	Exclude    []string `json:"exclude,omitempty"`    // what is left out
	Versions   bool     `json:"versions,omitempty"`   // find out every TLS version that is accepted
	Connection string   `json:"connection,omitempty"` // id
	Interval   int64    `json:"interval,omitempty"`   // seconds from run to run, 300 to a year; 0 for runs by hand only
	Enabled    bool     `json:"enabled"`              // whether it runs by itself
}

// Campaign is what to discover and how often.
type Campaign struct {
	ID string `json:"id"`
	Draft
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Next     time.Time `json:"next,omitzero"` // when it runs by itself; zero for never
	Revision int64     `json:"revision"`
}

// RunState is where a run is.
type RunState string

// The states. The last three are final.
const (
	Queued    RunState = "queued"
	Running   RunState = "running"
	Completed RunState = "completed"
	Failed    RunState = "failed"
	Canceled  RunState = "canceled"
)

// Final reports whether nothing will happen any more.
func (s RunState) Final() bool { return s == Completed || s == Failed || s == Canceled }

// Run is one execution of a campaign.
type Run struct {
	ID       string    `json:"id"`
	Campaign string    `json:"campaign"` // id
	State    RunState  `json:"state"`
	Queued   time.Time `json:"queued"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`

	Total       int    `json:"total"` // probes; 0 while unknown, as it is of a source until its end
	Done        int    `json:"done"`
	Found       int    `json:"found"`       // places with a certificate
	New         int    `json:"new"`         // certificates that nobody had seen before
	Changed     int    `json:"changed"`     // places whose certificate or state changed
	Unreachable int    `json:"unreachable"` // probes without an answer
	Problem     string `json:"problem,omitempty"`

	Position int `json:"-"` // every probe before it has ended and is counted
}

// RunQuery asks for runs, newest first.
type RunQuery struct {
	Campaign string    // id; empty for all
	Before   time.Time // queued before; zero for the newest
	Limit    int       // 1 to 500
}

// Store keeps campaigns and runs. Every method joins the transaction of ctx. What is not
// there is fault.NotFound.
type Store interface {
	// InsertCampaign adds one; fault.Conflict when the name is taken.
	InsertCampaign(ctx context.Context, c Campaign) error
	// UpdateCampaign replaces the row whose revision is c.Revision-1; fault.Conflict when it
	// has another revision or the name is taken.
	UpdateCampaign(ctx context.Context, c Campaign) error
	// SetNext changes the time of the next run and nothing else.
	SetNext(ctx context.Context, id string, next time.Time) error
	// DeleteCampaign removes one with its runs.
	DeleteCampaign(ctx context.Context, id string) error
	Campaign(ctx context.Context, id string) (Campaign, error)
	// Campaigns returns up to limit campaigns by name, after the given one.
	Campaigns(ctx context.Context, after string, limit int) ([]Campaign, error)
	// Due returns campaigns whose Next has come.
	Due(ctx context.Context, now time.Time, limit int) ([]Campaign, error)
	// InsertRun adds one and keeps the newest 100 of its campaign; fault.Conflict while
	// another one of the campaign is not final.
	InsertRun(ctx context.Context, r Run) error
	// UpdateRun replaces a run that is not final; fault.Conflict when it is.
	UpdateRun(ctx context.Context, r Run) error
	Run(ctx context.Context, id string) (Run, error)
	Runs(ctx context.Context, q RunQuery) ([]Run, error)
}

// Inventory takes what was seen; inventory.Service is one.
type Inventory interface {
	Record(ctx context.Context, c access.Caller, observations []inventory.Observation) (inventory.Recorded, error)
	Complete(ctx context.Context, c access.Caller, source, run string, since time.Time) (missing int, err error)
}

// Sources opens connections; connection.Service is one. fault.Invalid when it is no source.
type Sources interface {
	Source(ctx context.Context, connection string) (connector.Source, error)
}

// Deps are what the service needs. Sources may be nil where there are no connections.
type Deps struct {
	Store     Store
	Inventory Inventory
	Sources   Sources
	Scan      scan.Config // Versions is the campaign's
	Transact  audit.Transact
	Audit     audit.Recorder
	Guard     access.Guard
	Events    event.Emitter
	Jobs      job.Queue
	Now       func() time.Time
	Log       *slog.Logger
}

// Service is discovery.
type Service struct{ Deps }

// New makes the service. Register HandleRun for RunArgs and HandleSchedule for
// ScheduleArgs, and enqueue ScheduleArgs every minute.
func New(d Deps) *Service { return &Service{d} }

// Path is the campaign in records and events.
func Path(id string) string { return "/campaigns/" + id }

const (
	minInterval = 300
	maxInterval = 366 * 24 * 3600
	maxPage     = 500
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$`)

// check says what is wrong with a draft, now and not in the night of its first run.
func (s *Service) check(ctx context.Context, d Draft) error {
	switch {
	case !nameForm.MatchString(d.Name) || strings.HasSuffix(d.Name, " "):
		return fault.New(fault.Invalid, "InvalidName", "a campaign's name has 1 to 64 letters, digits, spaces, dots, dashes and underscores")
	case d.Interval != 0 && (d.Interval < minInterval || d.Interval > maxInterval):
		return fault.New(fault.Invalid, "InvalidInterval", "a campaign runs every five minutes at most and once a year at least: %d to %d seconds, or 0 for never by itself", minInterval, maxInterval)
	case (len(d.Targets) > 0) == (d.Connection != ""):
		return fault.New(fault.Invalid, "InvalidCampaign", "a campaign has either targets or a connection")
	case d.Connection == "":
		_, err := scan.NewPlan(d.plan())
		return err
	case len(d.Exclude) > 0 || d.Ports != "" || d.Versions:
		return fault.New(fault.Invalid, "InvalidCampaign", "ports, exclusions and versions are for targets of the network, not for a connection")
	}
	_, err := s.source(ctx, d.Connection)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Invalid, "UnknownConnection", "there is no connection %.64q", d.Connection)
	}
	return err
}

func (d Draft) plan() scan.PlanOptions {
	return scan.PlanOptions{Targets: d.Targets, Ports: d.Ports, Exclude: d.Exclude}
}

func (s *Service) source(ctx context.Context, connection string) (connector.Source, error) {
	if s.Sources == nil {
		return nil, fault.New(fault.Invalid, "UnknownConnection", "there are no connections here")
	}
	return s.Sources.Source(ctx, connection)
}

// nextRun is when a campaign runs after a time; zero for never.
func (d Draft) nextRun(after time.Time) time.Time {
	if !d.Enabled || d.Interval == 0 {
		return time.Time{}
	}
	return after.Add(time.Duration(d.Interval) * time.Second)
}
