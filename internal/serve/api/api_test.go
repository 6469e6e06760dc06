package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/storage/storagetest"
)

// each runs f against a product on SQLite and one on PostgreSQL.
func each(t *testing.T, f func(t *testing.T, c *client)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); f(t, administrator(t, apptest.Start(t))) })
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		url := storagetest.Postgres(t)
		f(t, administrator(t, apptest.Start(t, func(c *config.Config) { c.Database = url })))
	})
}

// client speaks to the API as one principal.
type client struct {
	*apptest.Product
	bearer string
}

func administrator(t *testing.T, p *apptest.Product) *client {
	t.Helper()
	return &client{p, p.Application(t, "admin", "/", "Administrator", "Key Vault Administrator")}
}

// as is the same API for somebody with other roles.
func (c *client) as(t *testing.T, roles ...string) *client {
	t.Helper()
	return &client{c.Product, c.Application(t, strings.Join(roles, " "), "/", roles...)}
}

// send makes a request, such as "GET /vaults" below /api/v1, and returns the status, the header and the body.
func (c *client) send(t *testing.T, route string, body any) (int, http.Header, []byte) {
	t.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(j)
	}
	method, path, _ := strings.Cut(route, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, c.URL+"/api/v1"+path, content)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	res, err := c.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, b
}

// want makes a request that must be answered with the status, and decodes the answer.
func (c *client) want(t *testing.T, status int, route string, body, into any) {
	t.Helper()
	got, _, b := c.send(t, route, body)
	if got != status {
		t.Fatalf("%s: %d, want %d: %s", route, got, status, b)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v: %s", route, err, b)
	}
}

// refused makes a request that must be refused with the status and code, as a problem.
func (c *client) refused(t *testing.T, status int, code, route string, body any) problem {
	t.Helper()
	got, h, b := c.send(t, route, body)
	var p problem
	if err := json.Unmarshal(b, &p); err != nil || h.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%s: %d, no problem: %s", route, got, b)
	}
	if got != status || p.Status != status || p.Code != code || p.Detail == "" || p.Request == "" || p.Request != h.Get("X-Request-Id") {
		t.Errorf("%s: %d %+v, want %d %s", route, got, p, status, code)
	}
	return p
}

type problem struct {
	Title, Detail, Code, Request string
	Status                       int
	Errors                       []struct{ Location, Message string }
}

type list[T any] struct {
	Items []T
	Next  string
}

// document is what the tests read of the OpenAPI document.
type document struct {
	OpenAPI  string
	Security []map[string][]string
	Paths    map[string]map[string]struct {
		OperationID string
		Summary     string
		Tags        []string
		Parameters  []struct{ Name, In string }
		Responses   map[string]struct {
			Content map[string]any
		}
		Action *string `json:"x-action"`
		Scope  *string `json:"x-scope"`
	}
	Components struct{ Schemas map[string]any }
}

func TestDocumentRefersToWhatItHolds(t *testing.T) {
	c := &client{Product: apptest.Start(t)}
	var d document
	c.want(t, http.StatusOK, "GET /openapi.json", nil, &d)
	_, _, text := c.send(t, "GET /openapi.json", nil)

	refs := regexp.MustCompile(`"\$ref":"#/components/schemas/(\w+)"`).FindAllSubmatch(text, -1)

	used := map[string]bool{}
	for _, r := range refs {
		if used[string(r[1])] = true; d.Components.Schemas[string(r[1])] == nil {
			t.Errorf("schema %s is not there", r[1])
		}
	}
	for name := range d.Components.Schemas {
		if !used[name] {
			t.Errorf("schema %s is used by nobody", name)
		}
	}
}

func TestEveryOperationIsDescribed(t *testing.T) {
	c := &client{Product: apptest.Start(t)}
	var d document

	c.want(t, http.StatusOK, "GET /openapi.json", nil, &d)

	if !strings.HasPrefix(d.OpenAPI, "3.1") || len(d.Security) == 0 || len(d.Paths) < 10 {
		t.Fatalf("version %q, security %v, %d paths", d.OpenAPI, d.Security, len(d.Paths))
	}
	seen := map[string]bool{}
	for path, operations := range d.Paths {
		for method, o := range operations {
			at := strings.ToUpper(method) + " " + path
			if !regexp.MustCompile(`^[a-z]+[A-Za-z]+$`).MatchString(o.OperationID) || seen[o.OperationID] {
				t.Errorf("%s: operation id %q is missing or there twice", at, o.OperationID)
			}
			seen[o.OperationID] = true
			if o.Summary == "" || len(o.Tags) != 1 {
				t.Errorf("%s: summary %q, tags %v", at, o.Summary, o.Tags)
			}
			if o.Action == nil || o.Scope == nil || !regexp.MustCompile(`^(|Chatelaine/.+|Microsoft\.KeyVault/vaults/.+)$`).MatchString(*o.Action) {
				t.Errorf("%s: action %v, scope %v", at, o.Action, o.Scope)
			}
			for _, status := range []string{"401", "403", "422", "500", "503"} {
				if _, ok := o.Responses[status].Content["application/problem+json"]; !ok {
					t.Errorf("%s: no problem for %s", at, status)
				}
			}
			for _, p := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				found := false
				for _, q := range o.Parameters {
					found = found || q.In == "path" && q.Name == p[1]
				}
				if !found {
					t.Errorf("%s: path parameter %s is not described", at, p[1])
				}
			}
		}
	}
}

func TestEveryRouteNeedsAToken(t *testing.T) {
	c := &client{Product: apptest.Start(t)}
	var d document
	c.want(t, http.StatusOK, "GET /openapi.json", nil, &d)
	placeholder := regexp.MustCompile(`\{\w+\}`)
	for path, operations := range d.Paths {
		at := placeholder.ReplaceAllString(strings.TrimPrefix(path, "/api/v1"), "x")
		for method := range operations {
			for _, bearer := range []string{"", "not.a.token"} {
				c.bearer = bearer
				code, h, _ := c.send(t, strings.ToUpper(method)+" "+at, nil)
				if code != http.StatusUnauthorized || !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s %s with token %q: %d", method, at, bearer, code)
				}
			}
		}
	}
	c.bearer = ""
	if code, _, _ := c.send(t, "GET /no/such/path", nil); code != http.StatusUnauthorized {
		t.Errorf("a stranger learns which paths exist: %d", code)
	}
}

func TestWhatIsWrongWithARequestIsSaid(t *testing.T) {
	c := administrator(t, apptest.Start(t))

	p := c.refused(t, 422, "InvalidRequest", "GET /vaults?limit=100000", nil)
	if len(p.Errors) != 1 || p.Errors[0].Location != "query.limit" || !strings.Contains(p.Detail, "500") {
		t.Errorf("%+v", p)
	}
	c.refused(t, 422, "InvalidRequest", "GET /vaults?limmit=1", nil)
	p = c.refused(t, 422, "InvalidRequest", "POST /users", map[string]any{"name": "Ada", "signIn": "ada", "password": []string{"canary"}})
	if b, _ := json.Marshal(p); strings.Contains(string(b), "canary") {
		t.Errorf("the answer repeats a secret: %s", b)
	}
	c.refused(t, 422, "InvalidRequest", "POST /users", map[string]any{"name": "Ada", "signIn": "ada", "password": "x", "colour": "red"})
	c.refused(t, 400, "InvalidRequest", "POST /users", `{"name":`)
	c.refused(t, 413, "InvalidRequest", "POST /users", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`)
	c.refused(t, 404, "UnknownPath", "GET /no/such/path", nil)
	c.refused(t, 405, "MethodNotAllowed", "DELETE /vaults", nil)
	c.refused(t, 404, "VaultNotFound", "GET /vaults/nowhere", nil)
	if _, h, _ := c.send(t, "DELETE /vaults", nil); h.Get("Allow") != "GET" {
		t.Errorf("Allow: %q", h.Get("Allow"))
	}
}
