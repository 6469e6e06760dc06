package certificates

import (
	"context"
	"crypto"
	"crypto/x509"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
)

// MergeRequest is what a CA issued for a pending request.
type MergeRequest struct {
	Certificates [][]byte // DER, the leaf among them
	Attributes   object.Attributes
}

// Merge completes a creation with issuer Unknown. The leaf is the certificate of the
// pending key; whether it is valid today, and who signed it, is the caller's affair.
func (s *Service) Merge(ctx context.Context, c access.Caller, r object.Ref, q MergeRequest) (cert Certificate, err error) {
	err = s.shelf.Call(ctx, c, pendingMerge, r, func(v *object.Vault) error {
		if err := q.Attributes.Check(s.shelf.Limits); err != nil {
			return err
		}
		e, err := v.Read(ctx, object.Certificates, r.Name, "")
		if err != nil {
			return err
		}
		st, err := stateOf(e.Head)
		if err != nil {
			return err
		}
		p := st.Pending
		if err := mergeable(r.Name, p); err != nil {
			return err
		}
		d, err := s.merged(ctx, st, q)
		if err != nil {
			return err
		}
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			e, err := s.store(ctx, v, r.Name, d, func(st *state) error {
				if err := mergeable(r.Name, st.Pending); err != nil {
					return err
				}
				if st.Pending.RequestID != p.RequestID {
					return errNoPending(r.Name)
				}
				st.complete()
				return nil
			})
			if err != nil {
				return err
			}
			if cert, err = Of(e); err != nil {
				return err
			}
			return s.done(ctx, c, pendingMerge, r, d)
		})
	})
	if err != nil {
		return Certificate{}, err
	}
	return cert, nil
}

// mergeable refuses what is not waiting for a certificate.
func mergeable(name string, p *pending) error {
	switch {
	case p == nil:
		return errNoPending(name)
	case !p.Issuer.IsUnknown():
		return fault.New(fault.Denied, "Forbidden", "Merge is forbidden on pending object created with issuer : %s while it is in progess.", p.Issuer.Name)
	case p.Status != InProgress:
		return fault.New(fault.Invalid, "BadParameter", "The pending certificate of %s is %s; create a new version to get a new request.", name, p.Status)
	}
	return nil
}

// merged is the version that the certificates complete.
func (s *Service) merged(ctx context.Context, st state, q MergeRequest) (draft, error) {
	p := st.Pending
	all, err := parse(q.Certificates)
	if err != nil {
		return draft{}, err
	}
	n := content{certificates: all, policy: st.Policy, preserveOrder: p.PreserveOrder}
	n.policy.Key = p.Key // the policy may have been edited since the key was made
	if n.key, err = s.keys.Unkeep(p.Made); err != nil {
		return draft{}, err
	}
	key, err := s.keys.OpenMade(ctx, n.key)
	if err != nil {
		return draft{}, err
	}
	if n.leaf, err = leafOf(key, all); err != nil {
		return draft{}, err
	}
	if !p.PreserveOrder {
		n.certificates = pfx.Chain(n.leaf, all)
	}
	x := newVersion(p.Version, object.Attributes{Enabled: &p.Enabled, Tags: p.Tags})
	object.Attributes{Enabled: q.Attributes.Enabled, Tags: q.Attributes.Tags}.Apply(&x)
	return s.draft(ctx, x, n)
}

func leafOf(key crypto.PrivateKey, all []*x509.Certificate) (*x509.Certificate, error) {
	leaf, err := pfx.Bundle{Key: key, Certificates: all}.Leaf()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter",
			"The public key of the end-entity certificate in x5c does not match the public key of the pending request. Have the request of this pending certificate signed, and merge that.")
	}
	return leaf, nil
}

// parse reads DER certificates within the limits of a certificate file.
func parse(list [][]byte) ([]*x509.Certificate, error) {
	if len(list) == 0 || len(list) > pfx.MaxBags {
		return nil, fault.New(fault.Invalid, "BadParameter", "x5c has %d certificates; send 1 to %d.", len(list), pfx.MaxBags)
	}
	size := 0
	all := make([]*x509.Certificate, 0, len(list))
	for _, der := range list {
		if size += len(der); size > pfx.MaxSize {
			return nil, fault.New(fault.Invalid, "BadParameter", "The certificates in x5c have more than %d bytes.", pfx.MaxSize)
		}
		c, err := certificate.Parse(der)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "BadParameter", "One of the certificates in x5c does not parse; send each as base64 of its DER.")
		}
		all = append(all, c)
	}
	return all, nil
}
