package role

import (
	"strings"

	"chatelaine.dev/internal/access"
)

const maxFilter = 512

// clauses cuts a $filter at its ands.
func clauses(filter string) ([]string, error) {
	if len(filter) > maxFilter {
		return nil, bad("The $filter is longer than %d bytes.", maxFilter)
	}
	if strings.TrimSpace(filter) == "" {
		return nil, nil
	}
	list := strings.Split(filter, " and ")
	for i, c := range list {
		list[i] = strings.TrimSpace(c)
	}
	return list, nil
}

// equals returns the value of a clause such as: principalId eq 'x'. The quotes may be
// missing, as the contract writes them.
func equals(clause, field string) (string, bool) {
	name, rest, ok := strings.Cut(clause, " ")
	op, value, ok2 := strings.Cut(strings.TrimSpace(rest), " ")
	if !ok || !ok2 || !strings.EqualFold(name, field) || !strings.EqualFold(op, "eq") {
		return "", false
	}
	return strings.Trim(strings.TrimSpace(value), "'"), true
}

// argument returns what stands in the brackets of a clause such as: assignedTo('x').
func argument(clause, function string) (string, bool) {
	name, rest, ok := strings.Cut(clause, "(")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), function) || !strings.HasSuffix(rest, ")") {
		return "", false
	}
	return strings.Trim(strings.TrimSpace(strings.TrimSuffix(rest, ")")), "'"), true
}

// assignmentFilter decides which assignments a list at a scope has. Without a filter they
// are those at, above and below; atScope() leaves out those below.
func assignmentFilter(filter string, at access.Scope) (func(Assignment) bool, error) {
	list, err := clauses(filter)
	if err != nil {
		return nil, err
	}
	principal, exact := "", false
	for _, c := range list {
		id, byField := equals(c, "principalId")
		if !byField {
			id, byField = argument(c, "assignedTo")
		}
		_, atScope := argument(c, "atScope")
		switch {
		case byField && id != "":
			principal = strings.ToLower(id)
		case atScope:
			exact = true
		default:
			return nil, bad("The $filter %.160q is not understood; use atScope() or principalId eq '{id}'.", filter)
		}
	}
	return func(a Assignment) bool {
		return (principal == "" || strings.EqualFold(a.Principal, principal)) && (at.Within(a.Scope) || !exact && a.Scope.Within(at))
	}, nil
}

// definitionFilter decides which definitions a list has. All can be assigned at "/" or
// above every other scope, so atScopeAndBelow() leaves none out.
func definitionFilter(filter string) (func(Definition) bool, error) {
	list, err := clauses(filter)
	if err != nil {
		return nil, err
	}
	kind, name := "", ""
	for _, c := range list {
		if _, ok := argument(c, "atScopeAndBelow"); ok {
			continue
		}
		k, byType := equals(c, "type")
		n, byName := equals(c, "roleName")
		switch {
		case byType:
			kind = k
		case byName:
			name = n
		default:
			return nil, bad("The $filter %.160q is not understood; use atScopeAndBelow(), type eq 'CustomRole' or roleName eq '{name}'.", filter)
		}
	}
	return func(d Definition) bool {
		return (kind == "" || strings.EqualFold(kind, d.Type())) && (name == "" || strings.EqualFold(name, d.Name))
	}, nil
}

// Type is the role's type in the contract's words.
func (d Definition) Type() string {
	if d.BuiltIn {
		return "AKVBuiltInRole"
	}
	return "CustomRole"
}
