package vault

import (
	"context"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Delete soft-deletes a vault with all that is in it: its address answers as if there
// were none, its name stays taken, and until its retention ends it can be recovered.
func (s *Service) Delete(ctx context.Context, c access.Caller, name string) (*object.Vault, error) {
	if err := s.authorize(ctx, c, Remove, name, "VaultDelete"); err != nil {
		return nil, err
	}
	if _, err := s.Vaults.Open(ctx, name); err != nil {
		return nil, err
	}
	now := s.Now().UTC().Truncate(time.Microsecond)
	err := s.Transact(ctx, func(ctx context.Context) error {
		_, err := s.Vaults.Edit(ctx, name, func(set *object.Settings) error {
			if !set.Deleted.IsZero() {
				return fault.New(fault.NotFound, "VaultNotFound", "The vault %s is deleted already.", name)
			}
			set.Deleted, set.Purge = now, now.AddDate(0, 0, set.RetentionDays)
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.Audit.Record(ctx, c.Record("VaultDelete", string(scopeOf(name)))); err != nil {
			return err
		}
		return s.tell(ctx, "Chatelaine.VaultDeleted", name)
	})
	if err != nil {
		return nil, err
	}
	return s.Vaults.OpenDeleted(ctx, name)
}

// GetDeleted returns a deleted vault.
func (s *Service) GetDeleted(ctx context.Context, c access.Caller, name string) (*object.Vault, error) {
	if err := s.authorize(ctx, c, Read, name, "VaultGetDeleted"); err != nil {
		return nil, err
	}
	return s.Vaults.OpenDeleted(ctx, name)
}

// ListDeleted returns deleted vaults by name, after a name, at most limit (1 to 1000).
func (s *Service) ListDeleted(ctx context.Context, c access.Caller, after string, limit int) ([]*object.Vault, error) {
	if err := s.Guard.Authorize(ctx, c, Read, "/", "VaultListDeleted"); err != nil {
		return nil, err
	}
	return s.Vaults.ListDeleted(ctx, after, min(max(limit, 1), maxList))
}

// Recover undoes Delete.
func (s *Service) Recover(ctx context.Context, c access.Caller, name string) (*object.Vault, error) {
	if err := s.authorize(ctx, c, Write, name, "VaultRecover"); err != nil {
		return nil, err
	}
	if _, err := s.Vaults.OpenDeleted(ctx, name); err != nil {
		return nil, err
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		_, err := s.Vaults.Edit(ctx, name, func(set *object.Settings) error {
			if set.Deleted.IsZero() {
				return fault.New(fault.Conflict, "VaultAlreadyExists", "The vault %s was recovered already.", name)
			}
			set.Deleted, set.Purge = time.Time{}, time.Time{}
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.Audit.Record(ctx, c.Record("VaultRecover", string(scopeOf(name)))); err != nil {
			return err
		}
		return s.tell(ctx, "Chatelaine.VaultRecovered", name)
	})
	if err != nil {
		return nil, err
	}
	return s.Vaults.Open(ctx, name)
}

// Purge removes a deleted vault for good, with all that is in it and the roles that were
// given there. Purge protection forbids it. When the one transaction that takes its data key
// has committed, nothing of it can be read any more; its rows follow, and a crash
// before the last of them is made good by the next sweep.
func (s *Service) Purge(ctx context.Context, c access.Caller, name string) error {
	if err := s.authorize(ctx, c, Purge, name, "VaultPurge"); err != nil {
		return err
	}
	return s.done(ctx, c, name, "VaultPurge", func() error { return s.purge(ctx, c, name, false) })
}

func (s *Service) purge(ctx context.Context, c access.Caller, name string, due bool) error {
	err := s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Vaults.Shred(ctx, name, due); err != nil {
			return err
		}
		if s.Assignments != nil {
			if err := s.Assignments.Forget(ctx, c, scopeOf(name)); err != nil {
				return err
			}
		}
		if err := s.Audit.Record(ctx, c.Record("VaultPurge", string(scopeOf(name)))); err != nil {
			return err
		}
		return s.tell(ctx, "Chatelaine.VaultPurged", name)
	})
	if err != nil {
		return err
	}
	return s.Vaults.Erase(ctx, s.Transact, name)
}
