package app

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/acme"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/pki/review"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/seal"
)

// pkiFloor is the CA.
type pkiFloor struct {
	Authorities *authority.Service
	Issuance    *issuance.Service
	Revocation  *revocation.Service
	Profiles    *catalog.Service
	OCSP        *ocsp.Responder
	Reviews     *review.Service
	hosts       *hosts
	signers     *hosts // of statements
	ACME        *acme.Servers
}

// The authorities that a first start makes.
const (
	rootAuthority    = "root"
	issuingAuthority = "issuing"
)

func (a *App) openPKI(ctx context.Context, l listeners) (*pkiFloor, error) {
	chest, err := seal.OpenChest(ctx, a.root, a.settings, "pki")
	if err != nil {
		return nil, err
	}
	linter, err := issuance.NewLinter()
	if err != nil {
		return nil, err
	}
	store := pkidb.New(a.db)
	statusURL := ""
	if l.status != nil {
		statusURL = "http://" + a.cfg.Domain + ":" + portOf(l.status)
	}
	ceremony, err := issuance.NewCeremony(issuance.CeremonyConfig{
		Store: store, InTransaction: storage.InTransaction, Transact: a.db.Transact, Audit: a.trail, Events: a.events, Linter: linter, StatusURL: statusURL, Now: a.now, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	f := &pkiFloor{}
	f.Authorities = authority.New(authority.Deps{
		Store: store, Ceremony: ceremony, Transact: a.db.Transact, Audit: a.trail, Keystore: a.keystore, Sealer: named{chest.Box, "authority key"}, Guard: a.Directory, Now: a.now,
	})
	f.Profiles, err = catalog.New(ctx, catalog.Deps{
		Store: store, Sealer: named{chest.Box, "profile"}, Transact: a.db.Transact, Audit: a.trail, Events: a.events, Guard: a.Directory,
		Check: issuance.CheckStandards, Now: a.now, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	f.Issuance, err = issuance.New(issuance.Deps{
		Ceremony: ceremony, Authorities: f.Authorities, Profiles: f.Profiles, Approvals: approvals{a}, Store: store, Guard: a.Directory, Now: a.now,
	})
	if err != nil {
		return nil, err
	}
	f.OCSP = ocsp.New(ocsp.Deps{Store: store, Authorities: f.Authorities, Ceremony: ceremony, Now: a.now, Log: a.log})
	f.Revocation = revocation.New(revocation.Config{
		StatusURL: statusURL, Changed: f.OCSP.Changed, Sweeps: store,
		Enqueue: func(ctx context.Context, w revocation.SweepArgs) error { return a.jobs.Enqueue(ctx, w, job.Options{}) },
		Store:   store, Certificates: store, Authorities: f.Authorities, Transact: a.db.Transact, Audit: a.trail, Events: a.events,
		Guard: a.Directory, Now: a.now, Log: a.log,
	})
	f.Reviews = review.New(review.Deps{
		Store: store, Certificates: store, Profiles: f.Profiles, Linter: linter, Transact: a.db.Transact, Audit: a.trail, Events: a.events,
		Enqueue: func(ctx context.Context, w review.Work) error {
			return a.jobs.Enqueue(ctx, w, job.Options{Attempts: 8})
		},
		Guard: a.Directory, Now: a.now, Log: a.log,
	})
	spec := keystore.Spec{Type: keystore.EC, Curve: "P-256"}
	_, err = f.Authorities.Establish(ctx, access.System("bootstrap"),
		authority.Spec{ID: rootAuthority, CommonName: "Chatelaine Root " + a.cfg.Domain, Key: spec, Validity: 20 * 365 * day},
		authority.Spec{ID: issuingAuthority, CommonName: "Chatelaine Issuing " + a.cfg.Domain, Key: spec, Validity: 10 * 365 * day})
	if err != nil {
		return nil, err
	}
	f.hosts = &hosts{
		domain: a.cfg.Domain, kind: "tls/", chest: chest, now: a.now, kept: map[string]*tls.Certificate{},
		issue: func(ctx context.Context, names ...string) (tls.Certificate, error) {
			return f.Issuance.Host(ctx, access.System("tls"), names...)
		},
		vault: func(ctx context.Context, name string) bool {
			_, err := a.registry.OpenAny(ctx, name) // a deleted one too: its clients are told that it is gone, not that we are somebody else
			return err == nil
		},
	}
	f.signers = f.openSigners()
	return f, nil
}

// openACME opens the ACME servers, once the road to certificates is open.
func (a *App) openACME(ctx context.Context) error {
	chest, err := seal.OpenChest(ctx, a.root, a.settings, "acme")
	if err != nil {
		return err
	}
	store := pkidb.New(a.db)
	servers, err := acme.Open(ctx, acme.Config{
		Settings: a.cfg.ACME, Domain: a.cfg.Domain, DB: a.db, Chest: chest, Profiles: a.Profiles,
		Road: acme.Road{Requests: a.Requests}, Ledger: acme.Ledger{Revocation: a.Revocation, Certificates: store},
		Chains: &acme.Chains{Certificates: a.Authorities.Public, Now: a.now},
		Permit: permitACME, Dial: dialACME,
		Audit: a.trail, Guard: a.Directory, Now: a.now, Log: a.log,
	})
	a.ACME = &servers
	return err
}

// handleReview does an issuance audit, and gives it up with the last try.
func (a *App) handleReview(ctx context.Context, w review.Work) error {
	err := a.Reviews.Handle(ctx, w)
	if err != nil && job.LastTry(ctx) {
		return a.Reviews.Fail(context.WithoutCancel(ctx), w, err)
	}
	return err
}

// permitACME decides as for webhooks: whoever orders a certificate names any address.
func permitACME(networks []netip.Prefix) func(a netip.Addr, local bool) error {
	return reach{networks}.permit
}

func dialACME(permit func(a netip.Addr, local bool) error, r *net.Resolver) func(ctx context.Context, network, address string) (net.Conn, error) {
	return dialer{permit: permit, resolver: r}.DialContext
}

// named seals values that have a name alone.
type named struct {
	box  *seal.Box
	kind string
}

// Seal implements authority.Sealer.
func (n named) Seal(name string, plaintext []byte) []byte {
	return n.box.Seal(seal.Identity{Vault: "pki", Kind: n.kind, Name: name}, plaintext)
}

// Open implements authority.Sealer.
func (n named) Open(name string, sealed []byte) ([]byte, error) {
	return n.box.Open(seal.Identity{Vault: "pki", Kind: n.kind, Name: name}, sealed)
}

// approvals are the requests', which are opened later than the CA.
type approvals struct{ app *App }

// Approved implements issuance.Approvals.
func (x approvals) Approved(ctx context.Context, q issuance.Approval) error {
	return x.app.Requests.Approved(ctx, q)
}
