package role

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/vault/hsm"
	"chatelaine.dev/internal/vault/object"
)

// fresh is how long a node answers from memory before it asks whether another node has
// changed the roles of the HSM. Its own changes show at once.
const fresh = 2 * time.Second

// local is what this process knows of one HSM's roles.
type local struct {
	current atomic.Pointer[snapshot]
	loading sync.Mutex
	changes atomic.Int64 // of this process: a snapshot read before a change is not kept
}

// snapshot is the roles of an HSM at one moment. It never changes.
type snapshot struct {
	mark    Mark
	checked atomic.Int64 // when the mark was last seen in the database, Unix nanoseconds

	definitions []Definition // built-in ones first, then by id
	byID        map[string]Definition
	assignments []Assignment // by id
	grants      map[grant][]map[access.Action]bool
}

// grant is where a principal holds roles.
type grant struct {
	principal string
	scope     access.Scope
}

func newSnapshot(custom []Definition, assignments []Assignment) *snapshot {
	s := &snapshot{
		definitions: append(BuiltIn(), custom...), byID: map[string]Definition{},
		assignments: assignments, grants: map[grant][]map[access.Action]bool{},
	}
	granted := map[string]map[access.Action]bool{}
	for _, d := range s.definitions {
		s.byID[d.ID], granted[d.ID] = d, d.granted()
	}
	for _, a := range assignments {
		g := grant{a.Principal, a.Scope}
		s.grants[g] = append(s.grants[g], granted[a.Role])
	}
	return s
}

// allows reports whether a role that the principal holds at the scope, or above it, grants
// the action.
func (s *snapshot) allows(principal string, a access.Action, at access.Scope) bool {
	for {
		for _, granted := range s.grants[grant{principal, at}] {
			if granted[a] {
				return true
			}
		}
		if at == access.Root {
			return false
		}
		at = at.Parent()
	}
}

// Authorize implements object.LocalRoles. It looks at the action, the scope and the roles
// of the caller; whether there is such a key makes no difference.
func (s *Service) Authorize(ctx context.Context, v *object.Vault, c access.Caller, a access.Action, at access.Scope, operation string) error {
	if c.IsSystem() {
		return nil
	}
	now, err := s.snapshot(ctx, v)
	if err != nil {
		return err
	}
	at, ok := at.Canonical()
	if ok && now.allows(c.Principal, a, at) {
		return nil
	}
	r := c.Record(operation, hsm.Target(v.Name, at))
	r.Outcome = audit.Denied
	if r.Principal == "" {
		r.Principal = "anonymous"
	}
	r.Details[audit.Action], r.Details[audit.Reason] = string(a), access.CodeForbidden
	if err := s.Audit.Record(ctx, r); err != nil {
		return err
	}
	return access.Refuse(c, a, at)
}

// snapshot returns the roles of an HSM: from memory, unless another node may have changed
// them.
func (s *Service) snapshot(ctx context.Context, v *object.Vault) (*snapshot, error) {
	l := s.local(v)
	if now := l.current.Load(); now != nil {
		if s.Now().Sub(time.Unix(0, now.checked.Load())) < fresh {
			return now, nil
		}
		if !l.loading.TryLock() { // somebody asks already
			return now, nil
		}
	} else {
		l.loading.Lock()
	}
	defer l.loading.Unlock()
	return s.refresh(ctx, v, l)
}

// refresh reads the roles if they are others than those in memory. The mark is read first:
// a change in between makes the next look read them again.
func (s *Service) refresh(ctx context.Context, v *object.Vault, l *local) (*snapshot, error) {
	changes := l.changes.Load()
	mark, err := s.store.RolesMark(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	now := l.current.Load()
	if now == nil || now.mark != mark {
		if now, err = s.read(ctx, v); err != nil {
			return nil, err
		}
		now.mark = mark
	}
	now.checked.Store(s.Now().UnixNano())
	if l.changes.Load() == changes {
		l.current.Store(now)
	}
	return now, nil
}

// read makes the snapshot of what the database has, or of what the transaction of ctx sees.
func (s *Service) read(ctx context.Context, v *object.Vault) (*snapshot, error) {
	var custom []Definition
	if err := each(ctx, v, object.RoleDefinitions, func(h object.Head) error {
		d, err := definitionOf(h)
		custom = append(custom, d)
		return err
	}); err != nil {
		return nil, err
	}
	var assignments []Assignment
	if err := each(ctx, v, object.RoleAssignments, func(h object.Head) error {
		a, err := assignmentOf(h)
		assignments = append(assignments, a)
		return err
	}); err != nil {
		return nil, err
	}
	return newSnapshot(custom, assignments), nil
}

func each(ctx context.Context, v *object.Vault, k object.Kind, fn func(object.Head) error) error {
	for after := ""; ; {
		entries, err := v.List(ctx, k, false, after, 200)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			if err := fn(e.Head); err != nil {
				return err
			}
			after = e.Head.Name
		}
	}
}

// which tells an HSM from one that bore its name before.
type which struct {
	name    string
	created int64
}

func (s *Service) local(v *object.Vault) *local {
	w := which{v.Name, v.Settings().Created.UnixNano()}
	if l, ok := s.known.Load(w); ok {
		return l.(*local)
	}
	l, _ := s.known.LoadOrStore(w, &local{})
	return l.(*local)
}

// changed forgets the roles of an HSM when the running transaction commits, so that the
// next look sees the change.
func (s *Service) changed(ctx context.Context, v *object.Vault) {
	l := s.local(v)
	v.AfterCommit(ctx, func(bool) { // a commit whose outcome is unknown may have changed them
		l.changes.Add(1)
		l.current.Store(nil)
	})
}
