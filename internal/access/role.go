package access

import (
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
)

// Role is a named set of actions.
type Role struct {
	ID          string   // GUID; Azure's own for Azure's roles
	Name        string   // as people and scripts know it
	Description string   // one sentence
	Actions     []Action // "*" stands for any text
}

// Allows reports whether the role covers the action, or one whose holders may do it too.
func (r Role) Allows(a Action) bool {
	also := alsoAllowedBy(a)
	for _, p := range r.Actions {
		if matches(string(p), string(a)) || also != "" && matches(string(p), string(also)) {
			return true
		}
	}
	return false
}

// Ids of the roles that code refers to.
const (
	AdministratorRole         = "c117750e-ee1a-404b-924b-38664856d09d"
	KeyVaultAdministratorRole = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
)

// Azure's roles for what a vault holds, with Azure's names, ids and data actions
// (contract: azure-key-vault.md §2.7).
var vaultRoles = []Role{
	{
		ID: KeyVaultAdministratorRole, Name: "Key Vault Administrator",
		Description: "Everything with the keys, secrets and certificates of a vault.",
		Actions:     inVault("*"),
	},
	{
		ID: "21090545-7ca7-4776-b22c-e363652d74d2", Name: "Key Vault Reader",
		Description: "Reads what is there, without secret values.",
		Actions:     inVault("*/read", "secrets/readMetadata/action"),
	},
	{
		ID: "a4417e6f-fecd-4de8-b567-7b0420556985", Name: "Key Vault Certificates Officer",
		Description: "Everything with certificates.",
		Actions:     inVault("certificatecas/*", "certificates/*", "certificatecontacts/write"),
	},
	{
		ID: "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba", Name: "Key Vault Certificate User",
		Description: "Reads certificates whole, with their keys and secrets.",
		Actions:     inVault("certificates/read", "secrets/getSecret/action", "secrets/readMetadata/action", "keys/read"),
	},
	{
		ID: "14b46e9e-c2b7-41b4-b07b-48a6ebf60603", Name: "Key Vault Crypto Officer",
		Description: "Everything with keys.",
		Actions:     inVault("keys/*", "keyrotationpolicies/*"),
	},
	{
		ID: "12338af0-0e69-4776-bea7-57ae8d297424", Name: "Key Vault Crypto User",
		Description: "Uses keys.",
		Actions: inVault("keys/read", "keys/update/action", "keys/backup/action", "keys/encrypt/action", "keys/decrypt/action",
			"keys/wrap/action", "keys/unwrap/action", "keys/sign/action", "keys/verify/action"),
	},
	{
		ID: "e147488a-f6f5-4113-8e2d-b22465e65bf6", Name: "Key Vault Crypto Service Encryption User",
		Description: "Wraps and unwraps with keys.",
		Actions:     inVault("keys/read", "keys/wrap/action", "keys/unwrap/action"),
	},
	{
		ID: "08bbd89e-9f13-488c-ac41-acfcb10c90ab", Name: "Key Vault Crypto Service Release User",
		Description: "Releases keys.",
		Actions:     inVault("keys/release/action"),
	},
	{
		ID: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", Name: "Key Vault Secrets Officer",
		Description: "Everything with secrets.",
		Actions:     inVault("secrets/*"),
	},
	{
		ID: "4633458b-17de-408a-b874-0445c86b69e6", Name: "Key Vault Secrets User",
		Description: "Reads secret values.",
		Actions:     inVault("secrets/getSecret/action", "secrets/readMetadata/action"),
	},
}

// Azure's roles for vaults themselves, with Azure's names and ids. Key Vault Contributor
// cannot change access policies here: that would be a way to what the vaults hold.
var managementRoles = []Role{
	{
		ID: "f25e0fa2-a7c8-4377-a976-54943a77a395", Name: "Key Vault Contributor",
		Description: "Makes, changes, deletes and recovers vaults. Neither reads what is in them nor says who may.",
		Actions:     inControl("vaults/read", "vaults/write", "vaults/delete"),
	},
	{
		ID: "a68e7c17-0ab2-4c09-9a58-125dae29748c", Name: "Key Vault Purge Operator",
		Description: "Purges deleted vaults.",
		Actions:     inControl("vaults/read", "vaults/purge"),
	},
}

// Our roles for the control plane. None of them opens a vault, and whoever asks for a
// certificate is not the one who approves it.
var controlRoles = []Role{
	{
		ID: AdministratorRole, Name: "Administrator",
		Description: "Everything in the control plane, and who may do what. Not the contents of vaults.",
		Actions:     inControl("*"),
	},
	{
		ID: "4e01871e-10e3-4c0c-a555-806334e32846", Name: "Operator",
		Description: "Discovers, renews, deploys and revokes. Does not approve, and changes neither access nor authorities.",
		Actions: inControl("certificates/*", "endpoints/*", "campaigns/*", "findings/*", "lineages/*", "deployments/*",
			"requests/read", "requests/write", "connections/read", "connections/run",
			"authorities/read", "profiles/read", "vaults/read", "subscriptions/read", "acme/*", "passcodes/*"),
	},
	{
		ID: "6d0c2b2e-55d0-4c3a-9f4e-2f9c1c1f7a58", Name: "Subscriber",
		Description: "Has events sent to webhooks: those of a vault with the role at the vault, all with the role everywhere.",
		Actions:     inControl("subscriptions/*"),
	},
	{
		ID: "891e24a5-3975-4bf1-8664-abdd63c17f0d", Name: "Requester",
		Description: "Sees certificates and asks for new ones, for renewal and for revocation.",
		Actions: inControl("certificates/read", "endpoints/read", "findings/read", "lineages/read", "deployments/read",
			"profiles/read", "authorities/read", "requests/read", "requests/write"),
	},
	{
		ID: "583f4640-8f32-490a-9cc8-e03fabf1c873", Name: "Approver",
		Description: "Approves and declines what others ask for.",
		Actions: inControl("certificates/read", "endpoints/read", "findings/read", "lineages/read", "deployments/read",
			"profiles/read", "authorities/read", "requests/read", "requests/approve", "exports/read", "exports/approve"),
	},
	{
		ID: "317600d0-10b2-4c77-b691-ee81d2349e22", Name: "Auditor",
		Description: "Reads everything in the control plane, the audit trail and access too. Changes nothing.",
		Actions:     inControl("*/read"),
	},
}

// Roles returns every role, Azure's first.
func Roles() []Role { return slices.Concat(vaultRoles, managementRoles, controlRoles) }

// FindRole returns the role with the id or name, in any case.
func FindRole(idOrName string) (Role, error) {
	for _, r := range Roles() {
		if strings.EqualFold(r.ID, idOrName) || strings.EqualFold(r.Name, idOrName) {
			return r, nil
		}
	}
	return Role{}, fault.New(fault.NotFound, "RoleNotFound", "there is no role %.64q; the list of roles names each with its id", idOrName)
}

func inVault(patterns ...string) []Action   { return prefixed(VaultPrefix, patterns) }
func inControl(patterns ...string) []Action { return prefixed(ControlPrefix, patterns) }

func prefixed(prefix string, patterns []string) []Action {
	out := make([]Action, len(patterns))
	for i, p := range patterns {
		out[i] = Action(prefix + p)
	}
	return out
}
