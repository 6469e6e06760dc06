package api_test

import (
	"net/http"
	"testing"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

type version struct {
	ID              string
	Latest, Enabled bool
}

// add makes a version of the object "a" of a kind.
func add(t *testing.T, c *client, k object.Kind) {
	t.Helper()
	r := object.Ref{Vault: "default", Name: "a-" + string(k)}
	var err error
	switch k {
	case object.Keys:
		_, err = c.Keys.Create(t.Context(), apptest.System, r, keys.CreateRequest{Type: "EC"})
	case object.Secrets:
		_, err = c.Secrets.Set(t.Context(), apptest.System, r, secrets.SetRequest{Value: "v"})
	case object.Certificates:
		_, err = c.Certificates.Create(t.Context(), apptest.System, r, certificates.CreateRequest{Policy: &policy.Policy{
			Issuer: &policy.Issuer{Name: "Self"}, X509: &policy.X509Properties{Subject: "CN=a"},
		}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneVersionOfEveryKindIsDisabledAndDeleted(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		for _, k := range []object.Kind{object.Keys, object.Secrets, object.Certificates} {
			for range 3 {
				add(t, c, k)
			}
			path := "/vaults/default/" + string(k) + "/a-" + string(k) + "/versions"
			var first, l list[version]
			c.want(t, http.StatusOK, "GET "+path+"?limit=2", nil, &first)
			if len(first.Items) != 2 || first.Next == "" || first.Items[0].Latest {
				t.Fatalf("%s: first page %+v", k, first)
			}
			c.want(t, http.StatusOK, "GET "+path+"?limit=2&after="+first.Next, nil, &l)
			if len(l.Items) != 1 || l.Next != "" || !l.Items[0].Latest || !l.Items[0].Enabled {
				t.Fatalf("%s: second page %+v", k, l)
			}
			latest := l.Items[0].ID

			var x version
			c.want(t, http.StatusOK, "PATCH "+path+"/"+latest, map[string]any{"enabled": false}, &x)
			if x.ID != latest || x.Enabled {
				t.Errorf("%s: disabled %+v", k, x)
			}
			c.want(t, http.StatusNoContent, "DELETE "+path+"/"+latest, nil, nil)

			c.want(t, http.StatusOK, "GET "+path, nil, &l)
			if len(l.Items) != 2 || l.Items[1].ID == latest || !l.Items[1].Latest || !l.Items[1].Enabled {
				t.Errorf("%s: what is left %+v", k, l)
			}
			c.refused(t, http.StatusNotFound, k.Title()+"NotFound", "DELETE "+path+"/"+latest, nil)
			c.want(t, http.StatusNoContent, "DELETE "+path+"/"+l.Items[0].ID, nil, nil)
			c.refused(t, http.StatusConflict, "OnlyVersion", "DELETE "+path+"/"+l.Items[1].ID, nil)
		}
	})
}
