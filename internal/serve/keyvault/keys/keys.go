// Package keys is the keys part of the Key Vault front door (contract §1.2), one file an
// operation and its opposite.
package keys

import (
	"encoding/json"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/object"
)

// Services are what answers here.
type Services struct {
	Keys     *keys.Service
	Rotation *rotation.Service
}

// Operations are the routes.
func Operations(s Services) []wire.Operation {
	d := door{s.Keys, s.Rotation}
	return []wire.Operation{
		{Name: "KeyCreate", Method: "POST", Path: "/keys/{name}/create", Handle: d.create},
		{Name: "KeyImport", Method: "PUT", Path: "/keys/{name}", Handle: d.importKey},
		{Name: "KeyGet", Method: "GET", Path: "/keys/{name}/{version?}", Handle: d.get},
		{Name: "KeyUpdate", Method: "PATCH", Path: "/keys/{name}/{version?}", Handle: d.update},
		{Name: "KeyDelete", Method: "DELETE", Path: "/keys/{name}", Handle: d.delete},
		{Name: "KeyList", Method: "GET", Path: "/keys", Handle: d.list},
		{Name: "KeyListVersions", Method: "GET", Path: "/keys/{name}/versions", Handle: d.versions},
		{Name: "KeyEncrypt", Method: "POST", Path: "/keys/{name}/{version?}/encrypt", Handle: d.encrypt},
		{Name: "KeyDecrypt", Method: "POST", Path: "/keys/{name}/{version?}/decrypt", Handle: d.decrypt},
		{Name: "KeyWrap", Method: "POST", Path: "/keys/{name}/{version?}/wrapkey", Handle: d.wrap},
		{Name: "KeyUnwrap", Method: "POST", Path: "/keys/{name}/{version?}/unwrapkey", Handle: d.unwrap},
		{Name: "KeySign", Method: "POST", Path: "/keys/{name}/{version?}/sign", Handle: d.sign},
		{Name: "KeyVerify", Method: "POST", Path: "/keys/{name}/{version?}/verify", Handle: d.verify},
		{Name: "KeyGetDeleted", Method: "GET", Path: "/deletedkeys/{name}", Handle: d.getDeleted},
		{Name: "KeyListDeleted", Method: "GET", Path: "/deletedkeys", Handle: d.listDeleted},
		{Name: "KeyRecover", Method: "POST", Path: "/deletedkeys/{name}/recover", Handle: d.recover},
		{Name: "KeyBackup", Method: "POST", Path: "/keys/{name}/backup", Handle: d.backup},
		{Name: "KeyRestore", Method: "POST", Path: "/keys/restore", Handle: d.restore, MaxBody: wire.RestoreBody},
		{Name: "KeyPurge", Method: "DELETE", Path: "/deletedkeys/{name}", Handle: d.purge},
		{Name: "KeyRotate", Method: "POST", Path: "/keys/{name}/rotate", Handle: d.rotate},
		{Name: "KeyRotationPolicyGet", Method: "GET", Path: "/keys/{name}/rotationpolicy", Handle: d.getRotationPolicy},
		{Name: "KeyRotationPolicySet", Method: "PUT", Path: "/keys/{name}/rotationpolicy", Handle: d.setRotationPolicy},
	}
}

type door struct {
	s        *keys.Service
	rotation *rotation.Service
}

// attributes are KeyAttributes.
type attributes struct {
	wire.Attributes
	Exportable  *bool  `json:"exportable,omitempty"`
	HSMPlatform string `json:"hsmPlatform,omitempty"`
	KeySize     int    `json:"key_size,omitempty"` // bits of a symmetric key
}

// set is what a client wants of a version; a may be nil.
func (a *attributes) set(tags map[string]string) object.Attributes {
	if a == nil {
		return (*wire.Attributes)(nil).Set(tags)
	}
	return a.Set(tags)
}

// exposure is what a client says about letting the key leave; a may be nil, and policy is
// release_policy as sent.
func (a *attributes) exposure(policy json.RawMessage) keys.Exposure {
	return keys.Exposure{
		Exportable:    a != nil && a.Exportable != nil && *a.Exportable,
		ReleasePolicy: len(policy) > 0 && string(policy) != "null",
	}
}

// webKey is the public JSONWebKey with its id.
type webKey struct {
	ID string `json:"kid"`
	keys.JWK
}

// bundle is KeyBundle and DeletedKeyBundle.
type bundle struct {
	Key        webKey            `json:"key"`
	Attributes attributes        `json:"attributes"`
	Tags       map[string]string `json:"tags,omitempty"`
	Managed    bool              `json:"managed,omitempty"`
	wire.Deleted
}

// item is KeyItem and DeletedKeyItem.
type item struct {
	ID         string            `json:"kid"`
	Attributes attributes        `json:"attributes"`
	Tags       map[string]string `json:"tags,omitempty"`
	Managed    bool              `json:"managed,omitempty"`
	wire.Deleted
}

// answer is a bundle, or err.
func answer(q *wire.Request, e object.Entry, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	b, err := describe(q, e)
	return wire.Response{Body: b}, err
}

func describe(q *wire.Request, e object.Entry) (bundle, error) {
	d, err := keys.DetailsOf(e.Version)
	if err != nil {
		return bundle{}, err
	}
	return bundle{
		Key:        webKey{ID: q.ID(object.Keys, e.Head.Name, e.Version.ID), JWK: d.JWK},
		Attributes: attributesOf(e, d), Tags: e.Version.Tags, Managed: e.Version.Managed,
	}, nil
}

// itemOf is an entry of a list: with the version's id, or without for "".
func itemOf(q *wire.Request, e object.Entry, version string) (item, error) {
	d, err := keys.DetailsOf(e.Version)
	return item{
		ID:         q.ID(object.Keys, e.Head.Name, version),
		Attributes: attributesOf(e, d), Tags: e.Version.Tags, Managed: e.Version.Managed,
	}, err
}

func attributesOf(e object.Entry, d keys.Details) attributes {
	never := false
	return attributes{Attributes: wire.AttributesOf(e), Exportable: &never, HSMPlatform: d.HSMPlatform(), KeySize: d.Bits}
}
