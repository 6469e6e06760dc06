package hsm

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/role"
)

// assignmentProperties is RoleAssignmentPropertiesWithScope.
type assignmentProperties struct {
	PrincipalID      string       `json:"principalId"`
	RoleDefinitionID string       `json:"roleDefinitionId"`
	Scope            access.Scope `json:"scope"`
}

// assignment is RoleAssignment.
type assignment struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Properties assignmentProperties `json:"properties"`
	Type       string               `json:"type"`
}

func describeAssignment(a role.Assignment) assignment {
	scope := string(a.Scope)
	if a.Scope == access.Root {
		scope = ""
	}
	return assignment{
		ID: scope + provider + "/roleAssignments/" + a.ID, Name: a.ID, Type: "Microsoft.Authorization/roleAssignments",
		Properties: assignmentProperties{PrincipalID: a.Principal, RoleDefinitionID: definitionPrefix + a.Role, Scope: a.Scope},
	}
}

// createRoleAssignment is PUT /{scope}/providers/Microsoft.Authorization/roleAssignments/{id}: 201.
func (d door) createRoleAssignment(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	var in struct {
		Properties struct {
			PrincipalID      string `json:"principalId"`
			RoleDefinitionID string `json:"roleDefinitionId"`
		} `json:"properties"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	a, err := d.Roles.Assign(ctx, q.Caller, q.Vault, role.Assignment{
		ID: q.Version, Principal: in.Properties.PrincipalID, Role: in.Properties.RoleDefinitionID, Scope: at,
	})
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Status: http.StatusCreated, Body: describeAssignment(a)}, nil
}

// getRoleAssignment is GET of the same.
func (d door) getRoleAssignment(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	a, err := d.Roles.Assignment(ctx, q.Caller, q.Vault, at, q.Version)
	return wire.Response{Body: describeAssignment(a)}, err
}

// deleteRoleAssignment is DELETE of the same: 200 with what was deleted.
func (d door) deleteRoleAssignment(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	a, err := d.Roles.Unassign(ctx, q.Caller, q.Vault, at, q.Version)
	return wire.Response{Body: describeAssignment(a)}, err
}

// listRoleAssignments is GET /{scope}/providers/Microsoft.Authorization/roleAssignments: all
// on one page, for an HSM has at most a thousand.
func (d door) listRoleAssignments(ctx context.Context, q *wire.Request, at access.Scope) (wire.Response, error) {
	list, err := d.Roles.Assignments(ctx, q.Caller, q.Vault, at, q.Query.Get("$filter"))
	out := struct {
		Value []assignment `json:"value"`
	}{[]assignment{}}
	for _, a := range list {
		out.Value = append(out.Value, describeAssignment(a))
	}
	return wire.Response{Body: out}, err
}
