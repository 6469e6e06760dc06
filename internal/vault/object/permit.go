package object

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
)

// permit says whether c may do op to r. v is nil where there is no such vault, or none
// that opens: who may not do it anyway is told the same as where it exists.
func (s *Shelf) permit(ctx context.Context, c access.Caller, op Operation, r Ref, _ *Vault) error {
	action, ok := s.actions[op]
	if !ok {
		return fault.New(fault.Internal, "NoAction", "the operation %s%s has no action to authorise", s.kind.Title(), op)
	}
	return s.Guard.Authorize(ctx, c, "Microsoft.KeyVault/vaults/"+action, s.scope(r), s.name(op))
}
