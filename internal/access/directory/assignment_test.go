package directory_test

import (
	"context"
	"errors"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// Whoever makes a vault of the name of one that was purged must not inherit its roles.
func TestForgottenScopeKeepsNoRoles(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		ctx := t.Context()
		const role = "Key Vault Secrets User"
		const read access.Action = access.VaultPrefix + "secrets/getSecret/action"
		at := f.Application(t, "at", role, "/vaults/payroll")
		below := f.Application(t, "below", role, "/vaults/payroll/secrets/db")
		beside := f.Application(t, "beside", role, "/vaults/payroll2")
		above := f.Application(t, "above", role, "/vaults")
		held := func(want ...bool) {
			t.Helper()
			for i, c := range []access.Caller{at, below, beside, above} {
				scope := access.Scope("/vaults/payroll/secrets/db")
				if i == 2 {
					scope = "/vaults/payroll2"
				}
				if got := f.Directory.Allowed(c, read, scope); got != want[i] {
					t.Errorf("caller %d may: %v, want %v", i, got, want[i])
				}
			}
		}
		held(true, true, true, true)

		broken := errors.New("something else fails")
		if err := db.Transact(ctx, func(ctx context.Context) error {
			if err := f.Directory.Forget(ctx, access.System("test"), "/vaults/Payroll"); err != nil {
				t.Error(err)
			}
			return broken
		}); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		held(true, true, true, true)
		if err := f.Directory.Forget(ctx, access.System("test"), "/vaults/Payroll"); err != nil {
			t.Fatal(err)
		}
		held(false, false, true, true)
		if n := len(f.Records(t, "RoleAssignmentDelete")); n != 2 {
			t.Errorf("%d records", n)
		}
		if err := f.Directory.Forget(ctx, access.System("test"), "/"); err == nil {
			t.Error("everything was forgotten")
		}
	})
}
