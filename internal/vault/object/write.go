package object

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
)

// running is the ledger of a vault while changes of one commit add to it.
type running struct {
	total sum
	epoch int64
}

// turn is one change of a vault: the rows it writes bear an epoch of their own as their
// revision, and the ledger follows once for all changes of a commit.
type turn struct {
	*running
	v   *Vault
	now time.Time
}

// change runs fn with the vault locked against other changes until the transaction
// ends. It must run inside a transaction.
func (v *Vault) change(ctx context.Context, fn func(t *turn) error) error {
	store := v.vaults.store
	open := func() (any, error) {
		ledger, epoch, err := store.Advance(ctx, v.Name)
		if err != nil {
			return nil, err
		}
		total, err := v.openLedger(ledger, epoch-1)
		return &running{total: total, epoch: epoch - 1}, err
	}
	shared, err := store.Shared(ctx, "ledger of "+v.Name, open, func(ctx context.Context, value any) error {
		r := value.(*running)
		return store.PutLedger(ctx, v.Name, v.sealLedger(r.total, r.epoch), r.epoch)
	})
	if err != nil {
		return err
	}
	r := shared.(*running)
	before := r.total // the epoch only grows: no two changes may have the same
	store.OnRollback(ctx, func() { r.total = before })
	r.epoch++
	return fn(&turn{running: r, v: v, now: v.vaults.now().UTC().Truncate(time.Microsecond)})
}

// put seals and writes a row. old is its revision before, 0 for a new row.
func (t *turn) put(ctx context.Context, r Row, content any, old int64) error {
	plain, err := json.Marshal(content)
	if err != nil {
		return err
	}
	r.Vault, r.Revision = t.v.Name, t.epoch
	id := t.v.identity(r.Kind, r.Name, r.Version, r.Revision)
	r.Sealed = t.v.box.Seal(id, plain)
	if old != 0 {
		was := id
		was.Revision = old
		t.total.sub(t.v.box.Tag(was))
	}
	t.total.add(t.v.box.Tag(id))
	t.v.vaults.rows.AfterCommit(ctx, t.v.rows.follow(markOf(r.Kind, r.Name, r.Version), r.Revision))
	return t.v.vaults.rows.Put(ctx, r)
}

// placed is what the row of a version seals: the version, and its place among the others.
type placed struct {
	Version
	Position int64 `json:"position,omitempty"` // 0 in rows of before it was sealed
}

// putVersion is put for the row of a version.
func (t *turn) putVersion(ctx context.Context, r Row, x Version, old int64) error {
	return t.put(ctx, r, placed{x, r.Position}, old)
}

// current reads an object inside a change, with the revisions and positions of its rows.
func (t *turn) current(ctx context.Context, k Kind, name, version string) (Pair, Entry, error) {
	e, err := t.v.find(ctx, k, name, version)
	if err != nil {
		return Pair{}, e, err
	}
	return e.rows, e, nil
}

// Append adds a version, and the object if it is new. edit, if not nil, sees the head
// as it is and changes head and version before they are written. A deleted object is
// fault.Conflict. x.ID is made if empty; x.Created and x.Updated are set. It must run
// inside a transaction.
func (v *Vault) Append(ctx context.Context, k Kind, name string, x Version, edit func(h *Head, x *Version) error) (Entry, error) {
	if x.ID == "" {
		x.ID = NewVersionID()
	}
	return v.write(ctx, k, name, &x, edit)
}

// SetHead changes the head, and makes the object, without a version, if it is new. It
// must run inside a transaction.
func (v *Vault) SetHead(ctx context.Context, k Kind, name string, edit func(h *Head) error) (Entry, error) {
	return v.write(ctx, k, name, nil, func(h *Head, _ *Version) error { return edit(h) })
}

func (v *Vault) write(ctx context.Context, k Kind, name string, x *Version, edit func(h *Head, x *Version) error) (e Entry, err error) {
	err = v.change(ctx, func(t *turn) error {
		p, was, err := t.current(ctx, k, name, "")
		if fault.Is(err, fault.NotFound) {
			was.Head = Head{Name: name, Created: t.now}
			p.Head = Row{Kind: k, Name: strings.ToLower(name)}
		} else if err != nil {
			return err
		}
		if !was.Head.Deleted.IsZero() {
			return isDeleted(k, name)
		}
		e = Entry{Vault: v, Head: was.Head, Version: was.Version, rows: p}
		e.Head.Updated = t.now
		if edit != nil {
			if err := edit(&e.Head, x); err != nil {
				return err
			}
		}
		if x != nil {
			x.Created, x.Updated = t.now, t.now
			e.Version, e.Head.Latest, e.derived = *x, x.ID, &derived{}
			e.rows.Head.Position++
			e.rows.Version = Row{Kind: k, Name: p.Head.Name, Version: x.ID, Position: e.rows.Head.Position, Revision: t.epoch}
			if err := t.putVersion(ctx, e.rows.Version, *x, 0); err != nil {
				return err
			}
		}
		if err := t.head(ctx, &e); err != nil {
			return err
		}
		return t.schedule(ctx, k, was, e)
	})
	return e, err
}

// head writes the head of an entry whose version is in the database as e has it.
func (t *turn) head(ctx context.Context, e *Entry) error {
	old := e.rows.Head.Revision
	e.rows.Head.Revision = t.epoch
	if err := t.put(ctx, e.rows.Head, e.Head, old); err != nil {
		return err
	}
	t.remember(ctx, *e)
	return nil
}

// remember keeps an entry in memory once it is committed.
func (t *turn) remember(ctx context.Context, e Entry) {
	if e.Version.ID == "" || !e.Head.Deleted.IsZero() || e.Head.Latest != e.Version.ID {
		return
	}
	t.v.vaults.rows.AfterCommit(ctx, func(committed bool) {
		if committed {
			t.v.vaults.cache.put(place{t.v, e.rows.Head.Kind, e.rows.Head.Name, ""}, e)
		}
	})
}

// Edit changes a version, or the latest for "". It must run inside a transaction.
func (v *Vault) Edit(ctx context.Context, k Kind, name, version string, edit func(h Head, x *Version) error) (e Entry, err error) {
	err = v.change(ctx, func(t *turn) error {
		p, was, err := t.current(ctx, k, name, version)
		if err != nil {
			return err
		}
		if !was.Head.Deleted.IsZero() || was.Version.ID == "" {
			return notFound(k, name, version)
		}
		e = was
		if err := edit(e.Head, &e.Version); err != nil {
			return err
		}
		e.Version.Updated, e.derived = t.now, &derived{}
		e.rows.Version.Revision = t.epoch
		if err := t.putVersion(ctx, p.Version, e.Version, p.Version.Revision); err != nil {
			return err
		}
		t.remember(ctx, e)
		return t.schedule(ctx, k, was, e)
	})
	return e, err
}

// Delete soft-deletes an object with all its versions. It must run inside a transaction.
func (v *Vault) Delete(ctx context.Context, k Kind, name string) (e Entry, err error) {
	err = v.change(ctx, func(t *turn) error {
		_, was, err := t.current(ctx, k, name, "")
		if err != nil {
			return err
		}
		if !was.Head.Deleted.IsZero() {
			return notFound(k, name, "")
		}
		e = was
		e.Head.Deleted = t.now
		e.Head.Purge = t.now.AddDate(0, 0, v.Settings().RetentionDays)
		e.rows.Head.Deleted, e.rows.Head.Purge = true, e.Head.Purge
		if err := t.head(ctx, &e); err != nil {
			return err
		}
		return t.schedule(ctx, k, was, e)
	})
	return e, err
}

// Recover undoes Delete. It must run inside a transaction.
func (v *Vault) Recover(ctx context.Context, k Kind, name string) (e Entry, err error) {
	err = v.change(ctx, func(t *turn) error {
		_, was, err := t.deleted(ctx, k, name)
		if err != nil {
			return err
		}
		e = was
		e.Head.Deleted, e.Head.Purge = time.Time{}, time.Time{}
		e.rows.Head.Deleted, e.rows.Head.Purge = false, time.Time{}
		if err := t.head(ctx, &e); err != nil {
			return err
		}
		return t.schedule(ctx, k, was, e)
	})
	return e, err
}

// Purge removes a deleted object for good. due says that its retention has ended;
// otherwise purge protection forbids it. It must run inside a transaction.
func (v *Vault) Purge(ctx context.Context, k Kind, name string, due bool) error {
	return v.change(ctx, func(t *turn) error {
		_, e, err := t.deleted(ctx, k, name)
		if err != nil {
			return err
		}
		if v.Settings().PurgeProtection && !due {
			return fault.New(fault.Denied, "PurgeProtected", "Operation \"purge\" is not enabled for this vault; %s %s goes by itself on %s.",
				k.Noun(), name, e.Head.Purge.Format(time.RFC3339))
		}
		removed, err := v.vaults.rows.Remove(ctx, v.Name, k, strings.ToLower(name))
		if err != nil {
			return err
		}
		for _, r := range removed {
			t.total.sub(v.box.Tag(v.identity(k, r.Name, r.Version, r.Revision)))
			v.vaults.rows.AfterCommit(ctx, v.rows.follow(markOf(k, r.Name, r.Version), gone))
		}
		return nil
	})
}

func (t *turn) deleted(ctx context.Context, k Kind, name string) (Pair, Entry, error) {
	p, e, err := t.current(ctx, k, name, "")
	if fault.Is(err, fault.NotFound) || (err == nil && e.Head.Deleted.IsZero()) {
		return p, e, deletedNotFound(k, name)
	}
	return p, e, err
}
