package app

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	acmeDoor "chatelaine.dev/internal/serve/acme"
	"chatelaine.dev/internal/serve/api"
	"chatelaine.dev/internal/serve/arm"
	"chatelaine.dev/internal/serve/arm/authorization"
	"chatelaine.dev/internal/serve/arm/graph"
	"chatelaine.dev/internal/serve/arm/resources"
	vaultResources "chatelaine.dev/internal/serve/arm/vaults"
	armWire "chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/serve/console"
	estDoor "chatelaine.dev/internal/serve/est"
	"chatelaine.dev/internal/serve/identity"
	"chatelaine.dev/internal/serve/keyvault"
	certificateDoor "chatelaine.dev/internal/serve/keyvault/certificates"
	contactDoor "chatelaine.dev/internal/serve/keyvault/contacts"
	hsmDoor "chatelaine.dev/internal/serve/keyvault/hsm"
	issuerDoor "chatelaine.dev/internal/serve/keyvault/issuers"
	keyDoor "chatelaine.dev/internal/serve/keyvault/keys"
	randomDoor "chatelaine.dev/internal/serve/keyvault/random"
	secretDoor "chatelaine.dev/internal/serve/keyvault/secrets"
	"chatelaine.dev/internal/serve/keyvault/wire"
	scepDoor "chatelaine.dev/internal/serve/scep"
	"chatelaine.dev/internal/serve/status"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/serve/webhook"
)

// maxBody bounds any request: the import of a vault is the largest. Front doors have
// narrower limits.
const maxBody = 1<<30 + 1<<28

// Version is the product's.
const Version = "0.1.0"

// doors are the listeners and the front doors behind them.
type doors struct {
	url       string
	ready     atomic.Bool
	failed    chan error
	https     *http.Server
	status    *http.Server
	est       *http.Server
	estURL    string // empty when it is off, as is
	statusURL string
	served    sync.WaitGroup
}

// KeyVaultOperations are the routes of the Key Vault front door.
func (a *App) KeyVaultOperations() []wire.Operation {
	return slices.Concat(secretDoor.Operations(a.Secrets), keyDoor.Operations(a.keyServices()), randomDoor.Operations(a.Keys), certificateDoor.Operations(a.Certificates),
		issuerDoor.Operations(a.Issuers), contactDoor.Operations(a.Contacts))
}

func (a *App) keyServices() keyDoor.Services {
	return keyDoor.Services{Keys: a.Keys, Rotation: a.Rotation, Release: a.Release, Evidence: a.Evidence}
}

// ManagedHSMOperations are the routes that only a Managed HSM has.
func (a *App) ManagedHSMOperations() []wire.Operation {
	return hsmDoor.Operations(hsmDoor.Deps{Roles: a.Roles, Settings: a.HSMSettings, Backups: a.HSMBackups, Domains: a.Domains})
}

// ResourceManagerOperations are the routes of the resource manager's front door.
func (a *App) ResourceManagerOperations() []armWire.Operation {
	return slices.Concat(
		resources.Operations(resources.Deps{Vaults: a.Vaults}), vaultResources.Operations(vaultResources.Deps{Vaults: a.Vaults}),
		authorization.Operations(authorization.Deps{Directory: a.Directory, Vaults: a.Vaults}), graph.Operations(graph.Deps{Directory: a.Directory}),
	)
}

func (a *App) openDoors(ctx context.Context, l listeners) (*doors, error) {
	if _, err := a.hosts.certificate(ctx, a.cfg.Domain); err != nil { // made now rather than at the first handshake
		return nil, err
	}
	d := &doors{url: a.base(a.cfg.Domain, l), failed: make(chan error, 3)}
	control, err := a.control(d)
	if err != nil {
		return nil, err
	}
	vaults := keyvault.New(keyvault.Deps{
		Domain: a.cfg.Domain, Tokens: a.Tokens, Operations: slices.Concat(a.KeyVaultOperations(), a.ManagedHSMOperations()),
		Authority: func(base string) string { return base + "/adfs" },
	})
	ids := identity.New(identity.Deps{Tokens: a.Tokens, Tenant: a.Directory.Tenant, Domain: a.cfg.Domain, Now: a.now})
	manager := arm.New(arm.Deps{Domain: a.cfg.Domain, Tokens: a.Tokens, Tenant: a.Directory.Tenant, Operations: a.ResourceManagerOperations()})
	own := web.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if arm.Serves(r) {
			manager.ServeHTTP(w, r)
			return
		}
		if identity.Serves(r.URL.Path) {
			ids.ServeHTTP(w, r)
			return
		}
		control.ServeHTTP(w, r)
	}))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := keyvault.VaultOf(r.Host, a.cfg.Domain); ok {
			vaults.ServeHTTP(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
	d.https = server(web.Wrap(handler, web.Options{Log: a.log, Now: a.now, MaxBody: maxBody}), a.log)
	d.https.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: a.hosts.GetCertificate,
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are fixed
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	d.start(func() error { return d.https.ServeTLS(l.https, "", "") })
	a.openEST(d, l)
	if l.status != nil {
		plain := http.NewServeMux()
		plain.Handle("/", status.New(status.Config{CRLs: a.Revocation, Authorities: a.Authorities, OCSP: a.OCSP, Now: a.now, Log: a.log}))
		plain.Handle(scepDoor.Prefix, web.Wrap(a.Enrolment.SCEP, web.Options{Log: a.log, Now: a.now, MaxBody: maxBody})) // many clients know no TLS
		d.status = server(plain, a.log)
		d.statusURL = "http://" + net.JoinHostPort(a.cfg.Domain, portOf(l.status))
		d.start(func() error { return d.status.Serve(l.status) })
	}
	return d, nil
}

// control is everything on the domain itself: API, identity, console.
func (a *App) control(d *doors) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !d.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, map[bool]string{true: "ready\n", false: "starting\n"}[d.ready.Load()])
	})
	services, err := a.apiDeps()
	if err != nil {
		return nil, err
	}
	mux.Handle(api.Prefix+"/", api.New(services))
	mux.Handle(webhook.Route, webhook.New(a.Subscriptions))
	mux.Handle(acmeDoor.Prefix, a.ACME.Door)
	mux.Handle(estDoor.Prefix, a.Enrolment.EST)
	mux.Handle(scepDoor.Prefix, a.Enrolment.SCEP)
	deps, err := a.consoleDeps(d)
	if err != nil {
		return nil, err
	}
	pages, err := console.New(deps)
	if err != nil {
		return nil, err
	}
	mux.Handle("/", pages)
	return mux, nil
}

// openEST opens the listener that asks for the client's certificate. Nothing else is
// served there, and nothing is decided by the handshake: the service looks at the very
// certificate, at every request, whether it is one of ours and still good.
func (a *App) openEST(d *doors, l listeners) {
	if l.est == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle(estDoor.Prefix, a.Enrolment.EST)
	d.est = server(web.Wrap(web.Protect(mux), web.Options{Log: a.log, Now: a.now, MaxBody: maxBody}), a.log)
	d.est.TLSConfig = d.https.TLSConfig.Clone()
	d.est.TLSConfig.ClientAuth, d.est.TLSConfig.SessionTicketsDisabled = tls.RequestClientCert, true
	d.est.TLSConfig.DynamicRecordSizingDisabled = true // small clients take an answer for whole that comes in one record
	d.estURL = "https://" + net.JoinHostPort(a.cfg.Domain, portOf(l.est))
	d.start(func() error { return d.est.ServeTLS(l.est, "", "") })
}

// ESTURL is where machines enrol that have a certificate; empty when it is off.
func (a *App) ESTURL() string { return a.doors.estURL }

// StatusURL is the address of the plain-HTTP listener; empty when it is off.
func (a *App) StatusURL() string { return a.doors.statusURL }

func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func (d *doors) start(serve func() error) {
	d.served.Go(func() {
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			d.failed <- err
		}
	})
}

// close lets running requests finish.
func (d *doors) close(ctx context.Context) error {
	d.ready.Store(false)
	err := d.https.Shutdown(ctx)
	for _, s := range []*http.Server{d.status, d.est} {
		if s != nil {
			err = errors.Join(err, s.Shutdown(ctx))
		}
	}
	d.served.Wait()
	return err
}
