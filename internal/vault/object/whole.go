package object

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
)

// Whole is an object, live or deleted, with all its versions.
type Whole struct {
	Kind     Kind      `json:"kind"`
	Head     Head      `json:"head"`
	Versions []Version `json:"versions,omitempty"` // oldest first
}

// Whole reads an object with all its versions, at most max of them and bytes of bodies. An
// object that got a version meanwhile is fault.Conflict: read it again.
func (v *Vault) Whole(ctx context.Context, k Kind, h Head, max, bytes int) (Whole, error) {
	versions, err := v.allVersions(ctx, k, h.Name, &room{versions: max, bytes: bytes})
	if err != nil {
		return Whole{}, err
	}
	latest := ""
	if n := len(versions); n > 0 {
		latest = versions[n-1].ID
	}
	if latest != h.Latest {
		return Whole{}, changedMeanwhile(k, h.Name)
	}
	return Whole{Kind: k, Head: h, Versions: versions}, nil
}

// Replace makes an object what w says: whatever was there of that name, live or deleted, is
// gone for good. It must run inside a transaction. Purge protection is the caller's to
// respect.
func (v *Vault) Replace(ctx context.Context, w Whole) error {
	if err := CheckName(w.Head.Name); err != nil {
		return err
	}
	name := strings.ToLower(w.Head.Name)
	return v.change(ctx, func(t *turn) error {
		was, err := t.erase(ctx, w.Kind, name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		e := Entry{Vault: v, Head: w.Head}
		for i, x := range w.Versions {
			e.rows.Version = Row{Kind: w.Kind, Name: name, Version: strings.ToLower(x.ID), Position: int64(i + 1)}
			if err := t.putVersion(ctx, e.rows.Version, x, 0); err != nil {
				return err
			}
			e.Version = x
		}
		e.rows.Head = Row{
			Kind: w.Kind, Name: name, Position: int64(len(w.Versions)), Deleted: !w.Head.Deleted.IsZero(), Purge: w.Head.Purge,
		}
		if err := t.put(ctx, e.rows.Head, e.Head, 0); err != nil {
			return err
		}
		return t.schedule(ctx, w.Kind, was, e)
	})
}

// Erase takes an object, live or deleted, away for good. It must run inside a transaction.
// Purge protection is the caller's to respect.
func (v *Vault) Erase(ctx context.Context, k Kind, name string) error {
	return v.change(ctx, func(t *turn) error {
		was, err := t.erase(ctx, k, strings.ToLower(name))
		if err != nil {
			return err
		}
		return t.schedule(ctx, k, was, Entry{Head: Head{Name: name}})
	})
}

func (t *turn) erase(ctx context.Context, k Kind, name string) (Entry, error) {
	_, was, err := t.current(ctx, k, name, "")
	if err != nil {
		return was, err
	}
	removed, err := t.v.vaults.rows.Remove(ctx, t.v.Name, k, name)
	if err != nil {
		return was, err
	}
	for _, r := range removed {
		t.total.sub(t.v.box.Tag(t.v.identity(k, r.Name, r.Version, r.Revision)))
		t.v.vaults.rows.AfterCommit(ctx, t.v.rows.follow(markOf(k, r.Name, r.Version), gone))
	}
	return was, nil
}

// AfterCommit calls fn when the fate of the running transaction is known.
func (v *Vault) AfterCommit(ctx context.Context, fn func(committed bool)) {
	v.vaults.rows.AfterCommit(ctx, fn)
}

// Told is err as the kind of vault words it: a Managed HSM ends what it says with the id of
// the request (contract §2.2). v may be nil.
func (v *Vault) Told(c access.Caller, err error) error {
	if err == nil || v == nil || c.Correlation == "" || v.Settings().Kind != ManagedHSM || fault.Is(err, fault.Internal) {
		return err
	}
	f := fault.Of(err)
	return fault.Wrap(err, f.Kind, f.Code, f.Message+" (Activity ID: "+c.Correlation+")")
}
