// Package vault manages vaults: named containers of keys, secrets and certificates,
// each with its own address, data key, roles and retention.
package vault

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/vault/object"
)

// Service makes and lists vaults.
type Service struct {
	object.Deps
	// Founded completes a new Managed HSM in the transaction that makes it.
	Founded func(ctx context.Context, c access.Caller, v *object.Vault) error
}

// New makes the service.
func New(d object.Deps) *Service { return &Service{Deps: d} }

// Create makes a vault. The zero retention is 90 days.
func (s *Service) Create(ctx context.Context, c access.Caller, name string, settings object.Settings) (*object.Vault, error) {
	scope := access.Scope("/vaults/" + strings.ToLower(name))
	if err := object.CheckVaultName(name); err != nil {
		return nil, err
	}
	if err := s.Guard.Authorize(ctx, c, "Chatelaine/vaults/write", scope, "VaultPut"); err != nil {
		return nil, err
	}
	if settings.RetentionDays == 0 {
		settings.RetentionDays = 90
	}
	err := s.Transact(ctx, func(ctx context.Context) error {
		err := s.Vaults.Create(ctx, name, settings, func(v *object.Vault) error {
			if settings.Kind != object.ManagedHSM || s.Founded == nil {
				return nil
			}
			return s.Founded(ctx, c, v)
		})
		if err != nil {
			return err
		}
		if err := s.Audit.Record(ctx, c.Record("VaultPut", string(scope))); err != nil {
			return err
		}
		return s.Events.Emit(ctx, event.Event{Source: string(scope), Type: "Chatelaine.VaultCreated", Subject: strings.ToLower(name)})
	})
	if err != nil {
		return nil, err
	}
	return s.Vaults.Open(ctx, name)
}

// Get returns a vault.
func (s *Service) Get(ctx context.Context, c access.Caller, name string) (*object.Vault, error) {
	if err := object.CheckVaultName(name); err != nil {
		return nil, err
	}
	if err := s.Guard.Authorize(ctx, c, "Chatelaine/vaults/read", access.Scope("/vaults/"+strings.ToLower(name)), "VaultGet"); err != nil {
		return nil, err
	}
	return s.Vaults.Open(ctx, name)
}

// List returns vaults by name, after a name, at most limit (1 to 1000).
func (s *Service) List(ctx context.Context, c access.Caller, after string, limit int) ([]*object.Vault, error) {
	if err := s.Guard.Authorize(ctx, c, "Chatelaine/vaults/read", "/", "VaultList"); err != nil {
		return nil, err
	}
	return s.Vaults.List(ctx, after, min(max(limit, 1), 1000))
}

// Verify holds every row of every vault against its ledger and opens it. progress, if
// not nil, is told the name of each vault before it is read.
func (s *Service) Verify(ctx context.Context, c access.Caller, progress func(vault string)) error {
	if err := s.Guard.Authorize(ctx, c, "Chatelaine/audit/read", "/", "VaultVerify"); err != nil {
		return err
	}
	for after := ""; ; {
		vaults, err := s.Vaults.List(ctx, after, 100)
		if err != nil || len(vaults) == 0 {
			return err
		}
		for _, v := range vaults {
			if progress != nil {
				progress(v.Name)
			}
			open, err := s.Vaults.Open(ctx, v.Name)
			if err != nil {
				return err
			}
			if err := open.Verify(ctx); err != nil {
				return err
			}
			after = v.Name
		}
	}
}
