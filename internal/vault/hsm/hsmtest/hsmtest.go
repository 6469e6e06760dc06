// Package hsmtest starts a Managed HSM for tests, on the floor of vaulttest.
package hsmtest

import (
	"context"
	"testing"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// HSM is the name of the HSM that New makes.
const HSM = "safe"

// World is an HSM with its roles and keys. Its maker, and so its Administrator, is Caller.
type World struct {
	*vaulttest.Floor
	Roles *role.Service
	Keys  *keys.Service
}

// New makes a world on db.
func New(t testing.TB, db *storage.DB) *World {
	t.Helper()
	w := &World{Floor: vaulttest.New(t, db)}
	w.Roles = role.New(w.Deps, vaultdb.New(db))
	w.Local = w.Roles
	w.Keys = keys.New(w.Deps, keystore.NewSoftware())
	w.Create(t, HSM, object.Settings{Kind: object.ManagedHSM})
	return w
}

// Create makes another HSM.
func (w *World) Create(t testing.TB, name string, s object.Settings) *object.Vault {
	t.Helper()
	vaults := vault.New(w.Deps)
	vaults.Founded = w.Roles.Appoint
	v, err := vaults.Create(t.Context(), w.Caller, name, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Node is the roles as another process sees them.
func (w *World) Node() *role.Service {
	d := w.Deps
	s := vaultdb.New(w.DB)
	d.Vaults = object.NewVaults(object.Config{Vaults: s, Rows: s, Dues: s, Root: w.Root, Now: w.Time})
	return role.New(d, s)
}

// Someone is a caller without any role.
func Someone() access.Caller {
	id := uuid.NewV4().String()
	return access.Caller{Principal: id, Name: id[:8], Address: "127.0.0.1"}
}

// Assign gives a caller a role at a scope of the HSM.
func (w *World) Assign(t testing.TB, c access.Caller, roleID string, at access.Scope) role.Assignment {
	t.Helper()
	a, err := w.Roles.Assign(t.Context(), w.Caller, HSM, role.Assignment{ID: uuid.NewV4().String(), Principal: c.Principal, Role: roleID, Scope: at})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Protect switches purge protection of the HSM on.
func (w *World) Protect(t testing.TB) {
	t.Helper()
	err := w.Transact(t.Context(), func(ctx context.Context) error {
		_, err := w.Vaults.Edit(ctx, HSM, func(s *object.Settings) error {
			s.PurgeProtection = true
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
