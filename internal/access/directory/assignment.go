package directory

import (
	"cmp"
	"context"
	"slices"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

const maxAssignments = 1000 // of one principal

// Assign gives a principal a role, by its id or name, at a scope and everything below.
// Whoever may write access at that scope may give any role there.
func (d *Directory) Assign(ctx context.Context, c access.Caller, principal, role string, scope access.Scope) (Assignment, error) {
	return d.AssignAs(ctx, c, Assignment{ID: uuid.NewV4().String(), Principal: principal, Role: role, Scope: scope})
}

// AssignAs is Assign with an id, a GUID, that the caller has chosen. The same once more is
// no error.
func (d *Directory) AssignAs(ctx context.Context, c access.Caller, a Assignment) (Assignment, error) {
	id, perr := uuid.Parse(a.ID)
	scope, err := access.ParseScope(string(a.Scope))
	if err != nil {
		return Assignment{}, err
	}
	if err := d.Authorize(ctx, c, access.WriteAccess, scope, "RoleAssignmentCreate"); err != nil {
		return Assignment{}, err
	}
	if perr != nil {
		return Assignment{}, fault.New(fault.Invalid, "InvalidRoleAssignmentId", "the id %.40q of a role assignment is no GUID", a.ID)
	}
	r, err := access.FindRole(a.Role)
	if err != nil {
		return Assignment{}, err
	}
	a = Assignment{ID: id.String(), Principal: a.Principal, Role: r.ID, Scope: scope, Created: d.now().UTC()}
	err = d.change(ctx, func(now *snapshot) (edit, error) {
		if _, err := now.principal(a.Principal); err != nil {
			return edit{}, err
		}
		if b, ok := now.assignments[a.ID]; ok {
			if b.Principal == a.Principal && b.Role == a.Role && b.Scope == a.Scope {
				a = *b
				return edit{}, nil
			}
			return edit{}, fault.New(fault.Conflict, "RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
		}
		have := now.assigned[a.Principal]
		if len(have) >= maxAssignments {
			return edit{}, fault.New(fault.Conflict, "TooManyAssignments", "the principal has %d assignments; assign a role at a wider scope instead", maxAssignments)
		}
		if slices.ContainsFunc(have, func(b *Assignment) bool { return b.Role == a.Role && b.Scope == a.Scope }) {
			return edit{}, fault.New(fault.Conflict, "RoleAssignmentExists", "The role assignment already exists.")
		}
		return edit{put: []any{a}, records: []audit.Record{a.record(c, "RoleAssignmentCreate")}}, nil
	})
	if err != nil {
		return Assignment{}, err
	}
	return a, nil
}

// Unassign takes a role away. The last Administrator at / keeps it (fault.Conflict).
func (d *Directory) Unassign(ctx context.Context, c access.Caller, id string) error {
	scope := access.Root
	if a, ok := d.current.Load().assignments[id]; ok {
		scope = a.Scope
	}
	if err := d.Authorize(ctx, c, access.WriteAccess, scope, "RoleAssignmentDelete"); err != nil {
		return err
	}
	return d.change(ctx, func(now *snapshot) (edit, error) {
		a, ok := now.assignments[id]
		if !ok || a.Scope != scope && scope != access.Root {
			return edit{}, fault.New(fault.NotFound, "RoleAssignmentNotFound", "there is no assignment %.40q; the list of assignments names each with its id", id)
		}
		return edit{remove: []ref{{assignmentKind, id}}, records: []audit.Record{a.record(c, "RoleAssignmentDelete")}}, nil
	})
}

// Forget takes away every role that was given at a scope or below: what was there is gone
// for good, and whoever makes something of the same name decides anew. It joins the
// transaction of ctx; the caller has authorised it.
func (d *Directory) Forget(ctx context.Context, c access.Caller, scope access.Scope) error {
	scope, err := access.ParseScope(string(scope))
	if err != nil {
		return err
	}
	if scope == access.Root {
		return fault.New(fault.Internal, "Scope", "nothing forgets everything")
	}
	return d.change(ctx, func(now *snapshot) (e edit, err error) {
		for id, a := range now.assignments {
			if a.Scope.Within(scope) {
				e.remove = append(e.remove, ref{assignmentKind, id})
				e.records = append(e.records, a.record(c, "RoleAssignmentDelete"))
			}
		}
		return e, nil
	})
}

// Assignments returns up to limit assignments after the id, by id, at the scope and below.
// principal, if not empty, leaves those of others out.
func (d *Directory) Assignments(ctx context.Context, c access.Caller, q AssignmentQuery) ([]Assignment, error) {
	scope, err := access.ParseScope(cmp.Or(string(q.Scope), "/"))
	if err != nil {
		return nil, err
	}
	if err := d.Authorize(ctx, c, access.ReadAccess, scope, "RoleAssignmentList"); err != nil {
		return nil, err
	}
	var out []Assignment
	for _, a := range d.current.Load().assignments {
		there := a.Scope.Within(scope)
		if q.Above {
			there = scope.Within(a.Scope)
		}
		if (q.Principal == "" || a.Principal == q.Principal) && a.ID > q.After && there {
			out = append(out, *a)
		}
	}
	slices.SortFunc(out, func(a, b Assignment) int { return cmp.Compare(a.ID, b.ID) })
	return out[:min(len(out), pageSize(q.Limit))], nil
}

// Assignment returns one assignment. Whoever may not read access where it is may not know
// that it is there.
func (d *Directory) Assignment(ctx context.Context, c access.Caller, id string) (Assignment, error) {
	scope := access.Root
	a, ok := d.current.Load().assignments[id]
	if ok {
		scope = a.Scope
	}
	if err := d.Authorize(ctx, c, access.ReadAccess, scope, "RoleAssignmentGet"); err != nil {
		return Assignment{}, err
	}
	if !ok {
		return Assignment{}, fault.New(fault.NotFound, "RoleAssignmentNotFound", "The role assignment '%.40s' is not found.", id)
	}
	return *a, nil
}

// AssignmentQuery filters assignments. Zero fields do not filter.
type AssignmentQuery struct {
	Scope     access.Scope // this scope and everything below it
	Above     bool         // this scope and those above it instead: what holds at it
	Principal string
	After     string // id of the last one on the page before
	Limit     int    // 1 to 1000; 0 means 100
}

func (a Assignment) record(c access.Caller, operation string) audit.Record {
	r := c.Record(operation, string(a.Scope))
	r.Details[audit.Role], r.Details[audit.Scope], r.Details[audit.Assignee] = a.Role, string(a.Scope), a.Principal
	return r
}
