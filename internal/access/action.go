package access

import "strings"

// VaultPrefix begins every data action of a vault.
const VaultPrefix = "Microsoft.KeyVault/vaults/"

// ControlPrefix begins every action of the control plane: "Chatelaine/{noun}/{verb}".
const ControlPrefix = "Chatelaine/"

// Actions on access itself.
const (
	ReadAccess  Action = ControlPrefix + "access/read"
	WriteAccess Action = ControlPrefix + "access/write"
)

// vaultActions is the closed list of Azure's data actions for vaults, without the prefix
// (contract: azure-key-vault.md §2.7).
var vaultActions = [...]string{
	"keys/read", "keys/delete", "keys/create/action", "keys/import/action", "keys/update/action", "keys/recover/action",
	"keys/restore/action", "keys/backup/action", "keys/purge/action", "keys/encrypt/action", "keys/decrypt/action",
	"keys/wrap/action", "keys/unwrap/action", "keys/sign/action", "keys/verify/action", "keys/release/action", "keys/rotate/action",
	"keyrotationpolicies/read", "keyrotationpolicies/write",
	"secrets/getSecret/action", "secrets/setSecret/action", "secrets/readMetadata/action", "secrets/update/action",
	"secrets/backup/action", "secrets/restore/action", "secrets/recover/action", "secrets/purge/action", "secrets/delete",
	"certificates/read", "certificates/delete", "certificates/create/action", "certificates/import/action",
	"certificates/update/action", "certificates/backup/action", "certificates/restore/action", "certificates/recover/action",
	"certificates/purge/action",
	"certificatecas/read", "certificatecas/write", "certificatecas/delete", "certificatecontacts/write",
}

// VaultActions returns every data action of a vault that Azure's roles know.
func VaultActions() []Action {
	out := make([]Action, len(vaultActions))
	for i, a := range vaultActions {
		out[i] = Action(VaultPrefix + a)
	}
	return out
}

// alsoAllowedBy returns the action whose holder may do a as well, or "". Encrypting,
// wrapping and verifying with an asymmetric key need its public half alone, which the
// readers of the key have (contract: §2.7). Keys of a vault are always asymmetric.
func alsoAllowedBy(a Action) Action {
	switch a {
	case VaultPrefix + "keys/encrypt/action", VaultPrefix + "keys/wrap/action", VaultPrefix + "keys/verify/action":
		return VaultPrefix + "keys/read"
	}
	return ""
}

// matches reports whether the pattern covers the action. "*" stands for any text, slashes
// too; letters are alike in either case, as Azure has it.
func matches(pattern, action string) bool {
	p, a, star, retry := 0, 0, -1, 0
	for a < len(action) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, a
			p++
		case p < len(pattern) && lower(pattern[p]) == lower(action[a]):
			p++
			a++
		case star >= 0:
			retry++
			p, a = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
