// Package lifecycletest starts the control plane's services for their tests on the real
// floors below: a database with its audit trail, a vault, our own CA, the inventory, the
// connectors. The queue runs jobs when a test says so; a fuse kills the process at any
// seam; a clock that a test moves.
package lifecycletest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connectors"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/inventorydb"
	"chatelaine.dev/internal/storage/lifecycledb"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/certificates/lifetime"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

// World is the control plane with what it stands on. The vault is vaulttest.Vault.
type World struct {
	*vaulttest.Floor
	Fuse  *Fuse
	Queue *Queue

	Certificates *certificates.Service
	Registered   *issuer.Service // issuers of the vault; whoever asks may register every profile
	Agenda       *object.Agenda  // what is due to the vault's certificates
	Mails        []lifetime.Mail // what was to be mailed, by all processes since the start
	Issuance     *issuance.Service
	Revocation   *revocation.Service
	Inventory    *inventory.Service
	Store        *lifecycledb.Store
	Connections  *connection.Service
	Lineages     *lineage.Service
	Requests     *enrollment.Service
	Deployments  *deployment.Service
	Renewal      *renewal.Service

	Profiles profile.Set // the built-in ones, and ApprovedProfile

	// Issuer, when it is set, takes the place of our own authorities.
	Issuer enrollment.Issuer

	authorities *authority.Service
	linter      *issuance.Linter
	box         *seal.Box
}

// Approver is somebody else than the floor's caller.
var Approver = access.Caller{Principal: "00000000-0000-0000-0000-000000000002", Name: "approver", Address: "127.0.0.1"}

// ApprovedProfile is the name of a profile like tls-server that wants an approval.
const ApprovedProfile = "tls-server-approved"

// New starts a world on db.
func New(t testing.TB, db *storage.DB) *World {
	t.Helper()
	w := &World{Floor: vaulttest.New(t, db), Fuse: &Fuse{}}
	var err error
	w.linter, err = issuance.NewLinter()
	must(t, err)
	key := make([]byte, seal.KeySize)
	w.box, err = seal.NewBox(key)
	must(t, err)
	w.Profiles = profiles(t)
	w.Queue = newQueue(t, w)
	w.Restart(t)
	return w
}

// profiles are the built-in ones, and one that wants an approval.
func profiles(t testing.TB) profile.Set {
	t.Helper()
	set, err := profile.BuiltIn()
	must(t, err)
	server, err := set.Get("tls-server")
	must(t, err)
	server.Name, server.Approval = ApprovedProfile, true
	set, err = profile.Parse(encode(t, append(set.All(), server)))
	must(t, err)
	return set
}

// Restart makes every service anew, as a new process would.
func (w *World) Restart(t testing.TB) {
	t.Helper()
	w.Floor.Reopen()
	d := w.Deps
	d.Transact = w.transact
	w.Certificates = certificates.New(d, keys.New(d, keystore.NewSoftware()), secrets.New(d)).
		With(enrollment.Registered{Requests: func() *enrollment.Service { return w.Requests }})
	w.Agenda = object.NewAgenda(d, vaultdb.New(w.DB), slog.New(slog.DiscardHandler))
	lifetime.New(d, w.Certificates, mails{w}).Handle(w.Agenda)
	w.Registered = issuer.New(d, func(context.Context, access.Caller, string) error { return nil })
	w.openPKI(t)
	w.openInventory()
	w.openLifecycle()
}

func (w *World) openPKI(t testing.TB) {
	store := pkidb.New(w.DB)
	log := slog.New(slog.DiscardHandler)
	ceremony, err := issuance.NewCeremony(issuance.CeremonyConfig{
		Store: store, InTransaction: storage.InTransaction, Transact: w.transact, Audit: w.Trail, Events: w.Floor, Linter: w.linter, Now: w.Time, Log: log,
	})
	must(t, err)
	w.authorities = authority.New(authority.Deps{
		Store: store, Ceremony: ceremony, Transact: w.transact, Audit: w.Trail, Keystore: keystore.NewSoftware(), Sealer: sealer{w.box}, Guard: w.Floor, Now: w.Time,
	})
	w.Issuance, err = issuance.New(issuance.Deps{
		Ceremony: ceremony, Authorities: w.authorities, Profiles: w.Profiles, Store: store, Guard: w.Floor, Now: w.Time,
		Approvals: approvals{w},
	})
	must(t, err)
	w.Revocation = revocation.New(revocation.Config{
		Store: store, Certificates: store, Authorities: w.authorities, Transact: w.transact, Audit: w.Trail, Events: w.Floor,
		Guard: w.Floor, Now: w.Time, Log: log,
	})
	root, issuing := authority.Defaults("test.example")
	_, err = w.authorities.Establish(t.Context(), access.System("test"), root, issuing)
	must(t, err)
}

// mails keeps what is to be mailed.
type mails struct{ w *World }

func (m mails) Send(_ context.Context, x lifetime.Mail) error {
	m.w.Mails = append(m.w.Mails, x)
	return nil
}

// approvals asks the requests that are opened later.
type approvals struct{ w *World }

func (a approvals) Approved(ctx context.Context, x issuance.Approval) error {
	return a.w.Requests.Approved(ctx, x)
}

func (w *World) openInventory() {
	store := inventorydb.New(w.DB)
	w.Inventory = inventory.New(inventory.Deps{
		Store: store, Reader: store, Judge: lenient{}, Transact: w.transact, Audit: w.Trail, Guard: w.Floor, Events: w.Floor,
		Now: w.Time, Log: slog.New(slog.DiscardHandler),
	})
}

// lenient finds nothing wrong: judging is not under test here.
type lenient struct{}

func (lenient) Judge(inventory.Case) inventory.Verdict {
	return inventory.Verdict{Trust: inventory.Unknown, Score: 100}
}

func (w *World) openLifecycle() {
	log := slog.New(slog.DiscardHandler)
	w.Store = lifecycledb.New(w.DB, w.box)
	policy := lineage.Profiles{Source: w.Profiles}
	kept := enrollment.Certificates{Service: w.Certificates}
	w.Connections = connection.New(connection.Deps{
		Definitions: connectors.All(), Env: connector.Env{Log: log, Now: w.Time}, Store: w.Store,
		Transact: w.transact, Audit: w.Trail, Guard: w.Floor, Events: w.Floor, Now: w.Time, Log: log,
	})
	w.Lineages = lineage.New(lineage.Deps{
		Store: w.Store, Inventory: w.Inventory, Connections: w.Connections, Vaults: w.Certificates, Policy: policy,
		Busy:     func(ctx context.Context, id string) (bool, error) { return w.Requests.Busy(ctx, id) },
		Transact: w.transact, Audit: w.Trail, Guard: w.Floor, Events: w.Floor, Now: w.Time, Log: log,
	})
	w.Deployments = deployment.New(deployment.Deps{
		Store: w.Store, Targets: fusedTargets{w}, Bundles: kept, Inventory: fusedInventory{w.Inventory, w.Fuse}, Lineages: w.Store, Dialer: &net.Dialer{},
		Ended:    func(ctx context.Context, request string) error { return w.Requests.Wake(ctx, request) },
		Wait:     func(ctx context.Context, d time.Duration) error { w.Advance(d); return ctx.Err() },
		Transact: w.transact, Audit: w.Trail, Guard: w.Floor, Events: w.Floor, Jobs: w.Queue, Now: w.Time, Log: log,
	})
	w.Requests = enrollment.New(enrollment.Deps{
		Store: w.Store, Lineages: w.Store, Policy: policy, Profiles: w.Profiles, Keystore: keystore.NewSoftware(), Issuers: fusedIssuers{w},
		Vault: fusedVault{kept, w.Fuse}, Inventory: fusedInventory{w.Inventory, w.Fuse}, Deployments: w.Deployments,
		Orders:   fusedOrders{kept, w.Fuse},
		Transact: w.transact, Audit: w.Trail, Guard: w.Floor, Events: w.Floor, Jobs: w.Queue, Now: w.Time, Log: log,
	})
	w.Renewal = renewal.New(renewal.Deps{
		Lineages: w.Store, Requests: w.Requests, Transact: w.transact, Audit: w.Trail, Guard: w.Floor, Now: w.Time, Log: log,
	})
}

// transact crosses the fuse before a transaction and after its commit.
func (w *World) transact(ctx context.Context, fn func(ctx context.Context) error) error {
	if storage.InTransaction(ctx) {
		return fn(ctx)
	}
	w.Fuse.cross("begin")
	err := w.DB.Transact(ctx, fn)
	w.Fuse.cross("commit")
	return err
}

// sealer seals the keys of authorities.
type sealer struct{ box *seal.Box }

// Seal implements authority.Sealer.
func (s sealer) Seal(name string, plaintext []byte) []byte {
	return s.box.Seal(seal.Identity{Vault: "pki", Name: name}, plaintext)
}

// Open implements authority.Sealer.
func (s sealer) Open(name string, sealed []byte) ([]byte, error) {
	return s.box.Open(seal.Identity{Vault: "pki", Name: name}, sealed)
}

// Issued counts the certificates that our issuing authority issued for requests.
func (w *World) Issued(t testing.TB) int {
	t.Helper()
	list, _, err := w.Issuance.List(t.Context(), access.System("test"), issuance.Filter{Authority: "issuing", State: issuance.Issued}, "", 1000)
	must(t, err)
	n := 0
	for _, c := range list {
		if c.Request != "" {
			n++
		}
	}
	return n
}

// Roots are the roots of our own authorities, DER.
func (w *World) Roots(t testing.TB) [][]byte {
	t.Helper()
	list, err := w.authorities.List(t.Context(), access.System("test"), "", 100)
	must(t, err)
	var roots [][]byte
	for _, a := range list {
		if a.Parent == "" {
			roots = append(roots, a.Certificate)
		}
	}
	return roots
}

// Count is how often an event of a type was emitted.
func (w *World) Count(kind string) int {
	n := 0
	for _, e := range w.Events() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// Records returns the records of operations with a prefix, oldest first, after
// verifying the trail.
func (w *World) Records(t testing.TB, prefix string) []audit.Record {
	t.Helper()
	if _, err := w.Trail.Verify(t.Context(), nil, nil); err != nil {
		t.Fatalf("audit trail: %v", err)
	}
	var all []audit.Record
	for before := int64(0); ; {
		page, err := w.Trail.List(t.Context(), audit.Query{Limit: 1000, Before: before})
		must(t, err)
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
		before = page[len(page)-1].Sequence
	}
	var found []audit.Record
	for i := len(all) - 1; i >= 0; i-- {
		if strings.HasPrefix(all[i].Operation, prefix) {
			found = append(found, all[i])
		}
	}
	return found
}

// Story is the records of requests and deployments in short, for comparing.
func (w *World) Story(t testing.TB) []string {
	t.Helper()
	var s []string
	for _, r := range w.Records(t, "") {
		if strings.HasPrefix(r.Operation, "Request") || strings.HasPrefix(r.Operation, "Deployment") || strings.HasPrefix(r.Operation, "Lineage") {
			s = append(s, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Operation, r.Details[audit.Step], map[bool]string{true: string(r.Outcome)}[r.Outcome != audit.Success])))
		}
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
