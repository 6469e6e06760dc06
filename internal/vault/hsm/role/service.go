package role

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm"
	"chatelaine.dev/internal/vault/object"
)

// Mark tells whether the roles of an HSM are still those that were read: every write has a
// revision of its own, and a removal makes them fewer.
type Mark struct {
	Revision int64
	Rows     int64
}

// Store answers what another node may have changed.
type Store interface {
	// RolesMark returns the mark of the committed roles of a vault.
	RolesMark(ctx context.Context, vault string) (Mark, error)
}

// Service keeps roles and assignments and decides by them. It implements object.LocalRoles
// and is safe for concurrent use.
type Service struct {
	hsm.Deps
	store Store
	known sync.Map // *local by which
}

var _ object.LocalRoles = (*Service)(nil)

// New makes the service. Its own operations are authorised by itself.
func New(d object.Deps, s Store) *Service {
	r := &Service{store: s}
	d.Local = r
	r.Deps = hsm.Deps{Deps: d}
	return r
}

func operation(name, action string, at access.Scope) hsm.Operation {
	return hsm.Operation{Name: name, Action: access.Action(object.ManagedPrefix + action), At: at}
}

// Appoint makes the creator of a new HSM its Administrator. It belongs into the transaction
// that makes the HSM. The product itself appoints nobody: see EnsureAdministrator.
func (s *Service) Appoint(ctx context.Context, c access.Caller, v *object.Vault) error {
	if c.IsSystem() {
		return nil
	}
	return s.appoint(ctx, c, v, c.Principal, Administrator)
}

// EnsureAdministrator gives the principal the role of an Administrator at /, and others,
// in an HSM that has no Administrator.
func (s *Service) EnsureAdministrator(ctx context.Context, c access.Caller, vault, principal string, others ...string) error {
	op := operation("RoleAssignmentCreate", "roleAssignments/write/action", access.Root)
	return s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		now, err := s.snapshot(ctx, v)
		if err != nil || slices.ContainsFunc(now.assignments, Assignment.rules) {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			return s.appoint(ctx, c, v, principal, append([]string{Administrator}, others...)...)
		})
	})
}

func (s *Service) appoint(ctx context.Context, c access.Caller, v *object.Vault, principal string, roles ...string) error {
	for _, r := range roles {
		a := Assignment{ID: uuid.NewV4().String(), Principal: principal, Role: r, Scope: access.Root}
		err := s.put(ctx, v, object.RoleAssignments, a.ID, func(*snapshot) (any, error) { return a, nil })
		if err != nil {
			return err
		}
		if err := s.Done(ctx, c, v.Name, operation("RoleAssignmentCreate", "", a.Scope), a.details()); err != nil {
			return err
		}
	}
	return nil
}

// put writes a row of what decide says of the roles as they are. The vault is locked
// meanwhile, so that no other change comes between.
func (s *Service) put(ctx context.Context, v *object.Vault, k object.Kind, id string, decide func(now *snapshot) (content any, err error)) error {
	_, err := v.SetHead(ctx, k, id, func(h *object.Head) error {
		now, err := s.read(ctx, v)
		if err != nil {
			return err
		}
		content, err := decide(now)
		if err != nil {
			return err
		}
		h.Extra, err = json.Marshal(content)
		return err
	})
	if err == nil {
		s.changed(ctx, v)
	}
	return err
}

// remove takes a row away for good, if decide does not forbid it: roles are not recoverable.
func (s *Service) remove(ctx context.Context, v *object.Vault, k object.Kind, id string, decide func(now *snapshot) (content any, err error)) error {
	if err := s.put(ctx, v, k, id, decide); err != nil {
		return err
	}
	if _, err := v.Delete(ctx, k, id); err != nil {
		return err
	}
	return v.Purge(ctx, k, id, true)
}

func (a Assignment) details() map[audit.Field]string {
	return map[audit.Field]string{audit.Role: a.Role, audit.Assignee: a.Principal, audit.Scope: string(a.Scope)}
}

// Definitions returns the roles that can be assigned at a scope, built-in ones first.
func (s *Service) Definitions(ctx context.Context, c access.Caller, vault string, at access.Scope, filter string) (list []Definition, err error) {
	op := operation("RoleDefinitionList", "roleDefinitions/read/action", at)
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		keep, err := definitionFilter(filter)
		if err != nil {
			return err
		}
		now, err := s.snapshot(ctx, v)
		if err != nil {
			return err
		}
		for _, d := range now.definitions {
			if keep(d) {
				list = append(list, d)
			}
		}
		return s.Done(ctx, c, vault, op, nil)
	})
	return list, err
}

// Definition returns a role.
func (s *Service) Definition(ctx context.Context, c access.Caller, vault string, at access.Scope, id string) (d Definition, err error) {
	op := operation("RoleDefinitionGet", "roleDefinitions/read/action", at)
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		now, err := s.snapshot(ctx, v)
		if err != nil {
			return err
		}
		var ok bool
		if d, ok = now.byID[strings.ToLower(id)]; !ok {
			return definitionNotFound(id)
		}
		return s.Done(ctx, c, vault, op, map[audit.Field]string{audit.Role: d.ID})
	})
	return d, err
}

// Define makes or replaces a custom role. Roles are defined for the whole HSM.
func (s *Service) Define(ctx context.Context, c access.Caller, vault string, at access.Scope, d Definition) (Definition, error) {
	op := operation("RoleDefinitionSet", "roleDefinitions/write/action", at)
	err := s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		id, ok := guid(d.ID)
		if !ok {
			return bad("The name of the role definition, %.64q, is no GUID.", d.ID)
		}
		if d.ID = id; at != access.Root {
			return bad("A role is defined at the scope /, not at %s; say in assignableScopes where it may be assigned.", at)
		}
		if err := d.check(); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			err := s.put(ctx, v, object.RoleDefinitions, d.ID, func(now *snapshot) (any, error) { return d, now.admits(d) })
			if err != nil {
				return err
			}
			return s.Done(ctx, c, vault, op, map[audit.Field]string{audit.Role: d.ID})
		})
	})
	return d, err
}

// admits refuses a definition beside those that are there.
func (s *snapshot) admits(d Definition) error {
	custom := 0
	for _, other := range s.definitions {
		switch {
		case other.BuiltIn && (other.ID == d.ID || strings.EqualFold(other.Name, d.Name)):
			return bad("Cannot re-use the name/GUID matching that of a built-in role. Please use a unique role ID.")
		case other.ID != d.ID && strings.EqualFold(other.Name, d.Name):
			return fault.New(fault.Conflict, "RoleDefinitionWithSameNameExists", "A custom role with the name %.64q exists already, with the id %s.", d.Name, other.ID)
		case !other.BuiltIn && other.ID != d.ID:
			custom++
		}
	}
	if custom >= MaxDefinitions {
		return fault.New(fault.Conflict, "RoleDefinitionLimitExceeded", "The HSM has %d custom roles; delete one that is no longer needed.", custom)
	}
	return nil
}

// Undefine deletes a custom role that nobody holds.
func (s *Service) Undefine(ctx context.Context, c access.Caller, vault string, at access.Scope, id string) (d Definition, err error) {
	op := operation("RoleDefinitionDelete", "roleDefinitions/delete/action", at)
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		key, ok := guid(id)
		if !ok {
			return definitionNotFound(id)
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			err := s.remove(ctx, v, object.RoleDefinitions, key, func(now *snapshot) (any, error) {
				d, err = now.unused(key)
				return d, err
			})
			if err != nil {
				return err
			}
			return s.Done(ctx, c, vault, op, map[audit.Field]string{audit.Role: d.ID})
		})
	})
	return d, err
}

// unused returns a custom role that nobody holds.
func (s *snapshot) unused(id string) (Definition, error) {
	d, ok := s.byID[id]
	if !ok {
		return d, definitionNotFound(id)
	}
	if d.BuiltIn {
		return d, bad("A built-in role cannot be deleted.")
	}
	if i := slices.IndexFunc(s.assignments, func(a Assignment) bool { return a.Role == d.ID }); i >= 0 {
		return d, fault.New(fault.Conflict, "RoleDefinitionHasAssignments", "The role is assigned, by the role assignment %s among others. Delete its assignments first.", s.assignments[i].ID)
	}
	return d, nil
}

// Replace makes the roles and assignments of an HSM those of a backup. Who is
// Administrator at / stays so. It must run inside a transaction.
func (s *Service) Replace(ctx context.Context, v *object.Vault, rows []object.Whole) error {
	now, err := s.read(ctx, v)
	if err != nil {
		return err
	}
	for _, a := range now.assignments {
		if a.rules() {
			continue
		}
		if err := v.Erase(ctx, object.RoleAssignments, a.ID); err != nil {
			return err
		}
	}
	for _, d := range now.definitions {
		if d.BuiltIn {
			continue
		}
		if err := v.Erase(ctx, object.RoleDefinitions, d.ID); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if err := v.Replace(ctx, r); err != nil {
			return err
		}
	}
	s.changed(ctx, v)
	return nil
}
