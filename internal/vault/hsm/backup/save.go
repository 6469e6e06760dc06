package backup

import (
	"context"
	"fmt"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/setting"
	"chatelaine.dev/internal/vault/object"
)

// Limits of one key in a backup.
const (
	maxVersions = 10_000
	maxBodies   = 48 << 20
	readTries   = 5
)

// save writes every key, deleted ones too, the roles with their assignments, and the
// settings. Writers are not held up: each object is whole, and a key that is made
// meanwhile may be in the backup or not.
func (s *Service) save(ctx context.Context, v *object.Vault, key domain.Key, f folder) (outcome, error) {
	w, err := newWriter(key, f, v.Name, s.Now())
	if err != nil {
		return outcome{}, err
	}
	for _, k := range []object.Kind{object.Keys, object.RoleDefinitions, object.RoleAssignments, object.Administration} {
		for _, deleted := range []bool{false, true} {
			if err := s.saveKind(ctx, v, w, k, deleted); err != nil {
				return outcome{}, err
			}
		}
	}
	if err := w.close(ctx); err != nil {
		return outcome{}, err
	}
	return outcome{details: fmt.Sprintf("%d objects in %d parts", w.list.Objects, len(w.list.Parts))}, nil
}

func (s *Service) saveKind(ctx context.Context, v *object.Vault, w *writer, k object.Kind, deleted bool) error {
	for after := ""; ; {
		list, err := v.List(ctx, k, deleted, after, 100)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			after = e.Head.Name
			if k == object.Administration && e.Head.Name != setting.Row {
				continue // the security domain itself stays where it is
			}
			x, err := whole(ctx, v, k, e.Head)
			if fault.Is(err, fault.NotFound) {
				continue // purged meanwhile
			}
			if err != nil {
				return err
			}
			if err := w.add(ctx, x); err != nil {
				return err
			}
		}
	}
}

// whole reads an object until it does not change in between.
func whole(ctx context.Context, v *object.Vault, k object.Kind, h object.Head) (x object.Whole, err error) {
	for range readTries {
		if x, err = v.Whole(ctx, k, h, maxVersions, maxBodies); !fault.Is(err, fault.Conflict) {
			return x, err
		}
		e, err := v.Read(ctx, k, h.Name, "")
		if err != nil {
			return x, err
		}
		h = e.Head
	}
	return x, err
}
