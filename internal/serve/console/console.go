// Package console is the web console: pages drawn on the server, one file a page. A
// handler decodes, calls services and draws; what may be seen and done is decided by the
// services.
package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/review"
	"chatelaine.dev/internal/serve/console/asset"
	"chatelaine.dev/internal/serve/console/doors"
	"chatelaine.dev/internal/serve/console/view"
	"chatelaine.dev/internal/vault/object"
)

// Deps are what the console needs. Inventory and Sessions are required; where another is
// nil its pages, and the ways to them, are not there.
type Deps struct {
	Sessions  Sessions
	Inventory Inventory
	Vaults    Vaults
	Shelves   Shelves
	Audit     AuditReader
	Events    Events

	Subscriptions Subscriptions

	ACME    ACME                        // with ACMEURL
	ACMEURL func(profile string) string // the directory of a profile's ACME server

	Doors   *doors.Area // with Catalog and Requests
	Catalog Catalog     // with Audits
	Audits  Audits

	Connections Connections
	Connectors  []Connector
	Lineages    Lineages // with Deployments
	Deployments Deployments
	Profiles    func() []profile.Profile // with Vaults, to adopt
	Requests    Requests                 // with Lineages
	Renewals    Renewals
	Discovery   Discovery
	Authorities Authorities

	// VaultURL is the address of a vault for its users, such as
	// https://payroll.localhost:8443.
	VaultURL func(vault string) string
	Now      func() time.Time
	Log      *slog.Logger
}

// Console serves the pages.
type Console struct {
	Deps
	assets *asset.Set
	mux    *http.ServeMux
	menu   []view.Group

	outlook outlook
}

// maxForm bounds what a browser may post, in bytes.
const maxForm = 256 << 10

// New makes the handler of the console. It answers every path of its host that no other
// front door takes, from "/" down.
func New(d Deps) (http.Handler, error) {
	set, err := asset.Load()
	if err != nil {
		return nil, err
	}
	c := &Console{Deps: d, assets: set, mux: http.NewServeMux()}
	c.routes()
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(c.foreign))
	return c.headers(http.MaxBytesHandler(guard.Handler(c.mux), maxForm)), nil
}

// routes is the table of contents. The navigation grows with it, so that it never names
// a page that is not there.
func (c *Console) routes() {
	c.mux.Handle("GET "+asset.Prefix, c.assets)
	c.open("GET /sign-in", c.signInPage)
	c.open("POST /sign-in", c.signIn)
	c.open("POST /sign-out", c.signOut)
	c.open("POST /theme", c.setTheme)

	estate := view.Group{}
	c.page("GET /{$}", c.overview)
	estate.Entries = append(estate.Entries, view.Entry{Name: "Overview", Href: "/"})
	if c.Events != nil {
		c.page("GET /overview/events", c.justNow)
	}
	c.page("GET /search", c.search)
	c.page("GET /certificates", c.certificates)
	c.page("GET /certificates/{sha256}", c.certificate)
	c.page("GET /certificates/{sha256}/pem", c.certificatePEM)
	estate.Entries = append(estate.Entries, view.Entry{Name: "Certificates", Href: "/certificates"})

	if c.adopts() {
		c.page("GET /certificates/{sha256}/adopt", c.askAdopt)
		c.page("POST /certificates/{sha256}/adopt", c.adopt)
	}
	if c.Lineages != nil {
		c.page("GET /lineages", c.lineages)
		c.page("GET /lineages/{id}", c.lineage)
		c.page("GET /lineages/{id}/remove", c.askRemove)
		c.page("POST /lineages/{id}/remove", c.removeLineage)
		estate.Entries = append(estate.Entries, view.Entry{Name: "Lineages", Href: "/lineages"})
	}
	if c.Requests != nil {
		c.page("GET /certificates/{sha256}/revoke", c.askRevoke)
		c.page("POST /certificates/{sha256}/revoke", c.revoke)
		c.page("GET /requests", c.requests)
		c.page("GET /requests/{id}", c.request)
		c.page("GET /requests/{id}/road", c.requestRoad)
		c.page("POST /requests/{id}/approve", c.approve)
		c.page("GET /requests/{id}/deny", c.askDeny)
		c.page("POST /requests/{id}/deny", c.deny)
		c.page("POST /requests/{id}/retry", c.retry)
		c.page("POST /requests/{id}/cancel", c.cancel)
		c.page("GET /lineages/{id}/renew", c.askRenew)
		c.page("POST /lineages/{id}/renew", c.renew)
		estate.Entries = append(estate.Entries, view.Entry{Name: "Requests", Href: "/requests"})
	}
	find := view.Group{Name: "Find"}
	if c.Discovery != nil {
		c.page("GET /discovery", c.discovery)
		c.page("POST /discovery/scan", c.startScan)
		c.page("GET /discovery/campaigns/{id}", c.campaign)
		c.page("POST /discovery/campaigns/{id}/run", c.runCampaign)
		c.page("GET /discovery/campaigns/{id}/delete", c.askDeleteCampaign)
		c.page("POST /discovery/campaigns/{id}/delete", c.deleteCampaign)
		c.page("GET /discovery/runs/{id}", c.discoveryRun)
		c.page("GET /discovery/runs/{id}/line", c.runProgress)
		c.page("POST /discovery/runs/{id}/cancel", c.cancelRun)
		find.Entries = append(find.Entries, view.Entry{Name: "Discovery", Href: "/discovery"})
	}
	c.page("GET /endpoints", c.endpoints)
	find.Entries = append(find.Entries, view.Entry{Name: "Endpoints", Href: "/endpoints"})

	keep := view.Group{Name: "Keep"}
	if c.Vaults != nil {
		c.page("GET /vaults", c.vaults)
		c.page("GET /vaults/{vault}", c.vault)
		keep.Entries = append(keep.Entries, view.Entry{Name: "Vaults", Href: "/vaults"})
	}
	govern := view.Group{Name: "Govern"}
	if c.Audit != nil {
		c.page("GET /audit", c.audit)
		c.page("POST /audit/verify", c.verifyAudit)
		govern.Entries = append(govern.Entries, view.Entry{Name: "Audit", Href: "/audit"})
	}
	c.authorityPages(&govern)
	if c.Catalog != nil {
		c.page("GET /profiles", c.profiles)
		c.page("GET /profiles/{name}", c.profile)
		c.page("GET /profiles/{name}/copy", c.askCopyProfile)
		c.page("POST /profiles/{name}/copy", c.copyProfile)
		c.page("GET /profiles/{name}/change", c.askChangeProfile)
		c.page("POST /profiles/{name}/change", c.changeProfile)
		c.page("GET /profiles/{name}/delete", c.askDeleteProfile)
		c.page("POST /profiles/{name}/delete", c.deleteProfile)
		c.page("POST /issuance-audits", c.startIssuanceAudit)
		c.page("GET /issuance-audits/{id}", c.issuanceAudit)
		c.page("GET /issuance-audits/{id}/line", c.auditProgress)
		govern.Entries = append(govern.Entries, view.Entry{Name: "Profiles", Href: "/profiles"})
	}
	c.doorPages(&govern)
	if c.ACME != nil {
		c.acmeRoutes()
		govern.Entries = append(govern.Entries, view.Entry{Name: "ACME", Href: "/acme-server"})
	}
	if c.Connections != nil {
		c.page("GET /connections", c.connections)
		c.page("GET /connections/new", c.newConnection)
		c.page("POST /connections/new", c.createConnection)
		c.page("GET /connections/{id}", c.connection)
		c.page("POST /connections/{id}/test", c.testConnection)
		c.page("GET /connections/{id}/delete", c.askDeleteConnection)
		c.page("POST /connections/{id}/delete", c.deleteConnection)
		govern.Entries = append(govern.Entries, view.Entry{Name: "Connections", Href: "/connections"})
	}
	if c.Subscriptions != nil {
		c.page("GET /subscriptions", c.subscriptions)
		c.page("GET /subscriptions/{id}", c.subscription)
		c.page("POST /subscriptions/{id}/test", c.testSubscription)
		c.page("POST /subscriptions/{id}/redeliver", c.redeliver)
		govern.Entries = append(govern.Entries, view.Entry{Name: "Subscriptions", Href: "/subscriptions"})
	}
	for _, g := range []view.Group{estate, find, keep, govern} {
		if len(g.Entries) > 0 {
			c.menu = append(c.menu, g)
		}
	}
	c.page("/", c.nowhere)
}

// doorPages adds the pages on which certificates are fetched.
func (c *Console) doorPages(g *view.Group) {
	if c.Doors == nil {
		return
	}
	for pattern, h := range c.Doors.Routes() {
		c.page(pattern, func(v *visit) error { return h(guest{v}) })
	}
	g.Entries = append(g.Entries, view.Entry{Name: "Enrolment", Href: "/enrolment"})
}

func (c *Console) acmeRoutes() {
	c.page("GET /acme-server", c.acme)
	c.page("GET /acme-server/keys/new", c.askACMEKey)
	c.page("POST /acme-server/keys/new", c.createACMEKey)
	c.page("GET /acme-server/windows/new", c.askACMEWindow)
	c.page("POST /acme-server/windows/new", c.createACMEWindow)
	for kind, e := range c.endings() {
		c.page("GET /acme-server/"+kind+"/{id}/"+e.path, c.askACMEEnd(kind))
		c.page("POST /acme-server/"+kind+"/{id}/"+e.path, c.endACME(kind))
	}
}

// adopts reports whether what an adoption asks about is there.
func (c *Console) adopts() bool { return c.Lineages != nil && c.Vaults != nil && c.Profiles != nil }

// has reports whether there is a page at an address of ours.
func (c *Console) has(address string) bool {
	path, _, _ := strings.Cut(address, "?")
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}
	_, pattern := c.mux.Handler(r)
	return pattern != "" && pattern != "/"
}

// headers is what every answer carries. The policy allows our own files and nothing
// else; it has no exception for inline styles or scripts.
func (c *Console) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // not no-referrer: a form would lose its Origin
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// Sessions tells who is signed in; *session.Service is one.
type Sessions interface {
	SignInByLink(ctx context.Context, token, previous access.Secret, from access.Origin) (session.Session, error)
	SignIn(ctx context.Context, a session.Attempt) (session.Session, error)
	Authenticate(ctx context.Context, id access.Secret) (access.Caller, error)
	SignOut(ctx context.Context, id access.Secret, from access.Origin) error
}

// Inventory answers questions about certificates; *inventory.Service is one.
type Inventory interface {
	List(ctx context.Context, c access.Caller, o inventory.ListOptions) (inventory.Page, error)
	Count(ctx context.Context, c access.Caller, filter string) (int64, error)
	Estimate(ctx context.Context, c access.Caller, filter string) (int64, error)
	Failing(ctx context.Context, c access.Caller) ([]inventory.Failing, error)
	Get(ctx context.Context, c access.Caller, sha256 string) (inventory.Detail, error)
	Endpoints(ctx context.Context, c access.Caller, q inventory.EndpointQuery) ([]inventory.Installation, error)
}

// Vaults lists vaults; *vault.Service is one.
type Vaults interface {
	List(ctx context.Context, c access.Caller, after string, limit int) ([]*object.Vault, error)
	Get(ctx context.Context, c access.Caller, name string) (*object.Vault, error)
}

// Shelf lists the objects of one kind in a vault; *keys.Service and *secrets.Service are.
type Shelf interface {
	List(ctx context.Context, c access.Caller, vault string, p object.Page) (object.Listing, error)
}

// CertificateShelf lists the certificates of a vault; *certificates.Service is one.
type CertificateShelf interface {
	List(ctx context.Context, c access.Caller, vault string, p object.Page, pending bool) (object.Listing, error)
}

// Shelves are what a vault holds, by kind.
type Shelves struct {
	Keys         Shelf
	Secrets      Shelf
	Certificates CertificateShelf
}

// Subscriptions are who is sent events; *subscription.Service is one.
type Subscriptions interface {
	List(ctx context.Context, c access.Caller, source, after string, limit int) ([]subscription.Subscription, error)
	Get(ctx context.Context, c access.Caller, id string) (subscription.Subscription, error)
	Test(ctx context.Context, c access.Caller, id string) (subscription.Trial, error)
	DeadLetters(ctx context.Context, c access.Caller, id, cursor string, limit int) (subscription.Letters, error)
	Redeliver(ctx context.Context, c access.Caller, id string, events []string) (int, error)
}

// AuditReader reads the audit trail for a caller who may; access.AuditReader is one.
type AuditReader interface {
	List(ctx context.Context, c access.Caller, q audit.Query) ([]audit.Record, error)
	Verify(ctx context.Context, c access.Caller, external [][]byte) (audit.Report, error)
}

// Events tells what happened; event.Reader is one.
type Events interface {
	List(ctx context.Context, c access.Caller, q event.Query, cursor string) (event.Page, error)
}

// ACME keeps who gets certificates by ACME; *acme.Service is one.
type ACME interface {
	ExternalKeys(ctx context.Context, c access.Caller, profile, after string, limit int) ([]acme.ExternalKey, error)
	CreateExternalKey(ctx context.Context, c access.Caller, d acme.ExternalKeyDraft) (acme.ExternalKey, error)
	RevokeExternalKey(ctx context.Context, c access.Caller, id string) (acme.ExternalKey, error)
	Accounts(ctx context.Context, c access.Caller, q acme.AccountQuery) ([]acme.Account, error)
	EndAccount(ctx context.Context, c access.Caller, id string) (acme.Account, error)
	Windows(ctx context.Context, c access.Caller) ([]acme.Window, error)
	CreateWindow(ctx context.Context, c access.Caller, w acme.Window) (acme.Window, error)
	DeleteWindow(ctx context.Context, c access.Caller, id string) error
}

// Catalog keeps the profiles; *catalog.Service is one.
type Catalog interface {
	List(ctx context.Context, c access.Caller) ([]catalog.Entry, error)
	Entry(ctx context.Context, c access.Caller, name string) (catalog.Entry, error)
	Copy(ctx context.Context, c access.Caller, from, name string) (catalog.Entry, error)
	Update(ctx context.Context, c access.Caller, name string, revision int64, text []byte) (catalog.Entry, error)
	Delete(ctx context.Context, c access.Caller, name string) error
}

// Audits lint again what was issued; *review.Service is one.
type Audits interface {
	Start(ctx context.Context, c access.Caller) (review.Review, error)
	List(ctx context.Context, c access.Caller) ([]review.Review, error)
	Get(ctx context.Context, c access.Caller, id string) (review.Review, error)
	Findings(ctx context.Context, c access.Caller, id string, after [2]string, limit int) ([]review.Finding, error)
}

// Connections keeps the configured instances of connectors; *connection.Service is one.
type Connections interface {
	List(ctx context.Context, c access.Caller, after string, limit int) ([]connection.Connection, error)
	Get(ctx context.Context, c access.Caller, id string) (connection.Connection, error)
	Create(ctx context.Context, c access.Caller, d connection.Draft) (connection.Connection, error)
	Test(ctx context.Context, c access.Caller, id string) (connection.Connection, error)
	Delete(ctx context.Context, c access.Caller, id string) error
}

// Lineages keeps the lines of certificates; *lineage.Service is one.
type Lineages interface {
	List(ctx context.Context, c access.Caller, q lineage.Query) ([]lineage.Lineage, error)
	Get(ctx context.Context, c access.Caller, id string) (lineage.Lineage, error)
	Members(ctx context.Context, c access.Caller, id string) ([]lineage.Member, error)
	Adopt(ctx context.Context, c access.Caller, a lineage.Adoption) (lineage.Lineage, error)
	Remove(ctx context.Context, c access.Caller, id string) error
}

// Deployments tells what is on its way to its place; *deployment.Service is one.
type Deployments interface {
	List(ctx context.Context, c access.Caller, q deployment.Query) ([]deployment.Deployment, error)
}

// Requests is the road on which certificates are asked for; *enrollment.Service is one.
type Requests interface {
	List(ctx context.Context, c access.Caller, q enrollment.Query) ([]enrollment.Request, error)
	Get(ctx context.Context, c access.Caller, id string) (enrollment.Request, error)
	Create(ctx context.Context, c access.Caller, d enrollment.Draft) (enrollment.Request, error)
	Approve(ctx context.Context, c access.Caller, id, comment string) (enrollment.Request, error)
	Deny(ctx context.Context, c access.Caller, id, comment string) (enrollment.Request, error)
	Retry(ctx context.Context, c access.Caller, id string) (enrollment.Request, error)
	Cancel(ctx context.Context, c access.Caller, id string) (enrollment.Request, error)
	RevokeNow(ctx context.Context, c access.Caller, d enrollment.RevokeDraft) (enrollment.Request, error)
	RequestRevocation(ctx context.Context, c access.Caller, d enrollment.RevokeDraft) (enrollment.Request, error)
}

// Renewals says what happens next to a lineage; *renewal.Service is one.
type Renewals interface {
	Next(ctx context.Context, c access.Caller, id string) (renewal.Next, error)
}

// Discovery looks for certificates; *discovery.Service is one.
type Discovery interface {
	List(ctx context.Context, c access.Caller, after string, limit int) ([]discovery.Campaign, error)
	Get(ctx context.Context, c access.Caller, id string) (discovery.Campaign, error)
	Create(ctx context.Context, c access.Caller, d discovery.Draft) (discovery.Campaign, error)
	Delete(ctx context.Context, c access.Caller, id string) error
	StartRun(ctx context.Context, c access.Caller, campaign string) (discovery.Run, error)
	CancelRun(ctx context.Context, c access.Caller, id string) (discovery.Run, error)
	GetRun(ctx context.Context, c access.Caller, id string) (discovery.Run, error)
	ListRuns(ctx context.Context, c access.Caller, q discovery.RunQuery) ([]discovery.Run, error)
}

// Connector is what a form needs to know of a connector's definition.
type Connector struct {
	Name    string
	Title   string
	Summary string   // the first paragraph of its readme
	Kinds   []string // what it offers: source, target…
	Fields  []ConnectorField
	Place   []ConnectorField // of a target: what says where one certificate goes
}

// ConnectorField is one setting. Type is text, secret, number, boolean or list.
type ConnectorField struct {
	Name, Help, Type string
	Required         bool
	Options          []string
}
