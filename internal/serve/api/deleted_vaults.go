package api

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault"
)

func (a *door) deletedVaultOperations() {
	const tag = "vaults"
	register(a, tag, operation{id: "listDeletedVaults", method: http.MethodGet, path: "/deleted-vaults", summary: "List deleted vaults",
		action: vault.Read, scope: "/"}, a.listDeletedVaults)
	register(a, tag, operation{id: "getDeletedVault", method: http.MethodGet, path: "/deleted-vaults/{vault}", summary: "Get a deleted vault",
		action: vault.Read, scope: "/vaults/{vault}"}, a.getDeletedVault)
	register(a, tag, operation{id: "recoverVault", method: http.MethodPost, path: "/deleted-vaults/{vault}/recover", summary: "Recover a deleted vault",
		action: vault.Write, scope: "/vaults/{vault}"}, a.recoverVault)
	register(a, tag, operation{id: "purgeVault", method: http.MethodDelete, path: "/deleted-vaults/{vault}", summary: "Remove a deleted vault for good, with all that is in it",
		action: vault.Purge, scope: "/vaults/{vault}", status: http.StatusNoContent}, a.purgeVault)
}

func (a *door) listDeletedVaults(ctx context.Context, c access.Caller, in *Paging) (*page[vaultModel], error) {
	list, err := a.Vaults.ListDeleted(ctx, c, in.After, in.Limit)
	return pageOfVaults(*in, list, err)
}

func (a *door) getDeletedVault(ctx context.Context, c access.Caller, in *VaultPath) (*answer[vaultModel], error) {
	v, err := a.Vaults.GetDeleted(ctx, c, in.Vault)
	return answerOfVault(v, err)
}

func (a *door) recoverVault(ctx context.Context, c access.Caller, in *VaultPath) (*answer[vaultModel], error) {
	v, err := a.Vaults.Recover(ctx, c, in.Vault)
	return answerOfVault(v, err)
}

func (a *door) purgeVault(ctx context.Context, c access.Caller, in *VaultPath) (*nothing, error) {
	return nil, a.Vaults.Purge(ctx, c, in.Vault)
}
