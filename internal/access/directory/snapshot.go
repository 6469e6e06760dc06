package directory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/seal"
)

// ref names an entry.
type ref struct{ kind, id string }

// grant is where a principal holds roles.
type grant struct {
	principal string
	scope     access.Scope
}

// snapshot is the whole directory at one generation, in memory. It never changes: a
// change makes the next one.
type snapshot struct {
	generation int64
	tenant     string
	tags       sum
	revisions  map[ref]int64

	principals  map[string]*Principal
	credentials map[string]*Credential
	assignments map[string]*Assignment
	keys        map[string]*SigningKey

	// What follows is derived from what precedes.
	ordered  []*Principal // by name, then id
	byClient map[string]*Principal
	bySignIn map[string]*Principal
	byHeader map[access.Digest]*Credential
	held     map[string][]*Credential // by principal, oldest first
	assigned map[string][]*Assignment // by principal
	grants   map[grant][]access.Role
	signing  *SigningKey // the one that signs, or nil
	asked    *answers
}

// answers remembers what a snapshot has said, which can never change.
type answers struct {
	mu    sync.RWMutex
	known map[question]bool
}

type question struct {
	principal string
	action    access.Action
	scope     access.Scope
}

const maxAnswers = 1 << 16 // about 10 MiB

func (a *answers) get(q question) (allowed, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	allowed, ok = a.known[q]
	return allowed, ok
}

func (a *answers) put(q question, allowed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxAnswers {
		clear(a.known)
	}
	a.known[q] = allowed
}

func newSnapshot() *snapshot {
	s := &snapshot{
		revisions: map[ref]int64{}, principals: map[string]*Principal{}, credentials: map[string]*Credential{},
		assignments: map[string]*Assignment{}, keys: map[string]*SigningKey{},
	}
	s.index()
	return s
}

// put adds or replaces a decoded item.
func (s *snapshot) put(item any) error {
	switch v := item.(type) {
	case Principal:
		s.principals[v.ID] = &v
	case Credential:
		s.credentials[v.ID] = &v
	case Assignment:
		s.assignments[v.ID] = &v
	case SigningKey:
		s.keys[v.ID] = &v
	default:
		return fmt.Errorf("directory: no entry holds a %T", item)
	}
	return nil
}

func (s *snapshot) remove(r ref) {
	switch r.kind {
	case principalKind:
		delete(s.principals, r.id)
	case credentialKind:
		delete(s.credentials, r.id)
	case assignmentKind:
		delete(s.assignments, r.id)
	case signingKeyKind:
		delete(s.keys, r.id)
	}
}

// index derives the second half of the snapshot.
func (s *snapshot) index() {
	s.byClient, s.bySignIn = map[string]*Principal{}, map[string]*Principal{}
	s.byHeader, s.held = map[access.Digest]*Credential{}, map[string][]*Credential{}
	s.assigned, s.grants, s.signing = map[string][]*Assignment{}, map[grant][]access.Role{}, nil
	s.asked = &answers{known: map[question]bool{}}

	s.ordered = slices.SortedFunc(maps.Values(s.principals), byName)
	for _, p := range s.ordered {
		if p.ClientID != "" {
			s.byClient[p.ClientID] = p
		}
		if p.SignIn != "" {
			s.bySignIn[p.SignIn] = p
		}
	}
	for _, c := range s.credentials {
		s.held[c.Principal] = append(s.held[c.Principal], c)
		if c.Kind == IdentityHeader {
			s.byHeader[c.digest] = c
		}
	}
	for _, list := range s.held {
		slices.SortFunc(list, func(a, b *Credential) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
	}
	known := map[string]access.Role{}
	for _, r := range access.Roles() {
		known[r.ID] = r
	}
	for _, a := range s.assignments {
		s.assigned[a.Principal] = append(s.assigned[a.Principal], a)
		if r, ok := known[a.Role]; ok { // a role that this version does not know grants nothing
			g := grant{a.Principal, a.Scope}
			s.grants[g] = append(s.grants[g], r)
		}
	}
	for _, k := range s.keys {
		if k.Retired.IsZero() && (s.signing == nil || k.Created.After(s.signing.Created)) {
			s.signing = k
		}
	}
}

func byName(a, b *Principal) int {
	return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
}

// allows reports whether the principal may do a at s: whether one of its roles at s, or
// at a scope above, covers the action.
func (s *snapshot) allows(principal string, a access.Action, at access.Scope) bool {
	q := question{principal, a, at}
	allowed, ok := s.asked.get(q)
	if !ok {
		allowed = s.decide(principal, a, at)
		s.asked.put(q, allowed)
	}
	return allowed
}

func (s *snapshot) decide(principal string, a access.Action, at access.Scope) bool {
	p, ok := s.principals[principal]
	if !ok || !p.Enabled {
		return false
	}
	at, ok = at.Canonical()
	if !ok {
		return false
	}
	for {
		for _, r := range s.grants[grant{principal, at}] {
			if r.Allows(a) {
				return true
			}
		}
		if at == access.Root {
			return false
		}
		at = at.Parent()
	}
}

// administered reports whether an enabled principal is Administrator of everything. A
// directory without one could never be changed again.
func (s *snapshot) administered() bool {
	for _, a := range s.assignments {
		if a.Role == access.AdministratorRole && a.Scope == access.Root {
			if p, ok := s.principals[a.Principal]; ok && p.Enabled {
				return true
			}
		}
	}
	return false
}

// next returns the snapshot after the edit, and what a store must write to get there.
func (s *snapshot) next(e edit, sealer Sealer) (*snapshot, []Entry, State, error) {
	n := &snapshot{
		generation: s.generation + 1, tenant: cmp.Or(e.tenant, s.tenant), tags: s.tags, revisions: maps.Clone(s.revisions),
		principals: maps.Clone(s.principals), credentials: maps.Clone(s.credentials),
		assignments: maps.Clone(s.assignments), keys: maps.Clone(s.keys),
	}
	drop := func(r ref) {
		if revision, ok := n.revisions[r]; ok {
			n.tags.subtract(sealer.Tag(Entry{Kind: r.kind, ID: r.id, Revision: revision}.identity()))
			delete(n.revisions, r)
		}
	}
	for _, r := range e.remove {
		drop(r)
		n.remove(r)
	}
	entries := make([]Entry, 0, len(e.put))
	for _, item := range e.put {
		r, plain, err := encode(item)
		if err != nil {
			return nil, nil, State{}, err
		}
		if err := n.put(item); err != nil {
			return nil, nil, State{}, err
		}
		drop(r)
		entry := Entry{Kind: r.kind, ID: r.id, Revision: n.generation}
		entry.Sealed = sealer.Seal(entry.identity(), plain)
		n.revisions[r] = n.generation
		n.tags.add(sealer.Tag(entry.identity()))
		entries = append(entries, entry)
	}
	n.index()
	plain, err := json.Marshal(sealedState{Tenant: n.tenant, Sum: n.tags[:]})
	if err != nil {
		return nil, nil, State{}, err
	}
	state := State{Generation: n.generation}
	state.Sealed = sealer.Seal(state.identity(), plain)
	return n, entries, state, nil
}

// open makes the snapshot of what a store returned, or says that it was tampered with:
// an entry altered, moved, removed, or put back from an old copy.
func open(state State, entries []Entry, sealer Sealer) (*snapshot, error) {
	plain, err := sealer.Open(state.identity(), state.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open the directory: %w", err)
	}
	var st sealedState
	if err := json.Unmarshal(plain, &st); err != nil {
		return nil, fmt.Errorf("open the directory: %w", err)
	}
	s := newSnapshot()
	s.generation, s.tenant = state.Generation, st.Tenant
	for _, e := range entries {
		plain, err := sealer.Open(e.identity(), e.Sealed)
		if err != nil {
			return nil, fmt.Errorf("open the directory: %w", err)
		}
		item, err := decode(e.Kind, plain)
		if err != nil {
			return nil, fmt.Errorf("open the directory: %s %s: %w", e.Kind, e.ID, err)
		}
		if err := s.put(item); err != nil {
			return nil, err
		}
		s.revisions[ref{e.Kind, e.ID}] = e.Revision
		s.tags.add(sealer.Tag(e.identity()))
	}
	if [32]byte(s.tags) != [32]byte(st.Sum) {
		return nil, fmt.Errorf("open the directory: entries were removed or put back behind its back: %w", seal.ErrSealed)
	}
	s.index()
	return s, nil
}
