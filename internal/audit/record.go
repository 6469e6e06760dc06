// Package audit is the record of what was done: append-only, chained by hashes,
// checkpointed with signatures. A change and its record commit together; an answer
// that reveals a secret or uses a key leaves only after its record is durable.
package audit

import (
	"context"
	"time"
)

// Transact runs fn in one transaction. Every store, the audit trail, the event log and
// the job queue join it through the context that fn receives, and all of it commits or
// none does. A Transact inside a Transact joins the outer one. fn may run more than once
// (a lost race is tried again), so it must change nothing outside the database, and
// while it runs other writers wait: compute keys and signatures before, not inside.
type Transact func(ctx context.Context, fn func(ctx context.Context) error) error

// Outcome is how an operation ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Denied  Outcome = "denied"
	Failed  Outcome = "failed"
)

// Field names one detail that a record may hold. The list is closed: what is not on it
// cannot be written, so that no secret enters by way of a forgotten field.
type Field string

// The details that a record may hold. Values are cut at 256 bytes.
const (
	Version     Field = "version"    // version of a vault object
	Algorithm   Field = "algorithm"  // algorithm of a key operation
	KeyType     Field = "keyType"    // type and size of a key
	Exchange    Field = "exchange"   // key exchange key under which a key came, name/version
	APIVersion  Field = "apiVersion" // the protocol version that the client asked for
	Serial      Field = "serial"     // serial of a certificate, hex
	Fingerprint Field = "sha256"     // SHA-256 of a certificate, hex
	Profile     Field = "profile"    // profile of an issuance
	Issuer      Field = "issuer"     // authority or issuer
	Subject     Field = "subject"    // subject or first name of a certificate
	Role        Field = "role"       // role of an assignment
	Scope       Field = "scope"      // scope of an assignment
	Assignee    Field = "assignee"   // principal that an assignment is for
	Request     Field = "request"    // id of a request
	Lineage     Field = "lineage"    // id of a lineage
	Step        Field = "step"       // step of a request or deployment
	Target      Field = "target"     // target of a deployment
	Endpoint    Field = "endpoint"   // host:port
	Run         Field = "run"        // id of a discovery run
	Count       Field = "count"      // how many
	Reason      Field = "reason"     // error code or revocation reason
	Connection  Field = "connection" // id of a connection
	Number      Field = "number"     // CRL number
	Action      Field = "action"     // the action that was refused
	Audience    Field = "audience"   // audience of a token
	Grant       Field = "grant"      // OAuth 2 grant type
	Policy      Field = "policy"     // name of a policy or rule
	Owner       Field = "owner"      // team that answers for it

	Permissions Field = "permissions" // what an access policy allows
	Door        Field = "door"        // the protocol by which a certificate was asked for
	Digest      Field = "digest"      // SHA-256 of what was asked for and approved
	Account     Field = "account"     // ACME account
)

// Record is one line of the trail.
type Record struct {
	Sequence    int64            `json:"sequence"` // 1, 2, 3… set by the trail
	Time        time.Time        `json:"time"`     // set by the trail when zero
	Operation   string           `json:"operation"`
	Target      string           `json:"target"` // path of what it was done to: /vaults/a/secrets/b
	Outcome     Outcome          `json:"outcome"`
	Principal   string           `json:"principal"`
	Name        string           `json:"name,omitempty"` // the principal's name at that time
	Application string           `json:"application,omitempty"`
	Address     string           `json:"address,omitempty"` // client IP
	Agent       string           `json:"agent,omitempty"`   // client program
	Correlation string           `json:"correlation,omitempty"`
	Details     map[Field]string `json:"details,omitempty"`
}

// Recorder appends records. Inside a Transact the record joins the transaction; outside
// it is durable when Record returns. An error means that nothing was recorded, and the
// operation must fail.
type Recorder interface {
	Record(ctx context.Context, r Record) error
}
