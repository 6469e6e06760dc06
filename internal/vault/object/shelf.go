package object

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

// Deps are what every service of the vault needs.
type Deps struct {
	Vaults   *Vaults
	Transact audit.Transact
	Audit    audit.Recorder
	Guard    access.Guard
	Local    LocalRoles // of the Managed HSMs
	Events   event.Emitter
	Now      func() time.Time
	Limits   Limits
	// Address is where a vault is reached, https://host[:port], for what leaves the house;
	// nil where nothing does.
	Address func(vault string) string
}

// AddressOf is where a vault is reached; where nothing is served, its path.
func (d Deps) AddressOf(vault string) string {
	if d.Address == nil {
		return "/vaults/" + vault
	}
	return d.Address(vault)
}

// Operation is something that a caller does to objects of a kind. With the kind's title
// before it, it is the operation of the audit record: SecretGet.
type Operation string

// The operations that all kinds have.
const (
	Get          Operation = "Get"
	Update       Operation = "Update"
	Delete       Operation = "Delete"
	List         Operation = "List"
	ListVersions Operation = "ListVersions"
	GetDeleted   Operation = "GetDeleted"
	ListDeleted  Operation = "ListDeleted"
	Recover      Operation = "Recover"
	Purge        Operation = "Purge"
)

// Shelf is one kind of object with the operations that all kinds share. A kind's
// service embeds it and adds its own.
type Shelf struct {
	Deps
	kind    Kind
	actions map[Operation]access.Action
}

// NewShelf makes the shelf of a kind. actions say what each operation needs, without
// the prefix Microsoft.KeyVault/vaults/ (contract §2.7).
func NewShelf(d Deps, k Kind, actions map[Operation]access.Action) *Shelf {
	d.Limits = d.Limits.Complete()
	return &Shelf{Deps: d, kind: k, actions: actions}
}

// Call runs one operation: it authorises, runs fn, and records a failure of fn. fn
// records success itself: inside its transaction if it changes something, else before
// it returns. Use Done for that.
func (s *Shelf) Call(ctx context.Context, c access.Caller, op Operation, r Ref, fn func(v *Vault) error) error {
	v, err := s.Vaults.Open(ctx, r.Vault)
	if err := s.permit(ctx, c, op, r, v); err != nil {
		return v.Told(c, err)
	}
	if err == nil {
		err = v.Told(c, fn(v))
	}
	if err == nil {
		return nil
	}
	rec := c.Record(s.name(op), string(s.scope(r)))
	rec.Outcome = audit.Failed
	rec.Details[audit.Reason] = fault.Of(err).Code
	if r.Version != "" {
		rec.Details[audit.Version] = r.Version
	}
	if rerr := s.Audit.Record(ctx, rec); rerr != nil {
		return rerr
	}
	return err
}

// Done records the success of an operation.
func (s *Shelf) Done(ctx context.Context, c access.Caller, op Operation, r Ref, details map[audit.Field]string) error {
	rec := c.Record(s.name(op), string(s.scope(r)))
	if r.Version != "" {
		rec.Details[audit.Version] = r.Version
	}
	for f, v := range details {
		rec.Details[f] = v
	}
	return s.Audit.Record(ctx, rec)
}

func (s *Shelf) name(op Operation) string { return s.kind.Title() + string(op) }

func (s *Shelf) scope(r Ref) access.Scope {
	p := "/vaults/" + strings.ToLower(r.Vault)
	if r.Name != "" {
		p += "/" + string(s.kind) + "/" + strings.ToLower(r.Name)
	}
	return access.Scope(p)
}

// Page asks for a part of a list.
type Page struct {
	After string // marker of the page before; empty for the first
	Limit int    // 1 to 25
}

// Listing is a part of a list. Next is empty at the end.
type Listing struct {
	Entries []Entry
	Next    string
}

// Find returns a live object with a version, without recording anything: for
// operations that record by themselves.
func (s *Shelf) Find(ctx context.Context, v *Vault, r Ref) (Entry, error) {
	return v.Read(ctx, s.kind, r.Name, r.Version)
}

// List returns live objects by name.
func (s *Shelf) List(ctx context.Context, c access.Caller, vault string, p Page) (Listing, error) {
	return s.list(ctx, c, List, vault, p, false)
}

// ListDeleted returns deleted objects by name. Those that belong to a certificate are
// left out: the certificate stands for them.
func (s *Shelf) ListDeleted(ctx context.Context, c access.Caller, vault string, p Page) (Listing, error) {
	return s.list(ctx, c, ListDeleted, vault, p, true)
}

func (s *Shelf) list(ctx context.Context, c access.Caller, op Operation, vault string, p Page, deleted bool) (l Listing, err error) {
	r := Ref{Vault: vault}
	err = s.Call(ctx, c, op, r, func(v *Vault) error {
		entries, err := v.List(ctx, s.kind, deleted, p.After, p.Limit+1)
		if err != nil {
			return err
		}
		if len(entries) > p.Limit {
			entries = entries[:p.Limit]
			l.Next = entries[p.Limit-1].Head.Name
		}
		for _, e := range entries {
			if !deleted || !e.Head.Managed {
				l.Entries = append(l.Entries, e)
			}
		}
		return s.Done(ctx, c, op, r, map[audit.Field]string{audit.Count: strconv.Itoa(len(l.Entries))})
	})
	return l, err
}

// Versions returns the versions of an object, oldest first. An object that does not
// exist, or is deleted, is fault.NotFound.
func (s *Shelf) Versions(ctx context.Context, c access.Caller, r Ref, p Page) (l Listing, err error) {
	err = s.Call(ctx, c, ListVersions, r, func(v *Vault) error {
		e, err := v.Read(ctx, s.kind, r.Name, "")
		if err != nil {
			return err
		}
		var after int64
		if p.After != "" {
			if after, err = strconv.ParseInt(p.After, 10, 64); err != nil {
				return fault.New(fault.Invalid, "BadParameter", "The $skiptoken is not one of ours; start again without it.")
			}
		}
		list, after, err := v.Versions(ctx, s.kind, r.Name, after, p.Limit)
		if err != nil {
			return err
		}
		if len(list) == p.Limit { // positions have gaps where versions were deleted, so the next page is asked for
			more, _, err := v.Versions(ctx, s.kind, r.Name, after, 1)
			if err != nil {
				return err
			}
			if len(more) > 0 {
				l.Next = strconv.FormatInt(after, 10)
			}
		}
		for _, x := range list {
			l.Entries = append(l.Entries, Entry{Vault: v, Head: e.Head, Version: x})
		}
		return s.Done(ctx, c, ListVersions, r, map[audit.Field]string{audit.Count: strconv.Itoa(len(list))})
	})
	return l, err
}

// Update changes attributes and tags of a version, or the latest. edit, if not nil,
// changes more in the same write.
func (s *Shelf) Update(ctx context.Context, c access.Caller, r Ref, a Attributes, edit func(h Head, x *Version) error) (e Entry, err error) {
	err = s.Call(ctx, c, Update, r, func(v *Vault) error {
		if err := a.Check(s.Limits); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			e, err = v.Edit(ctx, s.kind, r.Name, r.Version, func(h Head, x *Version) error {
				a.Apply(x)
				if edit == nil {
					return nil
				}
				return edit(h, x)
			})
			if err != nil {
				return err
			}
			return s.Done(ctx, c, Update, Ref{Vault: r.Vault, Name: r.Name, Version: e.Version.ID}, nil)
		})
	})
	return e, err
}

// Delete soft-deletes an object with all its versions.
func (s *Shelf) Delete(ctx context.Context, c access.Caller, r Ref) (Entry, error) {
	return s.change(ctx, c, Delete, r, func(ctx context.Context, v *Vault) (Entry, error) {
		e, err := v.Delete(ctx, s.kind, r.Name)
		if err == nil && e.Head.Managed && s.kind != Certificates {
			return e, isManaged(s.kind, "delete")
		}
		return e, err
	})
}

// Recover undoes Delete.
func (s *Shelf) Recover(ctx context.Context, c access.Caller, r Ref) (Entry, error) {
	return s.change(ctx, c, Recover, r, func(ctx context.Context, v *Vault) (Entry, error) {
		e, err := v.Recover(ctx, s.kind, r.Name)
		if err == nil && e.Head.Managed && s.kind != Certificates {
			return e, isManaged(s.kind, "recover")
		}
		return e, err
	})
}

// Purge removes a deleted object for good.
func (s *Shelf) Purge(ctx context.Context, c access.Caller, r Ref) error {
	_, err := s.change(ctx, c, Purge, r, func(ctx context.Context, v *Vault) (Entry, error) {
		e, err := v.ReadDeleted(ctx, s.kind, r.Name)
		if err == nil && e.Head.Managed && s.kind != Certificates {
			return e, isManaged(s.kind, "purge")
		}
		return e, v.Purge(ctx, s.kind, r.Name, false)
	})
	return err
}

// PurgeDue removes a deleted object whose retention has ended, purge protection or not,
// in a deleted vault too. What is sealed in the object says when that is. Only the product
// itself may call it. with are the kinds of what goes with the object, once it has had a
// version; such a part itself stays until the whole goes.
func (s *Shelf) PurgeDue(ctx context.Context, c access.Caller, r Ref, with ...Kind) error {
	if !c.IsSystem() {
		return fault.New(fault.Denied, "NotYours", "Only the product itself purges what is due.")
	}
	v, err := s.Vaults.OpenAny(ctx, r.Vault)
	if err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		e, err := v.ReadDeleted(ctx, s.kind, r.Name)
		if err != nil {
			return err
		}
		if e.Head.Managed && s.kind != Certificates {
			return nil
		}
		if s.Now().Before(e.Head.Purge) {
			return notDue(e.Head.Purge)
		}
		if err := v.Purge(ctx, s.kind, r.Name, true); err != nil {
			return err
		}
		if e.Head.Latest != "" {
			for _, k := range with {
				if err := v.Purge(ctx, k, r.Name, true); err != nil {
					return err
				}
			}
		}
		return s.Done(ctx, c, Purge, r, nil)
	})
}

// GetDeleted returns a deleted object with its latest version.
func (s *Shelf) GetDeleted(ctx context.Context, c access.Caller, r Ref) (e Entry, err error) {
	err = s.Call(ctx, c, GetDeleted, r, func(v *Vault) error {
		if e, err = v.ReadDeleted(ctx, s.kind, r.Name); err != nil {
			return err
		}
		return s.Done(ctx, c, GetDeleted, r, nil)
	})
	return e, err
}

// change runs one state change and its record in one transaction.
func (s *Shelf) change(ctx context.Context, c access.Caller, op Operation, r Ref, fn func(ctx context.Context, v *Vault) (Entry, error)) (e Entry, err error) {
	err = s.Call(ctx, c, op, r, func(v *Vault) error {
		return s.Transact(ctx, func(ctx context.Context) error {
			if e, err = fn(ctx, v); err != nil {
				return err
			}
			return s.Done(ctx, c, op, r, nil)
		})
	})
	return e, err
}

// Announce emits an Event Grid event about a version, such as SecretNewVersionCreated
// (contract §3). It belongs inside the transaction of the change.
func (s *Shelf) Announce(ctx context.Context, what string, e Entry) error {
	unix := func(t time.Time) *int64 {
		if t.IsZero() {
			return nil
		}
		u := t.Unix()
		return &u
	}
	path := "/vaults/" + e.Vault.Name
	data, err := json.Marshal(struct {
		ID         string `json:"Id"`
		VaultName  string
		ObjectType string
		ObjectName string
		Version    string
		NBF        *int64
		EXP        *int64
	}{
		s.AddressOf(e.Vault.Name) + "/" + string(s.kind) + "/" + e.Head.Name + "/" + e.Version.ID, e.Vault.Name, s.kind.Title(), e.Head.Name, e.Version.ID,
		unix(e.Version.NotBefore), unix(e.Version.Expires),
	})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: path, Type: "Microsoft.KeyVault." + s.kind.Title() + what, Subject: e.Head.Name, Data: data})
}
