// Package settings is what an administrator decides about a vault: among it who is let in by rules
// that the vault has of its own, access policies in place of roles, and network rules.
package settings

import (
	"math/bits"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
)

// Area is what a permission is about. Its text is the JSON name of contract §2.7.
type Area string

// The areas.
const (
	Keys         Area = "keys"
	Secrets      Area = "secrets"
	Certificates Area = "certificates"
	Storage      Area = "storage" // kept and returned; nothing here asks for it
)

// everything is the word that stands for every permission of an area.
const everything = "all"

// words are the permissions of each area (contract §2.7), as they are returned.
var words = map[Area][]string{
	Keys: {
		"get", "list", "update", "create", "import", "delete", "recover", "backup", "restore", "decrypt", "encrypt", "unwrapKey", "wrapKey",
		"verify", "sign", "purge", "release", "rotate", "getrotationpolicy", "setrotationpolicy",
	},
	Secrets: {"get", "list", "set", "delete", "recover", "backup", "restore", "purge"},
	Certificates: {
		"get", "list", "delete", "create", "import", "update", "managecontacts", "getissuers", "listissuers", "setissuers", "deleteissuers",
		"manageissuers", "recover", "backup", "restore", "purge",
	},
	Storage: {
		"get", "list", "delete", "set", "update", "regeneratekey", "recover", "backup", "restore", "purge", "setsas", "listsas", "getsas", "deletesas",
	},
}

// Words returns the permissions of an area.
func Words(a Area) []string { return slices.Clone(words[a]) }

// Set is a set of permissions of all areas, one bit each.
type Set uint64

// areas in the order of their bits. 58 permissions fit into a Set.
var areas = [...]Area{Keys, Secrets, Certificates, Storage}

// Of is the set of one permission. A word that the area does not have is the empty set,
// which nobody holds.
func Of(a Area, word string) Set {
	at := 0
	for _, area := range areas {
		if area == a {
			if i := slices.Index(words[a], word); i >= 0 {
				return 1 << (at + i)
			}
			return 0
		}
		at += len(words[area])
	}
	return 0
}

// All is every permission of some areas.
func All(areas ...Area) (s Set) {
	for _, a := range areas {
		for _, w := range words[a] {
			s |= Of(a, w)
		}
	}
	return s
}

// Has reports whether s holds all of p, which is not empty.
func (s Set) Has(p Set) bool { return p != 0 && s&p == p }

// Len is how many permissions there are in s.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Permissions are what a policy allows, as clients write it.
type Permissions struct {
	Keys         []string `json:"keys,omitempty"`
	Secrets      []string `json:"secrets,omitempty"`
	Certificates []string `json:"certificates,omitempty"`
	Storage      []string `json:"storage,omitempty"`
}

func (p *Permissions) each() map[Area]*[]string {
	return map[Area]*[]string{Keys: &p.Keys, Secrets: &p.Secrets, Certificates: &p.Certificates, Storage: &p.Storage}
}

// canonical returns the permissions in the words of the contract, each once. Letters are
// alike in either case.
func (p Permissions) canonical() (Permissions, error) {
	for a, list := range p.each() {
		var out []string
		for _, w := range *list {
			i := slices.IndexFunc(append(slices.Clone(words[a]), everything), func(known string) bool { return strings.EqualFold(known, w) })
			if i < 0 {
				return p, fault.New(fault.Invalid, "BadRequest", "%.40q is no permission for %s; want some of %s or %s.", w, a, strings.Join(words[a], ", "), everything)
			}
			known := everything
			if i < len(words[a]) {
				known = words[a][i]
			}
			if !slices.Contains(out, known) {
				out = append(out, known)
			}
		}
		*list = out
	}
	return p, nil
}

// set is the bits of canonical permissions.
func (p Permissions) set() (s Set) {
	for a, list := range p.each() {
		for _, w := range *list {
			if w == everything {
				s |= All(a)
			}
			s |= Of(a, w)
		}
	}
	return s
}
