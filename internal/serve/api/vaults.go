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
	return vaultModel{Name: v.Name, Created: v.Settings.Created, RetentionDays: v.Settings.RetentionDays, PurgeProtection: v.Settings.PurgeProtection}
}

func (a *door) vaultOperations() {
	register(a, operation{id: "listVaults", method: http.MethodGet, path: "/vaults", summary: "List vaults"}, "vaults", a.listVaults)
	register(a, operation{id: "getVault", method: http.MethodGet, path: "/vaults/{vault}", summary: "Get a vault"}, "vaults", a.getVault)
	register(a, operation{id: "createVault", method: http.MethodPut, path: "/vaults/{vault}", summary: "Create a vault", status: http.StatusCreated}, "vaults", a.createVault)
}

func (a *door) listVaults(ctx context.Context, c access.Caller, in *paging) (*page[vaultModel], error) {
	list, err := a.Vaults.List(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	var out page[vaultModel]
	out.Body.Items = make([]vaultModel, 0, len(list))
	for _, v := range list {
		out.Body.Items = append(out.Body.Items, modelOfVault(v))
	}
	if len(list) == in.Limit {
		out.Body.Next = list[len(list)-1].Name
	}
	return &out, nil
}

type vaultOutput struct{ Body vaultModel }

func (a *door) getVault(ctx context.Context, c access.Caller, in *struct {
	Vault string `path:"vault"`
}) (*vaultOutput, error) {
	v, err := a.Vaults.Get(ctx, c, in.Vault)
	if err != nil {
		return nil, err
	}
	return &vaultOutput{modelOfVault(v)}, nil
}

func (a *door) createVault(ctx context.Context, c access.Caller, in *struct {
	Vault string `path:"vault"`
	Body  struct {
		RetentionDays   int  `json:"retentionDays,omitempty" minimum:"7" maximum:"90" default:"90"`
		PurgeProtection bool `json:"purgeProtection,omitempty"`
	}
}) (*vaultOutput, error) {
	v, err := a.Vaults.Create(ctx, c, in.Vault, object.Settings{RetentionDays: in.Body.RetentionDays, PurgeProtection: in.Body.PurgeProtection})
	if err != nil {
		return nil, err
	}
	return &vaultOutput{modelOfVault(v)}, nil
}
