package role

import (
	"slices"

	"chatelaine.dev/internal/access"
)

// Ids of the built-in roles that code refers to (contract §2.7).
const (
	Administrator = "a290e904-7015-4bba-90c8-60543313cdb4"
	CryptoOfficer = "515eb02d-2335-4d2d-92f2-b1cbdf9c3778"
	CryptoUser    = "21dbd100-6940-42c2-9190-5d6cb909625b"
)

// groups of actions that roles have in common.
var (
	assigning = []string{"roleAssignments/delete/action", "roleAssignments/read/action", "roleAssignments/write/action"}
	defining  = []string{"roleDefinitions/read/action", "roleDefinitions/write/action", "roleDefinitions/delete/action"}
)

// BuiltIn returns Azure's roles of a Managed HSM, with their ids, names and data actions as
// the service lists them. An Administrator rules the HSM and uses no key of it; an Officer
// lets others use keys.
func BuiltIn() []Definition {
	return []Definition{
		builtIn(Administrator, "Managed HSM Administrator", slices.Concat(assigning, defining, []string{
			"securitydomain/download/action", "securitydomain/download/read", "securitydomain/upload/action", "securitydomain/upload/read",
			"securitydomain/transferkey/read",
			"backup/start/action", "restore/start/action", "backup/status/action", "restore/status/action",
			"settings/read/action", "settings/write/action",
		})),
		builtIn(CryptoOfficer, "Managed HSM Crypto Officer", slices.Concat(assigning, defining, []string{
			"keys/deletedKeys/read/action", "keys/deletedKeys/delete", "keys/deletedKeys/recover/action", "keys/export/action",
		})),
		builtIn(CryptoUser, "Managed HSM Crypto User", []string{
			"roleDefinitions/read/action", "roleAssignments/read/action",
			"keys/read/action", "keys/write/action", "keys/delete", "keys/create", "keys/import/action", "keys/release/action",
			"keys/backup/action", "keys/restore/action", "keys/encrypt/action", "keys/decrypt/action", "keys/wrap/action",
			"keys/unwrap/action", "keys/sign/action", "keys/verify/action", "rng/action",
		}),
		builtIn("4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Managed HSM Policy Administrator", slices.Concat(defining, assigning)),
		builtIn("2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "Managed HSM Crypto Auditor", []string{
			"roleAssignments/read/action", "roleDefinitions/read/action", "keys/read/action", "keys/deletedKeys/read/action",
		}),
		builtIn("33413926-3206-4cdd-b39a-83574fe37a17", "Managed HSM Crypto Service Encryption User", []string{
			"keys/read/action", "keys/wrap/action", "keys/unwrap/action",
		}),
		builtIn("21dbd100-6940-42c2-9190-5d6cb909625c", "Managed HSM Crypto Service Release User", []string{"keys/release/action"}),
		builtIn("7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", "Managed HSM Backup User", []string{
			"backup/start/action", "backup/status/action", "keys/backup/action",
		}),
		builtIn("6efe6056-5259-49d2-8b3d-d3d73544b20b", "Managed HSM Restore User", []string{
			"restore/start/action", "restore/status/action", "keys/restore/action",
		}),
	}
}

func builtIn(id, name string, data []string) Definition {
	return Definition{
		ID: id, Name: name, BuiltIn: true, AssignableScopes: []access.Scope{access.Root},
		Permissions: []Permission{{DataActions: with(data...)}},
	}
}
