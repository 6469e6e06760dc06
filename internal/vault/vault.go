// Package vault manages vaults: named containers of keys, secrets and certificates,
// each with its own address, data key, roles and retention.
package vault

import (
	"cmp"
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
)

// What may be done to vaults. Who reads or writes what is inside is said by roles with
// Azure's data actions, or by access policies.
const (
	Read   access.Action = access.ControlPrefix + "vaults/read"
	Write  access.Action = access.ControlPrefix + "vaults/write"
	Remove access.Action = access.ControlPrefix + "vaults/delete"
	Purge  access.Action = access.ControlPrefix + "vaults/purge"
)

// Assignments are the roles that principals hold; *directory.Directory keeps them.
type Assignments interface {
	// Forget takes away every role at the scope and below. It joins the transaction of ctx.
	Forget(ctx context.Context, c access.Caller, scope access.Scope) error
}

// Service makes, changes, lists and removes vaults.
type Service struct {
	object.Deps
	// Founded completes a new Managed HSM in the transaction that makes it.
	Founded func(ctx context.Context, c access.Caller, v *object.Vault) error
	// Assignments are where a purge takes roles away; nil where nobody gives any.
	Assignments Assignments
}

// New makes the service.
func New(d object.Deps) *Service { return &Service{Deps: d} }

func scopeOf(name string) access.Scope { return access.Scope("/vaults/" + strings.ToLower(name)) }

// authorize checks the name and whether c may do a to that vault.
func (s *Service) authorize(ctx context.Context, c access.Caller, a access.Action, name, operation string) error {
	if err := object.CheckVaultName(name); err != nil {
		return err
	}
	return s.Guard.Authorize(ctx, c, a, scopeOf(name), operation)
}

// done runs fn and records it where it fails.
func (s *Service) done(ctx context.Context, c access.Caller, name, operation string, fn func() error) error {
	err := fn()
	if err == nil {
		return nil
	}
	r := c.Record(operation, string(scopeOf(name)))
	r.Outcome = audit.Failed
	r.Details[audit.Reason] = fault.Of(err).Code
	if rerr := s.Audit.Record(ctx, r); rerr != nil {
		return rerr
	}
	return err
}

// Create makes a vault. The zero retention is 90 days. Who gives access in it must be
// allowed to give access there.
func (s *Service) Create(ctx context.Context, c access.Caller, name string, set object.Settings) (*object.Vault, error) {
	if err := s.authorize(ctx, c, Write, name, "VaultPut"); err != nil {
		return nil, err
	}
	if set.Kind == object.ManagedHSM && (set.PolicyMode || len(set.Policies) > 0) {
		return nil, fault.New(fault.Invalid, "BadParameter", "A managed HSM has roles of its own, and no access policies.")
	}
	if set.PolicyMode || len(set.Policies) > 0 {
		if err := s.authorize(ctx, c, access.WriteAccess, name, "VaultPut"); err != nil {
			return nil, err
		}
	}
	if set.RetentionDays == 0 {
		set.RetentionDays = object.MaxRetention
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		err := s.Vaults.Create(ctx, name, set, func(v *object.Vault) error {
			if set.Kind != object.ManagedHSM || s.Founded == nil {
				return nil
			}
			return s.Founded(ctx, c, v)
		})
		if err != nil {
			return err
		}
		if err := s.Audit.Record(ctx, c.Record("VaultPut", string(scopeOf(name)))); err != nil {
			return err
		}
		return s.tell(ctx, "Chatelaine.VaultCreated", name)
	})
	if err != nil {
		return nil, err
	}
	return s.Vaults.Open(ctx, name)
}

// tell emits an event about a vault, inside the transaction of the change.
func (s *Service) tell(ctx context.Context, what, name string) error {
	return s.Events.Emit(ctx, event.Event{Source: string(scopeOf(name)), Type: what, Subject: strings.ToLower(name)})
}

// Get returns a vault.
func (s *Service) Get(ctx context.Context, c access.Caller, name string) (*object.Vault, error) {
	if err := s.authorize(ctx, c, Read, name, "VaultGet"); err != nil {
		return nil, err
	}
	return s.Vaults.Open(ctx, name)
}

// Available reports why a name cannot be used for a new vault; nil says that it can. It
// tells no more than trying would.
func (s *Service) Available(ctx context.Context, c access.Caller, name string) error {
	if err := s.authorize(ctx, c, Write, name, "VaultCheckName"); err != nil {
		return err
	}
	return s.Vaults.Available(ctx, name)
}

// maxList bounds a page of vaults.
const maxList = 1000

// List returns vaults by name, after a name, at most limit (1 to 1000).
func (s *Service) List(ctx context.Context, c access.Caller, after string, limit int) ([]*object.Vault, error) {
	if err := s.Guard.Authorize(ctx, c, Read, "/", "VaultList"); err != nil {
		return nil, err
	}
	return s.Vaults.List(ctx, after, min(max(limit, 1), maxList))
}

// Query finds vaults. A nil or empty field does not filter.
type Query struct {
	Kind  *settings.Kind
	Group string // resource group, in any case
	Name  string // in any case
	After string // name of the last one on the page before
	Limit int    // 1 to 1000
}

func (q Query) wants(v *object.Vault) bool {
	s := v.Settings()
	return (q.Kind == nil || s.Kind == *q.Kind) && (q.Group == "" || strings.EqualFold(GroupOf(s), q.Group)) &&
		(q.Name == "" || strings.EqualFold(v.Name, q.Name))
}

// DefaultGroup is the resource group of vaults for which nobody has named one.
const DefaultGroup = "chatelaine"

// GroupOf is the resource group of a vault.
func GroupOf(s object.Settings) string { return cmp.Or(s.Group, DefaultGroup) }

// Find returns vaults by name.
func (s *Service) Find(ctx context.Context, c access.Caller, q Query) ([]*object.Vault, error) {
	if err := s.Guard.Authorize(ctx, c, Read, "/", "VaultList"); err != nil {
		return nil, err
	}
	limit := min(max(q.Limit, 1), maxList)
	var found []*object.Vault
	err := s.each(ctx, q.After, func(v *object.Vault) bool {
		if q.wants(v) {
			found = append(found, v)
		}
		return len(found) < limit
	})
	return found, err
}

// Groups returns the resource groups that vaults are in, each with the location of one of
// its vaults. A group is there as long as a vault names it.
func (s *Service) Groups(ctx context.Context, c access.Caller) (map[string]string, error) {
	if err := s.Guard.Authorize(ctx, c, Read, "/", "VaultList"); err != nil {
		return nil, err
	}
	groups := map[string]string{}
	err := s.each(ctx, "", func(v *object.Vault) bool {
		if g := strings.ToLower(GroupOf(v.Settings())); groups[g] == "" {
			groups[g] = v.Settings().Where()
		}
		return true
	})
	return groups, err
}

// each calls fn for live vaults by name, after a name, until it returns false.
func (s *Service) each(ctx context.Context, after string, fn func(v *object.Vault) bool) error {
	for {
		list, err := s.Vaults.List(ctx, after, maxList)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, v := range list {
			if !fn(v) {
				return nil
			}
		}
		after = list[len(list)-1].Name
	}
}

// Verify holds every row of every vault against its ledger and opens it. progress, if
// not nil, is told the name of each vault before it is read.
func (s *Service) Verify(ctx context.Context, c access.Caller, progress func(vault string)) error {
	if err := s.Guard.Authorize(ctx, c, "Chatelaine/audit/read", "/", "VaultVerify"); err != nil {
		return err
	}
	for _, list := range []func(context.Context, string, int) ([]*object.Vault, error){s.Vaults.List, s.Vaults.ListDeleted} {
		if err := s.verify(ctx, list, progress); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) verify(ctx context.Context, list func(context.Context, string, int) ([]*object.Vault, error), progress func(vault string)) error {
	for after := ""; ; {
		vaults, err := list(ctx, after, 100)
		if err != nil || len(vaults) == 0 {
			return err
		}
		for _, v := range vaults {
			after = v.Name
			if progress != nil {
				progress(v.Name)
			}
			open, err := s.Vaults.OpenAny(ctx, v.Name)
			if fault.HasCode(err, "VaultNotFound") {
				continue // purged meanwhile
			}
			if err != nil {
				return err
			}
			if err := open.Verify(ctx); err != nil {
				return err
			}
		}
	}
}
