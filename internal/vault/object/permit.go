package object

import (
	"context"
	"fmt"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/settings"
)

// permit says whether c may do op to r. v is nil where there is no such vault, or none
// that opens: who may not do it anyway is told the same as where it exists. Network
// rules come first, so that a client from elsewhere learns nothing of what is inside.
func (s *Shelf) permit(ctx context.Context, c access.Caller, op Operation, r Ref, v *Vault) error {
	if v != nil && !v.Admits(c) {
		return s.shutOut(ctx, c, op, r, v)
	}
	if v != nil && v.gate.Load().Kind == ManagedHSM {
		return s.permitLocally(ctx, c, op, r, v)
	}
	action, ok := s.actions[op]
	if !ok {
		return fault.New(fault.Internal, "NoAction", "the operation %s%s has no action to authorise", s.kind.Title(), op)
	}
	action = access.VaultPrefix + action
	if v == nil || c.IsSystem() || !v.gate.Load().PolicyMode {
		return s.Guard.Authorize(ctx, c, action, s.scope(r), s.name(op))
	}
	g, need := v.gate.Load(), neededFor(op, action)
	if g.policies.Allow(c.Principal, c.Application, need.set) {
		return nil
	}
	return s.refuse(ctx, c, op, r, action, fault.New(fault.Denied, "ForbiddenByPolicy",
		"The user, group or application 'appid=%s;oid=%s;numgroups=0;iss=%s' does not have %s %s permission on key vault '%s;location=%s'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
		c.Application, c.Principal, c.Issuer, need.area, need.word, v.Name, g.Where()))
}

// Permit says whether c may do op to r, as Call does before it: for work of which another
// floor does the rest, in the product's own name.
func (s *Shelf) Permit(ctx context.Context, c access.Caller, op Operation, r Ref) error {
	v, err := s.Vaults.Open(ctx, r.Vault)
	if err := s.permit(ctx, c, op, r, v); err != nil {
		return err
	}
	return err
}

// Admits reports whether the network rules of the vault let a caller in.
func (v *Vault) Admits(c access.Caller) bool {
	return c.IsSystem() || v.gate.Load().network.Admits(c.Address)
}

// shutOut refuses a client whose address the network rules do not admit, in Key Vault's
// words (contract §2.2).
func (s *Shelf) shutOut(ctx context.Context, c access.Caller, op Operation, r Ref, v *Vault) error {
	return s.refuse(ctx, c, op, r, access.VaultPrefix+s.actions[op], fault.New(fault.Denied, "ForbiddenByFirewall",
		"Client address is not authorized and caller is not a trusted service.\r\nClient address: %s\r\nCaller: appid=%s;oid=%s;iss=%s\r\nVault: %s;location=%s",
		c.Address, c.Application, c.Principal, c.Issuer, v.Name, v.Settings().Where()))
}

// permitLocally asks the roles of a Managed HSM. It has keys and nothing else: what it
// does not have is not found, whoever asks.
func (s *Shelf) permitLocally(ctx context.Context, c access.Caller, op Operation, r Ref, v *Vault) error {
	if s.kind != Keys {
		return fault.New(fault.NotFound, "NotFound", "A managed HSM has no %s. Use a key vault for them.", s.kind)
	}
	action, ok := managedActions[op]
	if !ok || s.Local == nil {
		return fault.New(fault.Internal, "NoAction", "the operation %s%s has no action to authorise in a managed HSM", s.kind.Title(), op)
	}
	at := access.Scope("/keys")
	if r.Name != "" {
		at += access.Scope("/" + strings.ToLower(r.Name))
	}
	return s.Local.Authorize(ctx, v, c, ManagedPrefix+action, at, s.name(op))
}

// refuse records a refusal and returns it.
func (s *Shelf) refuse(ctx context.Context, c access.Caller, op Operation, r Ref, action access.Action, why *fault.Error) error {
	rec := c.Record(s.name(op), string(s.scope(r)))
	rec.Outcome = audit.Denied
	rec.Details[audit.Action], rec.Details[audit.Reason] = string(action), why.Code
	if err := s.Audit.Record(ctx, rec); err != nil {
		return fmt.Errorf("record that %s was refused: %w", s.name(op), err)
	}
	return why
}

// permission is what an access policy must allow.
type permission struct {
	area settings.Area
	word string
	set  settings.Set
}

// neededFor is the permission that an operation needs where access policies decide. Roles
// know one action for reading an object, listing them and reading one that is deleted;
// policies tell listing apart. An operation that no word stands for is nobody's.
func neededFor(op Operation, action access.Action) permission {
	need := permissionOf[action]
	if list, ok := listing[op]; ok {
		if p, ok := permissionOf[action+list]; ok {
			return p
		}
	}
	return need
}

// listing are the operations that list, or read what was deleted; the suffix finds the
// permission in permissionOf.
var listing = map[Operation]access.Action{
	List: "#list", ListVersions: "#list", ListDeleted: "#list", "IssuersList": "#list", GetDeleted: "#get",
}

// permissionOf are the permissions by the action that a role must have (contract §2.7).
var permissionOf = permissions(map[string]string{
	"keys/read": "get", "keys/read#list": "list", "keys/delete": "delete", "keys/create/action": "create", "keys/import/action": "import",
	"keys/update/action": "update", "keys/recover/action": "recover", "keys/restore/action": "restore", "keys/backup/action": "backup",
	"keys/purge/action": "purge", "keys/encrypt/action": "encrypt", "keys/decrypt/action": "decrypt", "keys/wrap/action": "wrapKey",
	"keys/unwrap/action": "unwrapKey", "keys/sign/action": "sign", "keys/verify/action": "verify", "keys/release/action": "release",
	"keys/rotate/action": "rotate", "keyrotationpolicies/read": "keys getrotationpolicy", "keyrotationpolicies/write": "keys setrotationpolicy",

	"secrets/getSecret/action": "get", "secrets/setSecret/action": "set", "secrets/readMetadata/action": "list", "secrets/readMetadata/action#get": "get",
	"secrets/update/action": "set", "secrets/backup/action": "backup", "secrets/restore/action": "restore", "secrets/recover/action": "recover",
	"secrets/purge/action": "purge", "secrets/delete": "delete",

	"certificates/read": "get", "certificates/read#list": "list", "certificates/delete": "delete", "certificates/create/action": "create",
	"certificates/import/action": "import", "certificates/update/action": "update", "certificates/backup/action": "backup",
	"certificates/restore/action": "restore", "certificates/recover/action": "recover", "certificates/purge/action": "purge",
	"certificatecas/read": "certificates getissuers", "certificatecas/read#list": "certificates listissuers",
	"certificatecas/write": "certificates setissuers", "certificatecas/delete": "certificates deleteissuers",
	"certificatecontacts/write": "certificates managecontacts",
})

// permissions reads the table above: a word of the action's own area, or area and word.
func permissions(table map[string]string) map[access.Action]permission {
	out := make(map[access.Action]permission, len(table))
	for action, word := range table {
		area, _, _ := strings.Cut(action, "/")
		if a, w, ok := strings.Cut(word, " "); ok {
			area, word = a, w
		}
		p := permission{settings.Area(area), word, settings.Of(settings.Area(area), word)}
		out[access.Action(access.VaultPrefix+action)] = p
	}
	// To take a vault away or to bring one in is everything at once.
	whole := permission{"all keys, secrets and certificates", "all", settings.All(settings.Keys, settings.Secrets, settings.Certificates)}
	out[access.VaultPrefix+"export/action"], out[access.VaultPrefix+"import/action"] = whole, whole
	return out
}

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
