package role

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// MaxAssignments bounds the assignments of an HSM.
const MaxAssignments = 1000

// Assignment gives a principal a role at a scope of the HSM and below.
type Assignment struct {
	ID        string       `json:"-"` // GUID
	Principal string       `json:"principal"`
	Role      string       `json:"role"` // id of the definition
	Scope     access.Scope `json:"scope"`
	Created   time.Time    `json:"-"`
}

// same reports whether two assignments say the same.
func (a Assignment) same(b Assignment) bool {
	return a.Principal == b.Principal && a.Role == b.Role && a.Scope == b.Scope
}

// assignmentOf reads an assignment from its row.
func assignmentOf(h object.Head) (Assignment, error) {
	a := Assignment{ID: h.Name, Created: h.Created}
	if err := json.Unmarshal(h.Extra, &a); err != nil {
		return a, fmt.Errorf("role assignment %s: %w", h.Name, err)
	}
	return a, nil
}

// ParseScope checks a scope of an HSM: "/", "/keys" or "/keys/{name}". Names of keys are
// alike in any case.
func ParseScope(text string) (access.Scope, error) {
	s, ok := access.Scope(text).Canonical()
	name, isKey := strings.CutPrefix(string(s), "/keys/")
	if !ok || s != access.Root && s != "/keys" && !isKey {
		return "", bad("The scope %.160q is not valid; use /, /keys or /keys/{name}.", text)
	}
	if isKey {
		if err := object.CheckName(name); err != nil {
			return "", err
		}
	}
	return s, nil
}

func definitionNotFound(id string) error {
	return fault.New(fault.NotFound, "RoleDefinitionNotFound", "Requested role definition not found: %.64s. List the role definitions to see their ids.", id)
}

func assignmentNotFound(id string) error {
	return fault.New(fault.NotFound, "RoleAssignmentNotFound", "Requested role assignment not found: %.64s. List the role assignments to see their names.", id)
}
