// Package deployment installs certificates at their targets, proves by a handshake that
// they are served, and puts the previous ones back when anything fails. Each stage is
// noted before the next begins, so that a killed process goes on where it stopped.
package deployment

import (
	"context"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/lineage"
)

// The actions of this service, at "/lineages/{id}" or, for listing, "/".
const (
	Read   access.Action = "Chatelaine/deployments/read"
	Deploy access.Action = "Chatelaine/deployments/deploy"
)

// State is how a deployment stands.
type State string

// The states. Running and RollingBack are under way, the others final until somebody
// asks for another try.
const (
	Running     State = "running"
	RollingBack State = "rollingBack"
	Completed   State = "completed"
	Failed      State = "failed" // and rolled back: what was there before is there again
	Stuck       State = "stuck"  // and could not be rolled back; a person must look
)

// Live reports whether the deployment is under way.
func (s State) Live() bool { return s == Running || s == RollingBack }

// Stage is what a running deployment does next.
type Stage string

// The stages, in their order. See connector.Target.
const (
	Prepare   Stage = "prepare"
	Install   Stage = "install"
	Activate  Stage = "activate"
	Verify    Stage = "verify"    // the target holds the certificate
	Handshake Stage = "handshake" // every endpoint serves it
	Finish    Stage = "finish"
)

// Deployment is one certificate on its way to one target.
type Deployment struct {
	ID      string         `json:"id"`
	Request string         `json:"request,omitempty"` // that it belongs to; empty when it stands alone
	Lineage string         `json:"lineage"`
	Target  lineage.Target `json:"target"` // as it was when the deployment began
	Keep    lineage.Keep   `json:"keep"`   // where the certificate and its key are
	Version string         `json:"version"`
	SHA256  string         `json:"sha256"`

	State    State     `json:"state"`
	Stage    Stage     `json:"stage"`
	Attempts int       `json:"attempts"`                  // tries of this stage that failed for a while
	Problem  string    `json:"problem,omitempty"`         // what went wrong, for people
	RollBack string    `json:"rollBackProblem,omitempty"` // what went wrong with rolling back
	Failed   Stage     `json:"failed,omitempty"`          // the stage that failed for good
	Wake     time.Time `json:"wake,omitzero"`             // while under way: when somebody looks whether it went on
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Verified time.Time `json:"verified,omitzero"` // when every endpoint served it
	Revision int64     `json:"revision"`
}

// Path is the deployment in records and events.
func Path(id string) string { return "/deployments/" + id }

// Store keeps deployments. Every method joins the transaction of ctx. What is not there is
// fault.NotFound.
type Store interface {
	// InsertDeployment adds one; fault.Conflict with the code Exists when the request has one
	// for the target already, or another to the target of the lineage is under way.
	InsertDeployment(ctx context.Context, d Deployment) error
	// UpdateDeployment replaces the row whose revision is d.Revision-1; fault.Conflict with
	// the code Changed when it has another.
	UpdateDeployment(ctx context.Context, d Deployment) error
	Deployment(ctx context.Context, id string) (Deployment, error)
	// Deployments returns a page, newest first.
	Deployments(ctx context.Context, q Query) ([]Deployment, error)
	// OverdueDeployments returns up to limit ids of deployments under way whose Wake has passed.
	OverdueDeployments(ctx context.Context, now time.Time, limit int) ([]string, error)
}

// Query asks for a page of deployments. Empty fields select everything.
type Query struct {
	Lineage string
	Request string
	State   State
	After   string // id of the last row of the page before; empty for the first page
	Limit   int    // 1 to 500
}
