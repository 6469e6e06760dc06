package console

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/vault/object"
)

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

// AuditReader reads the audit trail for a caller who may; access.AuditReader is one.
type AuditReader interface {
	List(ctx context.Context, c access.Caller, q audit.Query) ([]audit.Record, error)
	Verify(ctx context.Context, c access.Caller, external [][]byte) (audit.Report, error)
}

// Events tells what happened; event.Reader is one.
type Events interface {
	List(ctx context.Context, c access.Caller, q event.Query, cursor string) (event.Page, error)
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
