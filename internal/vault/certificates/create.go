package certificates

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// CreateRequest asks for a new version of a certificate.
type CreateRequest struct {
	Policy        *policy.Policy // nil for the certificate's own
	Attributes    object.Attributes
	PreserveOrder bool // Merge keeps the order of the chain
}

// Create makes a key and a certificate request by the policy. Issuer Self signs at once:
// the version is there when Create returns, and the operation that it returns says
// inProgress, as Key Vault's does, while the next look at it says completed. Issuer
// Unknown waits for Merge.
func (s *Service) Create(ctx context.Context, c access.Caller, r object.Ref, q CreateRequest) (op Operation, err error) {
	err = s.shelf.Call(ctx, c, create, r, func(v *object.Vault) error {
		if err := object.CheckName(r.Name); err != nil {
			return err
		}
		if err := q.Attributes.Check(s.shelf.Limits); err != nil {
			return err
		}
		head, st, err := s.current(ctx, v, r.Name)
		if err != nil {
			return err
		}
		if st.Pending.inProgress() {
			return errInProgress()
		}
		n := creation{v: v, caller: c, ref: r}
		if n.policy, err = policyFor(head, st, q.Policy); err != nil {
			return err
		}
		if n.key, err = s.keyFor(ctx, v, head, n.policy); err != nil {
			return err
		}
		op, err = s.begin(ctx, n, q)
		return err
	})
	if err != nil {
		return Operation{}, err
	}
	return op, nil
}

// creation is a Create whose key is made.
type creation struct {
	v      *object.Vault
	caller access.Caller
	ref    object.Ref
	policy policy.Policy
	key    keys.Made
}

// begin makes the certificate request and goes on as the issuer wants.
func (s *Service) begin(ctx context.Context, n creation, q CreateRequest) (Operation, error) {
	private, err := s.keys.OpenMade(ctx, n.key)
	if err != nil {
		return Operation{}, err
	}
	csr, err := n.policy.Request(private)
	if err != nil {
		return Operation{}, err
	}
	x := newVersion(object.NewVersionID(), q.Attributes)
	p := pending{
		Operation: Operation{
			RequestID: object.NewVersionID(), Issuer: *n.policy.Issuer, Request: csr,
			Status: InProgress, Details: detailsIssuing, PreserveOrder: q.PreserveOrder, Created: s.shelf.Now().UTC(),
		},
		Version: x.ID, Enabled: x.Enabled, Tags: x.Tags, Key: n.policy.Key,
	}
	if n.policy.Issuer.IsSelf() {
		return p.Operation, s.signSelf(ctx, n, p, x, private)
	}
	p.Details = detailsUnknown
	return p.Operation, s.await(ctx, n, p)
}

// signSelf issues a self-signed certificate and stores it with its completed operation.
func (s *Service) signSelf(ctx context.Context, n creation, p pending, x object.Version, key crypto.Signer) error {
	der, err := n.policy.SelfSign(key, s.shelf.Now())
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("read the certificate just signed: %w", err)
	}
	d, err := s.draft(ctx, x, content{
		key: n.key, leaf: leaf, certificates: []*x509.Certificate{leaf}, policy: n.policy, preserveOrder: p.PreserveOrder,
	})
	if err != nil {
		return err
	}
	p.Status, p.Details = Completed, ""
	return s.shelf.Transact(ctx, func(ctx context.Context) error {
		if _, err := s.store(ctx, n.v, n.ref.Name, d, func(st *state) error {
			if st.Pending.inProgress() {
				return errInProgress()
			}
			st.Policy, st.Pending = n.policy.Stamp(st.Policy, s.shelf.Now()), &p
			return nil
		}); err != nil {
			return err
		}
		return s.done(ctx, n.caller, create, n.ref, d)
	})
}

// await stores a request that the caller takes to a CA.
func (s *Service) await(ctx context.Context, n creation, p pending) error {
	key, err := s.exportMade(ctx, n.key)
	if err != nil {
		return err
	}
	if p.Private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return fmt.Errorf("encode the key of a request: %w", err)
	}
	return s.shelf.Transact(ctx, func(ctx context.Context) error {
		if err := free(ctx, n.v, n.ref.Name); err != nil {
			return err
		}
		if _, err := n.v.SetHead(ctx, object.Certificates, n.ref.Name, func(h *object.Head) error {
			return change(h, func(st *state) error {
				if st.Pending.inProgress() {
					return errInProgress()
				}
				st.Policy, st.Pending = n.policy.Stamp(st.Policy, s.shelf.Now()), &p
				return nil
			})
		}); err != nil {
			return err
		}
		return s.shelf.Done(ctx, n.caller, create, versioned(n.ref, p.Version), map[audit.Field]string{
			audit.Issuer: p.Issuer.Name, audit.KeyType: n.key.Spec.String(), audit.Request: p.RequestID,
		})
	})
}

// done records that a version was stored.
func (s *Service) done(ctx context.Context, c access.Caller, op object.Operation, r object.Ref, d draft) error {
	details := told(d.leaf, d.policy.Issuer)
	details[audit.KeyType] = d.key.Spec.String()
	return s.shelf.Done(ctx, c, op, versioned(r, d.version.ID), details)
}

func versioned(r object.Ref, version string) object.Ref {
	return object.Ref{Vault: r.Vault, Name: r.Name, Version: version}
}

// policyFor is the policy that a creation follows: the one sent, or the certificate's.
func policyFor(head object.Head, st state, sent *policy.Policy) (policy.Policy, error) {
	var p policy.Policy
	switch {
	case sent != nil:
		p = sent.Complete()
	case head.Name != "":
		p = st.Policy
	default:
		return p, fault.New(fault.Invalid, "BadParameter", "The parameter policy is required for a new certificate.")
	}
	if err := p.Check(); err != nil {
		return p, err
	}
	return p, checkIssuer(p.Issuer)
}

// keyFor makes the key of a new version, or takes that of the last when the policy says
// so and its type still fits.
func (s *Service) keyFor(ctx context.Context, v *object.Vault, head object.Head, p policy.Policy) (keys.Made, error) {
	if p.ReusesKey() && head.Latest != "" {
		e, err := v.Read(ctx, object.Keys, head.Name, head.Latest)
		if err != nil {
			return keys.Made{}, err
		}
		private, err := s.keys.OpenVersion(ctx, e.Version)
		if err != nil {
			return keys.Made{}, err
		}
		if p.Key.Fits(private.Public()) == nil {
			key, err := exportKey(private)
			if err != nil {
				return keys.Made{}, err
			}
			return s.keys.Bring(ctx, key, isHSM(p), operations(p))
		}
	}
	if err := p.Key.Spec().CheckX509(); err != nil {
		return keys.Made{}, err
	}
	return s.keys.Make(ctx, keys.Wanted{Type: p.Key.Type, Bits: p.Key.Size, Curve: p.Key.Curve, Ops: operations(p)})
}
