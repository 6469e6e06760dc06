// Package authorization has the operations of the resource manager on roles and on who has
// them (Microsoft.Authorization), at the subscription and at vaults and their objects.
package authorization

import (
	"net/http"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
)

// Deps are the services behind the operations.
type Deps struct {
	Directory *directory.Directory
	Vaults    *vault.Service
}

const provider = "/{scope...}/providers/Microsoft.Authorization"

// Operations are the routes.
func Operations(d Deps) []wire.Operation {
	return []wire.Operation{
		{Name: "RoleDefinitionList", Method: http.MethodGet, Path: provider + "/roleDefinitions", Handle: listDefinitions},
		{Name: "RoleDefinitionGet", Method: http.MethodGet, Path: provider + "/roleDefinitions/{name}", Handle: getDefinition},
		{Name: "RoleAssignmentList", Method: http.MethodGet, Path: provider + "/roleAssignments", Handle: d.list},
		{Name: "RoleAssignmentGet", Method: http.MethodGet, Path: provider + "/roleAssignments/{name}", Handle: d.get},
		{Name: "RoleAssignmentPut", Method: http.MethodPut, Path: provider + "/roleAssignments/{name}", Handle: d.put},
		{Name: "RoleAssignmentDelete", Method: http.MethodDelete, Path: provider + "/roleAssignments/{name}", Handle: d.delete},
	}
}

// place is a scope in both languages: the resource manager's, as the client wrote it, and
// ours.
type place struct {
	id    string
	scope access.Scope
}

// placeOf reads the scope of a path. Roles can be given at the subscription, which is
// everything, at a vault, and at an object in one.
func placeOf(q *wire.Request) (place, error) {
	id := q.Params["scope"]
	parts := strings.FieldsFunc(id, func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return place{"/", access.Root}, nil
	}
	refused := fault.New(fault.Invalid, "BadRequest", "Roles are given at the subscription %s, at a vault, or at an object in one; not at %.300s.", q.Root(), id)
	if !strings.EqualFold(parts[0], "subscriptions") || len(parts) < 2 {
		return place{}, refused
	}
	if !strings.EqualFold(parts[1], q.Subscription) {
		return place{}, fault.New(fault.NotFound, "SubscriptionNotFound", "The subscription '%.40s' could not be found.", parts[1])
	}
	if len(parts) == 2 {
		return place{q.Root(), access.Root}, nil
	}
	// resourceGroups, the group, providers, Microsoft.KeyVault, vaults, the vault
	if len(parts) < 8 || !strings.EqualFold(parts[2], "resourceGroups") || !strings.EqualFold(parts[4]+"/"+parts[5]+"/"+parts[6], "providers/Microsoft.KeyVault/vaults") || len(parts) == 9 || len(parts) > 10 {
		return place{}, refused
	}
	scope := "/vaults/" + parts[7]
	if len(parts) == 10 {
		switch kind := strings.ToLower(parts[8]); kind {
		case "keys", "secrets", "certificates":
			scope += "/" + kind + "/" + parts[9]
		default:
			return place{}, refused
		}
	}
	s, err := access.ParseScope(scope)
	return place{id, s}, err
}

// vaultOf is the vault that a scope is in; empty for the root.
func vaultOf(s access.Scope) string {
	rest, ok := strings.CutPrefix(string(s), "/vaults/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}
