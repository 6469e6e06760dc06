// Package export takes a whole vault out of the installation, as a file that is read
// without Chatelaine, and puts such a file into a vault. It takes two people: what one
// asks for, another must approve, to the letter, before it can be fetched.
package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// What may be done here, at "/vaults/{vault}". To ask for an export and to fetch it, and to
// import, are data actions: a role of the control plane alone opens no vault.
const (
	Take      access.Action = access.VaultPrefix + "export/action"
	Put       access.Action = access.VaultPrefix + "import/action"
	Read      access.Action = access.ControlPrefix + "exports/read"
	Approve   access.Action = access.ControlPrefix + "exports/approve"
	SetPolicy access.Action = access.ControlPrefix + "vaults/write"
)

// State is how a request stands.
type State string

// The states. A request is live in the first two.
const (
	Pending  State = "pending"  // waits for an approval
	Approved State = "approved" // may be fetched by its requester
	Fetched  State = "fetched"  // once, whole
	Denied   State = "denied"
	Canceled State = "canceled"
	Expired  State = "expired" // nobody approved it, or fetched it, in time
)

func (s State) live() bool { return s == Pending || s == Approved }

// The times of a request.
const (
	approvalTime = 72 * time.Hour // to wait for an approval
	fetchTime    = 24 * time.Hour // after the approval, to be fetched
)

// Request asks for an export. Nothing of it but its state changes once it is made.
type Request struct {
	ID            string    `json:"id"`
	Vault         string    `json:"vault"`
	State         State     `json:"state"`
	Keys          bool      `json:"keys" doc:"private keys are asked for too"`
	Recipients    []string  `json:"recipients" doc:"age public keys that the file is encrypted to"`
	Digest        string    `json:"digest" doc:"SHA-256 over vault, recipients, keys and requester; an approval must repeat it"`
	Comment       string    `json:"comment,omitempty"`
	Requester     string    `json:"requester" doc:"id of a principal"`
	RequesterName string    `json:"requesterName,omitempty"`
	Decision      *Decision `json:"decision,omitempty"`
	Created       time.Time `json:"created"`
	Ends          time.Time `json:"ends" doc:"until when it can be approved, or fetched"`
	Revision      int64     `json:"revision"`
	VaultCreated  time.Time `json:"vaultCreated" doc:"another vault of the same name is another vault"`
}

// Decision is what a person said to a request.
type Decision struct {
	Principal string    `json:"principal"`
	Name      string    `json:"name,omitempty"`
	Approved  bool      `json:"approved"`
	Comment   string    `json:"comment,omitempty"`
	At        time.Time `json:"at"`
}

// digest is what an approver agrees to.
func (r Request) digest() (string, error) {
	b, err := json.Marshal([]any{r.ID, r.Vault, r.VaultCreated.UTC(), r.Keys, r.Recipients, r.Requester})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// at is the request as it stands at a time: who looks too late finds it expired.
func (r Request) at(now time.Time) Request {
	if r.State.live() && !now.Before(r.Ends) {
		r.State = Expired
	}
	return r
}

// Live reports whether somebody may still decide about the request, or fetch it.
func (r Request) Live() bool { return r.State.live() }

// Store keeps requests. Inside a transaction every method joins it.
type Store interface {
	// Export returns a request; fault.NotFound.
	Export(ctx context.Context, id string) (Request, error)
	// Exports returns the requests of a vault, newest first, before an id.
	Exports(ctx context.Context, vault, before string, limit int) ([]Request, error)
	// LiveExports counts the requests of a vault that are live and do not end by then.
	LiveExports(ctx context.Context, vault string, then time.Time) (int, error)
	// InsertExport stores a new request.
	InsertExport(ctx context.Context, r Request) error
	// UpdateExport replaces the request of r's id and the revision before r's;
	// fault.Conflict if somebody else has.
	UpdateExport(ctx context.Context, r Request) error
}

// Ties tells who may be the same person as another.
type Ties interface {
	// Made reports whether one principal has ever had the other in its hands: made it, or
	// gave it a secret, a password or a link to sign in.
	Made(ctx context.Context, one, other string) (bool, error)
}

// Deps are what the service needs.
type Deps struct {
	object.Deps
	Keys  *keys.Service
	Store Store
	Ties  Ties
	Dir   string // for the encrypted copy of what is being imported
}

// Service exports and imports vaults.
type Service struct {
	Deps
	shelf *object.Shelf

	exporting chan struct{} // one slot for each export that may run at a time
	importing chan struct{}
}

// What is done; the audit record says Vault before it.
const (
	ask      object.Operation = "ExportRequest"
	cancel   object.Operation = "ExportCancel"
	download object.Operation = "ExportDownload"
	complete object.Operation = "ExportComplete"
	bring    object.Operation = "Import"
)

// vaults is the kind of object that a vault itself is, in records and scopes.
const vaults object.Kind = "vaults"

// New makes the service.
func New(d Deps) *Service {
	return &Service{
		Deps: d, exporting: make(chan struct{}, 2), importing: make(chan struct{}, 1),
		shelf: object.NewShelf(d.Deps, vaults, map[object.Operation]access.Action{
			ask: "export/action", cancel: "export/action", download: "export/action", complete: "export/action", bring: "import/action",
		}),
	}
}
