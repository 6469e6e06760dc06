package object

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
)

// permit says whether c may do op to r. v is nil where there is no such vault, or none
// that opens: who may not do it anyway is told the same as where it exists.
func (s *Shelf) permit(ctx context.Context, c access.Caller, op Operation, r Ref, v *Vault) error {
	if v != nil && v.Settings().Kind == ManagedHSM {
		return s.permitLocally(ctx, c, op, r, v)
	}
	action, ok := s.actions[op]
	if !ok {
		return fault.New(fault.Internal, "NoAction", "the operation %s%s has no action to authorise", s.kind.Title(), op)
	}
	return s.Guard.Authorize(ctx, c, "Microsoft.KeyVault/vaults/"+action, s.scope(r), s.name(op))
}

// permitLocally asks the roles of a Managed HSM. It has keys and nothing else: what it
// does not have is not found, whoever asks.
func (s *Shelf) permitLocally(ctx context.Context, c access.Caller, op Operation, r Ref, v *Vault) error {
	if s.kind != Keys {
		return fault.New(fault.NotFound, "NotFound", "A managed HSM has no %s. Use a key vault for them.", s.kind)
	}
	action, ok := managedActions[op]
	if !ok || s.Local == nil {
		return fault.New(fault.Internal, "NoAction", "the operation %s%s has no action to authorise in a managed HSM", s.kind.Title(), op)
	}
	at := access.Scope("/keys")
	if r.Name != "" {
		at += access.Scope("/" + strings.ToLower(r.Name))
	}
	return s.Local.Authorize(ctx, v, c, ManagedPrefix+action, at, s.name(op))
}
