package azurekeyvault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
)

const (
	fakeTenant = "7d8f0c5e-6f0e-4d2a-9a53-1f0c3b2a1d00"
	fakeClient = "11111111-2222-3333-4444-555555555555"
	fakeSecret = "s3cret-canary-value"
	fakeToken  = "token-of-the-fake"
)

// fakeVault is a small Key Vault with its authority: challenge, token, list with pages,
// versions, get, throttling. Shapes and codes are those of Key Vault's REST reference.
type fakeVault struct {
	*httptest.Server
	ca *connectortest.Authority

	mu       sync.Mutex
	versions []fakeVersion // in the order of creation
	pageSize int
	busy     int // how many requests are answered 429 before the next is served
	status   int // answer of everything behind the token; 0 for the right one
	badID    bool
	requests []string
}

type fakeVersion struct {
	name, version string
	cer           []byte
	enabled       bool
	status        int // answer to get; 0 means 200
	tags          map[string]string
}

func newFakeVault(t testing.TB) *fakeVault {
	t.Helper()
	f := &fakeVault{ca: connectortest.NewAuthority(t), pageSize: 25}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", f.discovery)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", f.token)
	mux.HandleFunc("GET /certificates", f.authorized(f.list))
	mux.HandleFunc("GET /certificates/{name}/{version}", f.authorized(f.get))
	f.Server = httptest.NewUnstartedServer(mux)
	b := f.ca.Bundle(t, "payroll.vault.test", "login.vault.test")
	key, err := x509.ParsePKCS8PrivateKey(b.Key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	f.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: append([][]byte{b.Certificate}, b.Chain...), PrivateKey: key}}}
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// env leads every name to the fake, and keeps certificates checked.
func (f *fakeVault) env() connector.Env {
	return connector.Env{Transport: func(c *tls.Config) http.RoundTripper {
		return &http.Transport{TLSClientConfig: c, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, f.Listener.Addr().String())
		}}
	}}
}

func (f *fakeVault) port() string {
	_, port, _ := net.SplitHostPort(f.Listener.Addr().String())
	return port
}

func (f *fakeVault) url() string { return "https://payroll.vault.test:" + f.port() }

func (f *fakeVault) settings(t testing.TB, change map[string]any) connector.Settings {
	t.Helper()
	m := map[string]any{
		"url": f.url(), "tenant": fakeTenant, "clientId": fakeClient, "clientSecret": fakeSecret,
		"authority": "https://login.vault.test:" + f.port() + "/", "disableInstanceDiscovery": true,
		"ca": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.ca.Root.Raw})),
	}
	for k, v := range change {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fakeVault) put(vs ...fakeVersion) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions = append(f.versions, vs...)
}

func (f *fakeVault) discovery(w http.ResponseWriter, r *http.Request) {
	base := "https://login.vault.test:" + f.port() + "/" + r.PathValue("tenant")
	reply(w, 200, map[string]any{
		"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
	})
}

func (f *fakeVault) token(w http.ResponseWriter, r *http.Request) {
	resource := "https://vault.test:" + f.port() + "/.default"
	if r.PathValue("tenant") != fakeTenant || r.FormValue("client_id") != fakeClient || r.FormValue("client_secret") != fakeSecret ||
		r.FormValue("grant_type") != "client_credentials" || !slices.Contains(strings.Fields(r.FormValue("scope")), resource) {
		reply(w, 401, map[string]any{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
		return
	}
	reply(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": fakeToken})
}

// authorized answers the challenge before it looks at anything else.
func (f *fakeVault) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.requests = append(f.requests, r.Method+" "+r.URL.Path)
		if r.Header.Get("Authorization") != "Bearer "+fakeToken {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://login.vault.test:%s/%s", resource="https://vault.test:%s"`, f.port(), fakeTenant, f.port()))
			problem(w, 401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
			return
		}
		switch {
		case f.busy > 0:
			f.busy--
			w.Header().Set("Retry-After-Ms", "1")
			problem(w, 429, "Throttled", "Request was not processed because too many requests were received.")
		case f.status != 0:
			problem(w, f.status, "Forbidden", "Caller is not authorized to perform action on resource.")
		default:
			next(w, r)
		}
	}
}

func (f *fakeVault) list(w http.ResponseWriter, r *http.Request) {
	var heads []fakeVersion
	for _, v := range f.versions {
		if i := slices.IndexFunc(heads, func(h fakeVersion) bool { return h.name == v.name }); i >= 0 {
			heads[i] = v
		} else {
			heads = append(heads, v)
		}
	}
	for i := range heads {
		heads[i].version = ""
	}
	f.page(w, r, heads)
}

func (f *fakeVault) get(w http.ResponseWriter, r *http.Request) {
	name, version := r.PathValue("name"), r.PathValue("version")
	var of []fakeVersion
	for _, v := range f.versions {
		if v.name == name {
			of = append(of, v)
		}
	}
	if version == "versions" {
		f.page(w, r, of)
		return
	}
	i := slices.IndexFunc(of, func(v fakeVersion) bool { return v.version == version })
	if i < 0 {
		problem(w, 404, "CertificateNotFound", "A certificate with (name/id) "+name+"/"+version+" was not found in this key vault.")
		return
	}
	if of[i].status != 0 {
		problem(w, of[i].status, "Forbidden", "Operation get is not allowed on a disabled certificate.")
		return
	}
	b := f.item(of[i])
	b["kid"], b["sid"] = f.url()+"/keys/"+name+"/"+version, f.url()+"/secrets/"+name+"/"+version
	b["cer"] = base64.StdEncoding.EncodeToString(of[i].cer)
	reply(w, 200, b)
}

// page answers a part of a list, with an absolute link to the next.
func (f *fakeVault) page(w http.ResponseWriter, r *http.Request, vs []fakeVersion) {
	from, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	to := min(from+f.pageSize, len(vs))
	items := []map[string]any{}
	for _, v := range vs[from:to] {
		items = append(items, f.item(v))
	}
	var next any
	if to < len(vs) {
		next = fmt.Sprintf("%s%s?api-version=%s&$skiptoken=%d&maxresults=25", f.url(), r.URL.Path, r.URL.Query().Get("api-version"), to)
	}
	reply(w, 200, map[string]any{"value": items, "nextLink": next})
}

func (f *fakeVault) item(v fakeVersion) map[string]any {
	id := strings.TrimSuffix(f.url()+"/certificates/"+v.name+"/"+v.version, "/")
	if f.badID {
		id = "nonsense"
	}
	return map[string]any{
		"id": id, "x5t": "n14q2wbvyXr71Pcb58NivuiwJKk", "tags": v.tags,
		"attributes": map[string]any{"enabled": v.enabled, "nbf": 1763899400, "exp": 1795436000, "created": 1763900000, "updated": 1763900000},
	}
}

func problem(w http.ResponseWriter, status int, code, message string) {
	reply(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
