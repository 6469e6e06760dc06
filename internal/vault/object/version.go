package object

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

// DeleteVersion removes one version for good, which Key Vault cannot do. It needs the
// right to purge as well as the right to delete: what takes two steps for an object, and
// often two people, takes one for a version.
const DeleteVersion Operation = "VersionDelete"

// DeleteVersion removes one version of a live object for good and returns it. If it was
// the latest, the newest of the others is the latest from now on. The only version cannot
// be removed, and none in a vault with purge protection. It must run inside a transaction.
func (v *Vault) DeleteVersion(ctx context.Context, k Kind, name, version string) (e Entry, err error) {
	err = v.change(ctx, func(t *turn) error {
		if version == "" {
			return fault.New(fault.Invalid, "BadParameter", "Name the version of %s %s to delete.", k.Noun(), name)
		}
		p, was, err := t.current(ctx, k, name, version)
		switch {
		case err != nil:
			return err
		case !was.Head.Deleted.IsZero() || was.Version.ID == "":
			return notFound(k, name, version)
		case v.Settings().PurgeProtection:
			return fault.New(fault.Denied, "PurgeProtected", "A version of a %s cannot be deleted in this vault: its purge protection keeps every version. Disable the version instead.", k.Noun())
		}
		if was.Head.Latest == was.Version.ID {
			if err := t.retreat(ctx, p, was); err != nil {
				return err
			}
		}
		e = was
		return t.removeVersion(ctx, p.Version)
	})
	return e, err
}

// retreat makes the version before the latest the latest.
func (t *turn) retreat(ctx context.Context, p Pair, was Entry) error {
	row, err := t.v.vaults.rows.Before(ctx, p.Version)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "OnlyVersion", "This is the only version of %s %s, and it cannot be deleted alone; delete the %s.",
			p.Head.Kind.Noun(), was.Head.Name, p.Head.Kind.Noun())
	}
	if err != nil {
		return err
	}
	is := Entry{Vault: t.v, Head: was.Head}
	if err := t.v.openVersion(ctx, row, &is.Version); err != nil {
		return err
	}
	is.Head.Latest, is.Head.Updated = is.Version.ID, t.now
	p.Head.Position = row.Position
	if err := t.put(ctx, p.Head, is.Head, p.Head.Revision); err != nil {
		return err
	}
	return t.schedule(ctx, p.Head.Kind, was, is)
}

// removeVersion takes the row of a version out of the table and out of the ledger.
func (t *turn) removeVersion(ctx context.Context, r Row) error {
	if err := t.v.vaults.rows.RemoveVersion(ctx, r); err != nil {
		return err
	}
	t.total.sub(t.v.box.Tag(t.v.identity(r.Kind, r.Name, r.Version, r.Revision)))
	t.v.vaults.rows.AfterCommit(ctx, t.v.rows.follow(markOf(r.Kind, r.Name, r.Version), gone))
	return nil
}

// DeleteVersion removes one version of an object for good.
func (s *Shelf) DeleteVersion(ctx context.Context, c access.Caller, r Ref) (Entry, error) {
	return s.DeleteVersions(ctx, c, r, func(ctx context.Context, v *Vault) (Entry, error) {
		e, err := v.DeleteVersion(ctx, s.kind, r.Name, r.Version)
		if err == nil && e.Head.Managed && s.kind != Certificates {
			return e, isManaged(s.kind, "delete version")
		}
		return e, err
	})
}

// DeleteVersions is DeleteVersion for a kind that removes more with it: remove runs in
// the transaction of the record and the event.
func (s *Shelf) DeleteVersions(ctx context.Context, c access.Caller, r Ref, remove func(ctx context.Context, v *Vault) (Entry, error)) (e Entry, err error) {
	err = s.Call(ctx, c, DeleteVersion, r, func(v *Vault) error {
		if err := s.permit(ctx, c, Delete, r, v); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			if e, err = remove(ctx, v); err != nil {
				return err
			}
			if err := s.Events.Emit(ctx, event.Event{
				Source: "/vaults/" + v.Name, Type: "Chatelaine." + s.kind.Title() + "VersionDeleted", Subject: e.Head.Name + "/" + e.Version.ID,
			}); err != nil {
				return err
			}
			return s.Done(ctx, c, DeleteVersion, r, map[audit.Field]string{audit.Version: strings.ToLower(r.Version)})
		})
	})
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}
