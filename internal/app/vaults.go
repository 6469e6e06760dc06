package app

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/blob"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/expiry"
	"chatelaine.dev/internal/vault/hsm/backup"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/hsm/setting"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// vaultFloor keeps keys, secrets and certificates.
type vaultFloor struct {
	hsmFloor
	keystore     keystore.Keystore
	registry     *object.Vaults
	agenda       *object.Agenda
	Vaults       *vault.Service
	Keys         *keys.Service
	Rotation     *rotation.Service
	Secrets      *secrets.Service
	Certificates *certificates.Service
	sweeper      *vault.Sweeper
	Issuers      *issuer.Service
	Contacts     *contact.Service
}

// entryMemory bounds the opened objects that are kept in memory, in bytes.
const entryMemory = 64 << 20

func (a *App) openVaults(_ context.Context) (*vaultFloor, error) {
	store := vaultdb.New(a.db)
	memory := entryMemory
	if a.db.Dialect() == storage.PostgreSQL { // other nodes write to it
		memory = 0
	}
	d := object.Deps{
		Vaults:   object.NewVaults(object.Config{Vaults: store, Rows: store, Dues: store, Root: a.root, Now: a.now, Memory: memory}),
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Now: a.now, Limits: object.Limits(a.cfg.Limits),
		Address: func(vault string) string { return a.base(vault+"."+a.cfg.Domain, a.listeners) },
	}
	hsms, d := a.openHSMs(d, store)
	f := &vaultFloor{hsmFloor: hsms, keystore: keystore.NewSoftware(), registry: d.Vaults, agenda: object.NewAgenda(d, store, a.log), Vaults: vault.New(d)}
	f.Vaults.Founded, f.Vaults.Assignments = hsms.Roles.Appoint, a.Directory
	f.Keys = keys.New(d, f.keystore)
	f.Rotation = rotation.New(d, f.Keys)
	f.Rotation.Handle(f.agenda)
	expiry.Tell(d, f.agenda)
	f.Secrets = secrets.New(d)
	f.Certificates = certificates.New(d, f.Keys, f.Secrets).
		With(enrollment.Registered{Requests: func() *enrollment.Service { return a.Requests }})
	f.sweeper = f.newSweeper(store)
	f.Issuers = issuer.New(d, a.mayIssueBy)
	f.Contacts = contact.New(d)
	return f, nil
}

// mayIssueBy refuses an issuer of a vault whose profile is none, or by which the caller
// may not issue.
func (a *App) mayIssueBy(ctx context.Context, c access.Caller, profile string) error {
	p, err := a.profiles.Get(profile)
	if err != nil {
		return err
	}
	return a.Directory.Authorize(ctx, c, issuance.IssueCertificates, access.Scope("/authorities/"+p.Authorities[0]+"/profiles/"+p.Name), "CertificateIssuerSet")
}

// hsmFloor is what managed HSMs have besides keys.
type hsmFloor struct {
	Roles       *role.Service
	HSMSettings *setting.Service
	Domains     *domain.Service // security domains
	HSMBackups  *backup.Service
}

// openHSMs makes the services of the managed HSMs. d has no local roles yet; those that it
// returns have.
func (a *App) openHSMs(d object.Deps, s role.Store) (hsmFloor, object.Deps) {
	roles := role.New(d, s)
	d.Local = roles
	f := hsmFloor{Roles: roles, HSMSettings: setting.New(d), Domains: domain.New(d)}
	transport := dialer{}.transport(nil)
	f.HSMBackups = backup.New(backup.Config{
		Deps: d, Domains: f.Domains, Roles: roles,
		Containers: func(address string, token backup.Token) (backup.Container, error) {
			return blob.New(address, string(token), transport)
		},
		Enqueue: func(ctx context.Context, r backup.Run) error { return a.jobs.Enqueue(ctx, r, job.Options{}) },
	})
	return f, d
}
