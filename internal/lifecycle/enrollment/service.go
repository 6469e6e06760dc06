package enrollment

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/vault/keystore"
)

// Issuer is connector.Issuer without its check: our own authorities need none.
type Issuer interface {
	Issue(ctx context.Context, o connector.Order) (connector.Answer, error)
	Collect(ctx context.Context, token string) (connector.Answer, error)
	Revoke(ctx context.Context, r connector.Revocation) error
}

// Issuers finds the issuer that a lineage's Authority names; empty for our own.
type Issuers interface {
	Issuer(ctx context.Context, authority string) (Issuer, error)
}

// Vault keeps certificates with their keys.
type Vault interface {
	// Keep stores the bundle as the newest version of a certificate and returns the version.
	// If the newest version holds the certificate already, it is that one.
	Keep(ctx context.Context, c access.Caller, k lineage.Keep, b connector.Bundle) (version string, err error)
}

// Inventory is what requests need of the inventory.
type Inventory interface {
	Get(ctx context.Context, c access.Caller, sha256 string) (inventory.Detail, error)
	Record(ctx context.Context, c access.Caller, observations []inventory.Observation) (inventory.Recorded, error)
	SetLineage(ctx context.Context, sha256, lineage, owner string) error
	MarkRevoked(ctx context.Context, sha256 string, at time.Time, reason string) error
}

// Lineages is what requests need of the lineages' store.
type Lineages interface {
	Lineage(ctx context.Context, id string) (lineage.Lineage, error)
	UpdateLineage(ctx context.Context, l lineage.Lineage) error
	AddMember(ctx context.Context, lineage string, m lineage.Member) error
}

// Deployments installs certificates.
type Deployments interface {
	Start(ctx context.Context, c access.Caller, o deployment.Order) (deployment.Deployment, error)
	Restart(ctx context.Context, c access.Caller, request string, targets []lineage.Target) error
	OfRequest(ctx context.Context, request string) ([]deployment.Deployment, error)
}

// Deps are what the service needs.
type Deps struct {
	Store       Store
	Lineages    Lineages
	Policy      lineage.Policy
	Profiles    Profiles          // of the direct road
	Keystore    keystore.Keystore // where private keys are made
	Issuers     Issuers
	Vault       Vault
	Inventory   Inventory
	Deployments Deployments
	Orders      Orders
	Transact    audit.Transact
	Audit       audit.Recorder
	Guard       access.Guard
	Events      event.Emitter
	Jobs        job.Queue
	Now         func() time.Time
	Log         *slog.Logger
}

// Service is the requests.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

const (
	// approvalTime is how long a request waits for an approval.
	approvalTime = 14 * 24 * time.Hour
	maxPage      = 500
	maxComment   = 2000
	maxOnce      = 200
)

// Draft asks for the next certificate of a lineage.
type Draft struct {
	Lineage string `json:"lineage"`
	Comment string `json:"comment,omitempty"`
	// Once makes the request idempotent: the same caller's second draft with it returns the
	// request of the first.
	Once string `json:"once,omitempty"`
}

// Create makes a request for the next certificate of a lineage: the first if it has none.
// It is approved at once unless the profile wants a person to agree. fault.Conflict while
// another request of the lineage is under way.
func (s *Service) Create(ctx context.Context, c access.Caller, d Draft) (Request, error) {
	if err := s.Guard.Authorize(ctx, c, Write, lineage.Scope(d.Lineage), "RequestCreate"); err != nil {
		return Request{}, err
	}
	if err := checkTexts(d.Comment, d.Once); err != nil {
		return Request{}, err
	}
	var made Request
	err := s.Transact(ctx, func(ctx context.Context) error {
		l, err := s.lineage(ctx, d.Lineage)
		if err != nil {
			return err
		}
		e := s.begin(c, d.Comment, d.Once)
		e.Lineage, e.Wanted, e.Targets, e.Replaces = l.ID, l.Wanted, l.Targets, l.Current.SHA256
		e.Kind, e.Step = Enroll, MakeKey
		if l.Current.SHA256 != "" {
			e.Kind = Renew
		}
		if e.NeedsApproval, err = s.Policy.Check(l.Wanted, s.Now()); err != nil {
			return err
		}
		made, err = s.insert(ctx, c, e, "RequestCreate")
		return err
	})
	return made, err
}

// begin makes an entry of somebody's.
func (s *Service) begin(c access.Caller, comment, once string) Entry {
	now := s.Now()
	e := Entry{Request: Request{
		ID: uuid.NewV7().String(), Requester: c.Principal, RequesterName: c.Name, Comment: comment, Created: now, Updated: now, Revision: 1,
	}}
	e.Once = e.ID
	if once != "" {
		e.Once = c.Principal + "/" + once
	}
	return e
}

// insert stores a new request in the transaction of ctx, unless it was made before.
func (s *Service) insert(ctx context.Context, c access.Caller, e Entry, operation string) (Request, error) {
	before, err := s.Store.RequestOnce(ctx, e.Once)
	if err == nil {
		if before.Kind == Revocation != (e.Kind == Revocation) || before.Lineage != e.Lineage || before.Revoke != e.Revoke {
			return Request{}, fault.New(fault.Conflict, "OnceUsed", "the idempotency key was used for another request; use a new one")
		}
		return before.Request, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return Request{}, err
	}
	e.State, e.Wake = Approved, s.Now().Add(patience)
	if e.NeedsApproval {
		e.State, e.Wake = Pending, s.Now().Add(approvalTime)
	}
	if err := s.supersede(ctx, c, e); err != nil {
		return Request{}, err
	}
	if err := s.Store.InsertRequest(ctx, e); err != nil {
		return Request{}, underWay(err)
	}
	if err := s.tell(ctx, c.Record(operation, Path(e.ID)), "Chatelaine.RequestCreated", e.Request); err != nil {
		return Request{}, err
	}
	if e.State == Approved {
		err = s.Jobs.Enqueue(ctx, RunArgs{e.ID}, job.Options{})
	} else {
		err = nil
	}
	return e.Request, err
}

// supersede ends a failed request of the lineage: only the newest may be tried again.
func (s *Service) supersede(ctx context.Context, c access.Caller, e Entry) error {
	if e.Lineage == "" || e.Kind == Revocation {
		return nil
	}
	before, err := s.Store.LatestRequest(ctx, e.Lineage)
	if fault.Is(err, fault.NotFound) || err == nil && before.State != Failed {
		return nil
	}
	if err != nil {
		return err
	}
	before.close(Canceled, s.Now())
	if err := s.Store.UpdateRequest(ctx, before); err != nil {
		return err
	}
	return s.tell(ctx, c.Record("RequestCancel", Path(before.ID)), "Chatelaine.RequestCanceled", before.Request)
}

// close ends a request for good. Its key is of no use any more.
func (e *Entry) close(state State, now time.Time) {
	e.State = state
	e.Key = nil
	e.touch(now)
}

// touch prepares an entry for being stored again.
func (e *Entry) touch(now time.Time) {
	e.Updated = now
	if e.State != Pending {
		e.Wake = time.Time{}
		if e.State.Live() {
			e.Wake = now.Add(patience)
		}
	}
	e.Revision++
}

func underWay(err error) error {
	if fault.HasCode(err, "Live") {
		return fault.New(fault.Conflict, "RequestUnderWay", "a request for this is under way; wait for its end or cancel it")
	}
	return err
}

func checkTexts(comment, once string) error {
	if len(comment) > maxComment || !utf8.ValidString(comment) || len(once) > maxOnce || !utf8.ValidString(once) {
		return fault.New(fault.Invalid, "TextTooLong", "a comment has up to %d bytes, an idempotency key up to %d", maxComment, maxOnce)
	}
	if strings.ContainsFunc(comment, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) || strings.ContainsFunc(once, unicode.IsControl) {
		return fault.New(fault.Invalid, "BadText", "a comment or an idempotency key has a control character; take it out")
	}
	return nil
}

func (s *Service) lineage(ctx context.Context, id string) (lineage.Lineage, error) {
	l, err := s.Lineages.Lineage(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return l, fault.New(fault.NotFound, "LineageNotFound", "there is no lineage %.64q", id)
	}
	return l, err
}

// Get returns one request.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Request, error) {
	e, err := s.authorized(ctx, c, id, Read, "RequestGet")
	return e.Request, err
}

// authorized reads a request after it has authorised the caller at its lineage. Whoever
// may not, learns nothing about what exists.
func (s *Service) authorized(ctx context.Context, c access.Caller, id string, a access.Action, operation string) (Entry, error) {
	e, findErr := s.Store.Request(ctx, id)
	scope := access.Root
	if findErr == nil && e.Lineage != "" {
		scope = lineage.Scope(e.Lineage)
	}
	if err := s.Guard.Authorize(ctx, c, a, scope, operation); err != nil {
		return Entry{}, err
	}
	if fault.Is(findErr, fault.NotFound) {
		return Entry{}, fault.New(fault.NotFound, "RequestNotFound", "there is no request %.64q", id)
	}
	return e, findErr
}

// List returns a page of requests, newest first.
func (s *Service) List(ctx context.Context, c access.Caller, q Query) ([]Request, error) {
	scope := access.Root
	if q.Lineage != "" {
		scope = lineage.Scope(q.Lineage)
	}
	if err := s.Guard.Authorize(ctx, c, Read, scope, "RequestList"); err != nil {
		return nil, err
	}
	if q.Limit < 1 || q.Limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, q.Limit)
	}
	es, err := s.Store.Requests(ctx, q)
	if err != nil {
		return nil, err
	}
	list := make([]Request, len(es))
	for i, e := range es {
		list[i] = e.Request
	}
	return list, nil
}

// Latest returns the newest request of a lineage that is no revocation, or
// fault.NotFound. It does not authorise: it is for other services of the lifecycle.
func (s *Service) Latest(ctx context.Context, lineage string) (Request, error) {
	e, err := s.Store.LatestRequest(ctx, lineage)
	return e.Request, err
}

// Busy reports whether a request of a lineage is under way. It does not authorise.
func (s *Service) Busy(ctx context.Context, lineage string) (bool, error) {
	e, err := s.Store.LatestRequest(ctx, lineage)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return e.State.Live(), err
}

// tell writes a record, and an event if kind is not empty.
func (s *Service) tell(ctx context.Context, rec audit.Record, kind string, r Request) error {
	rec.Details[audit.Request] = r.ID
	for field, value := range map[audit.Field]string{
		audit.Lineage: r.Lineage, audit.Profile: r.Wanted.Profile, audit.Fingerprint: firstOf(r.Result.SHA256, r.Revoke),
		audit.Reason: string(r.RevokeReason), audit.Owner: r.Wanted.Owner, audit.Door: r.Door,
	} {
		if value != "" && rec.Details[field] == "" {
			rec.Details[field] = value
		}
	}
	if err := s.Audit.Record(ctx, rec); err != nil || kind == "" {
		return err
	}
	data, err := json.Marshal(map[string]any{
		"kind": r.Kind, "lineage": r.Lineage, "state": r.State, "step": r.Step, "name": r.Wanted.Name, "owner": r.Wanted.Owner,
		"sha256": firstOf(r.Result.SHA256, r.Revoke), "replaces": r.Replaces, "problem": r.Problem,
	})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/requests", Type: kind, Subject: r.ID, Data: data})
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
