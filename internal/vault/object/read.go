package object

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/seal"
)

// Entry is an object with one of its versions. Version is zero where the object has
// none yet, as a certificate whose first request is pending.
type Entry struct {
	Vault   *Vault
	Head    Head
	Version Version

	rows    Pair     // where it lies, without what is sealed
	derived *derived // nil for an entry that was not read, or was changed since
}

// Read returns a live object with a version, or its latest for "".
func (v *Vault) Read(ctx context.Context, k Kind, name, version string) (Entry, error) {
	e, err := v.find(ctx, k, name, version)
	if err != nil {
		return e, err
	}
	if !e.Head.Deleted.IsZero() || (version != "" && e.Version.ID == "") {
		return Entry{}, notFound(k, name, version)
	}
	return e, nil
}

// ReadDeleted returns a deleted object with its latest version.
func (v *Vault) ReadDeleted(ctx context.Context, k Kind, name string) (Entry, error) {
	e, err := v.find(ctx, k, name, "")
	if fault.Is(err, fault.NotFound) || (err == nil && e.Head.Deleted.IsZero()) {
		return Entry{}, deletedNotFound(k, name)
	}
	return e, err
}

// find returns an object, deleted or not. A version that does not exist is the zero Version.
func (v *Vault) find(ctx context.Context, k Kind, name, version string) (e Entry, err error) {
	if err := CheckName(name); err != nil {
		return Entry{}, err
	}
	if version != "" && !isVersion(version) {
		return Entry{}, notFound(k, name, version)
	}
	at := place{v, k, strings.ToLower(name), strings.ToLower(version)}
	if e, ok := v.vaults.cache.get(at); ok {
		return e, nil
	}
	err = v.reading(func() error {
		e, err = v.fetch(ctx, at)
		return err
	})
	if fault.Is(err, fault.NotFound) {
		return Entry{}, notFound(k, name, version)
	}
	return e, err
}

// fetch is find from the database. fault.NotFound where there is no such object.
func (v *Vault) fetch(ctx context.Context, at place) (Entry, error) {
	k := at.kind
	p, err := v.vaults.rows.Get(ctx, v.Name, k, at.name, at.version)
	if fault.Is(err, fault.NotFound) {
		if err := v.verify(ctx, markOf(k, at.name, ""), gone); err != nil {
			return Entry{}, err
		}
		return Entry{}, err
	}
	if err != nil {
		return Entry{}, err
	}
	if at.version != "" && p.Version.Sealed == nil {
		if err := v.verify(ctx, markOf(k, at.name, at.version), gone); err != nil {
			return Entry{}, err
		}
	}
	if p.Head.Name != at.name || p.Version.Sealed != nil && at.version != "" && p.Version.Version != at.version {
		return Entry{}, v.misled(k, at.name+"/"+at.version, p.Head.Name+"/"+p.Version.Version)
	}
	e, err := v.openPair(ctx, p, at.version == "")
	if err == nil && e.Version.ID != "" {
		v.vaults.cache.put(at, e)
	}
	return e, err
}

// misled is the error where a damaged index leads to another row than the one asked for,
// which would open as what it is.
func (v *Vault) misled(k Kind, asked, answered string) error {
	return fmt.Errorf("vault %s: %s/%s: the database answered with %s: %w", v.Name, k, asked, answered, seal.ErrSealed)
}

// openPair opens a head and its version; latest says that the version must be the one
// that the head names.
func (v *Vault) openPair(ctx context.Context, p Pair, latest bool) (Entry, error) {
	e := Entry{Vault: v, rows: p, derived: &derived{}}
	e.rows.Head.Sealed, e.rows.Version.Sealed = nil, nil
	if err := v.openRow(ctx, p.Head, &e.Head); err != nil {
		return Entry{}, err
	}
	if e.Head.Deleted.IsZero() == p.Head.Deleted {
		return Entry{}, fmt.Errorf("vault %s: %s/%s: a column was changed: %w", v.Name, p.Head.Kind, p.Head.Name, seal.ErrSealed)
	}
	if p.Version.Sealed != nil {
		if err := v.openVersion(ctx, p.Version, &e.Version); err != nil {
			return Entry{}, err
		}
	}
	if latest && e.Head.Latest != e.Version.ID {
		return Entry{}, fmt.Errorf("vault %s: %s/%s: the latest version is not the one recorded: %w", v.Name, p.Head.Kind, p.Head.Name, seal.ErrSealed)
	}
	return e, nil
}

func (v *Vault) openRow(ctx context.Context, r Row, into any) error {
	plain, err := v.box.Open(v.identity(r.Kind, r.Name, r.Version, r.Revision), r.Sealed)
	if err != nil {
		return err
	}
	if err := v.verify(ctx, markOf(r.Kind, r.Name, r.Version), r.Revision); err != nil {
		return fmt.Errorf("%s/%s/%s: %w", r.Kind, r.Name, r.Version, err)
	}
	return json.Unmarshal(plain, into)
}

// openVersion opens the row of a version, which must be in its place.
func (v *Vault) openVersion(ctx context.Context, r Row, x *Version) error {
	var p placed
	if err := v.openRow(ctx, r, &p); err != nil {
		return err
	}
	if p.Position != 0 && p.Position != r.Position {
		return fmt.Errorf("vault %s: %s/%s/%s: it was moved among the versions: %w", v.Name, r.Kind, r.Name, r.Version, seal.ErrSealed)
	}
	*x = p.Version
	return nil
}

// List returns live or deleted objects with their latest versions, by name, after a name.
func (v *Vault) List(ctx context.Context, k Kind, deleted bool, after string, limit int) (list []Entry, err error) {
	err = v.reading(func() error {
		pairs, err := v.vaults.rows.Heads(ctx, v.Name, k, deleted, strings.ToLower(after), limit)
		if err != nil {
			return err
		}
		list = make([]Entry, 0, len(pairs))
		for _, p := range pairs {
			if p.Head.Deleted != deleted {
				return v.misled(k, "list", p.Head.Name)
			}
			e, err := v.openPair(ctx, p, true)
			if err != nil {
				return err
			}
			list = append(list, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Versions returns versions of an object, oldest first, after a position, and the
// position to go on from. An object that does not exist has none.
func (v *Vault) Versions(ctx context.Context, k Kind, name string, after int64, limit int) (list []Version, next int64, err error) {
	if err := CheckName(name); err != nil {
		return nil, 0, err
	}
	err = v.reading(func() error {
		rows, err := v.vaults.rows.Versions(ctx, v.Name, k, strings.ToLower(name), after, limit)
		if err != nil {
			return err
		}
		list, next = make([]Version, 0, len(rows)), after
		for _, r := range rows {
			if r.Position <= next {
				return v.misled(k, name, r.Name+"/"+r.Version)
			}
			var x Version
			if err := v.openVersion(ctx, r, &x); err != nil {
				return err
			}
			list, next = append(list, x), r.Position
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return list, next, nil
}
