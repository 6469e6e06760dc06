// Package secrets is the secrets part of the Key Vault front door (contract §1.3), one
// file an operation.
package secrets

import (
	"maps"
	"slices"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// Operations are the routes.
func Operations(s *secrets.Service) []wire.Operation {
	d := door{s}
	return []wire.Operation{
		{Name: "SecretSet", Method: "PUT", Path: "/secrets/{name}", Handle: d.set, MaxBody: wire.SecretBody},
		{Name: "SecretGet", Method: "GET", Path: "/secrets/{name}/{version?}", Handle: d.get},
		{Name: "SecretUpdate", Method: "PATCH", Path: "/secrets/{name}/{version?}", Handle: d.update},
		{Name: "SecretDelete", Method: "DELETE", Path: "/secrets/{name}", Handle: d.delete},
		{Name: "SecretList", Method: "GET", Path: "/secrets", Handle: d.list},
		{Name: "SecretListVersions", Method: "GET", Path: "/secrets/{name}/versions", Handle: d.versions},
		{Name: "SecretGetDeleted", Method: "GET", Path: "/deletedsecrets/{name}", Handle: d.getDeleted},
		{Name: "SecretListDeleted", Method: "GET", Path: "/deletedsecrets", Handle: d.listDeleted},
		{Name: "SecretRecover", Method: "POST", Path: "/deletedsecrets/{name}/recover", Handle: d.recover},
		{Name: "SecretBackup", Method: "POST", Path: "/secrets/{name}/backup", Handle: d.backup},
		{Name: "SecretRestore", Method: "POST", Path: "/secrets/restore", Handle: d.restore, MaxBody: wire.RestoreBody},
		{Name: "SecretPurge", Method: "DELETE", Path: "/deletedsecrets/{name}", Handle: d.purge},
	}
}

type door struct{ s *secrets.Service }

// bundle is SecretBundle, SecretItem and their deleted forms: a field that a form lacks is left empty.
type bundle struct {
	Value           *string           `json:"value,omitempty"`
	ID              string            `json:"id"`
	ContentType     string            `json:"contentType,omitempty"`
	Attributes      wire.Attributes   `json:"attributes"`
	Tags            map[string]string `json:"tags,omitempty"`
	KeyID           string            `json:"kid,omitempty"`
	Managed         bool              `json:"managed,omitempty"`
	PreviousVersion string            `json:"previousVersion,omitempty"`
	wire.Deleted
}

// describe makes a bundle without value. An item has the id without the version.
func describe(q *wire.Request, e object.Entry, version string) (bundle, error) {
	body, err := object.Derived(e, secrets.BodyOf)
	if err != nil {
		return bundle{}, err
	}
	b := bundle{
		ID: q.ID(object.Secrets, e.Head.Name, version), ContentType: body.ContentType, Attributes: wire.AttributesOf(e), Tags: e.Version.Tags,
	}
	if e.Version.Managed {
		b.Managed, b.KeyID = true, q.ID(object.Keys, e.Head.Name, e.Version.ID)
		if version != "" { // the field is for certificates alone
			b.PreviousVersion = body.Previous
		}
	}
	return b, nil
}

// AppendJSON implements wire.Appender.
func (x bundle) AppendJSON(b []byte) []byte {
	f := wire.Fields(append(b, '{'))
	if x.Value != nil {
		f.Value("value", *x.Value)
	}
	f.Value("id", x.ID)
	f.Text("contentType", x.ContentType)
	f.Object("attributes", x.Attributes.Append)
	if len(x.Tags) > 0 {
		f.Object("tags", func(f *wire.Fields) {
			for _, name := range slices.Sorted(maps.Keys(x.Tags)) {
				f.Value(name, x.Tags[name])
			}
		})
	}
	f.Text("kid", x.KeyID)
	f.True("managed", x.Managed)
	f.Text("previousVersion", x.PreviousVersion)
	f.Text("recoveryId", x.RecoveryID)
	f.Number("deletedDate", x.DeletedDate)
	f.Number("scheduledPurgeDate", x.ScheduledPurgeDate)
	f.End()
	return f
}
