// Package keys is the keys part of the Key Vault front door (contract §1.2), one file an
// operation and its opposite.
package keys

import (
	"encoding/json"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/evidence"
	"chatelaine.dev/internal/vault/keys/release"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/object"
)

// Services are what answers here.
type Services struct {
	Keys     *keys.Service
	Rotation *rotation.Service
	Release  *release.Service
	Evidence *evidence.Service
}

// Operations are the routes.
func Operations(s Services) []wire.Operation {
	d := door{s, s.Keys}
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
		{Name: "KeyRelease", Method: "POST", Path: "/keys/{name}/{version?}/release", Handle: d.release},
		{Name: "KeyGetAttestation", Method: "GET", Path: "/keys/{name}/{version?}/attestation", Handle: d.attestation},
		{Name: "KeyRotate", Method: "POST", Path: "/keys/{name}/rotate", Handle: d.rotate},
		{Name: "KeyRotationPolicyGet", Method: "GET", Path: "/keys/{name}/rotationpolicy", Handle: d.getRotationPolicy},
		{Name: "KeyRotationPolicySet", Method: "PUT", Path: "/keys/{name}/rotationpolicy", Handle: d.setRotationPolicy},
	}
}

type door struct {
	Services
	s *keys.Service
}

// attributes are KeyAttributes.
type attributes struct {
	wire.Attributes
	Exportable  *bool  `json:"exportable,omitempty"`
	HSMPlatform string `json:"hsmPlatform,omitempty"`
	KeySize     int    `json:"key_size,omitempty"` // bits of a symmetric key

	Attestation *keyAttestation `json:"attestation,omitempty"`
}

// set is what a client wants of a version; a may be nil.
func (a *attributes) set(tags map[string]string) object.Attributes {
	if a == nil {
		return (*wire.Attributes)(nil).Set(tags)
	}
	return a.Set(tags)
}

// releasePolicy is KeyReleasePolicy.
type releasePolicy struct {
	ContentType string     `json:"contentType,omitempty"`
	Data        keys.Bytes `json:"data,omitempty"`
	Immutable   *bool      `json:"immutable,omitempty"`
}

// exposure is what a client says about letting the key leave; a and policy may be nil.
func (a *attributes) exposure(policy *releasePolicy) keys.Exposure {
	var x keys.Exposure
	if a != nil {
		x.Exportable = a.Exportable
	}
	if policy != nil {
		x.Policy = &keys.PolicyClause{ContentType: policy.ContentType, Data: policy.Data, Immutable: policy.Immutable}
	}
	return x
}

// releasePolicyOf is the policy of a key, as it is kept; nil when it has none.
func releasePolicyOf(x keys.Extra) (*releasePolicy, error) {
	if x.Release == nil {
		return nil, nil //nolint:nilnil // an optional member
	}
	data, err := json.Marshal(x.Release.Policy)
	return &releasePolicy{ContentType: keys.PolicyType, Data: data, Immutable: &x.Release.Immutable}, err
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
	Release    *releasePolicy    `json:"release_policy,omitempty"`
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
	x, err := keys.ExtraOf(e.Head)
	if err != nil {
		return bundle{}, err
	}
	policy, err := releasePolicyOf(x)
	return bundle{
		Key:        webKey{ID: q.ID(object.Keys, e.Head.Name, e.Version.ID), JWK: d.JWK},
		Attributes: attributesOf(e, d, x), Tags: e.Version.Tags, Managed: e.Version.Managed, Release: policy,
	}, err
}

// itemOf is an entry of a list: with the version's id, or without for "".
func itemOf(q *wire.Request, e object.Entry, version string) (item, error) {
	d, err := keys.DetailsOf(e.Version)
	if err != nil {
		return item{}, err
	}
	x, err := keys.ExtraOf(e.Head)
	return item{
		ID:         q.ID(object.Keys, e.Head.Name, version),
		Attributes: attributesOf(e, d, x), Tags: e.Version.Tags, Managed: e.Version.Managed,
	}, err
}

func attributesOf(e object.Entry, d keys.Details, x keys.Extra) attributes {
	return attributes{Attributes: wire.AttributesOf(e), Exportable: &x.Exportable, HSMPlatform: d.HSMPlatform(), KeySize: d.Bits}
}
