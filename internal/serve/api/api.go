// Package api is the control plane's REST API under /api/v1, described by OpenAPI 3.1 at
// /api/v1/openapi.json. One file holds the operations of one noun; each decodes, calls
// one method of one service and encodes.
package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/vault"
)

// Authenticator tells who a bearer token belongs to.
type Authenticator interface {
	Authenticate(ctx context.Context, token, audience string) (access.Caller, error)
}

// AuditReader reads the audit trail for a caller who may.
type AuditReader interface {
	List(ctx context.Context, c access.Caller, q audit.Query) ([]audit.Record, error)
	Verify(ctx context.Context, c access.Caller) (audit.Report, error)
}

// Deps are the services behind the API.
type Deps struct {
	Version string
	Tokens  Authenticator
	Vaults  *vault.Service
	Audit   AuditReader

	Authorities *authority.Service
	Issuance    *issuance.Service

	Log *slog.Logger
}

// door serves the operations.
type door struct {
	Deps
	api huma.API
}

// New makes the API's handler, for paths below /api/v1.
func New(d Deps) http.Handler {
	mux := http.NewServeMux()
	c := huma.DefaultConfig("Chatelaine", d.Version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "/api/v1/openapi", "", "", nil
	c.Info.Description = "The control plane: discover, judge, renew, deploy and revoke certificates; manage vaults; read the audit trail."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT"}}
	c.Security = []map[string][]string{{"bearer": {}}}
	a := &door{Deps: d, api: humago.New(mux, c)}
	a.api.UseMiddleware(a.authenticate)
	a.vaultOperations()
	a.auditOperations()
	a.authorityOperations()
	return http.MaxBytesHandler(mux, maxBody)
}

const maxBody = 1 << 20

type callerKey struct{}

// authenticate puts the caller into the context; only the document itself is public.
func (a *door) authenticate(ctx huma.Context, next func(huma.Context)) {
	w := ctx
	w.SetHeader("Cache-Control", "no-store")
	w.SetHeader("X-Content-Type-Options", "nosniff")
	scheme, token, _ := strings.Cut(ctx.Header("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		a.refuse(ctx, fault.New(fault.Unauthenticated, "Unauthorized", "send a bearer token of this server's token endpoint"))
		return
	}
	c, err := a.Tokens.Authenticate(ctx.Context(), token, "https://"+ctx.Host())
	if err != nil {
		a.refuse(ctx, err)
		return
	}
	c.Address, c.Agent, c.Correlation, c.APIVersion = remote(ctx.RemoteAddr()), ctx.Header("User-Agent"), newID(), "v1"
	ctx.SetHeader("X-Request-Id", c.Correlation)
	next(huma.WithValue(ctx, callerKey{}, c))
}

func (a *door) refuse(ctx huma.Context, err error) {
	p := a.problem(ctx.Context(), err)
	ctx.SetHeader("WWW-Authenticate", "Bearer")
	if werr := huma.WriteErr(a.api, ctx, p.GetStatus(), p.Error()); werr != nil {
		a.Log.Warn("answer a refused request", "error", werr)
	}
}

func caller(ctx context.Context) access.Caller {
	c, _ := ctx.Value(callerKey{}).(access.Caller)
	return c
}

func remote(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// problem turns a kind of error into an RFC 9457 answer, here and nowhere else.
func (a *door) problem(ctx context.Context, err error) huma.StatusError {
	f := fault.Of(err)
	p := &problem{Title: f.Kind.String(), Detail: f.Message, Code: f.Code}
	switch f.Kind {
	case fault.Unauthenticated:
		p.Status = http.StatusUnauthorized
	case fault.Denied:
		p.Status = http.StatusForbidden
	case fault.NotFound:
		p.Status = http.StatusNotFound
	case fault.Conflict:
		p.Status = http.StatusConflict
	case fault.Invalid:
		p.Status = http.StatusUnprocessableEntity
	case fault.Limited:
		p.Status = http.StatusTooManyRequests
	case fault.Unavailable:
		p.Status = http.StatusServiceUnavailable
	default:
		p.Status, p.Title = http.StatusInternalServerError, "internal error"
		p.Detail = "The server's log has the cause under the request id " + caller(ctx).Correlation + "."
	}
	if p.Status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		a.Log.ErrorContext(ctx, "api request", "correlation", caller(ctx).Correlation, "error", err)
	}
	return p
}

// problem is RFC 9457 with the stable code of the error.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code,omitempty"`
}

func (p *problem) Error() string  { return p.Detail }
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// operation describes one route of a noun.
type operation struct {
	id, method, path, summary string
	status                    int // 0 is 200
}

// register adds an operation whose errors become problems.
func register[I, O any](a *door, o operation, tag string, fn func(ctx context.Context, c access.Caller, in *I) (*O, error)) {
	huma.Register(a.api, huma.Operation{
		OperationID: o.id, Method: o.method, Path: "/api/v1" + o.path, Summary: o.summary, Tags: []string{tag}, DefaultStatus: o.status,
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, caller(ctx), in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
}

// page is a part of a list. Next goes into the query parameter after; it is empty at the end.
type page[T any] struct {
	Body struct {
		Items []T    `json:"items"`
		Next  string `json:"next,omitempty" doc:"send it as the parameter after to get the next page"`
	}
}

// paging are the query parameters of a list.
type paging struct {
	After string `query:"after" doc:"next of the page before"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}
