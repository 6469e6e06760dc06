package role

import (
	"context"
	"slices"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Assignments returns the assignments at, above and below a scope, or those of them that
// the filter leaves.
func (s *Service) Assignments(ctx context.Context, c access.Caller, vault string, at access.Scope, filter string) (list []Assignment, err error) {
	op := operation("RoleAssignmentList", "roleAssignments/read/action", at)
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		keep, err := assignmentFilter(filter, at)
		if err != nil {
			return err
		}
		now, err := s.snapshot(ctx, v)
		if err != nil {
			return err
		}
		for _, a := range now.assignments {
			if keep(a) {
				list = append(list, a)
			}
		}
		return s.Done(ctx, c, vault, op, nil)
	})
	return list, err
}

// Assignment returns an assignment of exactly that scope.
func (s *Service) Assignment(ctx context.Context, c access.Caller, vault string, at access.Scope, id string) (a Assignment, err error) {
	op := operation("RoleAssignmentGet", "roleAssignments/read/action", at)
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		now, err := s.snapshot(ctx, v)
		if err != nil {
			return err
		}
		if a, err = now.assignment(at, id); err != nil {
			return err
		}
		return s.Done(ctx, c, vault, op, a.details())
	})
	return a, err
}

func (s *snapshot) assignment(at access.Scope, id string) (Assignment, error) {
	i := slices.IndexFunc(s.assignments, func(a Assignment) bool { return strings.EqualFold(a.ID, id) && a.Scope == at })
	if i < 0 {
		return Assignment{}, assignmentNotFound(id)
	}
	return s.assignments[i], nil
}

// Assign gives a.Principal the role a.Role at a.Scope. Whoever may write assignments at a
// scope may give any role there. The same once more is no error.
func (s *Service) Assign(ctx context.Context, c access.Caller, vault string, a Assignment) (Assignment, error) {
	op := operation("RoleAssignmentCreate", "roleAssignments/write/action", a.Scope)
	err := s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		if err := a.check(); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			err := s.put(ctx, v, object.RoleAssignments, a.ID, func(now *snapshot) (any, error) { return a, now.accepts(a) })
			if err != nil {
				return err
			}
			return s.Done(ctx, c, vault, op, a.details())
		})
	})
	return a, err
}

const maxPrincipal = 128

func (a *Assignment) check() error {
	id, ok := guid(a.ID)
	if !ok {
		return bad("The name of the role assignment, %.64q, is no GUID.", a.ID)
	}
	a.ID = id
	if p, ok := guid(a.Principal); ok {
		a.Principal = p
	}
	if a.Principal == "" || len(a.Principal) > maxPrincipal {
		return bad("The parameter principalId is missing or longer than %d bytes; send the object id of who is to have the role.", maxPrincipal)
	}
	// Azure names a role by a path that ends with its id.
	r := a.Role[strings.LastIndexByte(a.Role, '/')+1:]
	if a.Role, ok = guid(r); !ok {
		return bad("The parameter roleDefinitionId does not end with the GUID of a role; take the id of a role definition.")
	}
	return nil
}

// accepts refuses an assignment beside those that are there.
func (s *snapshot) accepts(a Assignment) error {
	d, ok := s.byID[a.Role]
	if !ok {
		return fault.New(fault.Invalid, "RoleDefinitionDoesNotExist", "The role definition %s does not exist. List the role definitions to see their ids.", a.Role)
	}
	if !slices.ContainsFunc(d.AssignableScopes, a.Scope.Within) {
		return bad("The role %.64q cannot be assigned at %s, which is not within its assignable scopes.", d.Name, a.Scope)
	}
	for _, other := range s.assignments {
		switch {
		case other.ID == a.ID && other.same(a):
			return nil
		case other.ID == a.ID:
			return fault.New(fault.Conflict, "RoleAssignmentUpdateNotPermitted", "The role assignment %s exists, and its principal, role and scope cannot be changed. Delete it, or use another name.", a.ID)
		case other.same(a):
			return fault.New(fault.Conflict, "RoleAssignmentExists", "The role assignment already exists, with the name %s.", other.ID)
		}
	}
	if len(s.assignments) >= MaxAssignments {
		return fault.New(fault.Conflict, "RoleAssignmentLimitExceeded", "The HSM has %d role assignments; assign a role at a wider scope instead.", MaxAssignments)
	}
	return nil
}

// Unassign takes a role away. The last Administrator at / keeps it: nobody could ever
// assign a role again.
func (s *Service) Unassign(ctx context.Context, c access.Caller, vault string, at access.Scope, id string) (a Assignment, err error) {
	op := operation("RoleAssignmentDelete", "roleAssignments/delete/action", at)
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		key, ok := guid(id)
		if !ok {
			return assignmentNotFound(id)
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			err := s.remove(ctx, v, object.RoleAssignments, key, func(now *snapshot) (any, error) {
				a, err = now.dispensable(at, id)
				return a, err
			})
			if err != nil {
				return err
			}
			return s.Done(ctx, c, vault, op, a.details())
		})
	})
	return a, err
}

func (a Assignment) rules() bool { return a.Role == Administrator && a.Scope == access.Root }

// dispensable returns an assignment that is not the last of an Administrator.
func (s *snapshot) dispensable(at access.Scope, id string) (Assignment, error) {
	a, err := s.assignment(at, id)
	if err != nil {
		return a, err
	}
	if a.rules() && !slices.ContainsFunc(s.assignments, func(b Assignment) bool { return b.ID != a.ID && b.rules() }) {
		return a, fault.New(fault.Conflict, "LastAdministrator", "This is the last Managed HSM Administrator at /; nobody could rule the HSM any more. Assign the role to somebody else first.")
	}
	return a, nil
}
