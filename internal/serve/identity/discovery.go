package identity

import (
	"net/http"
	"net/url"
	"strings"

	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/serve/web"
)

// configuration is what clients learn about a form's endpoints (OpenID Connect Discovery
// §3). MSAL insists on an authorization endpoint, which we have only to decline.
type configuration struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Keys          string   `json:"jwks_uri"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Grants        []string `json:"grant_types_supported"`
	Responses     []string `json:"response_types_supported"`
	Subjects      []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	Scopes        []string `json:"scopes_supported"`
	Claims        []string `json:"claims_supported"`
}

func (o *Door) discovery(f token.Form) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !o.ours(r, f) {
			o.fail(w, r, badTenant(r.PathValue("tenant")))
			return
		}
		base := web.Base(r, o.Domain)
		root := o.root(base, f)
		c := configuration{
			Issuer: o.Tokens.Issuer(base, f), Authorization: root + "/oauth2/authorize", Token: root + "/oauth2/token", Keys: root + "/discovery/keys",
			AuthMethods: []string{"client_secret_post", "client_secret_basic"}, Grants: []string{"client_credentials"}, Responses: []string{"none"},
			Subjects: []string{"public"}, Algorithms: []string{"ES256"}, Scopes: []string{"openid"},
			Claims: []string{"aud", "iss", "iat", "nbf", "exp", "appid", "azp", "oid", "sub", "tid", "idtyp", "ver"},
		}
		if f == token.V2 {
			c.Authorization, c.Token, c.Keys = root+"/oauth2/v2.0/authorize", root+"/oauth2/v2.0/token", root+"/discovery/v2.0/keys"
		}
		web.JSON(w, http.StatusOK, c)
	}
}

func (o *Door) keys(f token.Form) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !o.ours(r, f) {
			o.fail(w, r, badTenant(r.PathValue("tenant")))
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300") // less than the life of a token
		web.JSON(w, http.StatusOK, o.Tokens.KeySet())
	}
}

// instances is what clients ask before they trust a host with a secret.
type instances struct {
	Endpoint string     `json:"tenant_discovery_endpoint"`
	Version  string     `json:"api-version"`
	Metadata []instance `json:"metadata"`
}

type instance struct {
	Network string   `json:"preferred_network"`
	Cache   string   `json:"preferred_cache"`
	Aliases []string `json:"aliases"`
}

// instance vouches for this host and for no other.
func (o *Door) instance(w http.ResponseWriter, r *http.Request) {
	base := web.Base(r, o.Domain)
	host := strings.TrimPrefix(base, "https://")
	asked, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || asked.Scheme != "https" || !strings.EqualFold(asked.Host, host) {
		o.fail(w, r, &aadError{status: http.StatusBadRequest, word: "invalid_instance", code: 50049, text: "Unknown or invalid instance. This server vouches for https://" + host + " alone."})
		return
	}
	f, root := token.V2, o.root(base, token.V2)+"/v2.0"
	if strings.HasPrefix(asked.Path, "/adfs/") {
		f, root = token.ADFS, o.root(base, token.ADFS)
	}
	if tenant, _, _ := strings.Cut(strings.TrimPrefix(asked.Path, "/"), "/"); f == token.V2 && !strings.EqualFold(tenant, o.Tenant()) {
		o.fail(w, r, badTenant(tenant))
		return
	}
	web.JSON(w, http.StatusOK, instances{
		Endpoint: root + "/.well-known/openid-configuration", Version: "1.1",
		Metadata: []instance{{Network: host, Cache: host, Aliases: []string{host}}},
	})
}

// authorize declines people: they sign in at the console.
func (o *Door) authorize(w http.ResponseWriter, r *http.Request) {
	o.fail(w, r, &aadError{status: http.StatusBadRequest, word: "unsupported_response_type", code: 700054,
		text: "This server issues tokens to programs alone. People sign in at " + web.Base(r, o.Domain) + "."})
}
