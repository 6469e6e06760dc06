// Package identity is the front door where programs get tokens: the token endpoints and
// the discovery of Entra ID and of AD FS, and the managed-identity endpoint of App
// Service, in the shapes that Microsoft's own clients expect, so that they work unchanged
// (contract: azure-key-vault.md §2.1.1).
package identity

import (
	"context"
	"net/http"
	"strings"
	"time"
	"uuid"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/access/token"
)

// Tokens issues tokens; *token.Service is one.
type Tokens interface {
	ForClient(ctx context.Context, r token.ClientCredentials) (token.Token, error)
	ForManagedIdentity(ctx context.Context, r token.ManagedIdentity) (token.Token, error)
	KeySet() jose.JSONWebKeySet
	Issuer(base string, f token.Form) string
}

// Deps are what the front door needs.
type Deps struct {
	Tokens Tokens
	// Tenant returns the installation's id, a GUID.
	Tenant func() string
	// Domain is our host, without port.
	Domain string
	Now    func() time.Time
}

// Door is the front door. It implements http.Handler.
type Door struct {
	Deps
	mux *http.ServeMux
}

// New makes the front door.
func New(d Deps) *Door {
	o := &Door{Deps: d, mux: http.NewServeMux()}
	o.mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", o.token(token.V2))
	o.mux.HandleFunc("POST /{tenant}/oauth2/token", o.token(token.V1))
	o.mux.HandleFunc("POST /adfs/oauth2/token", o.token(token.ADFS))
	o.mux.HandleFunc("POST /adfs/oauth2/token/{$}", o.token(token.ADFS))

	o.mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", o.discovery(token.V2))
	o.mux.HandleFunc("GET /{tenant}/.well-known/openid-configuration", o.discovery(token.V1))
	o.mux.HandleFunc("GET /adfs/.well-known/openid-configuration", o.discovery(token.ADFS))
	o.mux.HandleFunc("GET /adfs/adfs/.well-known/openid-configuration", o.discovery(token.ADFS)) // az login --tenant adfs asks there
	o.mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", o.keys(token.V2))
	o.mux.HandleFunc("GET /{tenant}/discovery/keys", o.keys(token.V1))
	o.mux.HandleFunc("GET /adfs/discovery/keys", o.keys(token.ADFS))
	o.mux.HandleFunc("GET /common/discovery/instance", o.instance)
	o.mux.HandleFunc("GET /{tenant}/oauth2/v2.0/authorize", o.authorize)
	o.mux.HandleFunc("GET /{tenant}/oauth2/authorize", o.authorize)
	o.mux.HandleFunc("GET /adfs/oauth2/authorize", o.authorize)

	o.mux.HandleFunc("GET /msi/token", o.managedIdentity)
	o.mux.HandleFunc("GET /msi/token/{$}", o.managedIdentity)
	return o
}

// ServeHTTP implements http.Handler. Tokens stay out of every cache (RFC 6749 §5.1).
func (o *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	o.mux.ServeHTTP(w, r)
}

// Serves reports whether a path is this front door's: below /adfs, /msi or a tenant's
// GUID, or the discovery of instances. A tenant that is not ours is ours to refuse.
func Serves(path string) bool {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "adfs", "msi":
		return true
	case "common":
		return rest == "discovery/instance"
	}
	_, err := uuid.Parse(first)
	return err == nil && len(first) == 36
}

// ours reports whether the path names our tenant. AD FS has none.
func (o *Door) ours(r *http.Request, f token.Form) bool {
	return f == token.ADFS || strings.EqualFold(r.PathValue("tenant"), o.Tenant())
}

// root is the address below which a form's endpoints stand, as the client reached us.
func (o *Door) root(base string, f token.Form) string {
	if f == token.ADFS {
		return base + "/adfs"
	}
	return base + "/" + o.Tenant()
}
