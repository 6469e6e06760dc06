// Package acme is the rules of the ACME server: accounts, orders, authorizations,
// challenges, revocation and renewal information (RFC 8555, RFC 8737, RFC 8738, RFC 9773).
// Each profile whose ACME door is open has a server of its own, with accounts of its own.
// Certificates come by the one road that all requests take, so approvals, other issuers
// and policy hold here too.
package acme

import (
	"context"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/acme/jws"
)

// The actions of this service, at "/".
const (
	Read  access.Action = "Chatelaine/acme/read"
	Write access.Action = "Chatelaine/acme/write"
)

// Status is how an account, order, authorization or challenge stands (RFC 8555 section 7.1.6).
type Status string

// The statuses.
const (
	Pending     Status = "pending"
	Ready       Status = "ready"
	Processing  Status = "processing"
	Valid       Status = "valid"
	Invalid     Status = "invalid"
	Deactivated Status = "deactivated"
	Expired     Status = "expired"
	Revoked     Status = "revoked"
)

// Account is a key that may ask for certificates of a profile.
type Account struct {
	ID       string    `json:"id"`
	Profile  string    `json:"profile"`
	Status   Status    `json:"status"`
	Contacts []string  `json:"contacts,omitempty"` // mailto: URIs
	Terms    time.Time `json:"termsAgreed,omitzero"`
	// ExternalKey is the id of the external account key by which it was bound; Owner is
	// whom that key belongs to. Both empty when none was wanted.
	ExternalKey string    `json:"externalKey,omitempty"`
	Owner       string    `json:"owner,omitempty"`
	Thumbprint  string    `json:"thumbprint"` // of its key, RFC 7638
	Created     time.Time `json:"created"`
	Revision    int64     `json:"revision"`

	// JWK is its key, as jws.Key has it; Binding is the binding that it came with.
	JWK     []byte `json:"-"`
	Binding []byte `json:"-"`
	// key is JWK as it was read from the store.
	key jws.Key
}

// Identifier is what a certificate is to name.
type Identifier struct {
	Type  string `json:"type"` // "dns" or "ip"
	Value string `json:"value"`
}

// The types of identifiers.
const (
	DNS = "dns"
	IP  = "ip" // RFC 8738
)

// Authorization is what an account has shown about an identifier.
type Authorization struct {
	ID         string      `json:"id"`
	Account    string      `json:"account"`
	Identifier Identifier  `json:"identifier"` // without "*."
	Wildcard   bool        `json:"wildcard,omitempty"`
	Status     Status      `json:"status"`
	Expires    time.Time   `json:"expires"`
	Challenges []Challenge `json:"challenges"`
	Revision   int64       `json:"revision"`
}

// name is the identifier as an order has it.
func (a Authorization) name() Identifier {
	if a.Wildcard {
		return Identifier{a.Identifier.Type, "*." + a.Identifier.Value}
	}
	return a.Identifier
}

// method is how it was validated; empty for a name that was authorised beforehand.
func (a Authorization) method() string {
	for _, c := range a.Challenges {
		if c.Status == Valid {
			return c.Type
		}
	}
	return ""
}

// Challenge is one way to show it.
type Challenge struct {
	Type      string    `json:"type"`
	Token     string    `json:"token"`
	Status    Status    `json:"status"`
	Validated time.Time `json:"validated,omitzero"`
	Problem   *Problem  `json:"problem,omitempty"`
}

// Order is a certificate that an account asks for.
type Order struct {
	ID             string       `json:"id"`
	Account        string       `json:"account"`
	Profile        string       `json:"profile"`
	Status         Status       `json:"status"` // Pending and Ready as the authorizations have it
	Expires        time.Time    `json:"expires"`
	Identifiers    []Identifier `json:"identifiers"`
	NotBefore      time.Time    `json:"notBefore,omitzero"`
	NotAfter       time.Time    `json:"notAfter,omitzero"`
	Authorizations []string     `json:"authorizations"` // ids
	Replaces       string       `json:"replaces,omitempty"`
	// Named says that the client asked for the profile by name (draft-ietf-acme-profiles).
	Named    bool      `json:"named,omitempty"`
	Problem  *Problem  `json:"problem,omitempty"`
	Request  string    `json:"request,omitempty"` // id on the one road, once finalized
	Created  time.Time `json:"created"`
	Revision int64     `json:"revision"`

	// Once is the nonce of the request that made it: the order of a nonce is made once.
	Once string `json:"-"`
	// Certificate is there when the order is valid.
	Certificate Certificate `json:"-"`
	// RetryAfter is when a client should ask again while the order is processing.
	RetryAfter time.Duration `json:"-"`
}

// Certificate is what an order led to.
type Certificate struct {
	DER       []byte
	Chain     [][]byte // DER, the issuer first
	SHA256    string   // hex
	RenewalID string   // RFC 9773 section 4.1
	NotBefore time.Time
	NotAfter  time.Time
	Issued    time.Time
	// ReplacedBy is the order that replaced it.
	ReplacedBy string
}

// ExternalKey lets somebody who is known make accounts (RFC 8555 section 7.3.4).
type ExternalKey struct {
	ID      string `json:"id"`
	Profile string `json:"profile"`
	// Owner is the application or team that the certificates of its accounts belong to.
	Owner   string    `json:"owner"`
	Comment string    `json:"comment,omitempty"`
	Many    bool      `json:"many"` // any number of accounts; else one
	Expires time.Time `json:"expires,omitzero"`
	// Account is the first account that was bound by it.
	Account  string    `json:"account,omitempty"`
	Used     time.Time `json:"used,omitzero"`
	Revoked  time.Time `json:"revoked,omitzero"`
	Maker    string    `json:"maker"` // principal
	Created  time.Time `json:"created"`
	Revision int64     `json:"revision"`

	Secret access.Secret `json:"-"` // base64url, as clients are given it
}

// Window is a time in which certificates are to be renewed earlier than they would be
// ("re-issue all of these before Friday"). Its conditions must all hold; an empty one
// holds always.
type Window struct {
	ID      string `json:"id"`
	Profile string `json:"profile,omitempty"`
	Owner   string `json:"owner,omitempty"`
	Account string `json:"account,omitempty"`
	// Name is a name that the certificate holds, or a pattern: "*.example.com" is any
	// depth below.
	Name string `json:"name,omitempty"`
	// Issuer is the SHA-256 of the issuer's certificate; SHA256 that of one certificate, hex.
	Issuer string `json:"issuer,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Certificates issued until Issued are meant. It is the time at which the window was made.
	Issued time.Time `json:"issued"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	// Explanation is an address that tells people why.
	Explanation string `json:"explanation,omitempty"`
	Maker       string `json:"maker"`
}

// Store keeps accounts, orders and authorizations. Every method joins the transaction of
// ctx. What is not there is fault.NotFound; Update… replaces the row whose revision is one
// less, and is fault.Conflict with the code Changed when there is none.
type Store interface {
	// InsertAccount adds one; fault.Conflict with the code Exists when the profile has one
	// with this key.
	InsertAccount(ctx context.Context, a Account) error
	// UpdateAccount is fault.Conflict with the code Exists when its new key is another's.
	UpdateAccount(ctx context.Context, a Account) error
	Account(ctx context.Context, id string) (Account, error)
	AccountByKey(ctx context.Context, profile, thumbprint string) (Account, error)
	// Accounts returns up to limit, by id, after the one given.
	Accounts(ctx context.Context, q AccountQuery) ([]Account, error)

	Authorization(ctx context.Context, id string) (Authorization, error)
	InsertAuthorization(ctx context.Context, a Authorization) error
	UpdateAuthorization(ctx context.Context, a Authorization) error
	// ValidAuthorization returns the valid one of an account for an identifier ("*." before
	// the name of a wildcard) that lasts longest, and beyond now.
	ValidAuthorization(ctx context.Context, account string, id Identifier, now time.Time) (Authorization, error)
}

// Orders keeps orders, by the same rules as Store.
type Orders interface {
	// InsertOrder adds one; fault.Conflict with the code Exists when Once is taken.
	InsertOrder(ctx context.Context, o Order) error
	UpdateOrder(ctx context.Context, o Order) error
	Order(ctx context.Context, id string) (Order, error)
	OrderByRenewalID(ctx context.Context, id string) (Order, error)
	OrderByCertificate(ctx context.Context, sha256 string) (Order, error)
	// OrdersOf returns ids of an account's orders that are not past, newest first.
	OrdersOf(ctx context.Context, account, before string, limit int) ([]string, error)
	// MarkReplaced notes which order replaced the certificate, if none did before.
	MarkReplaced(ctx context.Context, renewalID, by string) error
	// Prune removes up to limit orders and authorizations that were over before now, and
	// returns how many.
	Prune(ctx context.Context, now time.Time, limit int) (int64, error)
}

// Keys keeps external account keys and windows, by the same rules.
type Keys interface {
	InsertExternalKey(ctx context.Context, k ExternalKey) error
	UpdateExternalKey(ctx context.Context, k ExternalKey) error
	ExternalKey(ctx context.Context, id string) (ExternalKey, error)
	ExternalKeys(ctx context.Context, profile, after string, limit int) ([]ExternalKey, error)

	InsertWindow(ctx context.Context, w Window) error
	DeleteWindow(ctx context.Context, id string) error
	// Windows returns those whose end is after until, by id.
	Windows(ctx context.Context, until time.Time, limit int) ([]Window, error)
	// DeleteWindows removes those that ended before.
	DeleteWindows(ctx context.Context, before time.Time) error
}

// AccountQuery asks for a page of accounts. Empty fields select everything.
type AccountQuery struct {
	Profile     string
	ExternalKey string
	After       string
	Limit       int
}
