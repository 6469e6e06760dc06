// Package keyvault is the front door that speaks Azure Key Vault's API. It
// authenticates, decodes, calls one operation and encodes; the rules are in the vault.
package keyvault

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/serve/web"
)

// Deps are what the front door needs.
type Deps struct {
	// Domain is what follows the vault's name in a host: "example.com".
	Domain string
	// Authority is where clients get tokens; it has a path segment, the tenant
	// (contract §2.1): https://example.com:8443/adfs.
	// base is https://{domain}[:port], as the client reached us.
	Authority func(base string) string
	Tokens    web.Authenticator
	// Operations are the routes of all kinds.
	Operations []wire.Operation
}

// Door is the front door. It implements http.Handler.
type Door struct {
	Deps
	routes routes
	bodies bodies
}

// New makes the front door.
func New(d Deps) *Door { return &Door{Deps: d, routes: newRoutes(d.Operations), bodies: newBodies()} }

// VaultOf returns the vault that a host names: payroll for payroll.example.com:8443.
func VaultOf(host, domain string) (string, bool) {
	name, _, _ := strings.Cut(host, ":") // no vault has an IPv6 address for a name
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	name, under := strings.CutSuffix(name, strings.ToLower(domain))
	name, ok := strings.CutSuffix(name, ".")
	return name, ok && under && name != "" && !strings.Contains(name, ".")
}

// fixed are headers of every answer (contract §1.7). The slices are shared and never changed.
var fixed = map[string][]string{
	"X-Ms-Keyvault-Region":          {"local"},
	"X-Ms-Keyvault-Service-Version": {"1.9.3089.1"},
	"Cache-Control":                 {"no-cache, no-store"},
	"Pragma":                        {"no-cache"},
	"Expires":                       {"-1"},
	"Strict-Transport-Security":     {"max-age=31536000;includeSubDomains"},
	"X-Content-Type-Options":        {"nosniff"},
	"Content-Type":                  {"application/json; charset=utf-8"},
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	maps.Copy(h, fixed)
	own := [...]string{"conn_type=Ipv4;addr=" + web.Address(r) + ";act_addr_fam=InterNetwork;", web.RequestID(r.Context()), r.Header.Get("X-Ms-Client-Request-Id")}
	h["X-Ms-Keyvault-Network-Info"], h["X-Ms-Request-Id"] = own[:1:1], own[1:2:2]
	if id := own[2]; id != "" && len(id) <= 128 {
		h["X-Ms-Client-Request-Id"] = own[2:3:3]
	}
	res, err := d.serve(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.answer(w, res)
}

// serve authenticates before it reads the body: the first request of every client
// comes without either (contract §1.7).
func (d *Door) serve(r *http.Request) (wire.Response, error) {
	vault, ok := VaultOf(r.Host, d.Domain)
	if !ok {
		return wire.Response{}, fault.New(fault.NotFound, "VaultNotFound", "The host %.100s names no vault; want https://{vault}.%s.", r.Host, d.Domain)
	}
	caller, err := web.Caller(r, d.Tokens, d.Domain)
	if err != nil {
		return wire.Response{}, err
	}

	op, name, version, ok := d.routes.find(r.Method, r.URL.EscapedPath())
	if !ok {
		return wire.Response{}, fault.New(fault.NotFound, "NotFound", "No operation %s %.200s exists.", r.Method, r.URL.Path)
	}
	query := wire.Query(r.URL.RawQuery)
	if caller.APIVersion = query.Get("api-version"); caller.APIVersion == "" || len(caller.APIVersion) > 64 {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The query parameter api-version is missing; add one, such as api-version=7.6.")
	}
	body, done, err := d.bodies.read(r, op.MaxBody)
	if err != nil {
		return wire.Response{}, err
	}
	defer done()
	return op.Handle(r.Context(), &wire.Request{
		Caller: caller, Vault: vault, Base: "https://" + strings.ToLower(r.Host), Name: name, Version: version, Query: query, Body: body,
	})
}

func (d *Door) answer(w http.ResponseWriter, res wire.Response) {
	if res.Location != "" {
		w.Header().Set("Location", res.Location)
		w.Header().Set("Retry-After", "10")
	}
	if res.Operation != "" {
		w.Header().Set("Azure-AsyncOperation", res.Operation)
	}
	if res.RetryAfter != 0 {
		w.Header().Set("Retry-After", strconv.Itoa(res.RetryAfter))
	}
	status := res.Status
	if status == 0 {
		status = http.StatusOK
	}
	write(w, status, res.Body)
}

func write(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.Header().Del("Content-Type")
		w.WriteHeader(status)
		return
	}
	var b []byte
	var err error
	if a, ok := body.(wire.Appender); ok {
		b = a.AppendJSON(make([]byte, 0, 1024))
	} else {
		b, err = json.Marshal(body)
	}
	if err != nil { // every body is a struct of ours
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"The answer could not be encoded."}}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that is gone needs no answer
}

// errorBody is the envelope of contract §2.2.
type errorBody struct {
	Error struct {
		Code    string      `json:"code"`
		Message string      `json:"message"`
		Inner   *innerError `json:"innererror,omitempty"`
	} `json:"error"`
}

type innerError struct {
	Code string `json:"code"`
}

// fail turns a kind of error into Key Vault's shape, here and nowhere else.
func (d *Door) fail(w http.ResponseWriter, r *http.Request, err error) {
	web.EventOf(r.Context()).Fail(err)
	f := fault.Of(err)
	var body errorBody
	body.Error.Code, body.Error.Message = f.Code, f.Message
	inner := func(code string) {
		body.Error.Inner = &innerError{Code: f.Code}
		body.Error.Code = code
	}
	status := http.StatusInternalServerError
	switch f.Kind {
	case fault.Unauthenticated:
		status, body.Error.Code = http.StatusUnauthorized, "Unauthorized"
		base := web.Base(r, d.Domain) // the one form of a resource that every SDK's check accepts (contract §2.1)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization=%q, resource=%q`, d.Authority(base), base))
	case fault.Denied:
		status = http.StatusForbidden
		inner("Forbidden")
	case fault.NotFound:
		status = http.StatusNotFound
	case fault.Conflict:
		status = http.StatusConflict
		inner("Conflict")
	case fault.Invalid:
		status = http.StatusBadRequest
		if f.Code == "RequestBodyTooLarge" {
			status = http.StatusRequestEntityTooLarge
		}
	case fault.Limited:
		status, body.Error.Code = http.StatusTooManyRequests, "Throttled"
		w.Header().Set("Retry-After", "10")
	case fault.Unavailable:
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	default:
		body.Error.Code, body.Error.Message = "InternalServerError", "An internal error happened. The server's log has it under the request id "+web.RequestID(r.Context())+"."
	}
	write(w, status, body)
}
