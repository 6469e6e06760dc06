package settings

import (
	"cmp"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
)

// MaxPolicies bounds the access policies of a vault (contract §2.7).
const MaxPolicies = 1024

const maxID = 64 // characters of an id in a policy

// Policy allows a principal what it lists, in a vault that uses access policies.
type Policy struct {
	TenantID      string      `json:"tenantId"`
	ObjectID      string      `json:"objectId"`
	ApplicationID string      `json:"applicationId,omitempty"` // then only when the principal acts through this program
	Permissions   Permissions `json:"permissions"`
}

// same reports whether two policies are for the same principal and program.
func (p Policy) same(q Policy) bool {
	return p.ObjectID == q.ObjectID && p.ApplicationID == q.ApplicationID
}

// Check returns the policies in the form that is kept. Two for the same principal and
// program are refused, as they would hide each other from whoever takes one away.
func Check(list []Policy) ([]Policy, error) {
	if len(list) > MaxPolicies {
		return nil, fault.New(fault.Invalid, "BadRequest", "%d access policies were sent; a vault has at most %d.", len(list), MaxPolicies)
	}
	out := make([]Policy, 0, len(list))
	seen := make(map[[2]string]bool, len(list))
	for _, p := range list {
		var err error
		if p, err = p.canonical(); err != nil {
			return nil, err
		}
		key := [2]string{p.ObjectID, p.ApplicationID}
		if seen[key] {
			return nil, fault.New(fault.Invalid, "BadRequest", "There are two access policies for the object %s; send one with all its permissions.", p.ObjectID)
		}
		seen[key] = true
		out = append(out, p)
	}
	return out, nil
}

func (p Policy) canonical() (Policy, error) {
	for _, id := range []*string{&p.TenantID, &p.ObjectID, &p.ApplicationID} {
		if len(*id) > maxID {
			return p, fault.New(fault.Invalid, "BadRequest", "An access policy has an id of %d characters; an id is a GUID.", len(*id))
		}
		*id = strings.ToLower(*id)
	}
	if p.ObjectID == "" {
		return p, fault.New(fault.Invalid, "BadRequest", "An access policy has no objectId; it says whom the policy is for.")
	}
	var err error
	p.Permissions, err = p.Permissions.canonical()
	return p, err
}

// Add returns list with more: what a principal has already stays (Azure's operation add).
func Add(list, more []Policy) ([]Policy, error) {
	more, err := Check(more)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(list)
	for _, p := range more {
		i := slices.IndexFunc(out, p.same)
		if i < 0 {
			out = append(out, p)
			continue
		}
		have := &out[i].Permissions
		*have = Permissions{
			Keys: slices.Concat(have.Keys, p.Permissions.Keys), Secrets: slices.Concat(have.Secrets, p.Permissions.Secrets),
			Certificates: slices.Concat(have.Certificates, p.Permissions.Certificates), Storage: slices.Concat(have.Storage, p.Permissions.Storage),
		}
	}
	return Check(out)
}

// Replace returns list with each of these in place of what its principal had.
func Replace(list, these []Policy) ([]Policy, error) {
	these, err := Check(these)
	if err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(slices.Clone(list), func(p Policy) bool { return slices.ContainsFunc(these, p.same) })
	return Check(append(out, these...))
}

// Remove returns list without these permissions. A policy that says none loses all; one
// that nothing is left of goes.
func Remove(list, these []Policy) ([]Policy, error) {
	these, err := Check(these)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(list)
	for _, p := range these {
		i := slices.IndexFunc(out, p.same)
		if i < 0 {
			continue
		}
		gone := p.Permissions.set()
		if gone == 0 {
			gone = ^Set(0)
		}
		if out[i].Permissions = withSet(out[i].Permissions.set() &^ gone); out[i].Permissions.set() == 0 {
			out = slices.Delete(out, i, i+1)
		}
	}
	return out, nil
}

// withSet spells a set out.
func withSet(s Set) (p Permissions) {
	for a, list := range p.each() {
		for _, w := range words[a] {
			if s.Has(Of(a, w)) {
				*list = append(*list, w)
			}
		}
	}
	return p
}

// Policies are the access policies of a vault, made ready to be asked for every request.
// They never change.
type Policies struct{ by map[string][]grant }

type grant struct {
	application string // empty: whatever program
	allowed     Set
}

// Compile makes Policies of what Check returned.
func Compile(list []Policy) *Policies {
	by := make(map[string][]grant, len(list))
	for _, p := range list {
		by[p.ObjectID] = append(by[p.ObjectID], grant{p.ApplicationID, p.Permissions.set()})
	}
	for _, g := range by { // the one for every program first: it mostly decides
		slices.SortFunc(g, func(a, b grant) int { return cmp.Compare(a.application, b.application) })
	}
	return &Policies{by}
}

// Allow reports whether a policy allows p to a principal that acts through an application.
func (ps *Policies) Allow(object, application string, p Set) bool {
	for _, g := range ps.by[object] {
		if (g.application == "" || strings.EqualFold(g.application, application)) && g.allowed.Has(p) {
			return true
		}
	}
	return false
}
