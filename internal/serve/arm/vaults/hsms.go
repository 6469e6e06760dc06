package vaults

import (
	"context"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
)

// hsmModel is a managed HSM as clients read it.
type hsmModel struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	SKU        sku               `json:"sku"`
	Tags       map[string]string `json:"tags"`
	System     systemData        `json:"systemData"`
	Properties hsmProperties     `json:"properties"`
}

type hsmProperties struct {
	TenantID        string   `json:"tenantId"`
	URI             string   `json:"hsmUri"`
	SoftDelete      bool     `json:"enableSoftDelete"`
	RetentionDays   int      `json:"softDeleteRetentionInDays"`
	PurgeProtection bool     `json:"enablePurgeProtection"`
	Network         *network `json:"networkAcls"`
	Public          string   `json:"publicNetworkAccess"`
	State           string   `json:"provisioningState"`
	Status          string   `json:"statusMessage"`
}

func hsmOf(q *wire.Request, v *object.Vault) hsmModel {
	s := v.Settings()
	m := hsmModel{
		ID: q.VaultID(vault.GroupOf(s), hsm.typ, v.Name), Name: v.Name, Type: "Microsoft.KeyVault/managedHSMs", Location: s.Where(),
		SKU: sku{"B", "Standard_B1"}, Tags: tagsOf(s), System: systemData{s.Created, s.Updated},
		Properties: hsmProperties{
			TenantID: q.Tenant, URI: address(q, v.Name), SoftDelete: true, RetentionDays: s.RetentionDays, PurgeProtection: s.PurgeProtection,
			Network: networkOf(s.Network), Public: "Enabled", State: "Succeeded", Status: "The Managed HSM is provisioned and ready to use.",
		},
	}
	if s.Network.Private {
		m.Properties.Public = "Disabled"
	}
	return m
}

func (d Deps) getHSM(ctx context.Context, q *wire.Request) (wire.Response, error) {
	v, err := d.find(ctx, q, hsm)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: hsmOf(q, v)}, nil
}

func (d Deps) listHSMs(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return listOf(ctx, d, q, hsm, hsmOf)
}
