// Package secrets keeps the secrets of a vault.
package secrets

import (
	"context"
	"encoding/json"
	"log/slog"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// MaxContentType bounds a content type (contract §2.4), in characters.
const MaxContentType = 255

// Value is what a secret hides. It never prints.
type Value string

// String hides the value.
func (Value) String() string { return "[secret]" }

// GoString hides the value.
func (Value) GoString() string { return "[secret]" }

// LogValue hides the value.
func (Value) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Body is what a version of a secret holds.
type Body struct {
	Value       Value  `json:"value"`
	ContentType string `json:"contentType,omitempty"`
	Previous    string `json:"previous,omitempty"` // id of the version before this one
}

// BodyOf reads the body of a version.
func BodyOf(x object.Version) (Body, error) {
	var b Body
	return b, json.Unmarshal(x.Body, &b)
}

const set object.Operation = "Set"

// Service is the secrets of all vaults.
type Service struct{ *object.Shelf }

// New makes the service.
func New(d object.Deps) *Service {
	return &Service{object.NewShelf(d, object.Secrets, map[object.Operation]access.Action{
		set:                  "secrets/setSecret/action",
		object.Get:           "secrets/getSecret/action",
		object.Update:        "secrets/update/action",
		object.Delete:        "secrets/delete",
		object.List:          "secrets/readMetadata/action",
		object.ListVersions:  "secrets/readMetadata/action",
		object.GetDeleted:    "secrets/readMetadata/action",
		object.ListDeleted:   "secrets/readMetadata/action",
		object.Recover:       "secrets/recover/action",
		object.Purge:         "secrets/purge/action",
		object.DeleteVersion: "secrets/purge/action",
		object.Backup:        "secrets/backup/action",
		object.Restore:       "secrets/restore/action",
	})}
}

// SetRequest is a new version of a secret.
type SetRequest struct {
	Value       Value
	ContentType string
	Attributes  object.Attributes
}

func (r SetRequest) check(l object.Limits) error {
	if len(r.Value) > l.SecretBytes {
		return fault.New(fault.Invalid, "BadParameter", "The value has %d bytes; a secret holds at most %d. Store the rest elsewhere, encrypted under a key of this vault.", len(r.Value), l.SecretBytes)
	}
	if len(r.ContentType) > MaxContentType {
		return fault.New(fault.Invalid, "BadParameter", "The contentType has %d characters; at most %d are allowed.", len(r.ContentType), MaxContentType)
	}
	return r.Attributes.Check(l)
}

// Set adds a version, and the secret if it is new.
func (s *Service) Set(ctx context.Context, c access.Caller, r object.Ref, q SetRequest) (e object.Entry, err error) {
	err = s.Call(ctx, c, set, r, func(v *object.Vault) error {
		if err := q.check(s.Limits); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			x := object.Version{ID: object.NewVersionID(), Enabled: true}
			q.Attributes.Apply(&x)
			var err error
			if e, err = s.append(ctx, v, r.Name, x, Body{Value: q.Value, ContentType: q.ContentType}, false); err != nil {
				return err
			}
			if err := s.Announce(ctx, "NewVersionCreated", e); err != nil {
				return err
			}
			return s.Done(ctx, c, set, object.Ref{Vault: r.Vault, Name: r.Name, Version: x.ID}, nil)
		})
	})
	return e, err
}

// append writes a version inside the transaction of ctx.
func (s *Service) append(ctx context.Context, v *object.Vault, name string, x object.Version, b Body, managed bool) (object.Entry, error) {
	return v.Append(ctx, object.Secrets, name, x, func(h *object.Head, x *object.Version) error {
		if h.Managed && !managed {
			return fault.New(fault.Denied, "ManagedObject", "The secret %s belongs to a certificate; import or renew the certificate of the same name.", name)
		}
		if managed && !h.Managed && h.Latest != "" {
			return fault.New(fault.Conflict, "Conflict", "There is a secret %s that belongs to no certificate; give the certificate another name, or delete and purge the secret.", name)
		}
		h.Managed = managed
		b.Previous = h.Latest
		var err error
		x.Body, err = json.Marshal(b)
		return err
	})
}

// PutManaged writes the secret of a certificate's version, under the certificate's
// version id, inside the transaction of ctx. The caller has authorised and records.
func (s *Service) PutManaged(ctx context.Context, v *object.Vault, name string, x object.Version, b Body) (object.Entry, error) {
	x.Managed = true
	return s.append(ctx, v, name, x, b, true)
}

// Get reveals a secret. It is recorded before it is returned.
func (s *Service) Get(ctx context.Context, c access.Caller, r object.Ref) (object.Entry, Body, error) {
	return s.GetAs(ctx, c, r, "")
}

// GetAs is Get with the file of a certificate written in another form: PEM or PKCS12, or
// "" for that in which it is kept.
func (s *Service) GetAs(ctx context.Context, c access.Caller, r object.Ref, form string) (e object.Entry, b Body, err error) {
	err = s.Call(ctx, c, object.Get, r, func(v *object.Vault) error {
		if e, err = s.Find(ctx, v, r); err != nil {
			return err
		}
		if !e.Version.Enabled {
			return fault.New(fault.Denied, "SecretDisabled", "Operation get is not allowed on a disabled secret.")
		}
		if b, err = object.Derived(e, BodyOf); err != nil {
			return err
		}
		if b, err = b.as(form); err != nil {
			return err
		}
		return s.Done(ctx, c, object.Get, object.Ref{Vault: r.Vault, Name: r.Name, Version: e.Version.ID}, nil)
	})
	if err != nil {
		return object.Entry{}, Body{}, err
	}
	return e, b, nil
}

// UpdateRequest changes a version; nil fields stay.
type UpdateRequest struct {
	ContentType *string
	Attributes  object.Attributes
}

// Update changes content type, attributes and tags of a version, or of the latest.
func (s *Service) Update(ctx context.Context, c access.Caller, r object.Ref, q UpdateRequest) (object.Entry, error) {
	return s.Shelf.Update(ctx, c, r, q.Attributes, func(h object.Head, x *object.Version) error {
		if q.ContentType == nil {
			return nil
		}
		if len(*q.ContentType) > MaxContentType {
			return fault.New(fault.Invalid, "BadParameter", "The contentType has %d characters; at most %d are allowed.", len(*q.ContentType), MaxContentType)
		}
		b, err := BodyOf(*x)
		if err != nil {
			return err
		}
		b.ContentType = *q.ContentType
		x.Body, err = json.Marshal(b)
		return err
	})
}
