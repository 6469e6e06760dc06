package app

import (
	"context"
	"fmt"
	"slices"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/fetch"
	"chatelaine.dev/internal/blob"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/notify"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/attestation"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/certificates/lifetime"
	"chatelaine.dev/internal/vault/expiry"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/hsm/backup"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/hsm/setting"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/evidence"
	"chatelaine.dev/internal/vault/keys/release"
	"chatelaine.dev/internal/vault/keys/releasepolicy"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
)

// vaultFloor keeps keys, secrets and certificates.
type vaultFloor struct {
	hsmFloor
	keystore     *keystore.Pool
	registry     *object.Vaults
	agenda       *object.Agenda
	Vaults       *vault.Service
	Keys         *keys.Service
	Rotation     *rotation.Service
	Release      *release.Service
	Evidence     *evidence.Service
	Secrets      *secrets.Service
	Certificates *certificates.Service
	sweeper      *vault.Sweeper
	Issuers      *issuer.Service
	Contacts     *contact.Service
	Lifetime     *lifetime.Service
	mail         *notify.Service
	Exports      *export.Service
}

// entryMemory bounds the opened objects that are kept in memory, in bytes.
const entryMemory = 64 << 20

func (a *App) openVaults(ctx context.Context) (*vaultFloor, error) {
	store := vaultdb.New(a.db)
	memory := entryMemory
	if a.db.Dialect() == storage.PostgreSQL { // other nodes write to it
		memory = 0
	}
	d := object.Deps{
		Vaults:   object.NewVaults(object.Config{Vaults: store, Rows: store, Dues: store, Root: a.root, Now: a.now, Memory: memory}),
		Transact: a.db.Transact, Audit: a.trail, Guard: a.Directory, Events: a.events, Now: a.now, Limits: object.Limits(a.cfg.Limits),
		Address: a.address,
	}
	hsms, d := a.openHSMs(d, store)
	f := &vaultFloor{hsmFloor: hsms, keystore: keystore.NewPool(keystore.NewSoftware()), registry: d.Vaults, agenda: object.NewAgenda(d, store, a.log), Vaults: vault.New(d)}
	f.Vaults.Founded, f.Vaults.Assignments = hsms.Roles.Appoint, a.Directory
	f.Keys = keys.New(d, f.keystore)
	authorities, err := a.openAttestation(a.cfg.Attestation)
	if err != nil {
		return nil, err
	}
	f.Keys.Authorities = authorities
	f.Release = release.New(release.Deps{Deps: d, Keys: f.Keys, Verifier: authorities, Signer: statements{a}})
	f.Evidence = evidence.New(d, f.Keys, statements{a})
	f.Rotation = rotation.New(d, f.Keys)
	f.Rotation.Handle(f.agenda)
	expiry.Tell(d, f.agenda)
	f.Secrets = secrets.New(d)
	f.Certificates = certificates.New(d, f.Keys, f.Secrets).
		With(enrollment.Registered{Requests: func() *enrollment.Service { return a.Requests }})
	f.sweeper = f.newSweeper(store)
	f.Issuers = issuer.New(d, a.mayIssueBy)
	f.Contacts = contact.New(d)
	if f.mail, err = a.newMail(); err != nil {
		return nil, err
	}
	f.Lifetime = lifetime.New(d, f.Certificates, f.mail)
	f.Lifetime.Handle(f.agenda)
	chest, err := seal.OpenChest(ctx, a.root, a.settings, "export")
	if err != nil {
		return nil, err
	}
	f.Exports = export.New(export.Deps{
		Deps: d, Keys: f.Keys, Store: vaultdb.NewExports(a.db, chest.Box), Ties: access.Ties{Trail: a.trail}, Dir: a.dir.Path,
	})
	return f, nil
}

// mayIssueBy refuses an issuer of a vault whose profile is none, or by which the caller
// may not issue.
func (a *App) mayIssueBy(ctx context.Context, c access.Caller, profile string) error {
	p, err := a.Profiles.Get(profile)
	if err != nil {
		return err
	}
	return a.Directory.Authorize(ctx, c, issuance.IssueCertificates, access.Scope("/authorities/"+p.Authorities[0]+"/profiles/"+p.Name), "CertificateIssuerSet")
}

// newMail makes what sends mail. What a mail says is asked for when it leaves.
func (a *App) newMail() (*notify.Service, error) {
	m, err := a.cfg.SMTP.Server()
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Deps{
		Server: notify.Server{Host: m.Host, Port: m.Port, User: m.User, Password: m.Password, TLS: notify.TLS(m.TLS), From: m.From},
		Domain: a.cfg.Domain, Dial: dialer{}.DialContext, Jobs: a.jobs, Now: a.now, Log: a.log,
		Notice: func(ctx context.Context, m lifetime.Mail) (lifetime.Notice, error) { return a.Lifetime.Notice(ctx, m) },
	}), nil
}

// openAttestation opens what believes attestation services, within what the operator allows.
func (a *App) openAttestation(c config.Attestation) (*attestation.Authorities, error) {
	roots, err := fetch.Roots(c.Roots)
	if err != nil {
		return nil, fmt.Errorf("attestation.roots: %w", err)
	}
	d := dialer{permit: reach{}.permit} // whoever makes a key names any address
	var permits func(string) bool
	if len(c.Authorities) > 0 {
		d = dialer{} // the operator has named them
		permits = func(authority string) bool {
			return slices.ContainsFunc(c.Authorities, func(x string) bool { return releasepolicy.Same(x, authority) })
		}
	}
	return attestation.New(attestation.Config{Fetcher: fetch.New(d.DialContext, roots), Permits: permits, Now: a.now}), nil
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
