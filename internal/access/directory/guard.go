package directory

import (
	"cmp"
	"context"
	"fmt"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
)

// Authorize implements access.Guard. It looks at the action, the scope and the caller's roles,
// and at nothing else: whether the object exists makes no difference. Call it before the
// transaction begins, because its record must outlive a rollback.
func (d *Directory) Authorize(ctx context.Context, c access.Caller, a access.Action, s access.Scope, operation string) error {
	if d.Allowed(c, a, s) {
		return nil
	}
	r := c.Record(operation, cmp.Or(string(s), "/"))
	r.Outcome = audit.Denied
	if r.Principal == "" {
		r.Principal = "anonymous"
	}
	r.Details[audit.Action] = string(a)
	r.Details[audit.Reason] = access.CodeForbidden
	if err := d.audit.Record(ctx, r); err != nil {
		return fmt.Errorf("record that %s was refused: %w", operation, err)
	}
	return access.Refuse(c, a, s)
}

// Allowed reports whether the caller may, and records nothing: for what a page shows or
// hides. What is done must be authorised.
func (d *Directory) Allowed(c access.Caller, a access.Action, s access.Scope) bool {
	return c.IsSystem() || d.current.Load().allows(c.Principal, a, s)
}

// Scopes returns where the caller holds a role that allows the action, for lists that
// show each viewer its part. Everything below a scope is allowed too.
func (d *Directory) Scopes(c access.Caller, a access.Action) []access.Scope {
	if c.IsSystem() {
		return []access.Scope{access.Root}
	}
	now := d.current.Load()
	var out []access.Scope
	for _, held := range now.assigned[c.Principal] {
		if now.allows(c.Principal, a, held.Scope) {
			out = append(out, held.Scope)
		}
	}
	return out
}
