// Package enrollment is the one road on which a certificate is asked for: policy,
// approval, key, issuer, checks on what came back, vault, inventory, deployments, and the
// old one retired. A request remembers how far it has come; each step is noted before the
// next begins, so a killed process goes on where it stopped and nothing is issued twice.
package enrollment

import (
	"context"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/keystore"
)

// The actions of this service, at "/lineages/{id}", or "/" where there is no lineage.
const (
	Read    access.Action = "Chatelaine/requests/read"
	Write   access.Action = "Chatelaine/requests/write"
	Approve access.Action = "Chatelaine/requests/approve"
	Revoke  access.Action = "Chatelaine/certificates/revoke"
)

// Kind is what a request asks for.
type Kind string

// The kinds.
const (
	Enroll     Kind = "enroll" // the first certificate of a lineage
	Renew      Kind = "renew"  // the next one
	Revocation Kind = "revoke"
	Certify    Kind = "certify" // for a key that a vault has made, and for its own certificate
	Direct     Kind = "direct"  // for a CSR that somebody brings and takes the certificate away
)

// State is how a request stands.
type State string

// The states. Pending, Approved and InProgress are under way, and a lineage has at most
// one request in them.
const (
	Pending    State = "pending"  // waits for an approval
	Approved   State = "approved" // its work has not begun
	InProgress State = "in_progress"
	Completed  State = "completed"
	Failed     State = "failed" // may be tried again from the step that failed
	Denied     State = "denied"
	Canceled   State = "canceled"
	Expired    State = "expired" // nobody approved it in time
)

// Live reports whether the request is under way.
func (s State) Live() bool { return s == Pending || s == Approved || s == InProgress }

// Step is what a request does next.
type Step string

// The steps of enroll and renew, and then those of revoke, in their order. A request of
// kind certify has Issue, Deliver and Record; one of kind direct has Issue and Record.
const (
	MakeKey Step = "key"    // make the private key and the CSR, and keep them sealed
	Issue   Step = "issue"  // have it issued, and check what came back
	Keep    Step = "keep"   // put key and certificate into the vault
	Record  Step = "record" // tell the inventory
	Deploy  Step = "deploy" // one target after the other
	Retire  Step = "retire" // the lineage now points to the new certificate

	Deliver Step = "deliver" // hand the certificate to the vault that has the key

	Withdraw Step = "revoke" // tell the issuer
	Mark     Step = "mark"   // tell the inventory and the lineage
)

// Request is somebody's wish, and what became of it.
type Request struct {
	ID            string     `json:"id"`
	Kind          Kind       `json:"kind"`
	Lineage       string     `json:"lineage,omitempty"`
	State         State      `json:"state"`
	Step          Step       `json:"step"`
	Requester     string     `json:"requester"` // principal
	RequesterName string     `json:"requesterName,omitempty"`
	Comment       string     `json:"comment,omitempty"` // why it is wanted
	NeedsApproval bool       `json:"needsApproval"`
	Door          string     `json:"door,omitempty"` // the protocol of a direct one
	Decisions     []Decision `json:"decisions,omitempty"`

	// Wanted and Targets are the lineage's as they were when the request was made: that is
	// what was approved.
	Wanted   lineage.Wanted   `json:"wanted,omitzero"`
	Targets  []lineage.Target `json:"targets,omitempty"`
	Replaces string           `json:"replaces,omitempty"` // SHA-256 of the certificate before

	// Revoke says what a revocation ends, and why.
	Revoke       string           `json:"revoke,omitempty"` // SHA-256
	RevokeReason connector.Reason `json:"revokeReason,omitempty"`

	Result   lineage.Certificate `json:"result,omitzero"` // what was issued
	Attempts int                 `json:"attempts"`        // tries of this step that failed for a while
	Problem  string              `json:"problem,omitempty"`
	Wake     time.Time           `json:"wake,omitzero"` // while it is under way: when somebody looks whether it went on
	Created  time.Time           `json:"created"`
	Updated  time.Time           `json:"updated"`
	Revision int64               `json:"revision"`
}

// Decision is what a person said to a request.
type Decision struct {
	Principal string    `json:"principal"`
	Name      string    `json:"name,omitempty"`
	Approved  bool      `json:"approved"`
	Comment   string    `json:"comment,omitempty"`
	At        time.Time `json:"at"`
}

// Path is the request in records and events.
func Path(id string) string { return "/requests/" + id }

// Material is what a request carries from step to step. It is kept sealed.
type Material struct {
	Key         keystore.Material `json:"key,omitempty"` // until the vault has it
	CSR         []byte            `json:"csr,omitempty"`
	Proved      bool              `json:"proved,omitempty"` // the names are a door's and not the CSR's
	Token       string            `json:"token,omitempty"`  // of an order that the issuer has not decided
	Certificate []byte            `json:"certificate,omitempty"`
	Chain       [][]byte          `json:"chain,omitempty"`
	Subject     profile.Subject   `json:"subject,omitempty"` // of a direct one, when it is not the CSR's
	Signer      string            `json:"signer,omitempty"`  // the authority of ours that issued it: a successor, perhaps
}

// Entry is a request with its material, as the Store keeps it.
type Entry struct {
	Request
	Material
	// Once makes the same wish twice one request: unique, never empty.
	Once string
}

// Store keeps requests. Every method joins the transaction of ctx. What is not there is
// fault.NotFound.
type Store interface {
	// InsertRequest adds one; fault.Conflict with the code Live when another of its lineage,
	// or another revocation of its certificate, is under way, Exists when Once is taken.
	InsertRequest(ctx context.Context, e Entry) error
	// UpdateRequest replaces the row whose revision is e.Revision-1; fault.Conflict with the
	// code Changed when it has another, Live as for InsertRequest.
	UpdateRequest(ctx context.Context, e Entry) error
	Request(ctx context.Context, id string) (Entry, error)
	RequestOnce(ctx context.Context, once string) (Entry, error)
	// LatestRequest is the newest of a lineage that is no revocation.
	LatestRequest(ctx context.Context, lineage string) (Entry, error)
	// Requests returns a page, newest first.
	Requests(ctx context.Context, q Query) ([]Entry, error)
	// OverdueRequests returns up to limit ids of requests under way whose Wake has passed.
	OverdueRequests(ctx context.Context, now time.Time, limit int) ([]string, error)
}

// Query asks for a page of requests. Empty fields select everything.
type Query struct {
	Lineage string
	State   State
	Kind    Kind
	After   string // id of the last row of the page before; empty for the first page
	Limit   int    // 1 to 500
}
