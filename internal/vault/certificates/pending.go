package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Pending returns the last creation of a certificate, also when it is over. A requestID
// that is not empty must be its own; fault.NotFound otherwise.
func (s *Service) Pending(ctx context.Context, c access.Caller, r object.Ref, requestID string) (op Operation, err error) {
	err = s.shelf.Call(ctx, c, pendingGet, r, func(v *object.Vault) error {
		e, err := v.Read(ctx, object.Certificates, r.Name, "")
		if err != nil {
			return err
		}
		st, err := stateOf(e.Head)
		if err != nil {
			return err
		}
		if st.Pending == nil || requestID != "" && requestID != st.Pending.RequestID {
			return errNoPending(r.Name)
		}
		op = st.Pending.Operation
		return s.shelf.Done(ctx, c, pendingGet, r, map[audit.Field]string{audit.Request: op.RequestID})
	})
	if err != nil {
		return Operation{}, err
	}
	return op, nil
}

// Cancel gives up a creation that is in progress. Its key is forgotten; the operation
// stays to be seen until the next one.
func (s *Service) Cancel(ctx context.Context, c access.Caller, r object.Ref) (Operation, error) {
	return s.endPending(ctx, c, pendingUpdate, r, func(ctx context.Context, v *object.Vault) (op Operation, err error) {
		_, err = v.SetHead(ctx, object.Certificates, r.Name, func(h *object.Head) error {
			return change(h, func(st *state) error {
				p := st.Pending
				if p == nil {
					return errNoPending(r.Name)
				}
				if !p.inProgress() {
					return fault.New(fault.Invalid, "BadParameter", "The pending certificate of %s is %s; only one that is inProgress can be cancelled.", r.Name, p.Status)
				}
				if err := s.withdraw(ctx, p); err != nil {
					return err
				}
				p.CancellationRequested = true
				st.end(Cancelled, "Certificate operation was cancelled.")
				st.postpone(s.shelf.Now())
				op = p.Operation
				return nil
			})
		})
		return op, err
	})
}

// DeletePending forgets the last creation, and the certificate with it if that never got
// a version. It returns what was forgotten.
func (s *Service) DeletePending(ctx context.Context, c access.Caller, r object.Ref) (Operation, error) {
	return s.endPending(ctx, c, pendingDelete, r, func(ctx context.Context, v *object.Vault) (op Operation, err error) {
		e, err := v.SetHead(ctx, object.Certificates, r.Name, func(h *object.Head) error {
			return change(h, func(st *state) error {
				if st.Pending == nil {
					return errNoPending(r.Name)
				}
				if err := s.withdraw(ctx, st.Pending); err != nil {
					return err
				}
				st.postpone(s.shelf.Now())
				op, st.Pending = st.Pending.Operation, nil
				return nil
			})
		})
		if err != nil || e.Head.Latest != "" {
			return op, err
		}
		// Nothing was ever issued, so nothing is lost that could be recovered.
		if _, err := v.Delete(ctx, object.Certificates, r.Name); err != nil {
			return op, err
		}
		return op, v.Purge(ctx, object.Certificates, r.Name, true)
	})
}

// endPending runs one change of a creation with its record. The certificate exists.
func (s *Service) endPending(ctx context.Context, c access.Caller, name object.Operation, r object.Ref, fn func(context.Context, *object.Vault) (Operation, error)) (op Operation, err error) {
	err = s.shelf.Call(ctx, c, name, r, func(v *object.Vault) error {
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			if _, err := v.Read(ctx, object.Certificates, r.Name, ""); err != nil {
				return err
			}
			if op, err = fn(ctx, v); err != nil {
				return err
			}
			return s.shelf.Done(ctx, c, name, r, map[audit.Field]string{audit.Request: op.RequestID})
		})
	})
	if err != nil {
		return Operation{}, err
	}
	return op, nil
}
