package arm

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chatelaine.dev/internal/serve/arm/wire"
)

var some = newRoutes([]wire.Operation{
	{Name: "vault", Method: http.MethodGet, Path: "/subscriptions/{subscription}/vaults/{vault}"},
	{Name: "deleted", Method: http.MethodGet, Path: "/subscriptions/{subscription}/vaults/deleted"},
	{Name: "role", Method: http.MethodPut, Path: "/{scope...}/providers/roles/{name}"},
})

func TestRouterFindsTheMostParticularRoute(t *testing.T) {
	for _, c := range []struct{ method, path, name, param string }{
		{"GET", "/subscriptions/S/vaults/a", "vault", "a"},
		{"get", "//SUBSCRIPTIONS/S//vaults/a/", "vault", "a"},
		{"GET", "/subscriptions/S/vaults/Deleted", "deleted", ""},
		{"PUT", "/providers/roles/r", "role", ""},
		{"PUT", "/a/b%20c/d/providers/roles/r", "role", ""},
		{"PUT", "/subscriptions/S/vaults/a", "", ""},
		{"GET", "/subscriptions/S/vaults", "", ""},
		{"GET", "/subscriptions/S/vaults/a%2Fb", "", ""},
		{"GET", "/subscriptions/S/vaults/%zz", "", ""},
		{"PUT", "/roles/r", "", ""},
	} {
		op, params, ok, _ := find(some, c.method, c.path)
		if op.Name != c.name || ok != (c.name != "") || params["vault"] != c.param {
			t.Errorf("%s %s: %q %v %v", c.method, c.path, op.Name, params, ok)
		}
	}
	if _, params, _, _ := find(some, "PUT", "/a/b%20c/d/providers/roles/r"); params["scope"] != "/a/b c/d" || params["name"] != "r" {
		t.Errorf("scope %q", params)
	}
	if _, _, ok, known := find(some, "POST", "/subscriptions/S/vaults/a"); ok || !known {
		t.Error("another method of a path that there is")
	}
}

// Every path of a stranger comes by here before a token is looked at.
func FuzzFind(f *testing.F) {
	f.Add("GET", "/subscriptions/S/vaults/a")
	f.Add("PUT", "/a/%2e%2e/providers/roles/r")
	f.Add("PUT", "//%")
	f.Fuzz(func(t *testing.T, method, path string) {
		_, params, ok, known := find(some, method, path)
		if ok && !known {
			t.Errorf("%s %q is found and not known", method, path)
		}
		for name, v := range params {
			if name != "scope" && (strings.Contains(v, "/") || v == "") {
				t.Errorf("%s %q: %s is %q", method, path, name, v)
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add("name eq 'a' and resourceType eq 'b''c'")
	f.Add("name eq '")
	f.Fuzz(func(t *testing.T, text string) {
		q := wire.Request{Query: url.Values{"$filter": {text}}}
		found, err := q.Filter("name", "resourcetype")
		if err != nil && found != nil {
			t.Errorf("%q: %v beside %v", text, found, err)
		}
		for name := range found {
			if name != "name" && name != "resourcetype" {
				t.Errorf("%q has %q", text, name)
			}
		}
	})
}
