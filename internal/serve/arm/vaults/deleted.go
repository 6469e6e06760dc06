package vaults

import (
	"context"
	"time"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
)

// deletedModel is a deleted vault as clients read it.
type deletedModel struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Properties deletedProperties `json:"properties"`
}

type deletedProperties struct {
	VaultID         string            `json:"vaultId,omitempty"`
	HSMID           string            `json:"mhsmId,omitempty"`
	Location        string            `json:"location"`
	Tags            map[string]string `json:"tags"`
	Deleted         time.Time         `json:"deletionDate"`
	Purge           time.Time         `json:"scheduledPurgeDate"`
	PurgeProtection bool              `json:"purgeProtectionEnabled"`
}

func deletedOf(q *wire.Request, v *object.Vault) deletedModel {
	s := v.Settings()
	m := deletedModel{
		ID: q.Root() + "/providers/Microsoft.KeyVault/locations/" + s.Where() + "/deletedVaults/" + v.Name, Name: v.Name, Type: "Microsoft.KeyVault/deletedVaults",
		Properties: deletedProperties{
			VaultID:  q.VaultID(vault.GroupOf(s), keyVault.typ, v.Name),
			Location: s.Where(), Tags: tagsOf(s), Deleted: s.Deleted, Purge: s.Purge, PurgeProtection: s.PurgeProtection,
		},
	}
	if s.Kind == object.ManagedHSM {
		m.ID, m.Type = q.Root()+"/providers/Microsoft.KeyVault/locations/"+s.Where()+"/deletedManagedHSMs/"+v.Name, "Microsoft.KeyVault/deletedManagedHSMs"
		m.Properties.VaultID, m.Properties.HSMID = "", q.VaultID(vault.GroupOf(s), hsm.typ, v.Name)
	}
	return m
}

func (d Deps) listDeleted(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return d.deletedOf(ctx, q, keyVault, "deletedVaults")
}

func (d Deps) listDeletedHSMs(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return d.deletedOf(ctx, q, hsm, "deletedManagedHSMs")
}

// deletedOf answers a page of deleted vaults. Those of other kinds are left out of it, so
// it may be short.
func (d Deps) deletedOf(ctx context.Context, q *wire.Request, kind kindOf, typ string) (wire.Response, error) {
	page, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	found, err := d.Vaults.ListDeleted(ctx, q.Caller, page.After, page.Limit)
	if err != nil {
		return wire.Response{}, err
	}
	items := []deletedModel{}
	for _, v := range found {
		if v.Settings().Kind == kind.kind {
			items = append(items, deletedOf(q, v))
		}
	}
	out := wire.List{Value: items}
	if len(found) == page.Limit {
		out.NextLink = q.Next(q.Root()+"/providers/Microsoft.KeyVault/"+typ, found[len(found)-1].Name)
	}
	return wire.Response{Body: out}, nil
}

func (d Deps) getDeleted(ctx context.Context, q *wire.Request) (wire.Response, error) {
	v, err := d.Vaults.GetDeleted(ctx, q.Caller, q.Params["vault"])
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: deletedOf(q, v)}, nil
}
