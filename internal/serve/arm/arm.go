// Package arm is the front door that speaks the small part of Azure Resource Manager, and
// of Microsoft Graph, that the Azure CLI and Terraform need to manage vaults. It
// authenticates, decodes, calls a service and encodes; the rules are in the services.
package arm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/serve/web"
)

// maxBody holds a vault with as many access policies as it may have.
const maxBody = 3 << 20

// Deps are what the front door needs.
type Deps struct {
	Domain string // our host, without port
	Tokens web.Authenticator
	// Tenant returns the installation's id, a GUID.
	Tenant     func() string
	Operations []wire.Operation
}

// Door is the front door. It implements http.Handler.
type Door struct {
	Deps
	routes []route
}

// New makes the front door.
func New(d Deps) *Door { return &Door{Deps: d, routes: newRoutes(d.Operations)} }

// Serves reports whether a request is for this front door, by its path and, as the domain
// has other things at such paths, by the api-version that every request to a resource manager
// names. Microsoft Graph has its version in the path.
func Serves(r *http.Request) bool {
	first, _, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
	switch strings.ToLower(first) {
	case "metadata", "subscriptions", "tenants", "providers":
		return r.URL.Query().Has("api-version")
	case "v1.0":
		return true
	}
	return false
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Ms-Request-Id", web.RequestID(r.Context()))
	if id := r.Header.Get("X-Ms-Client-Request-Id"); id != "" && len(id) <= 128 {
		h.Set("X-Ms-Client-Request-Id", id)
	}
	res, err := d.serve(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	if res.Location != "" {
		h.Set("Location", res.Location)
		h.Set("Retry-After", "1")
	}
	write(w, max(res.Status, http.StatusOK), res.Body)
}

func (d *Door) serve(r *http.Request) (wire.Response, error) {
	op, params, ok, known := find(d.routes, r.Method, r.URL.EscapedPath())
	var caller access.Caller
	if !ok || !op.Open {
		var err error
		if caller, err = web.Caller(r, d.Tokens, d.Domain); err != nil {
			return wire.Response{}, err
		}
	}
	switch {
	case !ok && known:
		return wire.Response{}, fault.New(fault.NotFound, "InvalidHttpMethod", "The resource has no operation %.20s.", r.Method)
	case !ok:
		return wire.Response{}, fault.New(fault.NotFound, "InvalidResourceType", "The resource type of %.200s is not one of those that this resource manager knows.", r.URL.Path)
	}
	tenant := d.Tenant()
	q := &wire.Request{
		Caller: caller, Base: web.Base(r, d.Domain), Domain: d.Domain, Tenant: tenant, Subscription: wire.SubscriptionOf(tenant),
		Query: r.URL.Query(), Params: params,
	}
	if q.Caller.APIVersion = q.Query.Get("api-version"); len(q.Caller.APIVersion) > 64 {
		return wire.Response{}, fault.New(fault.Invalid, "InvalidApiVersionParameter", "The api-version is longer than any.")
	}
	if s, ok := params["subscription"]; ok && !strings.EqualFold(s, q.Subscription) {
		return wire.Response{}, fault.New(fault.NotFound, "SubscriptionNotFound", "The subscription '%.40s' could not be found.", s)
	}
	var err error
	if q.Body, err = io.ReadAll(io.LimitReader(r.Body, maxBody+1)); err != nil {
		return wire.Response{}, fault.Wrap(err, fault.Invalid, "InvalidRequestContent", "The request content ended too early.")
	}
	if len(q.Body) > maxBody {
		return wire.Response{}, fault.New(fault.Invalid, "RequestContentTooLarge", "The request content is larger than %d bytes.", maxBody)
	}
	res, err := op.Handle(r.Context(), q)
	return res, about(err, q)
}

// about words what a service says of a vault as a resource manager does.
func about(err error, q *wire.Request) error {
	switch {
	case fault.HasCode(err, "VaultNotFound"):
		return wire.NotFound("vaults", q.Params["vault"], q.Params["group"])
	case fault.HasCode(err, "VaultIsDeleted"), fault.HasCode(err, "VaultIsPurging"):
		return fault.New(fault.Conflict, "ConflictError", "%s", fault.Of(err).Message)
	}
	return err
}

type errorBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// fail turns a kind of error into the resource manager's shape, here and nowhere else.
func (d *Door) fail(w http.ResponseWriter, r *http.Request, err error) {
	web.EventOf(r.Context()).Fail(err)
	f := fault.Of(err)
	status := web.Status(f.Kind)
	var body errorBody
	body.Error.Code, body.Error.Message = f.Code, f.Message
	switch {
	case f.Kind == fault.Unauthenticated:
		body.Error.Code = "AuthenticationFailed"
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization_uri=%q, error="invalid_token", error_description=%q`, web.Base(r, d.Domain)+"/adfs", f.Code))
	case f.Code == "PurgeProtected":
		status, body.Error.Code = http.StatusMethodNotAllowed, "MethodNotAllowed"
	case f.Code == "InvalidHttpMethod":
		status = http.StatusMethodNotAllowed
	case f.Code == "RequestContentTooLarge":
		status = http.StatusRequestEntityTooLarge
	case f.Code == access.CodeForbidden:
		body.Error.Code, body.Error.Message = "AuthorizationFailed", forbidden(err)
	case f.Kind == fault.Unavailable, f.Kind == fault.Limited:
		w.Header().Set("Retry-After", "1")
	case f.Kind == fault.Internal:
		body.Error.Code, body.Error.Message = "InternalServerError", "An internal error happened. The server's log has it under the request id "+web.RequestID(r.Context())+"."
	}
	write(w, status, body)
}

// forbidden words a refusal as Azure's resource manager does.
func forbidden(err error) string {
	var r *access.Refusal
	if !errors.As(err, &r) {
		return fault.Of(err).Message
	}
	return fmt.Sprintf("The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		r.Caller.Application, r.Caller.Principal, r.Action, r.Scope)
}

func write(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := json.Marshal(body)
	if err != nil { // every body is of types of ours
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"The answer could not be encoded."}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that is gone needs no answer
}
