package enrollment

import (
	"context"
	"fmt"
	"slices"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/lineage"
)

// RevokeDraft asks for the end of the trust in a certificate.
type RevokeDraft struct {
	SHA256  string           `json:"sha256"`
	Reason  connector.Reason `json:"reason,omitempty"` // unspecified when empty
	Comment string           `json:"comment,omitempty"`
	Once    string           `json:"once,omitempty"` // as in Draft
}

// RevokeNow revokes a certificate without asking anybody: it needs the right to revoke.
func (s *Service) RevokeNow(ctx context.Context, c access.Caller, d RevokeDraft) (Request, error) {
	return s.revoke(ctx, c, d, Revoke, false)
}

// RequestRevocation asks somebody else to agree to a revocation: it needs the right to
// make requests.
func (s *Service) RequestRevocation(ctx context.Context, c access.Caller, d RevokeDraft) (Request, error) {
	return s.revoke(ctx, c, d, Write, true)
}

func (s *Service) revoke(ctx context.Context, c access.Caller, d RevokeDraft, a access.Action, approval bool) (Request, error) {
	found, findErr := s.Inventory.Get(ctx, access.System("enrollment"), d.SHA256)
	scope := access.Root
	if findErr == nil && found.Lineage != "" {
		scope = lineage.Scope(found.Lineage)
	}
	if err := s.Guard.Authorize(ctx, c, a, scope, "RequestCreate"); err != nil {
		return Request{}, err
	}
	if findErr != nil {
		return Request{}, findErr
	}
	if err := checkTexts(d.Comment, d.Once); err != nil {
		return Request{}, err
	}
	if d.Reason == "" {
		d.Reason = connector.Unspecified
	}
	if !slices.Contains(reasons(), d.Reason) {
		return Request{}, fault.New(fault.Invalid, "UnknownReason", "%.40q is no reason for a revocation; use one of %q", d.Reason, reasons())
	}
	if !found.RevokedAt.IsZero() {
		return Request{}, fault.New(fault.Conflict, "AlreadyRevoked", "the certificate was revoked at %s", found.RevokedAt.UTC().Format("2006-01-02 15:04"))
	}
	e := s.begin(c, d.Comment, d.Once)
	e.Kind, e.Step, e.NeedsApproval = Revocation, Withdraw, approval
	e.Lineage, e.Revoke, e.RevokeReason, e.Certificate = found.Lineage, found.SHA256, d.Reason, found.DER
	e.Wanted.Name, e.Wanted.Owner = found.Name, found.Owner
	var made Request
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		made, err = s.insert(ctx, c, e, "RequestCreate")
		return err
	})
	return made, err
}

func reasons() []connector.Reason {
	return []connector.Reason{
		connector.Unspecified, connector.KeyCompromise, connector.AffiliationChanged,
		connector.Superseded, connector.CessationOfOperation, connector.PrivilegeWithdrawn,
	}
}

// withdraw tells the issuer. A certificate that is revoked already is no error, so it may
// be repeated.
func (r *runner) withdraw(ctx context.Context) (outcome, error) {
	issuer, err := r.Issuers.Issuer(ctx, r.e.Wanted.Authority)
	if err != nil {
		return outcome{}, err
	}
	if err := issuer.Revoke(ctx, connector.Revocation{Certificate: r.e.Certificate, Reason: r.e.RevokeReason}); err != nil {
		return outcome{}, fmt.Errorf("ask the issuer: %w", err)
	}
	return r.to(Mark), nil
}

// mark tells the inventory, and makes the lineage renew at once if this was what it serves.
func (r *runner) mark() outcome {
	o := outcome{next: r.begun(), event: "Chatelaine.RequestCompleted"}
	o.next.State = Completed
	o.also = func(ctx context.Context) error {
		if err := r.Inventory.MarkRevoked(ctx, r.e.Revoke, r.Now(), string(r.e.RevokeReason)); err != nil {
			return err
		}
		if r.e.Lineage == "" {
			return nil
		}
		if err := r.discard(ctx); err != nil {
			return err
		}
		l, err := r.Lineages.Lineage(ctx, r.e.Lineage)
		if fault.Is(err, fault.NotFound) || err == nil && l.Current.SHA256 != r.e.Revoke {
			return nil
		}
		if err != nil {
			return err
		}
		l.Hasten(r.Now())
		return r.Lineages.UpdateLineage(ctx, l)
	}
	return o
}

// discard ends a failed request whose certificate this was: it must not be installed by
// another try.
func (r *runner) discard(ctx context.Context) error {
	e, err := r.Store.LatestRequest(ctx, r.e.Lineage)
	if fault.Is(err, fault.NotFound) || err == nil && (e.State != Failed || e.Result.SHA256 != r.e.Revoke) {
		return nil
	}
	if err != nil {
		return err
	}
	e.close(Canceled, r.Now())
	if err := r.Store.UpdateRequest(ctx, e); err != nil {
		return err
	}
	return r.tell(ctx, r.caller().Record("RequestCancel", Path(e.ID)), "Chatelaine.RequestCanceled", e.Request)
}
