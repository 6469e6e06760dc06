package authorization

import (
	"context"
	"net/http"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
)

type assignment struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Type       string               `json:"type"`
	Properties assignmentProperties `json:"properties"`
}

type assignmentProperties struct {
	Role          string    `json:"roleDefinitionId"`
	Principal     string    `json:"principalId"`
	PrincipalType string    `json:"principalType,omitempty"`
	Scope         string    `json:"scope"`
	Created       time.Time `json:"createdOn,omitzero"`
	Updated       time.Time `json:"updatedOn,omitzero"`
	Condition     string    `json:"condition,omitempty"`
}

func assignmentOf(q *wire.Request, a directory.Assignment, scope string) assignment {
	return assignment{
		ID: strings.TrimSuffix(scope, "/") + "/providers/Microsoft.Authorization/roleAssignments/" + a.ID, Name: a.ID, Type: "Microsoft.Authorization/roleAssignments",
		Properties: assignmentProperties{Role: idOf(q, a.Role), Principal: a.Principal, PrincipalType: "ServicePrincipal", Scope: scope, Created: a.Created, Updated: a.Created},
	}
}

// put gives a role. The path's id is the assignment's.
func (d Deps) put(ctx context.Context, q *wire.Request) (wire.Response, error) {
	at, err := placeOf(q)
	if err != nil {
		return wire.Response{}, err
	}
	var r assignment
	if err := q.Decode(&r); err != nil {
		return wire.Response{}, err
	}
	if r.Properties.Condition != "" {
		return wire.Response{}, wire.Unsupported("Role assignments have no conditions here; give the role at a narrower scope.")
	}
	role := r.Properties.Role[strings.LastIndexByte(r.Properties.Role, '/')+1:]
	a, err := d.Directory.AssignAs(ctx, q.Caller, directory.Assignment{ID: q.Params["name"], Principal: strings.ToLower(r.Properties.Principal), Role: role, Scope: at.scope})
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Status: http.StatusCreated, Body: assignmentOf(q, a, at.id)}, nil
}

func (d Deps) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	at, err := placeOf(q)
	if err != nil {
		return wire.Response{}, err
	}
	a, err := d.Directory.Assignment(ctx, q.Caller, strings.ToLower(q.Params["name"]))
	if err == nil && a.Scope != at.scope {
		err = fault.New(fault.NotFound, "RoleAssignmentNotFound", "The role assignment '%.40s' is not found.", q.Params["name"])
	}
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: assignmentOf(q, a, at.id)}, nil
}

// delete answers 204 whether or not there was one, as a resource manager does.
func (d Deps) delete(ctx context.Context, q *wire.Request) (wire.Response, error) {
	if _, err := placeOf(q); err != nil {
		return wire.Response{}, err
	}
	err := d.Directory.Unassign(ctx, q.Caller, strings.ToLower(q.Params["name"]))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return wire.Response{}, err
	}
	return wire.Response{Status: http.StatusNoContent}, nil
}

// list answers what is at a scope and below it or, with the filter atScope(), what holds
// at it: there and above.
func (d Deps) list(ctx context.Context, q *wire.Request) (wire.Response, error) {
	at, err := placeOf(q)
	if err != nil {
		return wire.Response{}, err
	}
	page, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	query := directory.AssignmentQuery{Scope: at.scope, After: page.After, Limit: page.Limit}
	if err := filter(q.Query.Get("$filter"), &query); err != nil {
		return wire.Response{}, err
	}
	found, err := d.Directory.Assignments(ctx, q.Caller, query)
	if err != nil {
		return wire.Response{}, err
	}
	list := make([]assignment, 0, len(found))
	for _, a := range found {
		scope, err := d.write(ctx, q, at, a.Scope)
		if err != nil {
			return wire.Response{}, err
		}
		list = append(list, assignmentOf(q, a, scope))
	}
	out := wire.List{Value: list}
	if len(found) == page.Limit {
		out.NextLink = q.Next(strings.TrimSuffix(at.id, "/")+"/providers/Microsoft.Authorization/roleAssignments", found[len(found)-1].ID)
	}
	return wire.Response{Body: out}, nil
}

// filter reads the filters that there are for assignments.
func filter(text string, q *directory.AssignmentQuery) error {
	for part := range strings.SplitSeq(text, " and ") {
		part = strings.TrimSpace(part)
		switch principal, ok := argument(part); {
		case part == "":
		case strings.EqualFold(part, "atScope()"):
			q.Above = true
		case ok:
			q.Principal = strings.ToLower(principal)
		default:
			return fault.New(fault.Invalid, "InvalidFilter", "The filter '%.200s' is not one of atScope(), principalId eq '{id}' and assignedTo('{id}').", part)
		}
	}
	return nil
}

// argument is the principal of principalId eq '{id}' or assignedTo('{id}').
func argument(part string) (string, bool) {
	for _, form := range [][2]string{{"principalid eq '", "'"}, {"assignedto('", "')"}} {
		if len(part) > len(form[0]) && strings.EqualFold(part[:len(form[0])], form[0]) && strings.HasSuffix(part, form[1]) {
			return strings.TrimSuffix(part[len(form[0]):], form[1]), true
		}
	}
	return "", false
}

// write is a scope of ours as a resource manager writes it: that of the path as the client
// wrote it, another by where its vault is.
func (d Deps) write(ctx context.Context, q *wire.Request, at place, s access.Scope) (string, error) {
	name := vaultOf(s)
	switch {
	case s == at.scope:
		return at.id, nil
	case name == "":
		return q.Root(), nil
	}
	group := vault.DefaultGroup
	if name == vaultOf(at.scope) { // the path says where it is
		group = strings.FieldsFunc(at.id, func(r rune) bool { return r == '/' })[3]
	} else if v, err := d.Vaults.Get(ctx, q.Caller, name); err == nil {
		group = vault.GroupOf(v.Settings())
	} else if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) {
		return "", err
	}
	return q.VaultID(group, "vaults", name) + strings.TrimPrefix(string(s), "/vaults/"+name), nil
}
