// Package vaults has the operations of the resource manager on vaults, on deleted ones and
// on managed HSMs (Microsoft.KeyVault, api-version 2022-07-01 and its neighbours).
package vaults

import (
	"context"
	"net/http"
	"strings"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
)

// Deps are the services behind the operations.
type Deps struct {
	Vaults *vault.Service
}

const (
	provider = "/subscriptions/{subscription}/providers/Microsoft.KeyVault"
	inGroup  = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault"
	one      = inGroup + "/vaults/{vault}"
	deleted  = provider + "/locations/{location}/deletedVaults/{vault}"
)

// Operations are the routes.
func Operations(d Deps) []wire.Operation {
	return []wire.Operation{
		{Name: "VaultPut", Method: http.MethodPut, Path: one, Handle: d.put},
		{Name: "VaultGet", Method: http.MethodGet, Path: one, Handle: d.get},
		{Name: "VaultPatch", Method: http.MethodPatch, Path: one, Handle: d.patch},
		{Name: "VaultDelete", Method: http.MethodDelete, Path: one, Handle: d.delete},
		{Name: "VaultPolicies", Method: http.MethodPut, Path: one + "/accessPolicies/{operation}", Handle: d.policies},
		{Name: "VaultList", Method: http.MethodGet, Path: provider + "/vaults", Handle: d.list},
		{Name: "VaultListGroup", Method: http.MethodGet, Path: inGroup + "/vaults", Handle: d.list},
		{Name: "VaultCheckName", Method: http.MethodPost, Path: provider + "/checkNameAvailability", Handle: d.checkName},
		{Name: "HSMCheckName", Method: http.MethodPost, Path: provider + "/checkMhsmNameAvailability", Handle: d.checkName}, // both kinds share their names
		{Name: "VaultListDeleted", Method: http.MethodGet, Path: provider + "/deletedVaults", Handle: d.listDeleted},
		{Name: "VaultGetDeleted", Method: http.MethodGet, Path: deleted, Handle: d.getDeleted},
		{Name: "VaultPurge", Method: http.MethodPost, Path: deleted + "/purge", Handle: d.purge},
		{Name: "VaultPurgeResult", Method: http.MethodGet, Path: provider + "/locations/{location}/operationResults/{vault}", Handle: d.purged},
		{Name: "HSMGet", Method: http.MethodGet, Path: inGroup + "/managedHSMs/{vault}", Handle: d.getHSM},
		{Name: "HSMList", Method: http.MethodGet, Path: provider + "/managedHSMs", Handle: d.listHSMs},
		{Name: "HSMListGroup", Method: http.MethodGet, Path: inGroup + "/managedHSMs", Handle: d.listHSMs},
		{Name: "HSMListDeleted", Method: http.MethodGet, Path: provider + "/deletedManagedHSMs", Handle: d.listDeletedHSMs},
	}
}

// find returns the vault of the path. One of another kind, or in another group, is not
// where the path says.
func (d Deps) find(ctx context.Context, q *wire.Request, kind kindOf) (*object.Vault, error) {
	v, err := d.Vaults.Get(ctx, q.Caller, q.Params["vault"])
	if err != nil {
		return nil, err
	}
	if s := v.Settings(); s.Kind != kind.kind || !strings.EqualFold(vault.GroupOf(s), q.Params["group"]) {
		return nil, wire.NotFound(kind.typ, q.Params["vault"], q.Params["group"])
	}
	return v, nil
}
