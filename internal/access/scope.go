package access

import (
	"strings"

	"chatelaine.dev/internal/fault"
)

// Root is the scope above every other.
const Root Scope = "/"

// Bounds of a scope. The deepest today is "/vaults/{vault}/{kind}/{name}".
const (
	maxScope    = 512
	maxSegments = 8
)

// ParseScope checks the text of a scope that a role is to be assigned at: "/", or
// segments of lower-case letters, digits and ".-_:@+" that begin with a letter or digit.
// Upper case is folded, because names of vault objects are alike in any case.
func ParseScope(text string) (Scope, error) {
	s, ok := Scope(text).Canonical()
	if !ok {
		return "", fault.New(fault.Invalid, "InvalidScope",
			"scope %.64q is not valid; write \"/\", \"/vaults/{vault}\" or \"/vaults/{vault}/{kind}/{name}\"", text)
	}
	return s, nil
}

// Canonical folds ASCII upper case and reports whether the scope is well formed. Only
// ASCII is folded and nothing else is accepted: a letter such as the Kelvin sign, which
// Unicode folds to "k", must never make two scopes one.
func (s Scope) Canonical() (Scope, bool) {
	if s == Root {
		return s, true
	}
	if len(s) < 2 || len(s) > maxScope || s[0] != '/' {
		return "", false
	}
	upper, segments := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '/':
			segments++
			if i+1 == len(s) || !alphanumeric(s[i+1]) {
				return "", false
			}
		case c >= 'A' && c <= 'Z':
			upper = true
		case !alphanumeric(c) && strings.IndexByte(".-_:@+", c) < 0:
			return "", false
		}
	}
	if segments > maxSegments {
		return "", false
	}
	if upper {
		s = Scope(strings.ToLower(string(s)))
	}
	return s, true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z'
}

// Parent returns the scope above s; that of the root is the root.
func (s Scope) Parent() Scope {
	if i := strings.LastIndexByte(string(s), '/'); i > 0 {
		return s[:i]
	}
	return Root
}

// Within reports whether s is outer or below it.
func (s Scope) Within(outer Scope) bool {
	return s == outer || outer == Root || strings.HasPrefix(string(s), string(outer)+"/")
}
