package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// versionModel is a version of a key, secret or certificate, without what is in it.
type versionModel struct {
	ID        string            `json:"id" doc:"32 hex digits"`
	Latest    bool              `json:"latest"`
	Enabled   bool              `json:"enabled"`
	Created   time.Time         `json:"created"`
	Updated   time.Time         `json:"updated"`
	NotBefore *time.Time        `json:"notBefore,omitempty"`
	Expires   *time.Time        `json:"expires,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
}

func modelOfVersion(e object.Entry) versionModel {
	x := e.Version
	m := versionModel{ID: x.ID, Latest: x.ID == e.Head.Latest, Enabled: x.Enabled, Created: x.Created, Updated: x.Updated, Tags: x.Tags}
	if !x.NotBefore.IsZero() {
		m.NotBefore = &x.NotBefore
	}
	if !x.Expires.IsZero() {
		m.Expires = &x.Expires
	}
	return m
}

// versions are the operations on the versions of one kind.
type versions struct {
	kind   object.Kind
	list   func(ctx context.Context, c access.Caller, r object.Ref, p object.Page) (object.Listing, error)
	enable func(ctx context.Context, c access.Caller, r object.Ref, a object.Attributes) (object.Entry, error)
	delete func(ctx context.Context, c access.Caller, r object.Ref) (object.Entry, error)

	read, update, purge access.Action
}

func (a *door) versionsOfKinds() []versions {
	return []versions{
		{
			kind: object.Keys, list: a.Keys.Versions, delete: a.Keys.DeleteVersion,
			enable: func(ctx context.Context, c access.Caller, r object.Ref, at object.Attributes) (object.Entry, error) {
				return a.Keys.Update(ctx, c, r, keys.UpdateRequest{Attributes: at})
			},
			read: "keys/read", update: "keys/update/action", purge: "keys/purge/action",
		},
		{
			kind: object.Secrets, list: a.Secrets.Versions, delete: a.Secrets.DeleteVersion,
			enable: func(ctx context.Context, c access.Caller, r object.Ref, at object.Attributes) (object.Entry, error) {
				return a.Secrets.Update(ctx, c, r, secrets.UpdateRequest{Attributes: at})
			},
			read: "secrets/readMetadata/action", update: "secrets/update/action", purge: "secrets/purge/action",
		},
		{
			kind: object.Certificates, list: a.Certificates.Versions,
			enable: func(ctx context.Context, c access.Caller, r object.Ref, at object.Attributes) (object.Entry, error) {
				x, err := a.Certificates.Update(ctx, c, r, certificates.UpdateRequest{Attributes: at})
				return x.Entry, err
			},
			delete: func(ctx context.Context, c access.Caller, r object.Ref) (object.Entry, error) {
				x, err := a.Certificates.DeleteVersion(ctx, c, r)
				return x.Entry, err
			},
			read: "certificates/read", update: "certificates/update/action", purge: "certificates/purge/action",
		},
	}
}

// versionOperations are what Key Vault's API has no words for.
func (a *door) versionOperations() {
	for _, v := range a.versionsOfKinds() {
		tag, noun := string(v.kind), v.kind.Noun()
		scope := "/vaults/{vault}/" + tag + "/{name}"
		path := scope + "/versions"
		needs := func(action access.Action) operation {
			return operation{action: access.VaultPrefix + action, scope: scope}
		}
		register(a, tag, needs(v.read).as("list"+v.kind.Title()+"Versions", http.MethodGet, path, "List the versions of a "+noun+", oldest first"), v.listVersions)
		register(a, tag, needs(v.update).as("set"+v.kind.Title()+"VersionEnabled", http.MethodPatch, path+"/{version}", "Enable or disable one version of a "+noun), v.setEnabled)
		remove := needs(v.purge).as("delete"+v.kind.Title()+"Version", http.MethodDelete, path+"/{version}", "Delete one version of a "+noun+" for good")
		remove.about = "It cannot be undone. It needs the right to delete as well. If the version is the latest, the one before it is the latest from then on. " +
			"The only version cannot be deleted, and none in a vault with purge protection."
		if v.kind == object.Certificates {
			remove.about += " The key and the secret of the version go with it."
		}
		register(a, tag, remove.answering(http.StatusNoContent), v.deleteVersion)
	}
}

// ObjectPath names an object of a vault.
type ObjectPath struct {
	VaultPath
	Name string `path:"name" maxLength:"127"`
}

func (p ObjectPath) ref() object.Ref { return object.Ref{Vault: p.Vault, Name: p.Name} }

// VersionPath names a version of it.
type VersionPath struct {
	ObjectPath
	Version string `path:"version" minLength:"1" maxLength:"36" doc:"32 hex digits"`
}

func (p VersionPath) ref() object.Ref {
	return object.Ref{Vault: p.Vault, Name: p.Name, Version: p.Version}
}

func (v versions) listVersions(ctx context.Context, c access.Caller, in *struct {
	ObjectPath
	Paging
}) (*page[versionModel], error) {
	l, err := v.list(ctx, c, in.ref(), object.Page{After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	list := make([]versionModel, len(l.Entries))
	for i, e := range l.Entries {
		list[i] = modelOfVersion(e)
	}
	return pageOf(list, l.Next), nil
}

func (v versions) setEnabled(ctx context.Context, c access.Caller, in *struct {
	VersionPath
	Body struct {
		Enabled bool `json:"enabled"`
	}
}) (*answer[versionModel], error) {
	e, err := v.enable(ctx, c, in.ref(), object.Attributes{Enabled: &in.Body.Enabled})
	if err != nil {
		return nil, err
	}
	return &answer[versionModel]{modelOfVersion(e)}, nil
}

func (v versions) deleteVersion(ctx context.Context, c access.Caller, in *VersionPath) (*nothing, error) {
	_, err := v.delete(ctx, c, in.ref())
	return &nothing{}, err
}
