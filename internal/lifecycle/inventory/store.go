package inventory

import (
	"context"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory/filter"
)

// Stage is how far Chatelaine looks after a certificate.
type Stage string

// The stages.
const (
	Discovered Stage = "discovered" // it was seen
	Monitored  Stage = "monitored"  // somebody answers for it
	Managed    Stage = "managed"    // it belongs to a lineage that is renewed
)

// Trust says whose root a certificate descends from.
type Trust string

// The kinds of descent.
const (
	Public     Trust = "public"      // a root that browsers trust
	Private    Trust = "private"     // an authority that this organisation knows
	SelfSigned Trust = "self-signed" // its own key, and nobody knows it
	Unknown    Trust = "unknown"     // nobody we know
)

// Severity of a finding.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Severities are all of them, the worst first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low, Info} }

// Finding is one rule that a certificate fails, at one place if Place is not empty.
type Finding struct {
	Rule     string    `json:"rule"` // such as weak-key
	Severity Severity  `json:"severity"`
	Message  string    `json:"message"` // what is wrong, with the numbers
	WhatToDo string    `json:"whatToDo"`
	Since    time.Time `json:"since"`            // when it began to be true
	Place    string    `json:"place,omitempty"`  // id of the installation
	Source   string    `json:"source,omitempty"` // document that demands it
}

// Failing is a rule that certificates fail.
type Failing struct {
	Rule         string   `json:"rule"`
	Severity     Severity `json:"severity"` // of the worst of them
	Certificates int64    `json:"certificates"`
}

// Verdict is what a Judge says about a certificate.
type Verdict struct {
	Trust    Trust
	Score    int // 0 to 100
	Findings []Finding
}

// Case is what a Judge looks at.
type Case struct {
	Certificate   *Certificate
	Installations []Installation
	Issuers       []*Certificate // candidates for the chain, in no order; not all of them fit
	RevokedAt     time.Time      // zero when it is not revoked
	Now           time.Time
}

// Judge finds what is wrong with a certificate. It is a pure function of the case and may
// be called from many goroutines.
type Judge interface{ Judge(c Case) Verdict }

// Status is where a certificate is in its life.
type Status string

// The statuses, the first that holds.
const (
	StatusRevoked  Status = "revoked"
	StatusUnknown  Status = "unknown" // its dates are unreadable
	StatusExpired  Status = "expired"
	StatusPending  Status = "pending" // its time has not begun
	StatusExpiring Status = "expiring"
	StatusValid    Status = "valid"
)

// StatusAt is the status of a certificate at a time. revoked is zero when it is not.
func StatusAt(now, notBefore, notAfter, revoked time.Time) Status {
	switch {
	case !revoked.IsZero():
		return StatusRevoked
	case notBefore.IsZero() || notAfter.IsZero():
		return StatusUnknown
	case now.After(notAfter):
		return StatusExpired
	case now.Before(notBefore):
		return StatusPending
	case !now.Before(ExpiringFrom(notBefore, notAfter)):
		return StatusExpiring
	}
	return StatusValid
}

// LongestNotice is how long before its end at most a certificate is called expiring.
const LongestNotice = 30 * 24 * time.Hour

// ExpiringFrom is when a certificate begins to be called expiring: thirty days before its
// end, or when two thirds of a short life are over.
func ExpiringFrom(notBefore, notAfter time.Time) time.Time {
	third := (notAfter.Unix() - notBefore.Unix()) / 3
	return notAfter.Add(-time.Duration(max(0, min(third, int64(LongestNotice/time.Second)))) * time.Second)
}

// Annotations are what Chatelaine knows about a certificate beyond its content.
type Annotations struct {
	Stage            Stage     `json:"stage"`
	Status           Status    `json:"status"`
	Owner            string    `json:"owner,omitempty"`
	Lineage          string    `json:"lineage,omitempty"`
	Trust            Trust     `json:"trust"`
	Score            int       `json:"score"` // 0 to 100
	Grade            string    `json:"grade"` // its letter
	RevokedAt        time.Time `json:"revokedAt,omitzero"`
	RevocationReason string    `json:"revocationReason,omitempty"`
	FirstSeen        time.Time `json:"firstSeen"`
	LastSeen         time.Time `json:"lastSeen"`
	Judged           time.Time `json:"judged,omitzero"`
}

// Summary is one row of a list.
type Summary struct {
	SHA256        string    `json:"sha256"`
	Name          string    `json:"name"`
	Subject       string    `json:"subject"`
	Issuer        string    `json:"issuer"`
	Serial        string    `json:"serial"`
	Key           Key       `json:"key"`
	Signature     string    `json:"signature"`
	NotBefore     time.Time `json:"notBefore,omitzero"`
	NotAfter      time.Time `json:"notAfter,omitzero"`
	SelfSigned    bool      `json:"selfSigned"`
	Wildcard      bool      `json:"wildcard"`
	CA            bool      `json:"ca"`
	Parser        Parser    `json:"parser"`
	Installations int       `json:"installations"` // places where it is the latest known
	Annotations
}

// Entry is a certificate with all that is kept about it.
type Entry struct {
	*Certificate
	Annotations
}

// Query asks for one page of summaries, in the order of a column and then of SHA256.
type Query struct {
	Filter     filter.Node
	Sort       filter.Field // one of Sortable
	Descending bool
	After      *Position // nil for the first page
	Limit      int
}

// Position is a row's place in an order.
type Position struct {
	Text   string `json:"t,omitempty"`
	Number int64  `json:"n,omitempty"`
	SHA256 string `json:"h"`
}

// Sortable are the columns by which a list can be ordered.
func Sortable() []filter.Field {
	return []filter.Field{filter.Name, filter.Issuer, filter.Expires, filter.Issued, filter.Lifetime,
		filter.KeySize, filter.Grade, filter.FirstSeen, filter.LastSeen}
}

// EndpointQuery asks for the current installations of a source, in the order of ID.
type EndpointQuery struct {
	Source string // empty for all
	After  string // ID
	Limit  int
}

// Store keeps the inventory. Every method joins the transaction of ctx. A certificate or
// installation that is not there is a fault.NotFound.
type Store interface {
	// Save inserts the certificate, or widens its first and last sighting to include seen.
	Save(ctx context.Context, c *Certificate, seen time.Time) (isNew bool, err error)
	// Current returns the installation that is the latest known at a place.
	Current(ctx context.Context, place string) (Installation, error)
	// Installation returns a certificate at a place, current or not.
	Installation(ctx context.Context, place, sha256 string) (Installation, error)
	// SaveInstallation inserts or replaces it. If it is current, the place's other rows are not.
	SaveInstallation(ctx context.Context, i Installation) error
	// AddChange appends a line of history; the same line twice is one.
	AddChange(ctx context.Context, c Change) error
	// Unchecked returns current installations of a source at which nobody looked since a
	// time, and which are not missing already.
	Unchecked(ctx context.Context, source string, since time.Time, limit int) ([]Installation, error)
	// Issuers returns the DER of at most 16 CA certificates with the subject name, by first sighting.
	Issuers(ctx context.Context, name NameHash) ([][]byte, error)
	// SaveVerdict replaces the findings, trust and score.
	SaveVerdict(ctx context.Context, sha256 string, v Verdict, at time.Time) error
	SetLineage(ctx context.Context, sha256, lineage, owner string, stage Stage) error
	// SetRevoked keeps an earlier revocation as it is, unless its reason is certificateHold.
	// The zero time ends a hold.
	SetRevoked(ctx context.Context, sha256 string, at time.Time, reason string) error
	// Fingerprints returns the SHA256 of certificates after the given one, in order.
	Fingerprints(ctx context.Context, after string, limit int) ([]string, error)
}

// Reader answers questions. It reads one state of the inventory per call.
type Reader interface {
	Entry(ctx context.Context, sha256 string) (Entry, error)
	List(ctx context.Context, q Query) ([]Summary, error)
	Count(ctx context.Context, f filter.Node) (int64, error)
	// Failing tells of each rule that certificates fail how many do, and how bad it is.
	Failing(ctx context.Context) ([]Failing, error)
	// Installations of a certificate, current ones first, then by last sighting.
	Installations(ctx context.Context, sha256 string, limit int) ([]Installation, error)
	// Findings of a certificate, in the order in which the Judge gave them.
	Findings(ctx context.Context, sha256 string) ([]Finding, error)
	// History of a certificate, newest first.
	History(ctx context.Context, sha256 string, limit int) ([]Change, error)
	Endpoints(ctx context.Context, q EndpointQuery) ([]Installation, error)
}

// NameHash stands for an encoded distinguished name, to find issuers by.
type NameHash string

// SubjectHash is the hash of the subject name.
func (c *Certificate) SubjectHash() NameHash { return NameHash(hexSHA256(c.raw.subject)) }

// IssuerHash is the hash of the issuer name.
func (c *Certificate) IssuerHash() NameHash { return NameHash(hexSHA256(c.raw.issuer)) }
