package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"filippo.io/age"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// person is somebody whom the product itself has made.
func (c *client) person(t *testing.T, name, role string) *client {
	t.Helper()
	return &client{Product: c.Product, bearer: c.Application(t, name, access.Root, role)}
}

// raw makes a request whose body, or whose answer, is no JSON.
func (c *client) raw(t *testing.T, route, contentType string, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, c.URL+"/api/v1"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.bearer)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
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
	return res, b
}

type exportRequest struct{ ID, State, Digest string }

func TestVaultIsExportedAndImportedOverTheAPI(t *testing.T) {
	each(t, func(t *testing.T, admin *client) {
		ann, bob := admin.person(t, "ann", access.KeyVaultAdministratorRole), admin.person(t, "bob", "Approver")
		for n := range 120 { // more than the bodies of other operations may have
			if _, err := admin.Secrets.Set(t.Context(), apptest.System, object.Ref{Vault: "default", Name: fmt.Sprintf("s-%d", n)},
				secrets.SetRequest{Value: secrets.Value(strings.Repeat("v", 20_000))}); err != nil {
				t.Fatal(err)
			}
		}
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		ask := map[string]any{"recipients": []string{id.Recipient().String()}, "keys": true}
		ann.refused(t, http.StatusConflict, "ExportNotAllowed", "POST /vaults/default/exports", ask)
		admin.want(t, http.StatusOK, "PUT /vaults/default/export-policy", map[string]any{"allow": "all"}, nil)
		var policy struct{ Allow string }
		bob.want(t, http.StatusOK, "GET /vaults/default/export-policy", nil, &policy)
		if policy.Allow != "all" {
			t.Errorf("policy %+v", policy)
		}

		var r exportRequest
		ann.want(t, http.StatusCreated, "POST /vaults/default/exports", ask, &r)
		path := "/vaults/default/exports/" + r.ID
		ann.want(t, http.StatusOK, "GET "+path, nil, &r)
		ann.refused(t, http.StatusForbidden, "ForbiddenByRbac", "POST "+path+"/approve", map[string]any{"digest": r.Digest})
		ann.refused(t, http.StatusConflict, "NotApproved", "GET "+path+"/file", nil)
		bob.want(t, http.StatusOK, "POST "+path+"/approve", map[string]any{"digest": r.Digest}, &r)
		var l list[exportRequest]
		bob.want(t, http.StatusOK, "GET /vaults/default/exports", nil, &l)
		if len(l.Items) != 1 || l.Items[0].State != "approved" {
			t.Errorf("list %+v", l)
		}
		res, file := ann.raw(t, "GET "+path+"/file", "", nil)
		if name := res.Header.Get("Content-Disposition"); res.StatusCode != http.StatusOK || !strings.Contains(name, "default-") || res.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v: %.200s", res.StatusCode, res.Header, file)
		}
		plain, err := age.Decrypt(bytes.NewReader(file), id)
		if err != nil {
			t.Fatal(err)
		}

		admin.want(t, http.StatusCreated, "PUT /vaults/moved", map[string]any{}, nil)
		res, answer := ann.raw(t, "POST /vaults/moved/import", "application/x-tar", plain)
		if res.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"secrets":120`) {
			t.Fatalf("import: %d %s", res.StatusCode, answer)
		}
		_, b, err := admin.Secrets.Get(t.Context(), apptest.System, object.Ref{Vault: "moved", Name: "s-119"})
		if err != nil || len(b.Value) != 20_000 {
			t.Errorf("%d bytes: %v", len(b.Value), err)
		}
		res, answer = ann.raw(t, "POST /vaults/moved/import", "application/x-tar", strings.NewReader("no tar"))
		if res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "NotAnExport") {
			t.Errorf("no tar: %d %s", res.StatusCode, answer)
		}
	})
}
