package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/object"
)

// Delete soft-deletes a certificate with all its versions, its key and its secret. What
// was ordered for it is taken back.
func (s *Service) Delete(ctx context.Context, c access.Caller, r object.Ref) (Certificate, error) {
	return s.cascade(ctx, c, object.Delete, r, func(ctx context.Context, v *object.Vault, k object.Kind) (object.Entry, error) {
		if k == object.Certificates {
			if err := s.takeBack(ctx, v, r.Name); err != nil {
				return object.Entry{}, err
			}
		}
		return v.Delete(ctx, k, r.Name)
	})
}

// takeBack cancels a creation that a registered issuer works on: nobody could be told
// what comes of it while the certificate is deleted.
func (s *Service) takeBack(ctx context.Context, v *object.Vault, name string) error {
	_, st, err := s.current(ctx, v, name)
	if err != nil || !st.Pending.inProgress() || issuer.Reserved(st.Pending.Issuer.Name) {
		return err
	}
	if err := s.withdraw(ctx, st.Pending); err != nil {
		return err
	}
	_, err = v.SetHead(ctx, object.Certificates, name, func(h *object.Head) error {
		return change(h, func(st *state) error {
			st.end(Cancelled, "Certificate operation was cancelled, because the certificate was deleted.")
			st.postpone(s.shelf.Now())
			return nil
		})
	})
	return err
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
