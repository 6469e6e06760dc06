package enrollment

import (
	"context"
	"errors"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
)

// The methods of this file are what people decide about a request.

// Approve agrees to a request that waits for it. Who asked for it cannot, nor can the
// product itself.
func (s *Service) Approve(ctx context.Context, c access.Caller, id, comment string) (Request, error) {
	return s.decide(ctx, c, verdict{id: id, comment: comment, approved: true, operation: "RequestApprove", event: "Chatelaine.RequestApproved"})
}

// Deny declines a request that waits for an approval.
func (s *Service) Deny(ctx context.Context, c access.Caller, id, comment string) (Request, error) {
	return s.decide(ctx, c, verdict{id: id, comment: comment, operation: "RequestDeny", event: "Chatelaine.RequestDenied"})
}

type verdict struct {
	id, comment      string
	approved         bool
	operation, event string
}

func (s *Service) decide(ctx context.Context, c access.Caller, v verdict) (Request, error) {
	if err := checkTexts(v.comment, ""); err != nil {
		return Request{}, err
	}
	r, err := s.change(ctx, c, v.id, change{action: Approve, operation: v.operation, event: v.event, edit: func(ctx context.Context, e *Entry) error {
		switch {
		case e.State != Pending:
			return fault.New(fault.Conflict, "NotPending", "the request is %s and waits for no approval", e.State)
		case !s.Now().Before(e.Wake):
			return fault.New(fault.Conflict, "Expired", "the request waited too long for an approval; make a new one")
		case c.IsSystem() || c.Principal == "" || c.Principal == e.Requester:
			return fault.New(fault.Denied, "OwnRequest", "somebody other than the requester must decide about a request")
		}
		e.Decisions = append(e.Decisions, Decision{Principal: c.Principal, Name: c.Name, Approved: v.approved, Comment: v.comment, At: s.Now()})
		if v.approved {
			e.State = Approved
			return s.Jobs.Enqueue(ctx, RunArgs{e.ID}, job.Options{})
		}
		e.State, e.Key, e.Problem = Denied, nil, v.comment
		return errors.Join(s.postpone(ctx, e.Lineage), s.refuse(ctx, *e, "RequestDenied", "The request was declined by "+c.Name+"."))
	}})
	if fault.HasCode(err, "OwnRequest") {
		rec := c.Record(v.operation, Path(v.id))
		rec.Outcome, rec.Details[audit.Request], rec.Details[audit.Reason] = audit.Denied, v.id, "OwnRequest"
		if recErr := s.Audit.Record(ctx, rec); recErr != nil {
			return Request{}, recErr
		}
	}
	return r, err
}

// Cancel gives a request up: while it waits for an approval or for the issuer's decision,
// or after it has failed. While it works it cannot be canceled, because what it does may
// have happened already.
func (s *Service) Cancel(ctx context.Context, c access.Caller, id string) (Request, error) {
	return s.change(ctx, c, id, change{action: Write, operation: "RequestCancel", event: "Chatelaine.RequestCanceled", edit: func(ctx context.Context, e *Entry) error {
		if e.State != Pending && e.State != Failed && (e.State != InProgress || e.Token == "") {
			return fault.New(fault.Conflict, "NotCancelable", "the request is %s at step %s and cannot be canceled", e.State, e.Step)
		}
		e.State, e.Key = Canceled, nil
		return errors.Join(s.postpone(ctx, e.Lineage), s.refuse(ctx, *e, "RequestCanceled", "The request was canceled by "+c.Name+"."))
	}})
}

// Retry tries a failed request again from the step that failed. What was issued is not
// issued again; it goes to the targets that the lineage has now.
func (s *Service) Retry(ctx context.Context, c access.Caller, id string) (Request, error) {
	return s.change(ctx, c, id, change{action: Write, operation: "RequestRetry", event: "Chatelaine.RequestRetried", edit: func(ctx context.Context, e *Entry) error {
		if e.State != Failed {
			return fault.New(fault.Conflict, "NotFailed", "the request is %s; only one that failed can be tried again", e.State)
		}
		if e.Kind == Certify {
			return fault.New(fault.Conflict, "AskTheVault", "the vault has been told that nothing comes; create a new version of the certificate %s there", e.Wanted.Keep.Name)
		}
		if !e.Result.NotAfter.IsZero() && !s.Now().Before(e.Result.NotAfter) {
			return fault.New(fault.Conflict, "CertificateExpired", "the certificate of the request has expired; make a new request")
		}
		e.State, e.Attempts, e.Problem = InProgress, 0, ""
		if e.Kind != Revocation && e.Kind != Direct {
			l, err := s.lineage(ctx, e.Lineage)
			if err != nil {
				return err
			}
			e.Targets = l.Targets
		}
		if e.Step == Deploy {
			if err := s.Deployments.Restart(ctx, c, e.ID, e.Targets); err != nil {
				return err
			}
		}
		return s.Jobs.Enqueue(ctx, RunArgs{e.ID}, job.Options{})
	}})
}

// change is one decision about one request.
type change struct {
	action           access.Action
	operation, event string
	// edit changes the entry, or refuses; it runs in the transaction.
	edit func(ctx context.Context, e *Entry) error
}

func (s *Service) change(ctx context.Context, c access.Caller, id string, ch change) (Request, error) {
	if _, err := s.authorized(ctx, c, id, ch.action, ch.operation); err != nil {
		return Request{}, err
	}
	var e Entry
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if e, err = s.Store.Request(ctx, id); err != nil {
			return err
		}
		if err := ch.edit(ctx, &e); err != nil {
			return err
		}
		e.touch(s.Now())
		if err := s.Store.UpdateRequest(ctx, e); err != nil {
			return underWay(err)
		}
		return s.tell(ctx, c.Record(ch.operation, Path(id)), ch.event, e.Request)
	})
	return e.Request, err
}

// postpone keeps the renewal engine from asking again at once for what a person declined.
func (s *Service) postpone(ctx context.Context, lineage string) error {
	if lineage == "" {
		return nil
	}
	l, err := s.Lineages.Lineage(ctx, lineage)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	l.Postpone(s.Now().Add(24*time.Hour), s.Now())
	return s.Lineages.UpdateLineage(ctx, l)
}
