package object

import (
	"context"

	"chatelaine.dev/internal/access"
)

// What a Managed HSM keeps besides its keys in the same way, sealed and in the ledger: heads
// without versions.
const (
	RoleDefinitions Kind = "roledefinitions"
	RoleAssignments Kind = "roleassignments"
	Administration  Kind = "hsm"     // settings, security domain, transfer key
	Jobs            Kind = "hsmjobs" // backups and restores
)

// LocalRoles decide who may do what in a Managed HSM. Its roles are its own: those of the
// control plane do not reach into it.
type LocalRoles interface {
	// Authorize refuses with fault.Denied and records the refusal, as access.Guard does. at
	// is a scope of the HSM: "/", "/keys" or "/keys/{name}".
	Authorize(ctx context.Context, v *Vault, c access.Caller, a access.Action, at access.Scope, operation string) error
}

// ManagedPrefix begins every data action of a Managed HSM.
const ManagedPrefix = "Microsoft.KeyVault/managedHsm/"

// managedActions are what the operations on keys need in a Managed HSM (contract §2.7; the
// names are those of azadmin's DataAction).
var managedActions = map[Operation]access.Action{
	"Create": "keys/create", "Import": "keys/import/action",
	Get: "keys/read/action", List: "keys/read/action", ListVersions: "keys/read/action", "GetAttestation": "keys/read/action",
	Update: "keys/write/action", Delete: "keys/delete",
	GetDeleted: "keys/deletedKeys/read/action", ListDeleted: "keys/deletedKeys/read/action",
	Recover: "keys/deletedKeys/recover/action", Purge: "keys/deletedKeys/delete", DeleteVersion: "keys/deletedKeys/delete",
	Backup: "keys/backup/action", Restore: "keys/restore/action",
	"Encrypt": "keys/encrypt/action", "Decrypt": "keys/decrypt/action", "Wrap": "keys/wrap/action", "Unwrap": "keys/unwrap/action",
	"Sign": "keys/sign/action", "Verify": "keys/verify/action", "Release": "keys/release/action",
	// Azure names no action for rotation: a new version is a change of the key.
	"Rotate": "keys/write/action", "RotateIfDue": "keys/write/action", "RotationPolicyGet": "keys/read/action", "RotationPolicySet": "keys/write/action",
	"GetRandomBytes": "rng/action",
}

// AfterCommit calls fn when the fate of the running transaction is known.
func (v *Vault) AfterCommit(ctx context.Context, fn func(committed bool)) {
	v.vaults.rows.AfterCommit(ctx, fn)
}
