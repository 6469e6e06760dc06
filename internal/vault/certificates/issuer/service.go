package issuer

import (
	"context"
	"encoding/json"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// What is done to issuers; the audit record says Certificate before it (contract §3).
const (
	get    object.Operation = "IssuerGet"
	set    object.Operation = "IssuerSet"
	update object.Operation = "IssuerUpdate"
	remove object.Operation = "IssuerDelete"
	list   object.Operation = "IssuersList"
)

// Service is the issuers of all vaults.
type Service struct {
	shelf *object.Shelf
	allow Allow
}

// Allow says whether a caller may register a Chatelaine issuer of a profile. The vault
// does not know the profiles; who wires it does.
type Allow func(ctx context.Context, c access.Caller, profile string) error

// New makes the service. A nil allow refuses issuers of provider Chatelaine.
func New(d object.Deps, allow Allow) *Service {
	return &Service{allow: allow, shelf: object.NewShelf(d, object.Certificates, map[object.Operation]access.Action{
		get:    "certificatecas/read",
		set:    "certificatecas/write",
		update: "certificatecas/write",
		remove: "certificatecas/delete",
		list:   "certificatecas/read",
	})}
}

// Request is what a caller says about an issuer. Update leaves alone what is nil or empty.
type Request struct {
	Provider     string
	Credentials  *Credentials
	Organization *Organization
	Enabled      *bool
}

// Set registers an issuer, over an older one of the name.
func (s *Service) Set(ctx context.Context, c access.Caller, r object.Ref, q Request) (Issuer, error) {
	return s.write(ctx, c, set, r, func(was *Issuer) (Issuer, error) {
		i := Issuer{Enabled: true}
		if was != nil && q.Credentials != nil && q.Credentials.Password == "" && was.Credentials != nil && was.Credentials.AccountID == q.Credentials.AccountID {
			i.Credentials = was.Credentials // what is never returned cannot be sent back
		}
		return i.with(q), nil
	})
}

// Update changes what the request names.
func (s *Service) Update(ctx context.Context, c access.Caller, r object.Ref, q Request) (Issuer, error) {
	return s.write(ctx, c, update, r, func(was *Issuer) (Issuer, error) {
		if was == nil {
			return Issuer{}, NotFound(r.Name)
		}
		return was.with(q), nil
	})
}

func (i Issuer) with(q Request) Issuer {
	if q.Provider != "" {
		i.Provider = q.Provider
	}
	if q.Credentials != nil {
		made := *q.Credentials
		if i.Credentials != nil {
			if made.AccountID == "" {
				made.AccountID = i.Credentials.AccountID
			}
			if made.Password == "" {
				made.Password = i.Credentials.Password
			}
		}
		i.Credentials = &made
	}
	if q.Organization != nil {
		i.Organization = q.Organization
	}
	if q.Enabled != nil {
		i.Enabled = *q.Enabled
	}
	return i
}

func (s *Service) write(ctx context.Context, c access.Caller, op object.Operation, r object.Ref, edit func(was *Issuer) (Issuer, error)) (made Issuer, err error) {
	err = s.call(ctx, c, op, r, func(v *object.Vault) error {
		if err := object.CheckName(r.Name); err != nil {
			return err
		}
		if Reserved(r.Name) {
			return bad("the name %s is taken by Key Vault itself; use another.", r.Name)
		}
		granted, err := s.granted(ctx, c, v, r, edit)
		if err != nil {
			return err
		}
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			e, err := v.SetHead(ctx, object.Issuers, r.Name, func(h *object.Head) error {
				return replace(h, granted, edit)
			})
			if err != nil {
				return err
			}
			if made, err = of(e.Head); err != nil {
				return err
			}
			return s.done(ctx, c, op, r)
		})
	})
	return made, err
}

// granted refuses an issuer of ours whose profile the caller may not issue by: whoever
// may create certificates in this vault will issue by it. The answer, and the record of a
// refusal, come before the transaction. What was granted before is not asked again.
func (s *Service) granted(ctx context.Context, c access.Caller, v *object.Vault, r object.Ref, edit func(was *Issuer) (Issuer, error)) (grant, error) {
	var was *Issuer
	found, err := Find(ctx, v, r.Name)
	switch {
	case err == nil:
		was = &found
	case !fault.Is(err, fault.NotFound):
		return grant{}, err
	}
	made, err := edit(was)
	if err != nil {
		return grant{}, err
	}
	if err := made.check(); err != nil {
		return grant{}, err
	}
	g := made.grant()
	if g == (grant{}) || was != nil && was.grant() == g {
		return g, nil
	}
	if g.profile == "" {
		return g, bad("provider Chatelaine needs the name of a profile in credentials.account_id.")
	}
	if s.allow == nil {
		return g, bad("nothing issues for provider Chatelaine here.")
	}
	return g, s.allow(ctx, c, g.profile)
}

// grant is what an issuer lets the users of its vault do: issue by a profile of ours.
type grant struct {
	ours    bool
	profile string
}

func (i Issuer) grant() grant {
	if i.Provider != Chatelaine || !i.Enabled {
		return grant{}
	}
	return grant{ours: true, profile: i.Profile()}
}

// replace puts the edited issuer into its row, unless it changed in between into one that
// would grant more.
func replace(h *object.Head, granted grant, edit func(was *Issuer) (Issuer, error)) error {
	var was *Issuer
	if len(h.Extra) > 0 {
		old, err := of(*h)
		if err != nil {
			return err
		}
		was = &old
	}
	made, err := edit(was)
	if err != nil {
		return err
	}
	if err := made.check(); err != nil {
		return err
	}
	if g := made.grant(); g != (grant{}) && g != granted {
		return fault.New(fault.Conflict, "Conflict", "The certificate issuer %s was changed at the same time; try again.", h.Name)
	}
	h.Extra, err = json.Marshal(made)
	return err
}

// Get returns an issuer.
func (s *Service) Get(ctx context.Context, c access.Caller, r object.Ref) (i Issuer, err error) {
	err = s.call(ctx, c, get, r, func(v *object.Vault) error {
		if i, err = Find(ctx, v, r.Name); err != nil {
			return err
		}
		return s.done(ctx, c, get, r)
	})
	return i, err
}

// Find returns an issuer for an operation that authorises and records by itself.
func Find(ctx context.Context, v *object.Vault, name string) (Issuer, error) {
	if object.CheckName(name) != nil {
		return Issuer{}, NotFound(name)
	}
	e, err := v.Read(ctx, object.Issuers, name, "")
	if fault.Is(err, fault.NotFound) {
		return Issuer{}, NotFound(name)
	}
	if err != nil {
		return Issuer{}, err
	}
	return of(e.Head)
}

// Delete forgets an issuer and returns it as it was. Nothing of it can be recovered.
func (s *Service) Delete(ctx context.Context, c access.Caller, r object.Ref) (i Issuer, err error) {
	err = s.call(ctx, c, remove, r, func(v *object.Vault) error {
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			if i, err = Find(ctx, v, r.Name); err != nil {
				return err
			}
			if _, err := v.Delete(ctx, object.Issuers, r.Name); err != nil {
				return err
			}
			if err := v.Purge(ctx, object.Issuers, r.Name, true); err != nil {
				return err
			}
			return s.done(ctx, c, remove, r)
		})
	})
	return i, err
}

// List returns issuers by name, and the marker of the next page.
func (s *Service) List(ctx context.Context, c access.Caller, vault string, p object.Page) (found []Issuer, next string, err error) {
	err = s.shelf.Call(ctx, c, list, object.Ref{Vault: vault}, func(v *object.Vault) error {
		entries, err := v.List(ctx, object.Issuers, false, p.After, p.Limit+1)
		if err != nil {
			return err
		}
		if len(entries) > p.Limit {
			entries = entries[:p.Limit]
			next = entries[p.Limit-1].Head.Name
		}
		for _, e := range entries {
			i, err := of(e.Head)
			if err != nil {
				return err
			}
			found = append(found, i)
		}
		return s.shelf.Done(ctx, c, list, object.Ref{Vault: vault}, nil)
	})
	return found, next, err
}

// call authorises at the vault: issuers are no objects that roles are assigned at.
func (s *Service) call(ctx context.Context, c access.Caller, op object.Operation, r object.Ref, fn func(v *object.Vault) error) error {
	return s.shelf.Call(ctx, c, op, object.Ref{Vault: r.Vault}, fn)
}

func (s *Service) done(ctx context.Context, c access.Caller, op object.Operation, r object.Ref) error {
	return s.shelf.Done(ctx, c, op, object.Ref{Vault: r.Vault}, map[audit.Field]string{audit.Issuer: r.Name})
}
