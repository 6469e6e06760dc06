// Package review is the issuance audit: it lints again everything that our authorities
// ever issued, by the rules of today, looks at every key again, and reports what it finds.
package review

import (
	"context"
	"log/slog"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

// Actions of audits. The scope is "/".
const (
	Read access.Action = "Chatelaine/issuanceAudits/read"
	Run  access.Action = "Chatelaine/issuanceAudits/run"
)

// State is how far an audit has come.
type State string

// The states.
const (
	Queued    State = "queued"
	Running   State = "running"
	Completed State = "completed"
	Failed    State = "failed"
)

// Final reports whether nothing more happens.
func (s State) Final() bool { return s == Completed || s == Failed }

// Review is one audit.
type Review struct {
	ID        string
	State     State
	Queued    time.Time
	Started   time.Time // zero before
	Finished  time.Time // zero before
	Total     int64     // certificates that there were when it was asked for
	Checked   int64
	Found     int64 // findings
	Place     issuance.Cursor
	Problem   string // why it failed
	Requester string
}

// Finding is a rule that an issued certificate breaks.
type Finding struct {
	Review    string
	Serial    string
	Rule      string // of zlint, "own_…", or "weak_…"
	Authority string
	Profile   string
	Subject   string
	Detail    string
}

// Store keeps reviews and findings. Its writes join the transaction of ctx.
type Store interface {
	// InsertReview adds a review, and removes the oldest beyond keep with their findings.
	InsertReview(ctx context.Context, r Review, keep int) error
	// UpdateReview replaces a review that is not final; fault.Conflict when it is.
	UpdateReview(ctx context.Context, r Review) error
	// Review returns one, or fault.NotFound.
	Review(ctx context.Context, id string) (Review, error)
	// Reviews returns up to limit, newest first.
	Reviews(ctx context.Context, limit int) ([]Review, error)
	// AddFindings adds what is not there yet, and reports how many that were.
	AddFindings(ctx context.Context, list []Finding) (int64, error)
	// Findings returns up to limit of a review by serial and rule, after the given ones.
	Findings(ctx context.Context, review, serial, rule string, limit int) ([]Finding, error)
	// CountCertificates is how many were ever issued, the revoked ones too.
	CountCertificates(ctx context.Context) (int64, error)
}

// Certificates reads what was issued.
type Certificates interface {
	Certificates(ctx context.Context, f issuance.Filter, after issuance.Cursor, limit int) ([]issuance.Certificate, error)
}

// Linter is issuance.Linter.
type Linter interface {
	Find(der []byte, standards []string) ([]issuance.Broken, error)
}

// Deps is what a Service needs.
type Deps struct {
	Store        Store
	Certificates Certificates
	Profiles     profile.Source
	Linter       Linter
	// Enqueue asks for Work, in the transaction of ctx.
	Enqueue func(ctx context.Context, w Work) error
	// Chunk is how many RSA keys are compared at a time; 0 means 8,192.
	Chunk    int
	Transact audit.Transact
	Audit    audit.Recorder
	Events   event.Emitter
	Guard    access.Guard
	Now      func() time.Time
	Log      *slog.Logger
}

// Service is the audits.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service {
	if d.Chunk == 0 {
		d.Chunk = chunk
	}
	return &Service{d}
}

const (
	keepReviews = 50
	maxPage     = 500
)

// Start asks for an audit. fault.Conflict while one is under way.
func (s *Service) Start(ctx context.Context, c access.Caller) (Review, error) {
	if err := s.Guard.Authorize(ctx, c, Run, access.Root, "IssuanceAuditStart"); err != nil {
		return Review{}, err
	}
	return s.start(ctx, c)
}

// Get returns one audit; fault.NotFound.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Review, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "IssuanceAuditGet"); err != nil {
		return Review{}, err
	}
	return s.review(ctx, id)
}

func (s *Service) review(ctx context.Context, id string) (Review, error) {
	r, err := s.Store.Review(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return r, fault.New(fault.NotFound, "UnknownAudit", "there is no issuance audit of this id; the list has those that are kept")
	}
	return r, err
}

// List returns the audits that are kept, newest first.
func (s *Service) List(ctx context.Context, c access.Caller) ([]Review, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "IssuanceAuditList"); err != nil {
		return nil, err
	}
	return s.Store.Reviews(ctx, keepReviews)
}

// Findings returns up to limit findings of an audit, after those of a serial and rule.
// limit is 1 to 500.
func (s *Service) Findings(ctx context.Context, c access.Caller, id string, after [2]string, limit int) ([]Finding, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "IssuanceAuditFindings"); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, limit)
	}
	if _, err := s.review(ctx, id); err != nil {
		return nil, err
	}
	return s.Store.Findings(ctx, id, after[0], after[1], limit)
}
