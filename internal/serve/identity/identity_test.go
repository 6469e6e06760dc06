package identity_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/serve/identity"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/storage/storagetest"
)

type world struct {
	*accesstest.Floor
	handler http.Handler
	log     bytes.Buffer
}

func newWorld(t *testing.T) *world {
	w := &world{Floor: accesstest.New(t, storagetest.SQLite(t))}
	door := identity.New(identity.Deps{Tokens: w.Tokens, Tenant: w.Directory.Tenant, Domain: accesstest.Domain, Now: w.Time})
	w.handler = web.Wrap(web.Protect(door), web.Options{Log: slog.New(slog.NewJSONHandler(&w.log, nil)), Now: time.Now, MaxBody: 1 << 20})
	return w
}

// do sends a request to https://localhost:8443 and decodes the JSON of its answer.
func (w *world) do(t *testing.T, r *http.Request) (int, map[string]any) {
	t.Helper()
	r.Host = "localhost:8443"
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Header().Get("Cache-Control") == "" {
		t.Errorf("%s may be cached", r.URL.Path)
	}
	var m map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil {
		t.Fatalf("%s %s: %d %q", r.Method, r.URL, rec.Code, rec.Body)
	}
	return rec.Code, m
}

func (w *world) get(t *testing.T, path string) (int, map[string]any) {
	t.Helper()
	return w.do(t, httptest.NewRequest(http.MethodGet, path, nil))
}

func post(path string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

func (w *world) form(changes ...string) url.Values {
	f := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {w.Admin.ClientID}, "client_secret": {w.Admin.Secret.Reveal()},
		"scope": {"https://localhost:8443/.default openid offline_access profile"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			f.Del(changes[i])
		} else {
			f.Set(changes[i], changes[i+1])
		}
	}
	return f
}

// A relying party that follows discovery finds the endpoint, and verifies the token with
// nothing but what is published.
func TestDiscoveryLeadsToATokenThatVerifies(t *testing.T) {
	w := newWorld(t)
	tenant := w.Admin.Tenant
	for _, c := range []struct{ where, issuer, version string }{
		{"/" + tenant + "/v2.0", "https://localhost:8443/" + tenant + "/v2.0", "2.0"},
		{"/" + strings.ToUpper(tenant) + "/v2.0", "https://localhost:8443/" + tenant + "/v2.0", "2.0"},
		{"/" + tenant, "https://localhost:8443/" + tenant + "/", "1.0"},
		{"/adfs", "https://localhost:8443/adfs", "1.0"},
	} {
		status, doc := w.get(t, c.where+"/.well-known/openid-configuration")
		if status != 200 || doc["issuer"] != c.issuer || doc["authorization_endpoint"] == "" {
			t.Fatalf("%s: %d %v", c.where, status, doc)
		}
		endpoint := strings.TrimPrefix(doc["token_endpoint"].(string), "https://localhost:8443")
		form := w.form()
		if c.version == "1.0" && c.where != "/adfs" {
			form = w.form("scope", "", "resource", "https://localhost:8443")
		}
		status, answer := w.do(t, post(endpoint+"?client-request-id=x", form))
		if status != 200 || !strings.EqualFold(answer["token_type"].(string), "Bearer") {
			t.Fatalf("%s: %d %v", endpoint, status, answer)
		}
		on := strconv.FormatInt(w.Time().Add(time.Hour).Unix(), 10)
		if c.version == "1.0" && c.where != "/adfs" { // Entra's version 1 has text for numbers
			if answer["expires_in"] != "3600" || answer["expires_on"] != on || answer["resource"] != "https://localhost:8443" {
				t.Errorf("%s: %v", c.where, answer)
			}
		} else if answer["expires_in"] != 3600.0 || answer["expires_on"] != nil {
			t.Errorf("%s: %v", c.where, answer)
		}
		_, keys := w.get(t, strings.TrimPrefix(doc["jwks_uri"].(string), "https://localhost:8443"))
		b, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(b, &set); err != nil || strings.Contains(string(b), `"d"`) {
			t.Fatalf("key set %s: %v", b, err)
		}
		parsed, err := jwt.ParseSigned(answer["access_token"].(string), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.Claims
		var more struct {
			Ver string `json:"ver"`
			Oid string `json:"oid"`
		}
		if err := parsed.Claims(set, &claims, &more); err != nil {
			t.Fatalf("%s: the published keys do not verify the token: %v", c.where, err)
		}
		if err := claims.Validate(jwt.Expected{Issuer: doc["issuer"].(string), AnyAudience: jwt.Audience{"https://localhost:8443"}, Time: w.Time()}); err != nil {
			t.Errorf("%s: %v", c.where, err)
		}
		if more.Ver != c.version || more.Oid != w.Admin.ID {
			t.Errorf("%s: %+v", c.where, more)
		}
		if _, err := w.Tokens.Authenticate(t.Context(), answer["access_token"].(string), "https://localhost:8443"); err != nil {
			t.Errorf("%s: we ourselves: %v", c.where, err)
		}
	}
}

func TestWrongRequestsAreRefusedAsEntraDoes(t *testing.T) {
	w := newWorld(t)
	v2 := "/" + w.Admin.Tenant + "/oauth2/v2.0/token"
	other := w.Application(t, "other", "", "/")
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(user), url.QueryEscape(password)) }
	}
	twice := func(name string) *http.Request {
		f := w.form()
		f.Add(name, f.Get(name))
		return post(v2, f)
	}
	with := func(r *http.Request, change func(*http.Request)) *http.Request { change(r); return r }
	var descriptions []string
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		word   string
		code   float64
	}{
		"wrong secret":         {post(v2, w.form("client_secret", "wrong")), 401, "invalid_client", 7000215},
		"unknown client":       {post(v2, w.form("client_id", "00000000-0000-0000-0000-000000000001")), 401, "invalid_client", 7000215},
		"another's id":         {post(v2, w.form("client_id", other.Application)), 401, "invalid_client", 7000215},
		"id that is no GUID":   {post(v2, w.form("client_id", "' OR 1=1 --")), 401, "invalid_client", 7000215},
		"header as secret":     {post(v2, w.form("client_secret", w.Admin.Header.Reveal())), 401, "invalid_client", 7000215},
		"wrong on ADFS":        {post("/adfs/oauth2/token", w.form("client_secret", "wrong")), 401, "invalid_client", 7000215},
		"wrong by Basic":       {with(post(v2, w.form("client_id", "", "client_secret", "")), basic(w.Admin.ClientID, "wrong")), 401, "invalid_client", 7000215},
		"no secret":            {post(v2, w.form("client_secret", "")), 401, "invalid_client", 7000218},
		"assertion":            {post(v2, w.form("client_secret", "", "client_assertion", "x")), 401, "invalid_client", 700024},
		"no client":            {post(v2, w.form("client_id", "")), 400, "invalid_request", 900144},
		"no grant":             {post(v2, w.form("grant_type", "")), 400, "invalid_request", 900144},
		"password grant":       {post(v2, w.form("grant_type", "password")), 400, "unsupported_grant_type", 70003},
		"no scope":             {post(v2, w.form("scope", "")), 400, "invalid_request", 900144},
		"OpenID's scopes only": {post(v2, w.form("scope", "openid profile")), 400, "invalid_request", 900144},
		"no .default":          {post(v2, w.form("scope", "https://localhost:8443/x")), 400, "invalid_scope", 1002012},
		"two resources":        {post(v2, w.form("scope", "https://localhost/.default https://localhost:8443/.default")), 400, "invalid_scope", 1002012},
		"unknown resource":     {post(v2, w.form("scope", "https://graph.microsoft.com/.default")), 400, "invalid_resource", 500011},
		"unknown tenant":       {post("/00000000-0000-0000-0000-000000000001/oauth2/v2.0/token", w.form()), 400, "invalid_request", 90002},
		"twice":                {twice("client_id"), 400, "invalid_request", 9000410},
		"two secrets":          {with(post(v2, w.form()), basic(w.Admin.ClientID, w.Admin.Secret.Reveal())), 400, "invalid_request", 9000410},
		"two clients":          {with(post(v2, w.form("client_secret", "", "client_id", other.Application)), basic(w.Admin.ClientID, w.Admin.Secret.Reveal())), 400, "invalid_request", 9000410},
		"secret in address":    {post(v2+"?client_secret="+url.QueryEscape(w.Admin.Secret.Reveal()), w.form("client_secret", "")), 401, "invalid_client", 7000218},
		"JSON":                 {with(post(v2, w.form()), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 400, "invalid_request", 900144},
		"long":                 {post(v2, w.form("x", strings.Repeat("x", 20<<10))), 400, "invalid_request", 900144},
	} {
		c.r.Header.Set("Client-Request-Id", "5e2c8b0a-7f0d-4c4b-9d2b-0123456789ab")
		status, m := w.do(t, c.r)
		codes, _ := m["error_codes"].([]any)
		if status != c.status || m["error"] != c.word || len(codes) != 1 || codes[0] != c.code {
			t.Errorf("%s: %d %v", name, status, m)
			continue
		}
		if m["correlation_id"] != "5e2c8b0a-7f0d-4c4b-9d2b-0123456789ab" || m["trace_id"] == "" || m["timestamp"] == "" || m["access_token"] != nil {
			t.Errorf("%s: %v", name, m)
		}
		if c.code == 7000215 {
			before, _, _ := strings.Cut(m["error_description"].(string), " Trace ID:")
			descriptions = append(descriptions, before)
		}
	}
	for _, d := range descriptions {
		if d != descriptions[0] || !strings.HasPrefix(d, "AADSTS7000215: ") {
			t.Errorf("a wrong client is told %q, another %q", d, descriptions[0])
		}
	}
	if n := len(w.Records(t, "TokenIssued")); n != 0 {
		t.Errorf("%d tokens were issued", n)
	}
	if err := w.Refusals.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(w.Records(t, "TokenRefused")); n == 0 || n > 8 { // four kinds, each the first at once and the rest as one
		t.Errorf("%d records of refusals", n)
	}
	if strings.Contains(w.log.String(), w.Admin.Secret.Reveal()) || strings.Contains(w.log.String(), w.Admin.Header.Reveal()) {
		t.Error("a secret is in the log")
	}

	status, _ := w.do(t, with(post(v2, w.form("client_id", "", "client_secret", "")), basic(w.Admin.ClientID, w.Admin.Secret.Reveal())))
	if status != 200 {
		t.Errorf("the right secret by Basic: %d", status)
	}
}

func TestManagedIdentityEndpoint(t *testing.T) {
	w := newWorld(t)
	ask := func(query string, headers ...string) (int, map[string]any) {
		r := httptest.NewRequest(http.MethodGet, "/msi/token?"+query, nil)
		r.Header["X-Identity-Header"] = headers
		return w.do(t, r)
	}
	header := w.Admin.Header.Reveal()
	for _, query := range []string{
		"api-version=2019-08-01&resource=https%3A%2F%2Flocalhost%3A8443", "resource=https://localhost:8443&api%2Dversion=2019%2D08%2D01&client_id=" + w.Admin.ClientID,
	} {
		status, m := ask(query, header)
		if status != 200 || m["token_type"] != "Bearer" || m["resource"] != "https://localhost:8443" || m["client_id"] != w.Admin.ClientID {
			t.Fatalf("%s: %d %v", query, status, m)
		}
		if exp, err := time.ParseDuration(m["expires_on"].(string) + "s"); err != nil || exp != time.Duration(w.Time().Add(time.Hour).Unix())*time.Second {
			t.Errorf("expires_on %v", m["expires_on"])
		}
		if _, err := w.Tokens.Authenticate(t.Context(), m["access_token"].(string), "https://localhost:8443"); err != nil {
			t.Error(err)
		}
	}
	good := "api-version=2019-08-01&resource=https://localhost:8443"
	for name, c := range map[string]struct {
		query   string
		headers []string
		status  int
	}{
		"no header":        {good, nil, 401},
		"empty header":     {good, []string{""}, 401},
		"two headers":      {good, []string{header, header}, 401},
		"wrong header":     {good, []string{"wrong"}, 401},
		"client secret":    {good, []string{w.Admin.Secret.Reveal()}, 401},
		"other client":     {good + "&client_id=00000000-0000-0000-0000-000000000001", []string{header}, 401},
		"resource id":      {good + "&mi_res_id=/subscriptions/x", []string{header}, 400},
		"no version":       {"resource=https://localhost:8443", []string{header}, 400},
		"no resource":      {"api-version=2019-08-01", []string{header}, 400},
		"unknown resource": {"api-version=2019-08-01&resource=https://graph.microsoft.com", []string{header}, 400},
	} {
		status, m := ask(c.query, c.headers...)
		if status != c.status || m["statusCode"] != float64(c.status) || m["message"] == "" || m["error"] == "" || m["access_token"] != nil {
			t.Errorf("%s: %d %v", name, status, m)
		}
	}
}

func TestInstanceDiscoveryVouchesForThisHostAlone(t *testing.T) {
	w := newWorld(t)
	ask := func(endpoint string) (int, map[string]any) {
		return w.get(t, "/common/discovery/instance?api-version=1.1&authorization_endpoint="+url.QueryEscape(endpoint))
	}
	status, m := ask("https://localhost:8443/" + w.Admin.Tenant + "/oauth2/v2.0/authorize")
	if status != 200 || m["tenant_discovery_endpoint"] != "https://localhost:8443/"+w.Admin.Tenant+"/v2.0/.well-known/openid-configuration" {
		t.Errorf("%d %v", status, m)
	}
	for endpoint, word := range map[string]string{
		"https://evil.example.com/" + w.Admin.Tenant + "/oauth2/v2.0/authorize":             "invalid_instance",
		"https://localhost:8443@evil.example.com/x/authorize":                               "invalid_instance",
		"http://localhost:8443/" + w.Admin.Tenant + "/authorize":                            "invalid_instance",
		"https://localhost:8443/00000000-0000-0000-0000-000000000001/oauth2/v2.0/authorize": "invalid_request",
		"": "invalid_instance",
	} {
		if status, m := ask(endpoint); status != 400 || m["error"] != word {
			t.Errorf("%q: %d %v", endpoint, status, m)
		}
	}
	if status, m := w.get(t, "/adfs/oauth2/authorize?response_type=code"); status != 400 || m["error"] != "unsupported_response_type" {
		t.Errorf("authorize: %d %v", status, m)
	}
}

func TestEveryFailureOfTheStoreIsOurs(t *testing.T) {
	w := newWorld(t)
	w.FailAudit(true)
	status, m := w.do(t, post("/adfs/oauth2/token", w.form()))
	if status != 500 || m["error"] != "server_error" || m["access_token"] != nil {
		t.Errorf("a token without a record: %d %v", status, m)
	}
	status, m = w.do(t, post("/adfs/oauth2/token", w.form("client_secret", "wrong")))
	if status != 500 || m["error"] != "server_error" {
		t.Errorf("a refusal without a record: %d %v", status, m)
	}
}

func TestDoorKnowsItsPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/adfs/oauth2/token": true, "/adfs/x": true, "/msi/token": true, "/common/discovery/instance": true,
		"/5e2c8b0a-7f0d-4c4b-9d2b-0123456789ab/oauth2/token": true, "/5E2C8B0A-7F0D-4C4B-9D2B-0123456789AB/x": true,
		"/": false, "/api/v1/vaults": false, "/common/x": false, "/certificates/5e2c8b0a-7f0d-4c4b-9d2b-0123456789ab": false, "/5e2c8b0a7f0d4c4b9d2b0123456789ab/x": false,
		"/sign-in": false, "/adfsx": false,
	} {
		if identity.Serves(path) != want {
			t.Errorf("%s: want %v", path, want)
		}
	}
}

func TestDisabledApplicationIsToldNothing(t *testing.T) {
	w := newWorld(t)
	who := w.Application(t, "shop", "", "/")
	_, secret, err := w.Directory.AddCredential(t.Context(), w.Administrator(), who.Principal, directory.NewCredential{Kind: directory.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	form := w.form("client_id", who.Application, "client_secret", secret.Reveal())
	if status, _ := w.do(t, post("/adfs/oauth2/token", form)); status != 200 {
		t.Fatalf("before: %d", status)
	}
	if _, err := w.Directory.SetEnabled(t.Context(), w.Administrator(), who.Principal, false); err != nil {
		t.Fatal(err)
	}
	status, m := w.do(t, post("/adfs/oauth2/token", form))
	_, unknown := w.do(t, post("/adfs/oauth2/token", w.form("client_id", "00000000-0000-0000-0000-000000000001", "client_secret", access.Generate("").Reveal())))
	cut := func(m map[string]any) string {
		s, _, _ := strings.Cut(m["error_description"].(string), " Trace")
		return s
	}
	if status != 401 || cut(m) != cut(unknown) {
		t.Errorf("%d %v, unknown %v", status, m, unknown)
	}
}
