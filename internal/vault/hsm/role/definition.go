// Package role keeps the roles of a Managed HSM and who holds them where. They are the
// HSM's own: sealed in its ledger, and answered for from memory.
package role

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Limits of a definition.
const (
	MaxDefinitions = 100 // custom ones of an HSM
	maxText        = 1024
	maxPermissions = 20
	maxActions     = 100 // of a list of a permission
)

// Definition is a role: a named set of data actions.
type Definition struct {
	ID               string         `json:"-"` // GUID
	Name             string         `json:"name"`
	Description      string         `json:"description,omitempty"`
	BuiltIn          bool           `json:"-"`
	AssignableScopes []access.Scope `json:"assignableScopes"` // "/" or "/keys": where it may be assigned, and below
	Permissions      []Permission   `json:"permissions"`
}

// Permission is a part of a role. A data action is granted when it is among DataActions
// and not among NotDataActions of the same permission. Actions and NotActions are of
// Azure's resource manager: they are kept, and grant nothing here.
type Permission struct {
	Actions        []string        `json:"actions,omitempty"`
	NotActions     []string        `json:"notActions,omitempty"`
	DataActions    []access.Action `json:"dataActions,omitempty"`
	NotDataActions []access.Action `json:"notDataActions,omitempty"`
}

// granted is the set of data actions that the role grants.
func (d Definition) granted() map[access.Action]bool {
	set := map[access.Action]bool{}
	for _, p := range d.Permissions {
		for _, a := range p.DataActions {
			if !slices.Contains(p.NotDataActions, a) {
				set[a] = true
			}
		}
	}
	return set
}

func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", format, args...)
}

// check refuses a custom role that cannot be kept, and writes actions and scopes in their
// own spelling. Letters are alike in either case, as Azure has it.
func (d *Definition) check() error {
	if len(d.Name) > maxText || len(d.Description) > maxText {
		return bad("The name or the description of the role is longer than %d bytes.", maxText)
	}
	if d.Name == "" {
		d.Name = d.ID
	}
	if len(d.AssignableScopes) == 0 {
		d.AssignableScopes = []access.Scope{access.Root}
	}
	if len(d.AssignableScopes) > 2 || len(d.Permissions) > maxPermissions {
		return bad("The role has too many assignable scopes or permissions; at most 2 and %d are allowed.", maxPermissions)
	}
	for i, s := range d.AssignableScopes {
		s, ok := s.Canonical()
		if !ok || s != access.Root && s != "/keys" {
			return bad("The assignable scope %.64q is not valid; use / or /keys.", d.AssignableScopes[i])
		}
		d.AssignableScopes[i] = s
	}
	for _, p := range d.Permissions {
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

func (p Permission) check() error {
	for _, list := range [][]access.Action{p.DataActions, p.NotDataActions} {
		if len(list) > maxActions {
			return bad("A permission names %d data actions; at most %d are allowed.", len(list), maxActions)
		}
		for i, a := range list {
			known, ok := canonical(a)
			if !ok {
				return bad("The data action %.128q is not valid; use those of a managed HSM, such as %s.", a, Actions()[0])
			}
			list[i] = known
		}
	}
	for _, list := range [][]string{p.Actions, p.NotActions} {
		if len(list) > maxActions || slices.ContainsFunc(list, func(s string) bool { return len(s) > maxText }) {
			return bad("A permission names too many actions, or one that is too long.")
		}
	}
	return nil
}

// definitionOf reads a custom role from its row.
func definitionOf(h object.Head) (Definition, error) {
	d := Definition{ID: h.Name}
	if err := json.Unmarshal(h.Extra, &d); err != nil {
		return d, fmt.Errorf("role definition %s: %w", h.Name, err)
	}
	return d, nil
}

// guid returns the canonical form of a GUID.
func guid(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	s = strings.ToLower(s)
	for i := range len(s) {
		switch hyphen := i == 8 || i == 13 || i == 18 || i == 23; {
		case hyphen != (s[i] == '-'):
			return "", false
		case !hyphen && !strings.Contains("0123456789abcdef", s[i:i+1]):
			return "", false
		}
	}
	return s, true
}
