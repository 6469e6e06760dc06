package authorization

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
)

type definition struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Type       string               `json:"type"`
	Properties definitionProperties `json:"properties"`
}

type definitionProperties struct {
	RoleName    string       `json:"roleName"`
	Type        string       `json:"type"`
	Description string       `json:"description"`
	Scopes      []string     `json:"assignableScopes"`
	Permissions []permission `json:"permissions"`
}

type permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// idOf is the id of a role in the subscription, wherever it was asked for: clients compare
// ids.
func idOf(q *wire.Request, role string) string {
	return q.Root() + "/providers/Microsoft.Authorization/roleDefinitions/" + role
}

func definitionOf(q *wire.Request, r access.Role) definition {
	p := permission{Actions: []string{}, NotActions: []string{}, DataActions: []string{}, NotDataActions: []string{}}
	for _, a := range r.Actions {
		if strings.HasPrefix(string(a), access.VaultPrefix) {
			p.DataActions = append(p.DataActions, string(a))
		} else {
			p.Actions = append(p.Actions, string(a))
		}
	}
	return definition{
		ID: idOf(q, r.ID), Name: r.ID, Type: "Microsoft.Authorization/roleDefinitions",
		Properties: definitionProperties{RoleName: r.Name, Type: "BuiltInRole", Description: r.Description, Scopes: []string{"/"}, Permissions: []permission{p}},
	}
}

// listDefinitions needs no right: roles are no secret.
func listDefinitions(_ context.Context, q *wire.Request) (wire.Response, error) {
	if _, err := placeOf(q); err != nil {
		return wire.Response{}, err
	}
	filter := map[string]string{}
	if f := q.Query.Get("$filter"); !strings.EqualFold(strings.TrimSpace(f), "atScopeAndBelow()") {
		var err error
		if filter, err = q.Filter("rolename", "type"); err != nil {
			return wire.Response{}, err
		}
	}
	list := []definition{}
	for _, r := range access.Roles() {
		if (filter["rolename"] == "" || strings.EqualFold(filter["rolename"], r.Name)) && (filter["type"] == "" || strings.EqualFold(filter["type"], "BuiltInRole")) {
			list = append(list, definitionOf(q, r))
		}
	}
	return wire.Response{Body: wire.List{Value: list}}, nil
}

func getDefinition(_ context.Context, q *wire.Request) (wire.Response, error) {
	if _, err := placeOf(q); err != nil {
		return wire.Response{}, err
	}
	for _, r := range access.Roles() {
		if strings.EqualFold(r.ID, q.Params["name"]) {
			return wire.Response{Body: definitionOf(q, r)}, nil
		}
	}
	return wire.Response{}, fault.New(fault.NotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%.40s' does not exist.", q.Params["name"])
}
