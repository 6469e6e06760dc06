// Package console is the web console: pages drawn on the server, one file a page. A
// handler decodes, calls services and draws; what may be seen and done is decided by the
// services.
package console

import (
	"log/slog"
	"net/http"
	"time"

	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/console/asset"
	"chatelaine.dev/internal/serve/console/view"
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

	Connections Connections
	Connectors  []Connector
	Lineages    Lineages // with Deployments
	Deployments Deployments
	Profiles    func() []profile.Profile // with Vaults, to adopt
	Requests    Requests                 // with Lineages
	Renewals    Renewals
	Discovery   Discovery

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
	for _, g := range []view.Group{estate, find, keep, govern} {
		if len(g.Entries) > 0 {
			c.menu = append(c.menu, g)
		}
	}
	c.page("/", c.nowhere)
}

// adopts reports whether what an adoption asks about is there.
func (c *Console) adopts() bool { return c.Lineages != nil && c.Vaults != nil && c.Profiles != nil }

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
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
