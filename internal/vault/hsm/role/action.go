package role

import (
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/object"
)

// actions is the closed list of a Managed HSM's data actions, without the prefix: azadmin's
// 34, and two of our own for its settings, which Azure leaves to the Administrator too.
var actions = [...]string{
	"keys/read/action", "keys/write/action", "keys/deletedKeys/read/action", "keys/deletedKeys/recover/action",
	"keys/backup/action", "keys/restore/action",
	"roleAssignments/delete/action", "roleAssignments/read/action", "roleAssignments/write/action",
	"roleDefinitions/read/action", "roleDefinitions/write/action", "roleDefinitions/delete/action",
	"keys/encrypt/action", "keys/decrypt/action", "keys/wrap/action", "keys/unwrap/action", "keys/sign/action", "keys/verify/action",
	"keys/create", "keys/delete", "keys/export/action", "keys/release/action", "keys/import/action", "keys/deletedKeys/delete",
	"securitydomain/download/action", "securitydomain/download/read", "securitydomain/upload/action", "securitydomain/upload/read",
	"securitydomain/transferkey/read",
	"backup/start/action", "restore/start/action", "backup/status/action", "restore/status/action", "rng/action",
	"settings/read/action", "settings/write/action",
}

// Actions returns every data action of a Managed HSM.
func Actions() []access.Action { return with(actions[:]...) }

func with(names ...string) []access.Action {
	out := make([]access.Action, len(names))
	for i, n := range names {
		out[i] = access.Action(object.ManagedPrefix + n)
	}
	return out
}

// canonical returns the action in the spelling of the list.
func canonical(a access.Action) (access.Action, bool) {
	for _, known := range actions {
		if strings.EqualFold(object.ManagedPrefix+known, string(a)) {
			return access.Action(object.ManagedPrefix + known), true
		}
	}
	return "", false
}
