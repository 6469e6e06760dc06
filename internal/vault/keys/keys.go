// Package keys keeps the keys of a vault and uses them, so that nobody else has to hold
// one. The private half stays in a keystore's material, sealed with the rest of a
// version; it is never part of an answer.
package keys

import (
	"context"
	"encoding/json"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
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

// Exposure is what a request says about letting a key leave the vault (secure key
// release). Such keys do not exist here, and a request for one is refused rather than
// answered with a key of another nature.
type Exposure struct {
	Exportable    bool
	ReleasePolicy bool // a release_policy was sent
}

func (x Exposure) check() error {
	switch {
	case x.Exportable && !x.ReleasePolicy:
		return fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1005: Exportable keys must have release policy.")
	case x.ReleasePolicy && !x.Exportable:
		return fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1005: Non-exportable keys must not have release policy.")
	case x.Exportable:
		return fault.New(fault.Invalid, "BadParameter", "Keys that can be released are not offered by this vault; leave out exportable and release_policy.")
	}
	return nil
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
	return s.add(ctx, c, create, r, q.Attributes, func() (Made, error) {
		if q.Exponent != 0 && q.Exponent != 65537 {
			return Made{}, fault.New(fault.Invalid, "BadParameter", "The public_exponent %d is not supported; use 65537 or leave it out.", q.Exponent)
		}
		if err := q.Exposure.check(); err != nil {
			return Made{}, err
		}
		return s.Make(ctx, Wanted{Type: q.Type, Bits: q.Bits, Curve: q.Curve, Algorithm: q.Algorithm, Ops: q.Ops})
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
// Without a private part, it is a key for verify, encrypt and wrapKey alone.
func (s *Service) Import(ctx context.Context, c access.Caller, r object.Ref, q ImportRequest) (object.Entry, error) {
	return s.add(ctx, c, importing, r, q.Attributes, func() (Made, error) {
		if err := q.Exposure.check(); err != nil {
			return Made{}, err
		}
		key, pub, err := q.Key.read()
		if err != nil {
			return Made{}, err
		}
		hsm := q.HSM || string(keyType(q.Key.Type)) != q.Key.Type
		if key == nil {
			return s.bringPublic(pub, hsm, q.Key.Ops)
		}
		return s.Bring(ctx, key, hsm, q.Key.Ops)
	})
}

// add authorises, has a key made, and stores it.
func (s *Service) add(ctx context.Context, c access.Caller, op object.Operation, r object.Ref, a object.Attributes, obtain func() (Made, error)) (e object.Entry, err error) {
	err = s.Call(ctx, c, op, r, func(v *object.Vault) error {
		if err := object.CheckName(r.Name); err != nil {
			return err
		}
		if err := a.Check(s.Limits); err != nil {
			return err
		}
		m, err := obtain()
		if err != nil {
			return err
		}
		x := object.Version{ID: object.NewVersionID(), Enabled: true}
		a.Apply(&x)
		return s.Transact(ctx, func(ctx context.Context) (err error) {
			if e, err = s.append(ctx, v, r.Name, x, m, false); err != nil {
				return err
			}
			if err := s.Announce(ctx, "NewVersionCreated", e); err != nil {
				return err
			}
			return s.Done(ctx, c, op, object.Ref{Vault: r.Vault, Name: r.Name, Version: x.ID}, map[audit.Field]string{audit.KeyType: m.Spec.String()})
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

// Update changes operations, attributes and tags of a version, or of the latest.
func (s *Service) Update(ctx context.Context, c access.Caller, r object.Ref, q UpdateRequest) (object.Entry, error) {
	return s.Shelf.Update(ctx, c, r, q.Attributes, func(_ object.Head, x *object.Version) error {
		if err := q.Exposure.check(); err != nil {
			return err
		}
		if q.Ops == nil {
			return nil
		}
		b, err := bodyOf(*x)
		if err != nil {
			return err
		}
		n, err := b.nature()
		if err != nil {
			return err
		}
		if b.Ops, err = n.change(b.Ops, q.Ops); err != nil {
			return err
		}
		x.Body, err = json.Marshal(b)
		return err
	})
}
