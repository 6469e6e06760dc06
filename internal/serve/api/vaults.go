package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// vaultModel is a vault as the API shows it.
type vaultModel struct {
	Name            string    `json:"name"`
	Created         time.Time `json:"created"`
	RetentionDays   int       `json:"retentionDays" doc:"how long deleted objects can be recovered"`
	PurgeProtection bool      `json:"purgeProtection" doc:"nobody can purge before retention ends"`
}

func modelOfVault(v *object.Vault) vaultModel {
	return vaultModel{Name: v.Name, Created: v.Settings().Created, RetentionDays: v.Settings().RetentionDays, PurgeProtection: v.Settings().PurgeProtection}
}

const (
	readVaults  access.Action = "Chatelaine/vaults/read"
	writeVaults access.Action = "Chatelaine/vaults/write"
)

func (a *door) vaultOperations() {
	const tag = "vaults"
	register(a, tag, operation{id: "listVaults", method: http.MethodGet, path: "/vaults", summary: "List vaults",
		action: readVaults, scope: "/"}, a.listVaults)
	register(a, tag, operation{id: "getVault", method: http.MethodGet, path: "/vaults/{vault}", summary: "Get a vault",
		action: readVaults, scope: "/vaults/{vault}"}, a.getVault)
	register(a, tag, operation{id: "createVault", method: http.MethodPut, path: "/vaults/{vault}", summary: "Create a vault",
		action: writeVaults, scope: "/vaults/{vault}", status: http.StatusCreated}, a.createVault)
}

func (a *door) listVaults(ctx context.Context, c access.Caller, in *Paging) (*page[vaultModel], error) {
	list, err := a.Vaults.List(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]vaultModel, len(list))
	for i, v := range list {
		items[i] = modelOfVault(v)
	}
	return pageOf(items, in.nextOf(len(items), func(last int) string { return items[last].Name })), nil
}

// VaultPath names a vault.
type VaultPath struct {
	Vault string `path:"vault" maxLength:"24"`
}

func (a *door) getVault(ctx context.Context, c access.Caller, in *VaultPath) (*answer[vaultModel], error) {
	v, err := a.Vaults.Get(ctx, c, in.Vault)
	if err != nil {
		return nil, err
	}
	return &answer[vaultModel]{modelOfVault(v)}, nil
}

func (a *door) createVault(ctx context.Context, c access.Caller, in *struct {
	VaultPath
	Body *struct {
		RetentionDays   int  `json:"retentionDays,omitempty" minimum:"7" maximum:"90" default:"90"`
		PurgeProtection bool `json:"purgeProtection,omitempty"`
	}
}) (*answer[vaultModel], error) {
	var s object.Settings
	if in.Body != nil {
		s.RetentionDays, s.PurgeProtection = in.Body.RetentionDays, in.Body.PurgeProtection
	}
	v, err := a.Vaults.Create(ctx, c, in.Vault, s)
	if err != nil {
		return nil, err
	}
	return &answer[vaultModel]{modelOfVault(v)}, nil
}
