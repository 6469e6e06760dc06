// Package rotation gives keys new versions: when somebody asks, and by the policy of the
// key, which also says how long a version lasts and when its end is announced.
package rotation

import (
	"context"
	"encoding/json"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// What is done here; the audit record says Key before it (contract §3).
const (
	rotate     object.Operation = "Rotate"
	rotateDue  object.Operation = "RotateIfDue"
	nearExpiry object.Operation = "NearExpiryEventGridNotification"
	getPolicy  object.Operation = "RotationPolicyGet"
	setPolicy  object.Operation = "RotationPolicySet"
)

// What is due to a key.
const (
	dueRotate = "rotate"
	dueNotify = "notify"
)

// Service rotates the keys of all vaults.
type Service struct {
	*object.Shelf
	keys *keys.Service
}

// New makes the service and plans what is due to keys.
func New(d object.Deps, k *keys.Service) *Service {
	d.Vaults.Plan(object.Keys, "rotation/1", plan)
	return &Service{keys: k, Shelf: object.NewShelf(d, object.Keys, map[object.Operation]access.Action{
		rotate:    "keys/rotate/action",
		getPolicy: "keyrotationpolicies/read",
		setPolicy: "keyrotationpolicies/write",
	})}
}

// Handle has the agenda call the service when a key is due.
func (s *Service) Handle(a *object.Agenda) {
	a.On(object.Keys, dueRotate, s.rotateIfDue)
	a.On(object.Keys, dueNotify, a.In(s.notify))
}

// Rotate makes a new version of a key, like its latest in type, size, operations and
// tags. It expires as the policy says, if it says so.
func (s *Service) Rotate(ctx context.Context, c access.Caller, r object.Ref) (e object.Entry, err error) {
	err = s.Call(ctx, c, rotate, r, func(v *object.Vault) error {
		was, err := s.Find(ctx, v, object.Ref{Vault: r.Vault, Name: r.Name})
		if err != nil {
			return err
		}
		if was.Head.Managed {
			return managed(was)
		}
		made, err := s.keys.Successor(ctx, was)
		if err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			e, err = s.turn(ctx, c, rotate, was, made)
			return err
		})
	})
	return e, err
}

func managed(e object.Entry) error {
	return fault.New(fault.Denied, "ManagedObject", "The key %s belongs to a certificate, which gives it new versions; renew the certificate of the same name.", e.Head.Name)
}

// turn appends the successor of a version and records it. It must run inside a transaction.
func (s *Service) turn(ctx context.Context, c access.Caller, op object.Operation, was object.Entry, made keys.Made) (object.Entry, error) {
	now, err := was.Vault.Read(ctx, object.Keys, was.Head.Name, "")
	if err != nil {
		return now, err
	}
	if now.Version.ID != was.Version.ID {
		return now, fault.New(fault.Conflict, "Conflict", "Somebody else made a new version of the key %s at the same time; read the key, and rotate again if it is still needed.", was.Head.Name)
	}
	p, err := policyOfHead(now.Head)
	if err != nil {
		return now, err
	}
	x := object.Version{ID: object.NewVersionID(), Enabled: true, Tags: now.Version.Tags}
	if !p.Expiry.IsZero() {
		x.Expires = p.Expiry.After(s.Now()).Truncate(time.Second)
	}
	e, err := s.keys.Append(ctx, was.Vault, now.Head.Name, x, made)
	if err != nil {
		return e, err
	}
	done := object.Ref{Vault: was.Vault.Name, Name: now.Head.Name, Version: e.Version.ID}
	return e, s.Done(ctx, c, op, done, map[audit.Field]string{audit.KeyType: made.Spec.String()})
}

func policyOfHead(h object.Head) (Policy, error) {
	x, err := keys.ExtraOf(h)
	if err != nil {
		return Policy{}, err
	}
	return policyOf(x.Rotation)
}

// Policy returns the policy of a key, or the default where it has none.
func (s *Service) Policy(ctx context.Context, c access.Caller, r object.Ref) (p Policy, h object.Head, err error) {
	err = s.Call(ctx, c, getPolicy, r, func(v *object.Vault) error {
		e, err := s.Find(ctx, v, r)
		if err != nil {
			return err
		}
		h = e.Head
		if p, err = policyOfHead(h); err != nil {
			return err
		}
		return s.Done(ctx, c, getPolicy, r, nil)
	})
	return p, h, err
}

// SetPolicy gives a key a policy, in place of the one that it had.
func (s *Service) SetPolicy(ctx context.Context, c access.Caller, r object.Ref, d Draft) (p Policy, h object.Head, err error) {
	err = s.Call(ctx, c, setPolicy, r, func(v *object.Vault) error {
		if p, err = d.policy(); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			was, err := s.Find(ctx, v, r)
			if err != nil {
				return err
			}
			if was.Head.Managed {
				return managed(was)
			}
			if !p.Rotate.BeforeExpiry.IsZero() && was.Version.Expires.IsZero() {
				return refuse("a rotation by timeBeforeExpiry needs a key that expires; give the key an exp first, or use timeAfterCreate.")
			}
			e, err := v.SetHead(ctx, object.Keys, r.Name, func(h *object.Head) error { return s.put(h, &p) })
			if err != nil {
				return err
			}
			h = e.Head
			return s.Done(ctx, c, setPolicy, r, nil)
		})
	})
	return p, h, err
}

// put writes a policy into a head, with its times.
func (s *Service) put(h *object.Head, p *Policy) error {
	x, err := keys.ExtraOf(*h)
	if err != nil {
		return err
	}
	before, err := policyOf(x.Rotation)
	if err != nil {
		return err
	}
	p.Updated = s.Now().UTC().Truncate(time.Second)
	if p.Created = before.Created; p.Created.IsZero() {
		p.Created = p.Updated
	}
	if x.Rotation, err = json.Marshal(p); err != nil {
		return err
	}
	return x.Put(h)
}
