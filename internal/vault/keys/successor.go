package keys

import (
	"context"

	"chatelaine.dev/internal/vault/object"
)

// Successor makes a key like that of a version: of its type, size or curve, and
// operations. It is slow, and belongs before the transaction.
func (s *Service) Successor(ctx context.Context, e object.Entry) (Made, error) {
	extra, err := ExtraOf(e.Head)
	if err != nil {
		return Made{}, err
	}
	b, err := bodyOf(e.Version)
	if err != nil {
		return Made{}, err
	}
	n, err := b.nature()
	if err != nil {
		return Made{}, err
	}
	if n.publicOnly {
		return Made{}, errPublicOnly()
	}
	return s.Make(ctx, Wanted{Type: b.Type, Bits: n.spec.Bits, Curve: n.spec.Curve, Algorithm: n.spec.Algorithm, Ops: b.Ops, Exportable: extra.Exportable})
}

// Append writes a version of a key that belongs to no certificate, inside the transaction
// of ctx, and tells that there is one. The caller has authorised and records.
func (s *Service) Append(ctx context.Context, v *object.Vault, name string, x object.Version, m Made) (object.Entry, error) {
	e, err := s.append(ctx, v, name, x, m, false)
	if err != nil {
		return e, err
	}
	return e, s.Announce(ctx, "NewVersionCreated", e)
}
