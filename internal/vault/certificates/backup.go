package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// Backup returns a certificate with its policy, its key, its secret and all their versions
// as one opaque blob.
func (s *Service) Backup(ctx context.Context, c access.Caller, r object.Ref) ([]byte, error) {
	return s.shelf.Backup(ctx, c, r)
}

// Restore brings back what Backup made, with its ids and times. A name that any of the
// three has, deleted or not, is fault.Conflict.
func (s *Service) Restore(ctx context.Context, c access.Caller, vault string, blob []byte) (Certificate, error) {
	e, err := s.shelf.Restore(ctx, c, vault, blob)
	if err != nil {
		return Certificate{}, err
	}
	return Of(e)
}
