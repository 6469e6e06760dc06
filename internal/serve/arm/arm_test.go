package arm_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
)

// client speaks to the resource manager of a product.
type client struct {
	*apptest.Product
	t      *testing.T
	bearer string
	root   string // /subscriptions/{id}
}

func newClient(t *testing.T) *client {
	t.Helper()
	p := apptest.Start(t)
	return &client{Product: p, t: t, bearer: p.Application(t, "admin", "/", "Administrator", "Key Vault Administrator"), root: "/subscriptions/" + wire.SubscriptionOf(p.Directory.Tenant())}
}

// vault is the path of a vault in the group "rg".
func (c *client) vault(name string) string {
	return c.root + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/" + name
}

// do sends a request and returns the status, the header and the answer.
func (c *client) do(method, path, body string) (int, http.Header, map[string]any) {
	c.t.Helper()
	if !strings.Contains(path, "api-version=") && !strings.HasPrefix(path, "/v1.0") {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "api-version=2022-07-01"
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	res, err := c.Client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var out map[string]any
	if len(b) > 0 && json.Unmarshal(b, &out) != nil {
		out = map[string]any{"text": string(b)}
	}
	return res.StatusCode, res.Header, out
}

// want sends a request that must succeed and returns the answer.
func (c *client) want(status int, method, path, body string) map[string]any {
	c.t.Helper()
	got, _, out := c.do(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s: %d %v, want %d", method, path, got, out, status)
	}
	return out
}

// refused sends a request that must fail in the resource manager's shape.
func (c *client) refused(status int, code, method, path, body string) {
	c.t.Helper()
	got, _, out := c.do(method, path, body)
	e, _ := out["error"].(map[string]any)
	if got != status || e["code"] != code || e["message"] == "" || e["message"] == nil {
		c.t.Errorf("%s %s: %d %v, want %d %s", method, path, got, out, status, code)
	}
}

// at follows names into an answer.
func at(v any, names ...string) any {
	for _, n := range names {
		m, _ := v.(map[string]any)
		v = m[n]
	}
	return v
}

const newVault = `{"location":"Westeros","tags":{"a":"b"},"properties":{"tenantId":"adfs","sku":{"family":"A","name":"premium"},"softDeleteRetentionInDays":8,"accessPolicies":[]}}`

func TestVaultIsReadBackAsItWasWritten(t *testing.T) {
	c := newClient(t)
	made := c.want(http.StatusCreated, "PUT", c.vault("kvs"), `{"location":"Westeros","tags":{"a":"b"},"properties":{"tenantId":"adfs","sku":{"family":"A","name":"premium"},
		"softDeleteRetentionInDays":8,"enabledForDeployment":true,"enableRbacAuthorization":false,"publicNetworkAccess":"Disabled",
		"networkAcls":{"bypass":"None","defaultAction":"Deny","ipRules":[{"value":"10.1.2.3"}],"virtualNetworkRules":[{"id":"/subscriptions/x/subnets/y"}]},
		"accessPolicies":[{"tenantId":"adfs","objectId":"ABC","applicationId":"d","permissions":{"keys":["Sign"],"secrets":["all"],"certificates":[]}}]}}`)

	got := c.want(http.StatusOK, "GET", c.vault("kvs"), "")

	if fmt.Sprint(made) != fmt.Sprint(got) {
		t.Errorf("made %v\nread %v", made, got)
	}
	b, err := json.Marshal(got["properties"])
	if err != nil {
		t.Fatal(err)
	}
	tenant := c.Directory.Tenant()
	want := `{"accessPolicies":[{"applicationId":"d","objectId":"abc","permissions":{"certificates":[],"keys":["sign"],"secrets":["all"]},"tenantId":"` + tenant + `"}],` +
		`"enableRbacAuthorization":false,"enableSoftDelete":true,"enabledForDeployment":true,"enabledForDiskEncryption":false,"enabledForTemplateDeployment":false,` +
		`"networkAcls":{"bypass":"None","defaultAction":"Deny","ipRules":[{"value":"10.1.2.3/32"}],"virtualNetworkRules":[{"id":"/subscriptions/x/subnets/y"}]},` +
		`"provisioningState":"Succeeded","publicNetworkAccess":"Disabled","sku":{"family":"A","name":"premium"},"softDeleteRetentionInDays":8,` +
		`"tenantId":"` + tenant + `","vaultUri":"https://kvs.localhost:` + c.Port + `/"}`
	if string(b) != want {
		t.Errorf("properties\n%s\nwant\n%s", b, want)
	}
	if got["id"] != c.vault("kvs") || got["name"] != "kvs" || got["type"] != "Microsoft.KeyVault/vaults" || got["location"] != "Westeros" || at(got, "tags", "a") != "b" {
		t.Errorf("vault %v", got)
	}
	upper := c.want(http.StatusOK, "get", "/SUBSCRIPTIONS/"+strings.ToUpper(strings.TrimPrefix(c.root, "/subscriptions/"))+"/resourcegroups/RG/providers/microsoft.keyvault/VAULTS/KVS", "")
	if upper["id"] != got["id"] {
		t.Errorf("in another case: %v", upper)
	}
}

func TestPutSaysAllAndPatchSome(t *testing.T) {
	c := newClient(t)
	c.want(http.StatusCreated, "PUT", c.vault("kvs"), newVault)

	patched := c.want(http.StatusOK, "PATCH", c.vault("kvs"), `{"properties":{"enablePurgeProtection":true}}`)
	if at(patched, "tags", "a") != "b" || at(patched, "properties", "enablePurgeProtection") != true || at(patched, "properties", "sku", "name") != "premium" {
		t.Errorf("patched %v", patched)
	}
	put := c.want(http.StatusOK, "PUT", c.vault("kvs"), `{"location":"Westeros","properties":{"sku":{"family":"A","name":"standard"}}}`)
	if tags, _ := put["tags"].(map[string]any); len(tags) != 0 || at(put, "properties", "sku", "name") != "standard" || at(put, "properties", "enablePurgeProtection") != true {
		t.Errorf("put %v", put)
	}
	for body, code := range map[string]string{
		`{"properties":{"enablePurgeProtection":false}}`:                                         "BadRequest",
		`{"properties":{"softDeleteRetentionInDays":9}}`:                                         "BadRequest",
		`{"properties":{"enableSoftDelete":false}}`:                                              "BadRequest",
		`{"properties":{"sku":{"name":"gold"}}}`:                                                 "BadRequest",
		`{"properties":{"publicNetworkAccess":"Sometimes"}}`:                                     "BadRequest",
		`{"properties":{"networkAcls":{"ipRules":[{"value":"x"}]}}}`:                             "BadRequest",
		`{"properties":{"accessPolicies":[{"objectId":"a","permissions":{"keys":["sing"]}}]}}`:   "BadRequest",
		`{"properties":{"accessPolicies":[{"objectId":"a","permissions":{}},{"objectId":"A"}]}}`: "BadRequest",
		`{"properties":`: "InvalidRequestContent",
		``:               "InvalidRequestContent",
	} {
		c.refused(http.StatusBadRequest, code, "PATCH", c.vault("kvs"), body)
	}
}

func TestVaultIsWhereItsIDSaysAndNowhereElse(t *testing.T) {
	c := newClient(t)
	c.want(http.StatusCreated, "PUT", c.vault("kvs"), newVault)
	elsewhere := strings.Replace(c.vault("kvs"), "/rg/", "/other/", 1)

	for _, path := range []string{elsewhere, c.vault("none"), strings.Replace(c.vault("hsm"), "/rg/", "/chatelaine/", 1)} {
		c.refused(http.StatusNotFound, "ResourceNotFound", "GET", path, "")
		c.refused(http.StatusNotFound, "ResourceNotFound", "PATCH", path, `{}`)
		c.refused(http.StatusNotFound, "ResourceNotFound", "PUT", path+"/accessPolicies/add", `{"properties":{"accessPolicies":[]}}`)
		c.want(http.StatusNoContent, "DELETE", path, "")
	}
	c.refused(http.StatusConflict, "VaultAlreadyExists", "PUT", elsewhere, newVault)
	c.refused(http.StatusConflict, "VaultAlreadyExists", "PUT", c.vault("hsm"), newVault)
	c.want(http.StatusOK, "GET", c.vault("kvs"), "")
	c.refused(http.StatusNotFound, "SubscriptionNotFound", "GET", strings.Replace(c.vault("kvs"), c.root, "/subscriptions/00000000-0000-4000-8000-000000000000", 1), "")
	c.refused(http.StatusNotFound, "InvalidResourceType", "GET", c.root+"/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/a", "")
	c.refused(http.StatusMethodNotAllowed, "InvalidHttpMethod", "POST", c.vault("kvs"), "")
	c.want(http.StatusOK, "GET", c.root+"/resourceGroups/chatelaine/providers/Microsoft.KeyVault/managedHSMs/hsm", "")
}

func TestAccessPoliciesAreAddedReplacedAndRemoved(t *testing.T) {
	c := newClient(t)
	c.want(http.StatusCreated, "PUT", c.vault("kvs"), newVault)
	secrets := func(op string, words ...string) string {
		b, err := json.Marshal(map[string]any{"properties": map[string]any{"accessPolicies": []any{map[string]any{"tenantId": "adfs", "objectId": "a", "permissions": map[string]any{"secrets": words}}}}})
		if err != nil {
			t.Fatal(err)
		}
		out := c.want(http.StatusOK, "PUT", c.vault("kvs")+"/accessPolicies/"+op, string(b))
		var found []string
		list, _ := at(out, "properties", "accessPolicies").([]any)
		for _, p := range list {
			found = append(found, fmt.Sprint(at(p, "permissions", "secrets")))
		}
		return strings.Join(found, " ")
	}
	for _, step := range []struct{ op, word, want string }{
		{"add", "get", "[get]"}, {"add", "list", "[get list]"}, {"replace", "set", "[set]"}, {"add", "get", "[set get]"}, {"remove", "set", "[get]"}, {"remove", "get", ""},
	} {
		if got := secrets(step.op, step.word); got != step.want {
			t.Errorf("%s %s: %s, want %s", step.op, step.word, got, step.want)
		}
	}
	c.refused(http.StatusBadRequest, "BadRequest", "PUT", c.vault("kvs")+"/accessPolicies/forget", `{}`)
}

func TestListsAreReadInPages(t *testing.T) {
	c := newClient(t)
	for i := range 5 {
		group := map[bool]string{true: "even", false: "odd"}[i%2 == 0]
		if _, err := c.Vaults.Create(t.Context(), apptest.System, fmt.Sprintf("kv%d", i), object.Settings{Group: group}); err != nil {
			t.Fatal(err)
		}
	}
	names := func(path string) (names []string) {
		t.Helper()
		for pages := 0; path != ""; pages++ {
			out := c.want(http.StatusOK, "GET", path, "")
			list, _ := out["value"].([]any)
			for _, v := range list {
				names = append(names, fmt.Sprint(at(v, "name")))
			}
			next, _ := out["nextLink"].(string)
			if path = strings.TrimPrefix(next, c.URL); pages > 10 {
				t.Fatal("the list has no end")
			}
		}
		return names
	}
	const provider = "/providers/Microsoft.KeyVault"
	filter := func(f string) string { return "?$top=2&$filter=" + url.QueryEscape(f) }
	for path, want := range map[string][]string{
		c.root + provider + "/vaults?$top=2":                                                            {"default", "kv0", "kv1", "kv2", "kv3", "kv4"},
		c.root + "/resourceGroups/EVEN" + provider + "/vaults?$top=2":                                   {"kv0", "kv2", "kv4"},
		c.root + provider + "/managedHSMs":                                                              {"hsm"},
		c.root + "/resources?$top=2":                                                                    {"default", "hsm", "kv0", "kv1", "kv2", "kv3", "kv4"},
		c.root + "/resources" + filter("resourceType eq 'Microsoft.KeyVault/vaults'"):                   {"default", "kv0", "kv1", "kv2", "kv3", "kv4"},
		c.root + "/resources" + filter("resourceType eq 'microsoft.keyvault/vaults' and name eq 'KV3'"): {"kv3"},
		c.root + "/resources" + filter("resourceType eq 'Microsoft.Compute/disks'"):                     nil,
		c.root + "/resourceGroups/odd/resources":                                                        {"kv1", "kv3"},
		c.root + "/resourceGroups":                                                                      {"chatelaine", "even", "odd"},
	} {
		if got := names(path); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, query := range []string{"?$top=x", "?$skiptoken=***", filter("color eq 'red'"), filter("name eq 'a"), filter("name eq 'a' or name eq 'b'"), filter("name")} {
		status, _, out := c.do("GET", c.root+"/resources"+query, "")
		if status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", query, status, out)
		}
	}
}

func TestDeletedVaultIsRecoveredAndPurged(t *testing.T) {
	c := newClient(t)
	c.want(http.StatusCreated, "PUT", c.vault("kvs"), newVault)
	c.want(http.StatusOK, "DELETE", c.vault("kvs"), "")
	c.want(http.StatusNoContent, "DELETE", c.vault("kvs"), "")
	c.refused(http.StatusConflict, "ConflictError", "PUT", c.vault("kvs"), newVault)
	deleted := c.root + "/providers/Microsoft.KeyVault/locations/Westeros/deletedVaults/kvs"
	out := c.want(http.StatusOK, "GET", deleted, "")
	if out["id"] != deleted || at(out, "properties", "vaultId") != c.vault("kvs") || at(out, "properties", "tags", "a") != "b" {
		t.Errorf("deleted vault %v", out)
	}
	back := c.want(http.StatusOK, "PUT", c.vault("kvs"), `{"location":"Westeros","properties":{"createMode":"Recover"}}`)
	if at(back, "tags", "a") != "b" || at(back, "properties", "sku", "name") != "premium" {
		t.Errorf("recovered %v", back)
	}
	c.refused(http.StatusNotFound, "DeletedVaultNotFound", "POST", deleted+"/purge", "")
	c.want(http.StatusOK, "DELETE", c.vault("kvs"), "")
	status, header, _ := c.do("POST", deleted+"/purge", "")
	result := strings.TrimPrefix(header.Get("Location"), c.URL)
	if status != http.StatusAccepted || result == "" {
		t.Fatalf("purge: %d, location %q", status, result)
	}
	c.want(http.StatusOK, "GET", result, "")
	c.refused(http.StatusNotFound, "DeletedVaultNotFound", "GET", deleted, "")
	if out := c.want(http.StatusOK, "POST", c.root+"/providers/Microsoft.KeyVault/checkNameAvailability", `{"name":"kvs","type":"Microsoft.KeyVault/vaults"}`); out["nameAvailable"] != true {
		t.Errorf("the name: %v", out)
	}
	for name, reason := range map[string]string{"default": "AlreadyExists", "x": "AccountNameInvalid"} {
		if out := c.want(http.StatusOK, "POST", c.root+"/providers/Microsoft.KeyVault/checkNameAvailability", `{"name":"`+name+`"}`); out["nameAvailable"] != false || out["reason"] != reason {
			t.Errorf("the name %s: %v", name, out)
		}
	}
}

func TestRolesAreGivenAtVaultsAndObjects(t *testing.T) {
	c := newClient(t)
	c.want(http.StatusCreated, "PUT", c.vault("kvs"), newVault)
	who, err := c.Directory.CreateApplication(t.Context(), apptest.System, "robot")
	if err != nil {
		t.Fatal(err)
	}
	const role, roles = "4633458b-17de-408a-b874-0445c86b69e6", "/providers/Microsoft.Authorization/roleAssignments"
	body := `{"properties":{"roleDefinitionId":"` + c.root + `/providers/Microsoft.Authorization/roleDefinitions/` + role + `","principalId":"` + who.ID + `"}}`
	id := func(n int) string { return fmt.Sprintf("%s/00000000-0000-4000-8000-00000000000%d", roles, n) }

	made := c.want(http.StatusCreated, "PUT", c.vault("kvs")+id(1), body)
	if made["id"] != c.vault("kvs")+id(1) || at(made, "properties", "scope") != c.vault("kvs") || at(made, "properties", "principalId") != who.ID {
		t.Errorf("assignment %v", made)
	}
	c.want(http.StatusCreated, "PUT", c.vault("kvs")+id(1), body) // once more
	c.refused(http.StatusConflict, "RoleAssignmentExists", "PUT", c.vault("kvs")+id(2), body)
	c.refused(http.StatusConflict, "RoleAssignmentUpdateNotPermitted", "PUT", c.vault("kvs")+"/secrets/db"+id(1), body)
	c.want(http.StatusCreated, "PUT", c.vault("kvs")+"/secrets/DB"+id(3), body)
	c.want(http.StatusCreated, "PUT", c.root+id(4), body)
	c.want(http.StatusOK, "GET", c.vault("kvs")+id(1), "")
	c.refused(http.StatusNotFound, "RoleAssignmentNotFound", "GET", c.root+id(1), "")
	for _, path := range []string{c.root + "/resourceGroups/rg", c.vault("kvs") + "/secrets", c.vault("kvs") + "/colors/red", "/providers/Microsoft.Management/managementGroups/a"} {
		c.refused(http.StatusBadRequest, "BadRequest", "PUT", path+id(5), body)
	}
	c.refused(http.StatusBadRequest, "InvalidRoleAssignmentId", "PUT", c.vault("kvs")+roles+"/mine", body)
	c.refused(http.StatusBadRequest, "BadRequest", "PUT", c.vault("kvs")+id(5), strings.Replace(body, `"properties":{`, `"properties":{"condition":"x",`, 1))

	scopes := func(path, filter string) (found []string) {
		t.Helper()
		list, _ := c.want(http.StatusOK, "GET", path+roles+"?$filter="+url.QueryEscape(filter), "")["value"].([]any)
		for _, a := range list {
			if at(a, "properties", "principalId") == who.ID {
				found = append(found, strings.TrimPrefix(fmt.Sprint(at(a, "properties", "scope")), c.root))
			}
		}
		slices.Sort(found)
		return found
	}
	kv := strings.TrimPrefix(c.vault("kvs"), c.root)
	for _, q := range []struct {
		path, filter string
		want         []string
	}{
		{c.root, "", []string{"", kv, kv + "/secrets/db"}},
		{c.vault("kvs"), "", []string{kv, kv + "/secrets/db"}},
		{c.vault("kvs"), "atScope()", []string{"", kv}},
		{c.vault("kvs"), "atScope() and assignedTo('" + who.ID + "')", []string{"", kv}},
		{c.root, "principalId eq '" + who.ID + "'", []string{"", kv, kv + "/secrets/db"}},
		{c.root, "principalId eq '00000000-0000-4000-8000-000000000000'", nil},
	} {
		if got := scopes(q.path, q.filter); !slices.Equal(got, q.want) {
			t.Errorf("%s with %q: %q, want %q", q.path, q.filter, got, q.want)
		}
	}
	c.refused(http.StatusBadRequest, "InvalidFilter", "GET", c.root+roles+"?$filter=everything", "")
	if !c.Directory.Allowed(who.Caller(), access.VaultPrefix+"secrets/getSecret/action", "/vaults/kvs/secrets/x") {
		t.Error("the role that was given at the vault allows nothing")
	}
	c.want(http.StatusNoContent, "DELETE", c.vault("kvs")+id(1), "")
	c.want(http.StatusNoContent, "DELETE", c.vault("kvs")+id(1), "")
	if got := scopes(c.vault("kvs"), ""); !slices.Equal(got, []string{kv + "/secrets/db"}) {
		t.Errorf("after one was taken away: %q", got)
	}
	definitions := c.vault("kvs") + "/providers/Microsoft.Authorization/roleDefinitions"
	list, _ := c.want(http.StatusOK, "GET", definitions+"?$filter="+url.QueryEscape("roleName eq 'key vault secrets user'"), "")["value"].([]any)
	if len(list) != 1 || at(list[0], "name") != role || at(list[0], "id") != c.root+"/providers/Microsoft.Authorization/roleDefinitions/"+role {
		t.Errorf("definitions %v", list)
	}
	c.refused(http.StatusNotFound, "RoleDefinitionDoesNotExist", "GET", definitions+"/00000000-0000-4000-8000-000000000000", "")
}

func TestMetadataHasTheShapeOfItsAPIVersion(t *testing.T) {
	c := newClient(t)
	c.bearer = ""
	get := func(version string) any {
		t.Helper()
		status, _, out := c.do("GET", "/metadata/endpoints?api-version="+version, "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d %v", version, status, out)
		}
		if text, ok := out["text"].(string); ok {
			var list []any
			if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 {
				t.Fatalf("%s: %s", version, text)
			}
			return list
		}
		return out
	}
	first := get("2015-01-01")
	if at(first, "authentication", "loginEndpoint") != c.URL+"/adfs" || fmt.Sprint(at(first, "authentication", "audiences")) != "["+c.URL+"]" || at(first, "graphEndpoint") != c.URL {
		t.Errorf("2015: %v", first)
	}
	list, ok := get("2019-05-01").([]any)
	if !ok || at(list[0], "suffixes", "keyVaultDns") != "localhost:"+c.Port || at(list[0], "microsoftGraphResourceId") != c.URL || at(list[0], "authentication", "loginEndpoint") != c.URL+"/adfs" {
		t.Errorf("2019: %v", list)
	}
	last := get("2022-09-01")
	if at(last, "resourceManager") != c.URL || at(last, "authentication", "tenant") != c.Directory.Tenant() || at(last, "authentication", "loginEndpoint") != c.URL {
		t.Errorf("2022: %v", last)
	}
	status, header, out := c.do("GET", "/subscriptions", "")
	if status != http.StatusUnauthorized || at(out, "error", "code") != "AuthenticationFailed" || !strings.HasPrefix(header.Get("WWW-Authenticate"), `Bearer authorization_uri="`+c.URL+`/adfs"`) {
		t.Errorf("without a token: %d %v %v", status, out, header)
	}
}

func TestGraphFindsPrograms(t *testing.T) {
	c := newClient(t)
	who, err := c.Directory.CreateApplication(t.Context(), apptest.System, "robot")
	if err != nil {
		t.Fatal(err)
	}
	byClient := func(id string) string {
		return "/v1.0/servicePrincipals?$filter=" + url.QueryEscape("servicePrincipalNames/any(c:c eq '"+id+"')")
	}
	list, _ := c.want(http.StatusOK, "GET", byClient(who.ClientID), "")["value"].([]any)
	if len(list) != 1 || at(list[0], "id") != who.ID || at(list[0], "displayName") != "robot" {
		t.Errorf("by client id: %v", list)
	}
	if list, _ := c.want(http.StatusOK, "GET", byClient("nobody"), "")["value"].([]any); len(list) != 0 {
		t.Errorf("nobody: %v", list)
	}
	list, _ = c.want(http.StatusOK, "POST", "/v1.0/directoryObjects/getByIds", `{"ids":["`+who.ID+`","x"]}`)["value"].([]any)
	if len(list) != 1 || at(list[0], "@odata.type") != "#microsoft.graph.servicePrincipal" {
		t.Errorf("by ids: %v", list)
	}
	c.refused(http.StatusBadRequest, "BadRequest", "GET", "/v1.0/me", "")
	c.refused(http.StatusBadRequest, "Request_UnsupportedQuery", "GET", "/v1.0/servicePrincipals", "")
	c.refused(http.StatusNotFound, "Request_ResourceNotFound", "GET", "/v1.0/directoryObjects/x", "")

	c.bearer = c.Application(t, "simple", "/")
	c.refused(http.StatusForbidden, "AuthorizationFailed", "GET", byClient(who.ClientID), "")
}

func TestResourceGroupIsThereWhereverItIsNamed(t *testing.T) {
	c := newClient(t)
	if _, err := c.Vaults.Create(t.Context(), apptest.System, "kvs", object.Settings{Group: "Payroll", Location: "attic"}); err != nil {
		t.Fatal(err)
	}
	for name, location := range map[string]string{"payroll": "attic", "new": "local", vault.DefaultGroup: "local"} {
		for _, method := range []string{"GET", "PUT"} {
			if out := c.want(http.StatusOK, method, c.root+"/resourcegroups/"+name, `{"location":"elsewhere"}`); out["location"] != location || out["name"] != name || at(out, "properties", "provisioningState") != "Succeeded" {
				t.Errorf("%s %s: %v", method, name, out)
			}
		}
	}
	c.refused(http.StatusBadRequest, "BadRequest", "GET", c.root+"/resourceGroups/a%20b", "")
}
