// Package graph has the few operations of Microsoft Graph by which the Azure CLI finds the
// object id of a program or a person.
package graph

import (
	"context"
	"net/http"
	"strings"

	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
)

// Deps are the services behind the operations.
type Deps struct {
	Directory *directory.Directory
}

// Operations are the routes.
func Operations(d Deps) []wire.Operation {
	return []wire.Operation{
		{Name: "GraphMe", Method: http.MethodGet, Path: "/v1.0/me", Handle: d.me},
		{Name: "GraphServicePrincipals", Method: http.MethodGet, Path: "/v1.0/servicePrincipals", Handle: d.servicePrincipals},
		{Name: "GraphUsers", Method: http.MethodGet, Path: "/v1.0/users", Handle: d.users},
		{Name: "GraphObject", Method: http.MethodGet, Path: "/v1.0/directoryObjects/{id}", Handle: d.object},
		{Name: "GraphByIDs", Method: http.MethodPost, Path: "/v1.0/directoryObjects/getByIds", Handle: d.byIDs},
	}
}

// object is a principal as Microsoft Graph has it.
type object struct {
	Type                  string   `json:"@odata.type"`
	ID                    string   `json:"id"`
	DisplayName           string   `json:"displayName"`
	AppID                 string   `json:"appId,omitempty"`
	ServicePrincipalType  string   `json:"servicePrincipalType,omitempty"`
	ServicePrincipalNames []string `json:"servicePrincipalNames,omitempty"`
	UserPrincipalName     string   `json:"userPrincipalName,omitempty"`
	Enabled               bool     `json:"accountEnabled"`
}

func objectOf(p directory.Principal) object {
	if p.Kind == directory.User {
		return object{Type: "#microsoft.graph.user", ID: p.ID, DisplayName: p.Name, UserPrincipalName: p.SignIn, Enabled: p.Enabled}
	}
	return object{
		Type: "#microsoft.graph.servicePrincipal", ID: p.ID, DisplayName: p.Name, AppID: p.ClientID, ServicePrincipalType: "Application",
		ServicePrincipalNames: []string{p.ClientID}, Enabled: p.Enabled,
	}
}

type objects struct {
	Context string   `json:"@odata.context"`
	Value   []object `json:"value"`
}

func (d Deps) find(ctx context.Context, q *wire.Request, kind directory.Kind, ids ...string) (wire.Response, error) {
	found, err := d.Directory.Lookup(ctx, q.Caller, ids...)
	if err != nil {
		return wire.Response{}, err
	}
	out := objects{Context: q.Base + "/v1.0/$metadata#directoryObjects", Value: []object{}}
	for _, p := range found {
		if kind == "" || p.Kind == kind {
			out.Value = append(out.Value, objectOf(p))
		}
	}
	return wire.Response{Body: out}, nil
}

// me declines programs in Graph's words, at which the Azure CLI looks itself up by its
// client id.
func (d Deps) me(ctx context.Context, q *wire.Request) (wire.Response, error) {
	found, err := d.Directory.Lookup(ctx, q.Caller, q.Caller.Principal)
	if err != nil {
		return wire.Response{}, err
	}
	if len(found) != 1 || found[0].Kind != directory.User {
		return wire.Response{}, fault.New(fault.Invalid, "BadRequest", "/me request is only valid with delegated authentication flow.")
	}
	return wire.Response{Body: objectOf(found[0])}, nil
}

// servicePrincipals knows the filters that find one by its client id.
func (d Deps) servicePrincipals(ctx context.Context, q *wire.Request) (wire.Response, error) {
	text := strings.TrimSpace(q.Query.Get("$filter"))
	for _, form := range [][2]string{{"servicePrincipalNames/any(c:c eq '", "')"}, {"appId eq '", "'"}} {
		if rest, ok := strings.CutPrefix(text, form[0]); ok {
			if id, ok := strings.CutSuffix(rest, form[1]); ok {
				return d.find(ctx, q, directory.Application, id)
			}
		}
	}
	return wire.Response{}, fault.New(fault.Invalid, "Request_UnsupportedQuery", "Service principals are found by servicePrincipalNames/any(c:c eq '{appId}') or appId eq '{appId}' alone.")
}

// users knows the filter that finds one by the sign-in name.
func (d Deps) users(ctx context.Context, q *wire.Request) (wire.Response, error) {
	f, err := q.Filter("userprincipalname")
	if err != nil {
		return wire.Response{}, err
	}
	return d.find(ctx, q, directory.User, f["userprincipalname"])
}

func (d Deps) object(ctx context.Context, q *wire.Request) (wire.Response, error) {
	found, err := d.Directory.Lookup(ctx, q.Caller, q.Params["id"])
	if err != nil {
		return wire.Response{}, err
	}
	if len(found) == 0 {
		return wire.Response{}, fault.New(fault.NotFound, "Request_ResourceNotFound", "Resource '%.40s' does not exist or one of its queried reference-property objects are not present.", q.Params["id"])
	}
	return wire.Response{Body: objectOf(found[0])}, nil
}

// maxIDs is how many ids are looked up at a time, Graph's bound.
const maxIDs = 1000

func (d Deps) byIDs(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var r struct {
		IDs []string `json:"ids"`
	}
	if err := q.Decode(&r); err != nil {
		return wire.Response{}, err
	}
	if len(r.IDs) > maxIDs {
		return wire.Response{}, fault.New(fault.Invalid, "Request_BadRequest", "Too many ids: at most %d.", maxIDs)
	}
	return d.find(ctx, q, "", r.IDs...)
}
