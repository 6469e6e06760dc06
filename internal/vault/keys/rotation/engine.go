package rotation

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// plan is the object.Planner of keys. Those that belong to a certificate live as it does.
func plan(e object.Entry) ([]object.Due, error) {
	if e.Head.Managed {
		return nil, nil
	}
	p, err := policyOfHead(e.Head)
	if err != nil {
		return nil, err
	}
	return []object.Due{{What: dueRotate, At: p.Rotate.due(e.Version)}, {What: dueNotify, At: p.near(e.Version)}}, nil
}

// engine is who rotates keys by their policies.
func engine() access.Caller { return access.System("key rotation") }

// rotateIfDue is the handler of a key that is due to rotate. Where two nodes make a
// successor for the same version, the one that settles the task keeps its own.
func (s *Service) rotateIfDue(ctx context.Context, t object.Task) error {
	made, err := s.keys.Successor(ctx, t.Entry)
	if err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		if err := t.Settle(ctx); err != nil {
			return err
		}
		_, err := s.turn(ctx, engine(), rotateDue, t.Entry, made)
		return err
	})
}

// notify tells that the latest version of a key expires soon.
func (s *Service) notify(ctx context.Context, t object.Task) error {
	if !s.Now().Before(t.Version.Expires) {
		return nil // too late to be near
	}
	if err := s.Announce(ctx, "NearExpiry", t.Entry); err != nil {
		return err
	}
	return s.Done(ctx, engine(), nearExpiry, object.Ref{Vault: t.Vault.Name, Name: t.Head.Name, Version: t.Version.ID}, nil)
}
