package object

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/seal"
)

// Backup and Restore are operations that all kinds have.
const (
	Backup  Operation = "Backup"
	Restore Operation = "Restore"
)

// maxBlob bounds the bytes of a backup; Limits bound its versions.
const maxBlob = 32 << 20

// snapshot is an object with all its versions, as a backup holds it.
type snapshot struct {
	Kind     Kind      `json:"kind"`
	Head     Head      `json:"head"`
	Versions []Version `json:"versions"` // oldest first
	// With are the key and the secret of a certificate that has versions.
	With []snapshot `json:"with,omitempty"`
}

// blobFormat begins every backup: what it is, and the version of its form.
const blobFormat = "CHB1"

// pack encrypts a snapshot under a key of its own, which the root key wraps: a backup
// opens in every vault of this installation and nowhere else.
func (vs *Vaults) pack(s snapshot) ([]byte, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	box, wrapped, err := vs.root.NewDataKey("backup")
	if err != nil {
		return nil, err
	}
	blob := binary.BigEndian.AppendUint16([]byte(blobFormat), uint16(len(wrapped)))
	blob = append(blob, wrapped...)
	if blob = append(blob, box.Seal(seal.Identity{Kind: "backup"}, plain)...); len(blob) > maxBlob {
		return nil, tooLarge(s.Kind)
	}
	return blob, nil
}

// unpack opens what pack made.
func (vs *Vaults) unpack(k Kind, blob []byte) (snapshot, error) {
	var s snapshot
	refused := fault.New(fault.Invalid, "BadParameter", "The value is not a backup of a %s of this installation.", k.Noun())
	rest, ok := strings.CutPrefix(string(blob), blobFormat)
	if !ok || len(blob) > maxBlob || len(rest) < 2 {
		return s, refused
	}
	n := int(binary.BigEndian.Uint16([]byte(rest)))
	if len(rest) < 2+n {
		return s, refused
	}
	box, err := vs.root.OpenDataKey("backup", []byte(rest[2:2+n]))
	if err != nil {
		return s, refused
	}
	plain, err := box.Open(seal.Identity{Kind: "backup"}, []byte(rest[2+n:]))
	if err != nil {
		return s, refused
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		return s, err
	}
	if s.Kind != k {
		return s, refused
	}
	return s, nil
}

// Backup returns a live object with all its versions as an opaque blob.
func (s *Shelf) Backup(ctx context.Context, c access.Caller, r Ref) (blob []byte, err error) {
	err = s.Call(ctx, c, Backup, r, func(v *Vault) error {
		e, err := v.Read(ctx, s.kind, r.Name, "")
		if err != nil {
			return err
		}
		if e.Head.Managed {
			return isManaged(s.kind, "backup")
		}
		snap, err := v.snapshot(ctx, s.kind, e.Head, &room{versions: s.Limits.BackupVersions, bytes: maxBlob})
		if err != nil {
			return err
		}
		if blob, err = s.Vaults.pack(snap); err != nil {
			return err
		}
		return s.Done(ctx, c, Backup, r, nil)
	})
	if err != nil {
		return nil, err
	}
	return blob, nil
}

// room is what a backup can hold: versions of each object, and bytes of all of them.
type room struct{ versions, bytes int }

// snapshot reads a live object with all its versions, and what belongs to it.
func (v *Vault) snapshot(ctx context.Context, k Kind, h Head, r *room) (snapshot, error) {
	versions, err := v.allVersions(ctx, k, h.Name, r)
	if err != nil {
		return snapshot{}, err
	}
	if n := len(versions); n > 0 && versions[n-1].ID != h.Latest {
		return snapshot{}, changedMeanwhile(k, h.Name)
	}
	s := snapshot{Kind: k, Head: h, Versions: versions}
	if k != Certificates || h.Latest == "" {
		return s, nil
	}
	for _, part := range []Kind{Keys, Secrets} {
		e, err := v.Read(ctx, part, h.Name, "")
		if err != nil {
			return s, err
		}
		if e.Head.Latest != h.Latest {
			return s, changedMeanwhile(k, h.Name)
		}
		with, err := v.snapshot(ctx, part, e.Head, r)
		if err != nil {
			return s, err
		}
		s.With = append(s.With, with)
	}
	return s, nil
}

// allVersions reads page by page, and stops as soon as it is more than there is room for.
func (v *Vault) allVersions(ctx context.Context, k Kind, name string, r *room) ([]Version, error) {
	const page = 100
	var list []Version
	for after := int64(0); ; {
		part, next, err := v.Versions(ctx, k, name, after, page)
		if err != nil || len(part) == 0 {
			return list, err
		}
		for _, x := range part {
			r.bytes -= len(x.Body)
		}
		switch list, after = append(list, part...), next; {
		case len(list) > r.versions:
			return nil, fault.New(fault.Invalid, "BadParameter", "The %s has more than %d versions; a backup holds no more.", k.Noun(), r.versions)
		case r.bytes < 0:
			return nil, tooLarge(k)
		}
	}
}

func tooLarge(k Kind) error {
	return fault.New(fault.Invalid, "BadParameter", "The %s with its versions has more than the %d MiB that a backup holds; delete versions that nobody needs, or export the vault.", k.Noun(), maxBlob>>20)
}

// changedMeanwhile: a backup is read without holding up writers.
func changedMeanwhile(k Kind, name string) error {
	return fault.New(fault.Conflict, "Conflict", "The %s %s got a new version while it was read; try again.", k.Noun(), name)
}

// Restore brings back what Backup made, with its versions, ids and times. A name that
// exists, deleted or not, is fault.Conflict.
func (s *Shelf) Restore(ctx context.Context, c access.Caller, vault string, blob []byte) (e Entry, err error) {
	err = s.Call(ctx, c, Restore, Ref{Vault: vault}, func(v *Vault) error {
		snap, err := s.Vaults.unpack(s.kind, blob)
		if err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			for _, with := range snap.With {
				if _, err := v.restore(ctx, with); err != nil {
					return err
				}
			}
			if e, err = v.restore(ctx, snap); err != nil {
				return err
			}
			return s.Done(ctx, c, Restore, Ref{Vault: vault, Name: snap.Head.Name, Version: snap.Head.Latest}, nil)
		})
	})
	return e, err
}

func (v *Vault) restore(ctx context.Context, s snapshot) (e Entry, err error) {
	err = v.change(ctx, func(t *turn) error {
		a := arriving{turn: t, kind: s.Kind, name: strings.ToLower(s.Head.Name)}
		for _, x := range s.Versions {
			if err := a.version(ctx, x); err != nil {
				return err
			}
		}
		e, err = a.head(ctx, s.Head)
		return err
	})
	return e, err
}

// Arrival is an object, or a version of one, on its way into a vault from elsewhere.
type Arrival struct {
	Kind    Kind     `json:"kind"`
	Name    string   `json:"name"`              // lower case
	Version *Version `json:"version,omitempty"` // oldest first
	Head    *Head    `json:"head,omitempty"`    // after its versions
}

// Bring adds objects with the ids and dates that they had elsewhere. next returns one
// arrival after the other, the versions of an object before its head, and false after the
// last. A name that exists, deleted or not, is fault.Conflict. It must run inside a
// transaction, which fails as a whole.
func (v *Vault) Bring(ctx context.Context, next func() (Arrival, bool, error)) error {
	return v.change(ctx, func(t *turn) error {
		a := arriving{turn: t}
		for {
			x, more, err := next()
			if err != nil || !more {
				return err
			}
			a.kind, a.name = x.Kind, x.Name
			if x.Version != nil {
				err = a.version(ctx, *x.Version)
			} else {
				_, err = a.head(ctx, *x.Head)
				a = arriving{turn: t}
			}
			if err != nil {
				return err
			}
		}
	})
}

// arriving is an object that is being written with its versions.
type arriving struct {
	*turn
	kind   Kind
	name   string // lower case
	count  int64
	latest Version
}

func (a *arriving) version(ctx context.Context, x Version) error {
	if a.count == 0 {
		if err := a.free(ctx); err != nil {
			return err
		}
	}
	a.count++
	a.latest = x
	return a.putVersion(ctx, Row{Kind: a.kind, Name: a.name, Version: x.ID, Position: a.count}, x, 0)
}

func (a *arriving) head(ctx context.Context, h Head) (Entry, error) {
	if a.count == 0 {
		if err := a.free(ctx); err != nil {
			return Entry{}, err
		}
	}
	e := Entry{Vault: a.v, Head: h, Version: a.latest}
	row := Row{Kind: a.kind, Name: a.name, Position: a.count, Deleted: !h.Deleted.IsZero(), Purge: h.Purge}
	if err := a.put(ctx, row, h, 0); err != nil {
		return e, err
	}
	return e, a.schedule(ctx, a.kind, Entry{}, e)
}

// free refuses a name that exists.
func (a *arriving) free(ctx context.Context) error {
	was, err := a.v.find(ctx, a.kind, a.name, "")
	switch {
	case err == nil && !was.Head.Deleted.IsZero():
		return isDeleted(a.kind, a.name)
	case err == nil:
		return fault.New(fault.Conflict, "Conflict", "There was a conflict restoring the %s %s: a %s of that name exists. Restore cannot be performed on a non-unique %s identifier.",
			a.kind.Noun(), a.name, a.kind.Noun(), a.kind.Noun())
	case !fault.Is(err, fault.NotFound):
		return err
	}
	return nil
}
