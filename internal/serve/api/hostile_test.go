package api_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hostile are values that nobody means well with: for databases, for paths, for parsers.
func hostile() []string {
	return []string{
		"\x00", "a\x00b", "\xff\xfe", "..", "%2e%2e", "' OR 1=1 --", "${jndi:x}", "\u202e\u0000", "-1", "9223372036854775808",
		strings.Repeat("a", 5000), "0000-00-00T00:00:00Z", "null", "{}", "[]", "0123456789abcdef", strings.Repeat("ab", 32), "K\u212A", "a\nb",
	}
}

// Whatever stands in a path, a query or a body, the answer is one of a client's mistakes,
// never one of ours.
func TestHostileInputIsNeverOurError(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var d document
		c.want(t, http.StatusOK, "GET /openapi.json", nil, &d)
		placeholder := regexp.MustCompile(`\{\w+\}`)
		try := func(route string, body any) {
			if status, _, b := c.send(t, route, body); status >= 500 {
				t.Errorf("%.200q with %.200v: %d %s", route, body, status, b)
			}
		}
		for path, operations := range d.Paths {
			path = strings.TrimPrefix(path, "/api/v1")
			for method, o := range operations {
				route := strings.ToUpper(method) + " "
				plain := route + placeholder.ReplaceAllString(path, "00000000-0000-4000-8000-000000000000")
				for _, value := range hostile() {
					if strings.Contains(path, "{") {
						try(route+placeholder.ReplaceAllString(path, url.PathEscape(value)), nil)
					}
					for _, p := range o.Parameters {
						if p.In == "query" {
							try(plain+"?"+url.Values{p.Name: {value}}.Encode(), nil)
						}
					}
					if method != "get" {
						try(plain, value)
					}
				}
			}
		}
	})
}

// Every text of every body, one at a time.
func TestHostileBodiesAreNeverOurError(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		for route, body := range map[string]map[string]any{
			"POST /applications":                     {"name": "a"},
			"POST /users":                            {"name": "a", "signIn": "a", "password": "correct horse battery staple"},
			"POST /assignments":                      {"principal": "x", "role": "Auditor", "scope": "/"},
			"POST /principals/x/credentials":         {"kind": "secret", "description": "x", "expires": "2030-01-01T00:00:00Z"},
			"POST /sign-in-links":                    {"principal": "x"},
			"POST /campaigns":                        {"name": "a", "targets": []any{"nothing.invalid"}, "exclude": []any{"x"}, "ports": "443"},
			"POST /lineages":                         {"name": "a", "owner": "b", "profile": "tls-server", "authority": "issuing", "commonName": "a", "names": map[string]any{"dns": []any{"a.example.com"}}, "key": "P-256", "validity": "30d", "keep": map[string]any{"vault": "default", "name": "a"}},
			"POST /connections":                      {"name": "a", "connector": "files", "settings": map[string]any{"roots": []any{"/nothing"}}},
			"POST /requests":                         {"lineage": "x", "comment": "x", "once": "x"},
			"POST /profiles/tls-server/certificates": {"csr": "x", "authority": "issuing", "commonName": "x", "request": "x", "names": map[string]any{"dns": []any{"x"}, "ip": []any{"x"}}},
			"POST /observations":                     {"observations": []any{map[string]any{"host": "x", "ip": "127.0.0.1", "port": 1, "sni": "x", "state": "present", "chain": []any{"MAA="}, "problem": "x", "tls": map[string]any{"version": "x"}}}},
			"POST /certificates/" + strings.Repeat("ab", 32) + "/revoke": {"reason": "unspecified", "comment": "x", "once": "x"},
		} {
			for i := range texts(body, "", -1) {
				for _, value := range hostile() {
					changed := clone(body).(map[string]any)
					texts(changed, value, i)
					if status, _, b := c.send(t, route, changed); status >= 500 {
						t.Errorf("%s with %.300v: %d %s", route, changed, status, b)
					}
				}
			}
		}
	})
}

// texts counts the texts within a value, and replaces the one with the index, if any.
func texts(v any, value string, index int) int {
	n := 0
	var visit func(v any) any
	visit = func(v any) any {
		switch v := v.(type) {
		case string:
			if n++; n-1 == index {
				return value
			}
			return v
		case []any:
			for i := range v {
				v[i] = visit(v[i])
			}
			return v
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				v[name] = visit(v[name])
			}
			return v
		}
		return v
	}
	visit(v)
	return n
}

// clone copies maps and lists, all the way down.
func clone(v any) any {
	switch v := v.(type) {
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = clone(v[i])
		}
		return c
	case map[string]any:
		c := map[string]any{}
		for name := range v {
			c[name] = clone(v[name])
		}
		return c
	}
	return v
}
