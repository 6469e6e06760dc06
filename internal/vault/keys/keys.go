// Package keys keeps the keys of a vault and uses them, so that nobody else has to hold
// one. The private half stays in a keystore's material, sealed with the rest of a
// version; it is never part of an answer.
package keys

import (
	"context"
	"encoding/json"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// What is done to keys and to no other kind; the audit record says Key before it.
const (
	create    object.Operation = "Create"
	importing object.Operation = "Import"
	signing   object.Operation = "Sign"
	verifying object.Operation = "Verify"
	wrapping  object.Operation = "Wrap"
	unwrap    object.Operation = "Unwrap"
	encrypt   object.Operation = "Encrypt"
	decrypt   object.Operation = "Decrypt"
)

// Service is the keys of all vaults.
type Service struct {
	*object.Shelf
	store keystore.Keystore
	// Authorities are asked before a release policy names one; nil refuses all policies.
	Authorities Authorities
}

// New makes the service. New keys go into store.
func New(d object.Deps, store keystore.Keystore) *Service {
	return &Service{store: store, Shelf: object.NewShelf(d, object.Keys, map[object.Operation]access.Action{
		create:               "keys/create/action",
		importing:            "keys/import/action",
		signing:              "keys/sign/action",
		verifying:            "keys/verify/action",
		wrapping:             "keys/wrap/action",
		unwrap:               "keys/unwrap/action",
		encrypt:              "keys/encrypt/action",
		decrypt:              "keys/decrypt/action",
		randomBytes:          "keys/read",
		object.Get:           "keys/read",
		object.Update:        "keys/update/action",
		object.Delete:        "keys/delete",
		object.List:          "keys/read",
		object.ListVersions:  "keys/read",
		object.GetDeleted:    "keys/read",
		object.ListDeleted:   "keys/read",
		object.Recover:       "keys/recover/action",
		object.Purge:         "keys/purge/action",
		object.DeleteVersion: "keys/purge/action",
		object.Backup:        "keys/backup/action",
		object.Restore:       "keys/restore/action",
	})}
}

// CreateRequest is a new version of a key.
type CreateRequest struct {
	Type       string      // RSA, EC, oct, AKP, each also with -HSM
	Bits       int         // RSA, 0 for 2048; oct, 0 for 256
	Curve      string      // EC; "" for P-256
	Algorithm  string      // AKP
	Exponent   int         // RSA; 65537, or 0 for the same
	Ops        []Operation // nil for the defaults of the type
	Exposure   Exposure
	Attributes object.Attributes
}

// Create makes a key and adds it as a version, and the object if it is new.
func (s *Service) Create(ctx context.Context, c access.Caller, r object.Ref, q CreateRequest) (object.Entry, error) {
	return s.add(ctx, c, addition{create, r, q.Attributes, q.Exposure}, func(_ *object.Vault, exportable bool) (Made, error) {
		if q.Exponent != 0 && q.Exponent != 65537 {
			return Made{}, fault.New(fault.Invalid, "BadParameter", "The public_exponent %d is not supported; use 65537 or leave it out.", q.Exponent)
		}
		return s.Make(ctx, Wanted{Type: q.Type, Bits: q.Bits, Curve: q.Curve, Algorithm: q.Algorithm, Ops: q.Ops, Exportable: exportable})
	})
}

// ImportRequest is a new version of a key, from outside.
type ImportRequest struct {
	Key        PrivateJWK
	HSM        bool // answer with a type that ends in -HSM
	Exposure   Exposure
	Attributes object.Attributes
}

// Import checks a key from outside and adds it as a version, and the object if it is new.
// Without a private part, it is a key for verify, encrypt and wrapKey alone; with a
// transfer blob, it is what is in there.
func (s *Service) Import(ctx context.Context, c access.Caller, r object.Ref, q ImportRequest) (object.Entry, error) {
	return s.add(ctx, c, addition{importing, r, q.Attributes, q.Exposure}, func(v *object.Vault, exportable bool) (Made, error) {
		hsm := q.HSM || string(keyType(q.Key.Type)) != q.Key.Type
		if len(q.Key.Transfer) > 0 {
			return s.receive(ctx, v, q.Key, exportable)
		}
		key, pub, err := q.Key.read()
		if err != nil {
			return Made{}, err
		}
		if key == nil {
			return s.bringPublic(pub, hsm, q.Key.Ops)
		}
		return s.bring(ctx, key, hsm, exportable, q.Key.Ops)
	})
}

// addition is a new version of a key.
type addition struct {
	op         object.Operation
	ref        object.Ref
	attributes object.Attributes
	exposure   Exposure
}

// add authorises, has a key made, and stores it. obtain is told whether the key may leave.
func (s *Service) add(ctx context.Context, c access.Caller, a addition, obtain func(v *object.Vault, exportable bool) (Made, error)) (e object.Entry, err error) {
	r := a.ref
	err = s.Call(ctx, c, a.op, r, func(v *object.Vault) error {
		if err := object.CheckName(r.Name); err != nil {
			return err
		}
		if err := a.attributes.Check(s.Limits); err != nil {
			return err
		}
		exportable, err := s.prepare(ctx, v, r, &a.exposure)
		if err != nil {
			return err
		}
		m, err := obtain(v, exportable)
		if err != nil {
			return err
		}
		if a.exposure.said() {
			m.exposure = &a.exposure
		}
		x := object.Version{ID: object.NewVersionID(), Enabled: true}
		a.attributes.Apply(&x)
		return s.Transact(ctx, func(ctx context.Context) (err error) {
			if e, err = s.append(ctx, v, r.Name, x, m, false); err != nil {
				return err
			}
			if err := s.Announce(ctx, "NewVersionCreated", e); err != nil {
				return err
			}
			return s.Done(ctx, c, a.op, object.Ref{Vault: r.Vault, Name: r.Name, Version: x.ID}, m.details())
		})
	})
	return e, err
}

// Get returns the public half of a key. It works for disabled and expired keys too.
func (s *Service) Get(ctx context.Context, c access.Caller, r object.Ref) (e object.Entry, err error) {
	err = s.Call(ctx, c, object.Get, r, func(v *object.Vault) error {
		if e, err = s.Find(ctx, v, r); err != nil {
			return err
		}
		return s.Done(ctx, c, object.Get, object.Ref{Vault: r.Vault, Name: r.Name, Version: e.Version.ID}, nil)
	})
	if err != nil {
		return object.Entry{}, err
	}
	return e, nil
}

// UpdateRequest changes a version; nil fields stay.
type UpdateRequest struct {
	Ops        []Operation
	Exposure   Exposure
	Attributes object.Attributes
}

// Update changes operations, attributes and tags of a version, or of the latest; and the
// release policy of the key.
func (s *Service) Update(ctx context.Context, c access.Caller, r object.Ref, q UpdateRequest) (e object.Entry, err error) {
	if !q.Exposure.said() {
		return s.Shelf.Update(ctx, c, r, q.Attributes, q.edit)
	}
	err = s.Call(ctx, c, object.Update, r, func(v *object.Vault) error {
		if err := q.Attributes.Check(s.Limits); err != nil {
			return err
		}
		if _, err := s.prepare(ctx, v, r, &q.Exposure); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			if _, err = v.Edit(ctx, object.Keys, r.Name, r.Version, func(h object.Head, x *object.Version) error {
				q.Attributes.Apply(x)
				return q.edit(h, x)
			}); err != nil {
				return err
			}
			if _, err = v.SetHead(ctx, object.Keys, r.Name, q.Exposure.apply); err != nil {
				return err
			}
			if e, err = s.Find(ctx, v, r); err != nil {
				return err
			}
			return s.Done(ctx, c, object.Update, object.Ref{Vault: r.Vault, Name: r.Name, Version: e.Version.ID}, nil)
		})
	})
	return e, err
}

// edit changes the operations of a version.
func (q UpdateRequest) edit(h object.Head, x *object.Version) error {
	if q.Ops == nil {
		return nil
	}
	extra, err := ExtraOf(h)
	if err != nil {
		return err
	}
	b, err := bodyOf(*x)
	if err != nil {
		return err
	}
	n, err := b.nature()
	if err != nil {
		return err
	}
	n.exportable = extra.Exportable
	if b.Ops, err = n.change(b.Ops, q.Ops); err != nil {
		return err
	}
	x.Body, err = json.Marshal(b)
	return err
}
