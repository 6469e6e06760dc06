package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// Delete soft-deletes a certificate with all its versions, its key and its secret.
func (s *Service) Delete(ctx context.Context, c access.Caller, r object.Ref) (Certificate, error) {
	return s.cascade(ctx, c, object.Delete, r, func(ctx context.Context, v *object.Vault, k object.Kind) (object.Entry, error) {
		return v.Delete(ctx, k, r.Name)
	})
}

// Recover undoes Delete for all three.
func (s *Service) Recover(ctx context.Context, c access.Caller, r object.Ref) (Certificate, error) {
	return s.cascade(ctx, c, object.Recover, r, func(ctx context.Context, v *object.Vault, k object.Kind) (object.Entry, error) {
		return v.Recover(ctx, k, r.Name)
	})
}

// Purge removes a deleted certificate, its key and its secret for good.
func (s *Service) Purge(ctx context.Context, c access.Caller, r object.Ref) error {
	_, err := s.cascade(ctx, c, object.Purge, r, func(ctx context.Context, v *object.Vault, k object.Kind) (object.Entry, error) {
		e, err := v.ReadDeleted(ctx, k, r.Name)
		if err != nil {
			return e, err
		}
		return e, v.Purge(ctx, k, r.Name, false)
	})
	return err
}

// PurgeDue does it for one whose retention has ended.
func (s *Service) PurgeDue(ctx context.Context, c access.Caller, r object.Ref) error {
	return s.shelf.PurgeDue(ctx, c, r, object.Keys, object.Secrets)
}

// cascade does one thing to a certificate and then, if it ever got a version, to its key
// and secret, with one record, in one transaction.
func (s *Service) cascade(ctx context.Context, c access.Caller, op object.Operation, r object.Ref, do func(context.Context, *object.Vault, object.Kind) (object.Entry, error)) (cert Certificate, err error) {
	err = s.shelf.Call(ctx, c, op, r, func(v *object.Vault) error {
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			e, err := do(ctx, v, object.Certificates)
			if err != nil {
				return err
			}
			if e.Head.Latest != "" {
				for _, k := range []object.Kind{object.Keys, object.Secrets} {
					if _, err := do(ctx, v, k); err != nil {
						return err
					}
				}
			}
			if cert, err = Of(e); err != nil {
				return err
			}
			return s.shelf.Done(ctx, c, op, r, nil)
		})
	})
	if err != nil {
		return Certificate{}, err
	}
	return cert, nil
}

// GetDeleted returns a deleted certificate.
func (s *Service) GetDeleted(ctx context.Context, c access.Caller, r object.Ref) (Certificate, error) {
	e, err := s.shelf.GetDeleted(ctx, c, r)
	if err != nil {
		return Certificate{}, err
	}
	return Of(e)
}
