package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// DeleteVersion removes one version of a certificate for good, with its key and its
// secret, in one transaction and with one record.
func (s *Service) DeleteVersion(ctx context.Context, c access.Caller, r object.Ref) (Certificate, error) {
	e, err := s.shelf.DeleteVersions(ctx, c, r, func(ctx context.Context, v *object.Vault) (object.Entry, error) {
		e, err := v.DeleteVersion(ctx, object.Certificates, r.Name, r.Version)
		if err != nil {
			return e, err
		}
		for _, k := range []object.Kind{object.Keys, object.Secrets} {
			if _, err := v.DeleteVersion(ctx, k, r.Name, r.Version); err != nil {
				return e, err
			}
		}
		return e, nil
	})
	if err != nil {
		return Certificate{}, err
	}
	return Of(e)
}
