// Package hsm is what a Managed HSM has besides keys: roles of its own, settings, full
// backups and a security domain, each in a package below (contract §1.5, §2.7).
package hsm

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Deps are what every service of a Managed HSM needs. Local must be set.
type Deps struct{ object.Deps }

// Operation is one thing that a caller does to a Managed HSM.
type Operation struct {
	Name   string        // of the audit record: RoleAssignmentCreate
	Action access.Action // with its prefix
	At     access.Scope  // scope of the HSM; empty is "/"
}

// Call runs one operation: it authorises by the HSM's own roles, runs fn, and records a
// failure of fn. fn records success itself: inside its transaction if it changes
// something, else before it returns. Use Done for that.
func (d Deps) Call(ctx context.Context, c access.Caller, vault string, op Operation, fn func(v *object.Vault) error) error {
	v, err := d.open(ctx, c, vault, op)
	if err != nil {
		return err
	}
	if op.At == "" {
		op.At = access.Root
	}
	if !v.Admits(c) {
		return d.shutOut(ctx, c, v, op)
	}
	if err := d.Local.Authorize(ctx, v, c, op.Action, op.At, op.Name); err != nil {
		return v.Told(c, err)
	}
	if err = v.Told(c, fn(v)); err == nil {
		return nil
	}
	rec := c.Record(op.Name, Target(vault, op.At))
	rec.Outcome = audit.Failed
	rec.Details[audit.Reason] = fault.Of(err).Code
	if rerr := d.Audit.Record(ctx, rec); rerr != nil {
		return rerr
	}
	return err
}

// shutOut refuses a client whose address the network rules do not admit (contract §2.2).
func (d Deps) shutOut(ctx context.Context, c access.Caller, v *object.Vault, op Operation) error {
	rec := c.Record(op.Name, Target(v.Name, op.At))
	rec.Outcome = audit.Denied
	rec.Details[audit.Action], rec.Details[audit.Reason] = string(op.Action), "ForbiddenByFirewall"
	if err := d.Audit.Record(ctx, rec); err != nil {
		return err
	}
	return fault.New(fault.Denied, "ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service.\r\nClient address: %s\r\nCaller: appid=%s;oid=%s;iss=%s\r\nVault: %s",
		c.Address, c.Application, c.Principal, c.Issuer, v.Name)
}

// Done records the success of an operation.
func (d Deps) Done(ctx context.Context, c access.Caller, vault string, op Operation, details map[audit.Field]string) error {
	rec := c.Record(op.Name, Target(vault, op.At))
	for f, v := range details {
		rec.Details[f] = v
	}
	return d.Audit.Record(ctx, rec)
}

// open returns a Managed HSM. Whoever may not look at vaults is not told whether there is
// a vault of that name, or of which kind.
func (d Deps) open(ctx context.Context, c access.Caller, vault string, op Operation) (*object.Vault, error) {
	v, err := d.Vaults.Open(ctx, vault)
	if err == nil && v.Settings().Kind == object.ManagedHSM {
		return v, nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if err := d.Guard.Authorize(ctx, c, "Chatelaine/vaults/read", access.Scope("/vaults/"+strings.ToLower(vault)), op.Name); err != nil {
		return nil, err
	}
	if err == nil {
		err = fault.New(fault.NotFound, "NotFound", "%s is a key vault. Only a managed HSM has roles, settings, backups and a security domain of its own.", v.Name)
	}
	return nil, err
}

// Target is what the audit trail says that an operation was done to.
func Target(vault string, at access.Scope) string {
	t := "/vaults/" + strings.ToLower(vault)
	if at != "" && at != access.Root {
		t += strings.ToLower(string(at))
	}
	return t
}
