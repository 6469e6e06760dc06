// Package keyvault is the front door that speaks Azure Key Vault's API. It
// authenticates, decodes, calls one operation and encodes; the rules are in the vault.
package keyvault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
)

// maxBody holds a PFX of one MiB in base64, and its JSON.
const maxBody = 2 << 20

// Authenticator tells who a bearer token belongs to.
type Authenticator interface {
	// Authenticate verifies a token for the audience, such as https://example.com:8443.
	// fault.Unauthenticated bears the message that Key Vault gives (AKV10022…).
	Authenticate(ctx context.Context, token, audience string) (access.Caller, error)
}

// Deps are what the front door needs.
type Deps struct {
	// Domain is what follows the vault's name in a host: "example.com".
	Domain string
	// Authority is where clients get tokens; it has a path segment, the tenant
	// (contract §2.1): https://example.com:8443/adfs.
	Authority func(port string) string
	Tokens    Authenticator
	// Operations are the routes of all kinds.
	Operations []wire.Operation
	Log        *slog.Logger
}

// Door is the front door. It implements http.Handler.
type Door struct {
	Deps
	routes routes
}

// New makes the front door.
func New(d Deps) *Door { return &Door{Deps: d, routes: newRoutes(d.Operations)} }

// VaultOf returns the vault that a host names: payroll for payroll.example.com:8443.
func VaultOf(host, domain string) (string, bool) {
	name, _ := splitHost(host)
	name, ok := strings.CutSuffix(strings.ToLower(name), "."+strings.ToLower(domain))
	return name, ok && name != "" && !strings.Contains(name, ".")
}

func splitHost(host string) (name, port string) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return strings.TrimSuffix(host, "."), ""
	}
	return strings.TrimSuffix(name, "."), port
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = correlate(r)
	w.Header().Set("X-Ms-Keyvault-Region", "local")
	w.Header().Set("X-Ms-Keyvault-Service-Version", "1.9.3089.1")
	w.Header().Set("X-Ms-Request-Id", correlation(r))
	if id := r.Header.Get("X-Ms-Client-Request-Id"); id != "" && len(id) <= 128 {
		w.Header().Set("X-Ms-Client-Request-Id", id)
	}
	address := clientAddress(r)
	w.Header().Set("X-Ms-Keyvault-Network-Info", "conn_type=Ipv4;addr="+address+";act_addr_fam=InterNetwork;")
	for k, v := range map[string]string{
		"Cache-Control": "no-cache, no-store", "Pragma": "no-cache", "Expires": "-1",
		"Strict-Transport-Security": "max-age=31536000;includeSubDomains", "X-Content-Type-Options": "nosniff",
	} {
		w.Header().Set(k, v)
	}
	res, err := d.serve(r, address)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.answer(w, res)
}

// serve authenticates before it reads the body: the first request of every client
// comes without either (contract §1.7).
func (d *Door) serve(r *http.Request, address string) (wire.Response, error) {
	vault, ok := VaultOf(r.Host, d.Domain)
	if !ok {
		return wire.Response{}, fault.New(fault.NotFound, "VaultNotFound", "The host %.100s names no vault; want https://{vault}.%s.", r.Host, d.Domain)
	}
	token, ok := bearer(r)
	if !ok {
		return wire.Response{}, fault.New(fault.Unauthenticated, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
	}
	caller, err := d.Tokens.Authenticate(r.Context(), token, d.resource(r))
	if err != nil {
		return wire.Response{}, err
	}
	caller.Address, caller.Agent = address, r.UserAgent()
	caller.Correlation = correlation(r)

	op, name, version, ok := d.routes.find(r.Method, r.URL.EscapedPath())
	if !ok {
		return wire.Response{}, fault.New(fault.NotFound, "NotFound", "No operation %s %.200s exists.", r.Method, r.URL.Path)
	}
	query := r.URL.Query()
	if caller.APIVersion = query.Get("api-version"); caller.APIVersion == "" || len(caller.APIVersion) > 64 {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The query parameter api-version is missing; add one, such as api-version=7.6.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return wire.Response{}, fault.Wrap(err, fault.Invalid, "BadParameter", "The request body ended too early.")
	}
	if len(body) > maxBody {
		return wire.Response{}, fault.New(fault.Invalid, "RequestBodyTooLarge", "The request body is larger than %d bytes.", maxBody)
	}
	return op.Handle(r.Context(), &wire.Request{
		Caller: caller, Vault: vault, Base: "https://" + strings.ToLower(r.Host), Name: name, Version: version, Query: query, Body: body,
	})
}

// resource is the audience of tokens for all vaults: the domain with the port, the one
// form that every SDK's check accepts (contract §2.1).
func (d *Door) resource(r *http.Request) string {
	if _, port := splitHost(r.Host); port != "" {
		return "https://" + d.Domain + ":" + port
	}
	return "https://" + d.Domain
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

func (d *Door) answer(w http.ResponseWriter, res wire.Response) {
	if res.Location != "" {
		w.Header().Set("Location", res.Location)
		w.Header().Set("Retry-After", "10")
	}
	status := res.Status
	if status == 0 {
		status = http.StatusOK
	}
	write(w, status, res.Body)
}

func write(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := json.Marshal(body)
	if err != nil { // every body is a struct of ours
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"The answer could not be encoded."}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
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
		_, port := splitHost(r.Host)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization=%q, resource=%q`, d.Authority(port), d.resource(r)))
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
		body.Error.Code, body.Error.Message = "InternalServerError", "An internal error happened. The server's log has it under the request id "+correlation(r)+"."
	}
	if status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		d.Log.ErrorContext(r.Context(), "key vault request", "method", r.Method, "path", r.URL.Path, "correlation", correlation(r), "error", err)
	}
	write(w, status, body)
}
