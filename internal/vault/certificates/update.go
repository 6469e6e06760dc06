package certificates

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
)

// UpdateRequest changes a version; nil fields stay. The dates of Attributes are ignored:
// they are the certificate's own.
type UpdateRequest struct {
	Attributes object.Attributes
	Policy     *policy.Policy // sections to replace in the certificate's policy
}

// Update changes enabled and tags of a version, or of the latest, with its key and
// secret, and the policy.
func (s *Service) Update(ctx context.Context, c access.Caller, r object.Ref, q UpdateRequest) (cert Certificate, err error) {
	err = s.shelf.Call(ctx, c, object.Update, r, func(v *object.Vault) error {
		if err := q.Attributes.Check(s.shelf.Limits); err != nil {
			return err
		}
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			e, err := s.edit(ctx, v, r, q.Attributes)
			if err != nil {
				return err
			}
			if q.Policy != nil {
				changed, err := s.setPolicy(ctx, v, r.Name, *q.Policy)
				if err != nil {
					return err
				}
				e.Head = changed.Head
			}
			if cert, err = Of(e); err != nil {
				return err
			}
			return s.shelf.Done(ctx, c, object.Update, versioned(r, e.Version.ID), nil)
		})
	})
	if err != nil {
		return Certificate{}, err
	}
	return cert, nil
}

// edit applies attributes to a version and to its key and secret.
func (s *Service) edit(ctx context.Context, v *object.Vault, r object.Ref, a object.Attributes) (object.Entry, error) {
	apply := func(_ object.Head, x *object.Version) error {
		object.Attributes{Enabled: a.Enabled, Tags: a.Tags}.Apply(x)
		return nil
	}
	e, err := v.Edit(ctx, object.Certificates, r.Name, r.Version, apply)
	if err != nil {
		return e, err
	}
	for _, k := range []object.Kind{object.Keys, object.Secrets} {
		if _, err := v.Edit(ctx, k, r.Name, e.Version.ID, apply); err != nil {
			return e, err
		}
	}
	return e, nil
}

// Policy returns the policy of a certificate.
func (s *Service) Policy(ctx context.Context, c access.Caller, r object.Ref) (p policy.Policy, err error) {
	err = s.shelf.Call(ctx, c, policyGet, r, func(v *object.Vault) error {
		e, err := v.Read(ctx, object.Certificates, r.Name, "")
		if err != nil {
			return err
		}
		st, err := stateOf(e.Head)
		if err != nil {
			return err
		}
		p = st.Policy
		return s.shelf.Done(ctx, c, policyGet, r, nil)
	})
	if err != nil {
		return policy.Policy{}, err
	}
	return p, nil
}

// UpdatePolicy replaces the sections of the policy that are sent.
func (s *Service) UpdatePolicy(ctx context.Context, c access.Caller, r object.Ref, sent policy.Policy) (p policy.Policy, err error) {
	err = s.shelf.Call(ctx, c, policyUpdate, r, func(v *object.Vault) error {
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			e, err := s.setPolicy(ctx, v, r.Name, sent)
			if err != nil {
				return err
			}
			st, err := stateOf(e.Head)
			if err != nil {
				return err
			}
			p = st.Policy
			return s.shelf.Done(ctx, c, policyUpdate, r, nil)
		})
	})
	if err != nil {
		return policy.Policy{}, err
	}
	return p, nil
}

// setPolicy changes the policy of a certificate that exists.
func (s *Service) setPolicy(ctx context.Context, v *object.Vault, name string, sent policy.Policy) (object.Entry, error) {
	if e, err := v.Read(ctx, object.Certificates, name, ""); err != nil {
		return e, err
	}
	return v.SetHead(ctx, object.Certificates, name, func(h *object.Head) error {
		return change(h, func(st *state) error {
			p := st.Policy.Merge(sent).Complete()
			if err := p.Check(); err != nil {
				return err
			}
			if err := checkIssuer(ctx, v, p.Issuer); err != nil {
				return err
			}
			st.Policy = p.Stamp(st.Policy, s.shelf.Now())
			return nil
		})
	})
}
