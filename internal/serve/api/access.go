package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
)

func (a *door) accessOperations() {
	a.principalOperations()
	const tag = "access"
	register(a, tag, operation{id: "listRoles", method: http.MethodGet, path: "/roles", summary: "List roles",
		about: "Roles are no secret: every caller may read them."}, a.listRoles)
	register(a, tag, operation{id: "listAssignments", method: http.MethodGet, path: "/assignments", summary: "List who has which role where",
		action: access.ReadAccess, scope: "{scope}"}, a.listAssignments)
	register(a, tag, operation{id: "assignRole", method: http.MethodPost, path: "/assignments", summary: "Give a principal a role at a scope and everything below it",
		action: access.WriteAccess, scope: "{scope}", status: http.StatusCreated}, a.assignRole)
	register(a, tag, operation{id: "removeAssignment", method: http.MethodDelete, path: "/assignments/{assignment}", summary: "Take a role away",
		action: access.WriteAccess, scope: "{scope}", status: http.StatusNoContent}, a.removeAssignment)
}

// roleModel is a role as the API shows it.
type roleModel struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Actions     []access.Action `json:"actions" doc:"* stands for any text"`
}

func (a *door) listRoles(_ context.Context, _ access.Caller, in *Paging) (*page[roleModel], error) {
	var items []roleModel
	for _, r := range access.Roles() {
		items = append(items, roleModel(r))
	}
	return cut(*in, items, func(r roleModel) string { return r.ID }), nil
}

func (a *door) listAssignments(ctx context.Context, c access.Caller, in *struct {
	Paging
	Scope     string `query:"scope" maxLength:"512" default:"/" doc:"this scope and everything below it"`
	Principal string `query:"principal" maxLength:"100" doc:"object id"`
}) (*page[directory.Assignment], error) {
	list, err := a.Directory.Assignments(ctx, c, directory.AssignmentQuery{Scope: access.Scope(in.Scope), Principal: in.Principal, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

func (a *door) assignRole(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Principal string `json:"principal" maxLength:"100" doc:"object id"`
		Role      string `json:"role" maxLength:"100" doc:"id or name"`
		Scope     string `json:"scope,omitempty" maxLength:"512" default:"/"`
	}
}) (*answer[directory.Assignment], error) {
	return answerOf(a.Directory.Assign(ctx, c, in.Body.Principal, in.Body.Role, access.Scope(in.Body.Scope)))
}

func (a *door) removeAssignment(ctx context.Context, c access.Caller, in *struct {
	Assignment string `path:"assignment" maxLength:"100"`
}) (*nothing, error) {
	return nil, a.Directory.Unassign(ctx, c, in.Assignment)
}

func (a *door) linkOperations() {
	register(a, "access", operation{id: "createSignInLink", method: http.MethodPost, path: "/sign-in-links",
		summary: "Make a link that signs its holder in to the console, once",
		action:  access.WriteAccess, scope: "/", status: http.StatusCreated}, a.createSignInLink)
}

// linkModel is a one-time way into the console.
type linkModel struct {
	Path    string    `json:"path" doc:"on this server; good once"`
	Expires time.Time `json:"expires"`
}

func (a *door) createSignInLink(ctx context.Context, c access.Caller, in *struct {
	Body *struct {
		Principal string `json:"principal,omitempty" maxLength:"100" doc:"object id of who signs in; default: the caller"`
	}
}) (*answer[linkModel], error) {
	who := c.Principal
	if in.Body != nil && in.Body.Principal != "" {
		who = in.Body.Principal
	}
	link, err := a.Sessions.CreateLink(ctx, c, who)
	if err != nil {
		return nil, err
	}
	return &answer[linkModel]{linkModel{"/sign-in?token=" + link.Token.Reveal(), link.Expires}}, nil
}
