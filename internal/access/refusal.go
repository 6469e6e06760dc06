package access

import (
	"fmt"
	"strings"

	"chatelaine.dev/internal/fault"
)

// CodeForbidden is the code of every refusal, Azure's own word.
const CodeForbidden = "ForbiddenByRbac"

// Refusal says who was refused what. It is in the chain of a Guard's error, for the front
// door that words it.
type Refusal struct {
	Caller Caller
	Action Action
	Scope  Scope
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s has no role for %s at %s", r.Caller.Principal, r.Action, r.Scope)
}

// Refuse is the error of a Guard that refuses.
func Refuse(c Caller, a Action, s Scope) error {
	r := &Refusal{Caller: c, Action: a, Scope: s}
	return fault.Wrap(r, fault.Denied, CodeForbidden, r.message())
}

// message words the refusal as Key Vault does (contract: azure-key-vault.md §2.2), and
// shorter for the control plane.
func (r *Refusal) message() string {
	if !strings.HasPrefix(string(r.Action), VaultPrefix) {
		return fmt.Sprintf("You have no role that allows %s at %s. Ask an administrator to assign one.", r.Action, r.Scope)
	}
	vault, _, _ := strings.Cut(strings.TrimPrefix(string(r.Scope), "/vaults/"), "/")
	return "Caller is not authorized to perform action on resource.\r\n" +
		"If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n" +
		fmt.Sprintf("Caller: appid=%s;oid=%s;iss=%s\r\n", r.Caller.Application, r.Caller.Principal, r.Caller.Issuer) +
		fmt.Sprintf("Action: '%s'\r\nResource: '%s'\r\n", r.Action, r.Scope) +
		"Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\n" +
		fmt.Sprintf("Vault: %s;location=local\r\n", vault)
}
