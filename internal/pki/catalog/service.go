package catalog

import (
	"context"
	"maps"
	"slices"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

// maxProfiles bounds the catalog: a snapshot of it is in memory.
const maxProfiles = 500

// List returns every entry, by name.
func (s *Service) List(ctx context.Context, c access.Caller) ([]Entry, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "ProfileList"); err != nil {
		return nil, err
	}
	now := s.current.Load()
	list := make([]Entry, 0, len(now.entries))
	for _, name := range slices.Sorted(maps.Keys(now.entries)) {
		list = append(list, now.entries[name])
	}
	return list, nil
}

// Entry returns one entry; fault.NotFound.
func (s *Service) Entry(ctx context.Context, c access.Caller, name string) (Entry, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Scope(Path(name)), "ProfileGet"); err != nil {
		return Entry{}, err
	}
	e, ok := s.current.Load().entries[name]
	if !ok {
		return Entry{}, unknown(name)
	}
	return e, nil
}

// Create adds a profile from its text in JSON. fault.Invalid says what is wrong with it.
func (s *Service) Create(ctx context.Context, c access.Caller, text []byte) (Entry, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "ProfileCreate"); err != nil {
		return Entry{}, err
	}
	p, err := s.read(text)
	if err != nil {
		return Entry{}, err
	}
	return s.insert(ctx, c, p)
}

// Copy makes a profile like another, under a new name.
func (s *Service) Copy(ctx context.Context, c access.Caller, from, name string) (Entry, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "ProfileCreate"); err != nil {
		return Entry{}, err
	}
	e, ok := s.current.Load().entries[from]
	if !ok {
		return Entry{}, unknown(from)
	}
	p := e.Profile
	p.Name = name
	if err := p.Valid(); err != nil {
		return Entry{}, invalid(err)
	}
	return s.insert(ctx, c, p)
}

func (s *Service) insert(ctx context.Context, c access.Caller, p profile.Profile) (Entry, error) {
	now := s.current.Load()
	if _, ok := now.entries[p.Name]; ok {
		return Entry{}, taken(p.Name)
	}
	if len(now.entries) >= maxProfiles {
		return Entry{}, fault.New(fault.Conflict, "TooManyProfiles", "there are %d profiles, the most there can be; delete one that nobody uses", maxProfiles)
	}
	e := Entry{Profile: p, Revision: 1, Updated: s.Now().UTC(), Updater: c.Principal}
	return e, s.change(ctx, c, "Create", e, func(ctx context.Context, r Row) error {
		err := s.Store.InsertProfile(ctx, r)
		if fault.Is(err, fault.Conflict) {
			return taken(p.Name)
		}
		return err
	})
}

// Update replaces a profile. revision is that of the entry which the caller has seen.
func (s *Service) Update(ctx context.Context, c access.Caller, name string, revision int64, text []byte) (Entry, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Scope(Path(name)), "ProfileUpdate"); err != nil {
		return Entry{}, err
	}
	p, err := s.read(text)
	if err != nil {
		return Entry{}, err
	}
	if p.Name != name {
		return Entry{}, fault.New(fault.Invalid, "NameChanged", "a profile keeps its name, %.64q; copy it to have it under another", name)
	}
	if _, err := s.own(name); err != nil {
		return Entry{}, err
	}
	e := Entry{Profile: p, Revision: revision + 1, Updated: s.Now().UTC(), Updater: c.Principal}
	return e, s.change(ctx, c, "Update", e, func(ctx context.Context, r Row) error {
		err := s.Store.UpdateProfile(ctx, r)
		if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
			return fault.New(fault.Conflict, "ProfileChanged", "profile %s is no longer at revision %d; read it again and repeat the change", name, revision)
		}
		return err
	})
}

// Delete removes a profile. What was issued by it stays; nothing more is.
func (s *Service) Delete(ctx context.Context, c access.Caller, name string) error {
	if err := s.Guard.Authorize(ctx, c, Delete, access.Scope(Path(name)), "ProfileDelete"); err != nil {
		return err
	}
	e, err := s.own(name)
	if err != nil {
		return err
	}
	return s.change(ctx, c, "Delete", e, func(ctx context.Context, _ Row) error {
		err := s.Store.DeleteProfile(ctx, name)
		if fault.Is(err, fault.NotFound) {
			return unknown(name)
		}
		return err
	})
}

// change writes and tells, and shows this node the result at once.
func (s *Service) change(ctx context.Context, c access.Caller, kind string, e Entry, write func(context.Context, Row) error) error {
	row, err := s.seal(e)
	if err != nil {
		return err
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		if err := write(ctx, row); err != nil {
			return err
		}
		return s.tell(ctx, c, kind, e)
	})
	if err != nil {
		return err
	}
	if err := s.Reload(context.WithoutCancel(ctx)); err != nil { // the change is made; the next tick shows it
		s.Log.Error("reload the profiles", "error", err)
	}
	return nil
}

// own returns an entry that operators may change.
func (s *Service) own(name string) (Entry, error) {
	e, ok := s.current.Load().entries[name]
	switch {
	case !ok:
		return Entry{}, unknown(name)
	case e.BuiltIn:
		return Entry{}, fault.New(fault.Conflict, "ProfileBuiltIn", "profile %s comes with the product and stays as it is; copy it and change the copy", name)
	}
	return e, nil
}

func (s *Service) read(text []byte) (profile.Profile, error) {
	p, err := profile.ParseOne(text)
	if err == nil {
		err = s.check(p)
	}
	if err != nil {
		return p, invalid(err)
	}
	return p, nil
}

func invalid(err error) error {
	return fault.New(fault.Invalid, "BadProfile", "this profile cannot be used: %v", err)
}

func taken(name string) error {
	return fault.New(fault.Conflict, "NameTaken", "there is a profile %s already; choose another name", name)
}
