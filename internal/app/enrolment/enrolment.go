// Package enrolment puts together the doors at which machines enrol: EST and SCEP, with
// the one-time passwords that both take.
package enrolment

import (
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/est"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/lifecycle/scep"
	"chatelaine.dev/internal/pki/authority"
	estDoor "chatelaine.dev/internal/serve/est"
	scepDoor "chatelaine.dev/internal/serve/scep"
	"chatelaine.dev/internal/storage/lifecycledb"
	"chatelaine.dev/internal/vault/keystore"
)

// Config is what the doors need.
type Config struct {
	Store       *lifecycledb.Store
	Profiles    passcode.Profiles
	Requests    *enrollment.Service
	Issued      scep.Issued
	Issuance    scep.Issuer
	CRLs        scep.CRLs
	Keystore    keystore.Keystore
	Authorities *authority.Service
	Directory   *directory.Directory
	Refusals    *access.Refusals
	Transact    audit.Transact
	Audit       audit.Recorder
	Now         func() time.Time
}

// Doors are the doors.
type Doors struct {
	Passcodes *passcode.Service
	EST       http.Handler // for paths below est.Prefix
	SCEP      http.Handler // for paths below scep.Prefix
}

// Open opens them.
func Open(c Config) *Doors {
	d := &Doors{}
	d.Passcodes = passcode.New(passcode.Deps{
		Store: c.Store, Profiles: c.Profiles, Transact: c.Transact, Audit: c.Audit, Guard: c.Directory, Now: c.Now,
	})
	d.EST = estDoor.New(est.New(est.Deps{
		Profiles: c.Profiles, Road: c.Requests, Passcodes: d.Passcodes, Directory: c.Directory, Issued: c.Issued,
		Waiting: c.Store, Chains: c.Authorities, Refusals: c.Refusals, Now: c.Now,
	}))
	registrars := scep.NewRegistrars(scep.RegistrarDeps{Store: c.Store, Issuer: c.Issuance, Issued: c.Issued, Keystore: c.Keystore, Now: c.Now})
	d.SCEP = scepDoor.New(scep.New(scep.Deps{
		Profiles: c.Profiles, Road: c.Requests, Passcodes: d.Passcodes, Issued: c.Issued, Waiting: c.Store, CRLs: c.CRLs,
		Registrars: registrars, Refusals: c.Refusals, Now: c.Now,
	}))
	return d
}
