package export

import (
	"context"
	"crypto/subtle"
	"unicode/utf8"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
)

// Verdict is what somebody says to a request.
type Verdict struct {
	Vault   string
	Request string
	Digest  string // of the request, as the approver has seen it; only Approve needs it
	Comment string
}

// Approve agrees to a request, exactly as it is. Who asked for it cannot, nor who has made
// the requester or was made by it, nor the product itself.
func (s *Service) Approve(ctx context.Context, c access.Caller, v Verdict) (Request, error) {
	return s.decide(ctx, c, v, true)
}

// Deny declines a request.
func (s *Service) Deny(ctx context.Context, c access.Caller, v Verdict) (Request, error) {
	return s.decide(ctx, c, v, false)
}

func (s *Service) decide(ctx context.Context, c access.Caller, v Verdict, approve bool) (Request, error) {
	operation, happened, state := "VaultExportDeny", "Chatelaine.VaultExportDenied", Denied
	if approve {
		operation, happened, state = "VaultExportApprove", "Chatelaine.VaultExportApproved", Approved
	}
	return s.governed(ctx, c, Approve, operation, v.Vault, func() (Request, error) {
		if utf8.RuneCountInString(v.Comment) > maxComment {
			return Request{}, fault.New(fault.Invalid, "BadParameter", "the comment has more than %d characters", maxComment)
		}
		if approve {
			if err := s.independent(ctx, c, v); err != nil {
				return Request{}, err
			}
		}
		return s.change(ctx, v.Vault, v.Request, func(ctx context.Context, r *Request) error {
			switch {
			case r.State != Pending:
				return fault.New(fault.Conflict, "NotPending", "the request is %s and waits for no approval", r.State)
			case approve && subtle.ConstantTimeCompare([]byte(r.Digest), []byte(v.Digest)) != 1:
				return fault.New(fault.Conflict, "OtherRequest", "the digest is not that of the request: read what it asks for, and approve that")
			}
			now := s.Now().UTC()
			r.State, r.Decision = state, &Decision{Principal: c.Principal, Name: c.Name, Approved: approve, Comment: v.Comment, At: now}
			if approve {
				r.Ends = now.Add(fetchTime)
			}
			return s.tell(ctx, c, operation, happened, *r)
		})
	})
}

// independent refuses an approver who may be the requester under another name. A role is
// not enough: who can make principals could make the second person.
func (s *Service) independent(ctx context.Context, c access.Caller, v Verdict) error {
	r, err := s.Store.Export(ctx, v.Request)
	if fault.Is(err, fault.NotFound) {
		return noRequest(v.Request)
	}
	if err != nil {
		return err
	}
	if c.IsSystem() || c.Principal == "" || c.Principal == r.Requester {
		return fault.New(fault.Denied, "OwnRequest", "somebody other than the requester must approve an export")
	}
	for _, pair := range [][2]string{{r.Requester, c.Principal}, {c.Principal, r.Requester}} {
		made, err := s.Ties.Made(ctx, pair[0], pair[1])
		if err != nil {
			return err
		}
		if made {
			return fault.New(fault.Denied, "NotIndependent",
				"one of you has made the other, or gave it a credential, and could be both; somebody must approve this who has nothing to do with the requester's account")
		}
	}
	return nil
}

// SetPolicy says what exports of a vault may take along.
func (s *Service) SetPolicy(ctx context.Context, c access.Caller, vault string, e settings.Export) error {
	const operation = "VaultExportPolicySet"
	_, err := s.governed(ctx, c, SetPolicy, operation, vault, func() (Request, error) {
		if !e.Valid() {
			return Request{}, fault.New(fault.Invalid, "BadParameter", "an export takes along nothing, everything but private keys, or all; not %.20q", string(e))
		}
		return Request{}, s.Transact(ctx, func(ctx context.Context) error {
			_, err := s.Vaults.Edit(ctx, vault, func(v *object.Settings) error {
				if v.Kind == settings.ManagedHSM {
					return fault.New(fault.Invalid, "ManagedHSM", "the keys of a managed HSM leave it in its own backup, sealed to its security domain, and in no other way")
				}
				if !v.Deleted.IsZero() {
					return fault.New(fault.Conflict, "VaultIsDeleted", "the vault %s is deleted", vault)
				}
				v.Export = e
				return nil
			})
			if err != nil {
				return err
			}
			rec := c.Record(operation, string(scopeOf(vault)))
			rec.Details[audit.Policy] = string(e)
			if e == settings.ExportNothing {
				rec.Details[audit.Policy] = "nothing"
			}
			return s.Audit.Record(ctx, rec)
		})
	})
	return err
}

// Policy tells what exports of a vault may take along.
func (s *Service) Policy(ctx context.Context, c access.Caller, vault string) (settings.Export, error) {
	if err := s.Guard.Authorize(ctx, c, Read, scopeOf(vault), "VaultExportPolicyGet"); err != nil {
		return "", err
	}
	v, err := s.Vaults.Open(ctx, vault)
	if err != nil {
		return "", err
	}
	return v.Settings().Export, nil
}

// governed authorises an action of the control plane at a vault, and records where fn
// fails. fn records its success.
func (s *Service) governed(ctx context.Context, c access.Caller, a access.Action, operation, vault string, fn func() (Request, error)) (Request, error) {
	if err := object.CheckVaultName(vault); err != nil {
		return Request{}, err
	}
	if err := s.Guard.Authorize(ctx, c, a, scopeOf(vault), operation); err != nil {
		return Request{}, err
	}
	r, err := fn()
	if err == nil {
		return r, nil
	}
	rec := c.Record(operation, string(scopeOf(vault)))
	rec.Outcome, rec.Details[audit.Reason] = audit.Failed, fault.Of(err).Code
	if fault.Is(err, fault.Denied) {
		rec.Outcome = audit.Denied
	}
	if rerr := s.Audit.Record(ctx, rec); rerr != nil {
		return Request{}, rerr
	}
	return Request{}, err
}
