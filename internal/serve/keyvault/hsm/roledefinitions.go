package hsm

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/role"
)

// definitionPrefix begins the id of every role definition, as Azure has it.
const definitionPrefix = "Microsoft.KeyVault" + provider + "/roleDefinitions/"

// permission is Permission. Its lists are never null.
type permission struct {
	Actions        []string        `json:"actions"`
	DataActions    []access.Action `json:"dataActions"`
	NotActions     []string        `json:"notActions"`
	NotDataActions []access.Action `json:"notDataActions"`
}

// definitionProperties is RoleDefinitionProperties.
type definitionProperties struct {
	AssignableScopes []access.Scope `json:"assignableScopes"`
	Description      string         `json:"description"`
	Permissions      []permission   `json:"permissions"`
	RoleName         string         `json:"roleName"`
	Type             string         `json:"type"`
}

// definition is RoleDefinition.
type definition struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Properties definitionProperties `json:"properties"`
	Type       string               `json:"type"`
}

func describeDefinition(d role.Definition) definition {
	p := definitionProperties{
		AssignableScopes: d.AssignableScopes, Description: d.Description, Permissions: []permission{}, RoleName: d.Name, Type: d.Type(),
	}
	for _, x := range d.Permissions {
		p.Permissions = append(p.Permissions, permission{
			Actions: listOf(x.Actions), DataActions: listOf(x.DataActions), NotActions: listOf(x.NotActions), NotDataActions: listOf(x.NotDataActions),
		})
	}
	return definition{ID: definitionPrefix + d.ID, Name: d.ID, Properties: p, Type: "Microsoft.Authorization/roleDefinitions"}
}

func listOf[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// setRoleDefinition is PUT /{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}: 201.
func (d door) setRoleDefinition(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	var in struct {
		Properties definitionProperties `json:"properties"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	r := role.Definition{ID: q.Version, Name: in.Properties.RoleName, Description: in.Properties.Description, AssignableScopes: in.Properties.AssignableScopes}
	for _, p := range in.Properties.Permissions {
		r.Permissions = append(r.Permissions, p.known())
	}
	made, err := d.Roles.Define(ctx, q.Caller, q.Vault, at, r)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Status: http.StatusCreated, Body: describeDefinition(made)}, nil
}

func (p permission) known() role.Permission {
	return role.Permission{Actions: p.Actions, NotActions: p.NotActions, DataActions: p.DataActions, NotDataActions: p.NotDataActions}
}

// getRoleDefinition is GET of the same.
func (d door) getRoleDefinition(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	r, err := d.Roles.Definition(ctx, q.Caller, q.Vault, at, q.Version)
	return wire.Response{Body: describeDefinition(r)}, err
}

// deleteRoleDefinition is DELETE of the same: 200 with what was deleted.
func (d door) deleteRoleDefinition(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	r, err := d.Roles.Undefine(ctx, q.Caller, q.Vault, at, q.Version)
	return wire.Response{Body: describeDefinition(r)}, err
}

// listRoleDefinitions is GET /{scope}/providers/Microsoft.Authorization/roleDefinitions: all
// on one page, for there are few.
func (d door) listRoleDefinitions(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	list, err := d.Roles.Definitions(ctx, q.Caller, q.Vault, at, q.Query.Get("$filter"))
	out := struct {
		Value []definition `json:"value"`
	}{[]definition{}}
	for _, r := range list {
		out.Value = append(out.Value, describeDefinition(r))
	}
	return wire.Response{Body: out}, err
}
