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
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
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
// Unknown waits for Merge, a registered issuer for what the CA delivers.
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
		p, err := policyFor(head, st, q.Policy)
		if err != nil {
			return err
		}
		op, err = s.next(ctx, creation{
			v: v, head: head, caller: c, ref: r, operation: create, policy: p,
			version: newVersion(object.NewVersionID(), q.Attributes), preserveOrder: q.PreserveOrder,
		}, st)
		return err
	})
	if err != nil {
		return Operation{}, err
	}
	return op, nil
}

// Renew begins the next version of a certificate as its policy says, with the tags of the
// latest. settle runs in the transaction that notes it. It does not authorise: the
// policy's author asked for it.
func (s *Service) Renew(ctx context.Context, c access.Caller, e object.Entry, settle func(ctx context.Context) error) error {
	st, err := stateOf(e.Head)
	if err != nil {
		return err
	}
	body, err := BodyOf(e.Version)
	if err != nil {
		return err
	}
	_, err = s.next(ctx, creation{
		v: e.Vault, head: e.Head, caller: c, ref: object.Ref{Vault: e.Vault.Name, Name: e.Head.Name}, operation: Renewal, policy: st.Policy,
		version: newVersion(object.NewVersionID(), object.Attributes{Tags: e.Version.Tags}), preserveOrder: body.PreserveOrder, settle: settle,
	}, st)
	return err
}

// creation is a version in the making.
type creation struct {
	v             *object.Vault
	head          object.Head // before; zero for a new certificate
	caller        access.Caller
	ref           object.Ref
	operation     object.Operation // create or renew
	policy        policy.Policy
	version       object.Version
	preserveOrder bool
	settle        func(ctx context.Context) error // in the transaction that notes it; may be nil

	key   keys.Made
	order Order // of a registered issuer
}

// next makes the key of a version and begins it.
func (s *Service) next(ctx context.Context, n creation, st state) (Operation, error) {
	if st.Pending.inProgress() {
		return Operation{}, errInProgress()
	}
	var ordered bool
	var err error
	if n.order, ordered, err = s.orderFor(ctx, n.v, n.ref.Name, n.policy); err != nil {
		return Operation{}, err
	}
	if n.key, err = s.keyFor(ctx, n.v, n.head, n.policy); err != nil {
		return Operation{}, err
	}
	return s.begin(ctx, n, ordered)
}

// begin makes the certificate request and goes on as the issuer wants.
func (s *Service) begin(ctx context.Context, n creation, ordered bool) (Operation, error) {
	private, err := s.keys.OpenMade(ctx, n.key)
	if err != nil {
		return Operation{}, err
	}
	says := n.policy
	if ordered {
		says = n.order.Policy
	}
	csr, err := says.Request(private)
	if err != nil {
		return Operation{}, err
	}
	p := pending{
		Operation: Operation{
			RequestID: object.NewVersionID(), Issuer: *n.policy.Issuer, Request: csr,
			Status: InProgress, Details: detailsIssuing, PreserveOrder: n.preserveOrder, Created: s.shelf.Now().UTC(),
		},
		Version: n.version.ID, Enabled: n.version.Enabled, Tags: n.version.Tags, Key: n.policy.Key, Renewal: n.operation == Renewal,
	}
	switch {
	case ordered:
		return p.Operation, s.order(ctx, n, p)
	case n.policy.Issuer.IsSelf():
		return p.Operation, s.signSelf(ctx, n, p, private)
	}
	p.Details = detailsUnknown
	return p.Operation, s.await(ctx, n, p, nil)
}

// signSelf issues a self-signed certificate and stores it with its completed operation.
func (s *Service) signSelf(ctx context.Context, n creation, p pending, key crypto.Signer) error {
	der, err := n.policy.SelfSign(key, s.shelf.Now())
	if err != nil {
		return err
	}
	leaf, err := certificate.Parse(der)
	if err != nil {
		return fmt.Errorf("read the certificate just signed: %w", err)
	}
	d, err := s.draft(ctx, n.version, content{
		key: n.key, leaf: leaf, certificates: []*x509.Certificate{leaf}, policy: n.policy, preserveOrder: p.PreserveOrder,
	})
	if err != nil {
		return err
	}
	return s.transact(ctx, n, func(ctx context.Context) error {
		if _, err := s.store(ctx, n.v, n.ref.Name, d, func(st *state) error {
			if err := s.note(st, n, p); err != nil {
				return err
			}
			st.complete()
			return nil
		}); err != nil {
			return err
		}
		return s.done(ctx, n.caller, n.operation, n.ref, d)
	})
}

// await stores a request whose certificate comes later. also, if not nil, runs in the
// same transaction.
func (s *Service) await(ctx context.Context, n creation, p pending, also func(ctx context.Context) error) (err error) {
	if p.Made, err = n.key.Keep(); err != nil {
		return err
	}
	return s.transact(ctx, n, func(ctx context.Context) error {
		if err := free(ctx, n.v, n.ref.Name); err != nil {
			return err
		}
		if _, err := n.v.SetHead(ctx, object.Certificates, n.ref.Name, func(h *object.Head) error {
			return change(h, func(st *state) error { return s.note(st, n, p) })
		}); err != nil {
			return err
		}
		if also != nil {
			if err := also(ctx); err != nil {
				return err
			}
		}
		return s.shelf.Done(ctx, n.caller, n.operation, versioned(n.ref, p.Version), map[audit.Field]string{
			audit.Issuer: p.Issuer.Name, audit.KeyType: n.key.Spec.String(), audit.Request: p.RequestID,
		})
	})
}

// transact runs the transaction that notes a creation.
func (s *Service) transact(ctx context.Context, n creation, fn func(ctx context.Context) error) error {
	return s.shelf.Transact(ctx, func(ctx context.Context) error {
		if n.settle != nil {
			if err := n.settle(ctx); err != nil {
				return err
			}
		}
		return fn(ctx)
	})
}

// note puts a creation into the state, unless another was faster. A renewal leaves the
// policy as somebody may have changed it meanwhile.
func (s *Service) note(st *state, n creation, p pending) error {
	if st.Pending.inProgress() {
		return errInProgress()
	}
	if n.operation == create {
		st.Policy = n.policy.Stamp(st.Policy, s.shelf.Now())
	}
	st.Pending = &p
	return nil
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
	return p, p.Check()
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
	return s.keys.Make(ctx, keys.Wanted{Type: p.Key.Type, Bits: p.Key.Size, Curve: p.Key.Curve, Ops: operations(p)})
}
