package api

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/settings"
)

// VaultPermissions are what an access policy allows, in Azure's words.
type VaultPermissions struct {
	Keys         []string `json:"keys,omitempty" maxItems:"64"`
	Secrets      []string `json:"secrets,omitempty" maxItems:"64"`
	Certificates []string `json:"certificates,omitempty" maxItems:"64"`
	Storage      []string `json:"storage,omitempty" maxItems:"64" doc:"kept, and asked for by nothing"`
}

// vaultPolicy is an access policy of a vault.
type vaultPolicy struct {
	Principal   string `json:"principal" doc:"object id"`
	Application string `json:"application,omitempty" doc:"client id; then the policy counts only for what the principal does through this program"`
	VaultPermissions
}

func modelOfPolicy(p settings.Policy) vaultPolicy {
	return vaultPolicy{Principal: p.ObjectID, Application: p.ApplicationID, VaultPermissions: VaultPermissions(p.Permissions)}
}

func (a *door) vaultPolicyOperations() {
	const tag = "vaults"
	op := operation{action: access.WriteAccess, scope: "/vaults/{vault}",
		about: "Chatelaine/vaults/write is needed there as well. Policies count while they, and not roles, decide in the vault."}
	register(a, tag, op.as("setVaultPolicy", http.MethodPut, "/vaults/{vault}/policies/{principal}", "Say what a principal may do in a vault"), a.setVaultPolicy)
	register(a, tag, op.as("deleteVaultPolicy", http.MethodDelete, "/vaults/{vault}/policies/{principal}", "Take a principal's access policy away"), a.deleteVaultPolicy)
}

// VaultPolicyPath names an access policy.
type VaultPolicyPath struct {
	VaultPath
	Principal   string `path:"principal" maxLength:"64" doc:"object id"`
	Application string `query:"application" maxLength:"64" doc:"client id, for a policy that counts only through this program"`
}

func (a *door) setVaultPolicy(ctx context.Context, c access.Caller, in *struct {
	VaultPolicyPath
	Body VaultPermissions
}) (*answer[vaultModel], error) {
	v, err := a.Vaults.SetPolicies(ctx, c, in.Vault, settings.Replace, []settings.Policy{{
		ObjectID: in.Principal, ApplicationID: in.Application, Permissions: settings.Permissions(in.Body),
	}})
	return answerOfVault(v, err)
}

func (a *door) deleteVaultPolicy(ctx context.Context, c access.Caller, in *VaultPolicyPath) (*answer[vaultModel], error) {
	v, err := a.Vaults.SetPolicies(ctx, c, in.Vault, settings.Remove, []settings.Policy{{ObjectID: in.Principal, ApplicationID: in.Application}})
	return answerOfVault(v, err)
}
