package matrix

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault/object"
)

// resourceRow is what a route of the resource manager's door needs, and a filter and a body
// that it accepts. Without an action it is for everybody who has a token.
type resourceRow struct{ action, filter, body string }

const (
	nobodysID = "00000000-0000-4000-8000-000000000000"
	putVault  = `{"location":"local","properties":{"sku":{"family":"A","name":"standard"},"enableRbacAuthorization":true}}`
	onePolicy = `{"properties":{"accessPolicies":[{"objectId":"` + nobodysID + `","permissions":{"keys":["get"]}}]}}`
	giveRole  = `{"properties":{"roleDefinitionId":"/x/4633458b-17de-408a-b874-0445c86b69e6","principalId":"` + nobodysID + `"}}`
	byClient  = `servicePrincipalNames/any(c:c eq '` + nobodysID + `')`
)

// resourceNeeds has a row for each route. A route without one fails the test.
var resourceNeeds = map[string]resourceRow{
	"Metadata":   {},
	"TenantList": {}, "SubscriptionList": {}, "SubscriptionGet": {}, "LocationList": {},
	"ProviderList": {}, "ProviderGet": {}, "ProviderRegister": {}, "RoleDefinitionList": {}, "RoleDefinitionGet": {}, "GraphMe": {},

	"GroupList": {action: "vaults/read"}, "GroupGet": {action: "vaults/read"}, "GroupPut": {action: "vaults/read", body: `{"location":"local"}`}, // nothing is made
	"ResourceList": {action: "vaults/read"}, "GroupResourceList": {action: "vaults/read"},

	"VaultPut":         {action: "vaults/write", body: putVault},
	"VaultGet":         {action: "vaults/read"},
	"VaultPatch":       {action: "vaults/write", body: `{"tags":{"a":"b"}}`},
	"VaultDelete":      {action: "vaults/delete"},
	"VaultPolicies":    {action: "access/write", body: onePolicy},
	"VaultList":        {action: "vaults/read"},
	"VaultListGroup":   {action: "vaults/read"},
	"VaultCheckName":   {action: "vaults/write", body: `{"name":"default"}`},
	"HSMCheckName":     {action: "vaults/write", body: `{"name":"default"}`},
	"VaultListDeleted": {action: "vaults/read"},
	"VaultGetDeleted":  {action: "vaults/read"},
	"VaultPurge":       {action: "vaults/purge"},
	"VaultPurgeResult": {action: "vaults/read"},
	"HSMGet":           {action: "vaults/read"},
	"HSMList":          {action: "vaults/read"},
	"HSMListGroup":     {action: "vaults/read"},
	"HSMListDeleted":   {action: "vaults/read"},

	"RoleAssignmentList":   {action: "access/read"},
	"RoleAssignmentGet":    {action: "access/read"},
	"RoleAssignmentPut":    {action: "access/write", body: giveRole},
	"RoleAssignmentDelete": {action: "access/write"},

	"GraphServicePrincipals": {action: "access/read", filter: byClient},
	"GraphUsers":             {action: "access/read", filter: "userPrincipalName eq 'ada'"},
	"GraphObject":            {action: "access/read"},
	"GraphByIDs":             {action: "access/read", body: `{"ids":["` + nobodysID + `"]}`},
}

// ask sends a route about the vault "default" and returns the status and the body.
func ask(t *testing.T, p *apptest.Product, op wire.Operation, bearer string) (int, string) {
	t.Helper()
	root := "/subscriptions/" + wire.SubscriptionOf(p.Directory.Tenant())
	path := strings.NewReplacer(
		"/{scope...}", root+"/resourceGroups/chatelaine/providers/Microsoft.KeyVault/vaults/default", "/subscriptions/{subscription}", root,
		"{group}", "chatelaine", "{vault}", "default", "{operation}", "add", "{location}", "local", "{provider}", "Microsoft.KeyVault",
		"{name}", nobodysID, "{id}", nobodysID,
	).Replace(op.Path)
	row := resourceNeeds[op.Name]
	query := url.Values{"api-version": {"2022-07-01"}}
	if row.filter != "" {
		query.Set("$filter", row.filter)
	}
	r, err := http.NewRequestWithContext(t.Context(), op.Method, p.URL+path+"?"+query.Encode(), strings.NewReader(row.body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := p.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// furnish puts the vault "default" in place, whatever was done to it.
func furnish(t *testing.T, p *apptest.Product) {
	t.Helper()
	_, err := p.Vaults.Recover(t.Context(), apptest.System, "default")
	if fault.HasCode(err, "DeletedVaultNotFound") {
		_, err = p.Vaults.Create(context.WithoutCancel(t.Context()), apptest.System, "default", object.Settings{})
	}
	if err != nil && !fault.Is(err, fault.Conflict) {
		t.Fatal(err)
	}
}

func TestEveryResourceManagerRouteUnderEveryRole(t *testing.T) {
	p := apptest.Start(t)
	operations := p.ResourceManagerOperations()
	rows := map[string]bool{}
	for _, op := range operations {
		if _, ok := resourceNeeds[op.Name]; !ok || rows[op.Name] {
			t.Errorf("the route %s %s (%s) has no row of its own in the matrix", op.Method, op.Path, op.Name)
		}
		rows[op.Name] = true
		if status, body := ask(t, p, op, ""); (status == http.StatusUnauthorized) == op.Open || op.Open != (op.Name == "Metadata") {
			t.Errorf("%s without a token: %d %s", op.Name, status, body)
		}
	}
	for name := range resourceNeeds {
		if !rows[name] {
			t.Errorf("the matrix has a row for %s, which is no route", name)
		}
	}
	for _, role := range access.Roles() {
		t.Run(role.Name, func(t *testing.T) {
			everywhere := p.Application(t, role.Name, "/", role.ID)
			elsewhere := p.Application(t, role.Name+" elsewhere", "/vaults/other", role.ID)
			for _, op := range operations {
				action := resourceNeeds[op.Name].action
				want := action == "" || role.Allows(access.Action(access.ControlPrefix+action))
				furnish(t, p)
				if status, body := ask(t, p, op, elsewhere); (status == http.StatusForbidden) != (action != "") {
					t.Errorf("%s (%s) with the role at another vault: %d %s", op.Name, action, status, body)
				}
				status, body := ask(t, p, op, everywhere)
				if want == (status == http.StatusForbidden) || status == http.StatusUnauthorized || status >= 500 {
					t.Errorf("%s (%s) at /: %d %s, allowed is %v", op.Name, action, status, body, want)
				}
			}
		})
	}
}
