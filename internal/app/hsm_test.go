package app_test

import (
	"slices"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/vault/hsm/role"
)

// hsmRoles are the roles of the first administrator in the first HSM.
func hsmRoles(t *testing.T, a *app.App) []string {
	t.Helper()
	list, err := a.Roles.Assignments(t.Context(), apptest.System, "hsm", access.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	var roles []string
	for _, x := range list {
		roles = append(roles, x.Role)
	}
	slices.Sort(roles)
	return roles
}

func TestFirstStartMakesAnHSMOnce(t *testing.T) {
	data := t.TempDir()
	first, err := open(t, data, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{role.Administrator, role.CryptoOfficer, role.CryptoUser}
	slices.Sort(want)
	if got := hsmRoles(t, first); !slices.Equal(got, want) {
		t.Errorf("roles %v, want %v", got, want)
	}
	stop(t, first)

	second, err := open(t, data, "")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, second)
	if got := hsmRoles(t, second); !slices.Equal(got, want) {
		t.Errorf("after a second start: roles %v", got)
	}
}
