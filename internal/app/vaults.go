package app

import (
	"context"

	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// vaultFloor keeps keys, secrets and certificates.
type vaultFloor struct {
	keystore     keystore.Keystore
	registry     *object.Vaults
	agenda       *object.Agenda
	Vaults       *vault.Service
	Keys         *keys.Service
	Secrets      *secrets.Service
	Certificates *certificates.Service
	Issuers      *issuer.Service
	Contacts     *contact.Service
}

func (a *App) openVaults(_ context.Context) (*vaultFloor, error) {
	store := vaultdb.New(a.db)
	d := object.Deps{
		Vaults:   object.NewVaults(store, store, store, a.root, a.now),
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Now: a.now,
	}
	f := &vaultFloor{keystore: keystore.NewSoftware(), registry: d.Vaults, agenda: object.NewAgenda(d, store, a.log), Vaults: vault.New(d)}
	f.Keys = keys.New(d, f.keystore)
	f.Secrets = secrets.New(d)
	f.Certificates = certificates.New(d, f.Keys, f.Secrets)
	f.Issuers = issuer.New(d, nil)
	f.Contacts = contact.New(d)
	return f, nil
}
