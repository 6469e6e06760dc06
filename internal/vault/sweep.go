package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Purger removes objects of a kind whose retention has ended.
type Purger interface {
	PurgeDue(ctx context.Context, c access.Caller, r object.Ref) error
}

// Sweeper purges what was deleted when its retention ends, and finishes purges that a
// crash has broken off.
type Sweeper struct {
	Vaults  *Service
	Rows    object.Store
	Stored  object.VaultStore
	Purgers map[object.Kind]Purger
}

// Bounds of a sweep: what it holds at a time, and how many purges go on beside each
// other, so that they share commits and others who write still get theirs.
const (
	sweepPage    = 256
	sweepWorkers = 16
)

// Sweep purges all that is due. What fails does not stop the rest, and is tried again by
// the next sweep.
func (s *Sweeper) Sweep(ctx context.Context) error {
	c := access.System("retention")
	return errors.Join(s.vaults(ctx, c), s.objects(ctx, c))
}

func (s *Sweeper) vaults(ctx context.Context, c access.Caller) error {
	var errs []error
	for after := ""; ; {
		names, err := s.Stored.DueVaults(ctx, s.Vaults.Now(), after, sweepPage)
		if err != nil || len(names) == 0 {
			return errors.Join(append(errs, err)...)
		}
		for _, name := range names {
			after = name
			err := s.Vaults.purge(ctx, c, name, true)
			if fault.HasCode(err, "DeletedVaultNotFound") { // its data key is gone already, or somebody has recovered it
				err = s.Vaults.Vaults.Erase(ctx, s.Vaults.Transact, name)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("purge vault %s: %w", name, err))
			}
		}
	}
}

func (s *Sweeper) objects(ctx context.Context, c access.Caller) error {
	var errs []error
	for after := (object.Row{}); ; {
		rows, err := s.Rows.Due(ctx, s.Vaults.Now(), after, sweepPage)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || len(rows) == 0 {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, s.page(ctx, c, rows))
		after = rows[len(rows)-1]
	}
}

// page purges objects, some beside each other, and returns what failed.
func (s *Sweeper) page(ctx context.Context, c access.Caller, rows []object.Row) error {
	var wait sync.WaitGroup
	due := make(chan object.Row)
	failed := make(chan error, len(rows))
	for range sweepWorkers {
		wait.Go(func() {
			for r := range due {
				if err := s.purge(ctx, c, r); err != nil {
					failed <- fmt.Errorf("purge %s/%s/%s: %w", r.Vault, r.Kind, r.Name, err)
				}
			}
		})
	}
	for _, r := range rows {
		due <- r
	}
	close(due)
	wait.Wait()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *Sweeper) purge(ctx context.Context, c access.Caller, r object.Row) error {
	p, ok := s.Purgers[r.Kind]
	if !ok {
		return fmt.Errorf("nobody purges %s", r.Kind)
	}
	err := p.PurgeDue(ctx, c, object.Ref{Vault: r.Vault, Name: r.Name})
	if fault.Is(err, fault.NotFound) || fault.HasCode(err, "RetentionNotOver") {
		return nil // purged or recovered meanwhile, or one of three parts is due a moment later
	}
	return err
}
