// Package azure lets one Chatelaine discover what is in the vault of another, through
// Microsoft's SDK, as it would discover what is in Azure's.
package azure

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
)

// reader makes an application that may read the other's certificates, and the settings
// of a connection to it.
func reader(t *testing.T, p *apptest.Product) connector.Settings {
	t.Helper()
	ctx := t.Context()
	who, err := p.Directory.CreateApplication(ctx, apptest.System, "discovery")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Directory.Assign(ctx, apptest.System, who.ID, "Key Vault Reader", access.Scope("/vaults/default")); err != nil {
		t.Fatal(err)
	}
	_, secret, err := p.Directory.AddCredential(ctx, apptest.System, who.ID, directory.NewCredential{Kind: directory.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(p.Data, "bootstrap", "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{
		"url": p.VaultURL("default"), "tenant": "adfs", "clientId": who.ClientID, "clientSecret": secret.Reveal(),
		"authority": p.URL, "disableInstanceDiscovery": true, "ca": string(root),
	})
	if err != nil {
		t.Fatal(err)
	}
	return connector.Settings(b)
}

func TestCertificatesOfAnotherVaultAreDiscovered(t *testing.T) {
	far, near := apptest.Start(t), apptest.Start(t)
	ctx := t.Context()
	for _, name := range []string{"web", "mail", "web"} { // web has two versions
		_, err := far.Certificates.Create(ctx, apptest.System, object.Ref{Vault: "default", Name: name}, certificates.CreateRequest{Policy: &policy.Policy{
			Key: &policy.KeyProperties{Type: "EC", Curve: "P-256"}, X509: &policy.X509Properties{Subject: "CN=" + name + ".example.com"}, Issuer: &policy.Issuer{Name: "Self"},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}

	made, err := near.Connections.Create(ctx, apptest.System, connection.Draft{Name: "far", Connector: "azurekeyvault", Settings: reader(t, far)})
	if err != nil {
		t.Fatal(err)
	}
	if made, err = near.Connections.Test(ctx, apptest.System, made.ID); err != nil || made.Problem != "" {
		t.Fatalf("test of the connection: %q %v", made.Problem, err)
	}
	campaign, err := near.Discovery.Create(ctx, apptest.System, discovery.Draft{Name: "far", Connection: made.ID, Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	run, err := near.Discovery.StartRun(ctx, apptest.System, campaign.ID)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !run.State.Final(); {
		if time.Now().After(deadline) {
			t.Fatalf("the run does not end: %+v", run)
		}
		if run, err = near.Discovery.GetRun(ctx, apptest.System, run.ID); err != nil {
			t.Fatal(err)
		}
	}

	if run.State != discovery.Completed || run.Found != 3 {
		t.Errorf("run %+v, want completed with three versions found", run)
	}
	page, err := near.Inventory.List(ctx, apptest.System, inventory.ListOptions{Filter: `source ~ "` + made.ID + `" or source ~ "far"`})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range page.Certificates {
		names = append(names, c.Name)
	}
	if all := strings.Join(names, " "); len(names) != 3 || strings.Count(all, "web.example.com") != 2 || !strings.Contains(all, "mail.example.com") {
		t.Errorf("inventory has %v", names)
	}
}
