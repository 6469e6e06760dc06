// Package api is the control plane's REST API under /api/v1, described by OpenAPI 3.1 at
// /api/v1/openapi.json. One file holds the operations of one noun; each decodes, calls
// one method of one service and encodes.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/audit/azure"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/review"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/secrets"
)

// AuditReader reads the audit trail for a caller who may.
type AuditReader interface {
	List(ctx context.Context, c access.Caller, q audit.Query) ([]audit.Record, error)
	Export(ctx context.Context, c access.Caller, after int64, q audit.Query) ([]audit.Record, int64, error)
	Verify(ctx context.Context, c access.Caller) (audit.Report, error)
}

// Deps are the services behind the API. Where one is nil, its operations are not there.
type Deps struct {
	Version string
	Domain  string // host that tokens are for
	Tokens  web.Authenticator

	Vaults       *vault.Service
	Keys         *keys.Service // with Secrets and Certificates
	Secrets      *secrets.Service
	Certificates *certificates.Service
	Exports      *export.Service
	Audit        AuditReader
	Authorities  *authority.Service
	Issuance     *issuance.Service
	Profiles     *catalog.Service
	Reviews      *review.Service
	Revocation   *revocation.Service
	Inventory    *inventory.Service
	Discovery    *discovery.Service
	Lineages     *lineage.Service // with Renewal and Deployments
	Renewal      *renewal.Service
	Requests     *enrollment.Service
	Passcodes    *passcode.Service
	Deployments  *deployment.Service
	Connections  *connection.Service
	Connectors   []Connector
	Directory    *directory.Directory
	Sessions     *session.Service

	Subscriptions *subscription.Service
	ACME          *acme.Service
	Places        azure.Places // with Audit
}

// door serves the operations.
type door struct {
	Deps
	api huma.API
}

// Prefix is where every path begins.
const Prefix = "/api/v1"

// New makes the API's handler, for paths below Prefix. It goes inside web.Wrap.
func New(d Deps) http.Handler {
	operations := http.NewServeMux()
	a := &door{Deps: d, api: humago.New(operations, description(d.Version))}
	a.register()
	mux := http.NewServeMux()
	mux.Handle("GET "+Prefix+"/openapi.json", document(a.api.OpenAPI()))
	mux.Handle(Prefix+"/", a.authenticated(operations))
	return mux
}

// register adds the operations of every noun whose service is there.
func (a *door) register() {
	for _, noun := range []struct {
		there bool
		add   func()
	}{
		{a.Inventory != nil, a.certificateOperations},
		{a.Inventory != nil, a.endpointOperations},
		{a.Discovery != nil, a.campaignOperations},
		{a.Lineages != nil, a.lineageOperations},
		{a.Requests != nil, a.requestOperations},
		{a.Requests != nil, a.enrolmentOperations},
		{a.Passcodes != nil, a.passcodeOperations},
		{a.Deployments != nil, a.deploymentOperations},
		{a.Connections != nil, a.connectionOperations},
		{a.Vaults != nil, a.vaultOperations},
		{a.Keys != nil, a.versionOperations},
		{a.Exports != nil, a.exportOperations},
		{a.Authorities != nil, a.authorityOperations},
		{a.Issuance != nil, a.issuanceOperations},
		{a.Profiles != nil, a.profileOperations},
		{a.Reviews != nil, a.issuanceAuditOperations},
		{a.Revocation != nil, a.revocationOperations},
		{a.Directory != nil, a.accessOperations},
		{a.Sessions != nil, a.linkOperations},
		{a.Audit != nil, a.auditOperations},
		{a.Subscriptions != nil, a.subscriptionOperations},
		{a.ACME != nil, a.acmeOperations},
	} {
		if noun.there {
			noun.add()
		}
	}
}

type callerKey struct{}

// authenticated lets those through who show a token. Who shows none does not learn which
// paths exist.
func (a *door) authenticated(next *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := web.Caller(r, a.Tokens, a.Domain)
		if err != nil {
			web.Problem(w, r, err)
			return
		}
		c.APIVersion = "v1"
		if !readable(r.URL) {
			web.Problem(w, r, fault.New(fault.Invalid, "UnreadableAddress", "the address holds characters that are no text"))
			return
		}
		if _, pattern := next.Handler(r); pattern == "" {
			unknown(w, r, next)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// unknown answers for a path that no operation has, or not with this method.
func unknown(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		web.Problem(w, r, fault.New(fault.NotFound, "UnknownPath", "there is nothing at this path; %s/openapi.json lists what there is", Prefix))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusMethodNotAllowed)
	_ = json.NewEncoder(w).Encode(web.Details{
		Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed",
		Detail: "this path takes " + strings.Join(allowed, " and "), Request: web.RequestID(r.Context()),
	})
}

func caller(ctx context.Context) access.Caller {
	c, _ := ctx.Value(callerKey{}).(access.Caller)
	return c
}
