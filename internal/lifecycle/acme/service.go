package acme

import (
	"context"
	"log/slog"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme/nonce"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/validation/caa"
	"chatelaine.dev/internal/pki/validation/challenge"
)

// Profiles finds a profile by its name; fault.Invalid or fault.NotFound when there is none.
type Profiles interface {
	Get(name string) (profile.Profile, error)
}

// Validator performs challenges; *challenge.Validator is one.
type Validator interface {
	Validate(ctx context.Context, p challenge.Proof) error
}

// CAA decides by the records of a name's owner; caa.Checker is one.
type CAA interface {
	Check(ctx context.Context, q caa.Question) error
}

// Ask is a certificate wanted on the one road.
type Ask struct {
	Profile    string
	CSR        []byte // DER
	CommonName string
	Names      profile.Names
	Validity   time.Duration // 0: the profile's
	Once       string        // the same ask twice has the same answer
	Owner      string
	// Also joins the transaction in which the road notes its answer, and may be run more
	// than once. An earlier answer to the same ask does not run it.
	Also func(ctx context.Context, got Issuance) error
}

// Issuance is what became of an ask.
type Issuance struct {
	Request     string
	Status      Status // Pending for an approval, Processing, Valid or Invalid
	Certificate []byte // DER
	Chain       [][]byte
	Problem     string
}

// Road is the one road on which certificates are got.
type Road interface {
	Enroll(ctx context.Context, c access.Caller, a Ask) (Issuance, error)
	Collect(ctx context.Context, c access.Caller, request string) (Issuance, error)
}

// Ledger ends the trust in certificates, and knows of which it ended.
type Ledger interface {
	// Revoke is fault.Conflict with the code AlreadyRevoked when it is revoked.
	Revoke(ctx context.Context, c access.Caller, sha256, reason string) error
	Revoked(ctx context.Context, sha256 string) (bool, error)
}

// Chains knows other ways up from an issuer, by cross-signed authorities.
type Chains interface {
	// Alternates returns other chains for the certificate that the first of chain issued,
	// each with its issuer first.
	Alternates(ctx context.Context, chain [][]byte) ([][][]byte, error)
}

// Deps are what the service needs.
type Deps struct {
	Store     Store
	Orders    Orders
	Keys      Keys
	Profiles  Profiles
	Validator Validator
	CAA       CAA
	Road      Road
	Ledger    Ledger
	Chains    Chains // may be nil
	Nonces    *nonce.Source
	Transact  audit.Transact
	Audit     audit.Recorder
	Guard     access.Guard
	Limits    Limits
	Terms     string // URL that accounts must agree to; may be empty
	Now       func() time.Time
	Log       *slog.Logger
}

// Service is the ACME servers of all profiles.
type Service struct {
	Deps
	rates rates
	busy  chan struct{} // one for each validation under way
}

// New makes the service.
func New(d Deps) *Service {
	d.Limits = d.Limits.filled()
	return &Service{Deps: d, rates: rates{now: d.Now, seen: map[rateKey]bucket{}}, busy: make(chan struct{}, d.Limits.Validations)}
}

// Life of what is made.
const (
	orderLife = 24 * time.Hour
	// reuse is how long a validation counts for further orders of the same account.
	reuse = 7 * 24 * time.Hour
)

// Server is the ACME server of one profile.
type Server struct {
	Profile profile.Profile
	Door    profile.ACMEDoor
}

// Server finds the server of a profile; fault.NotFound when its door is closed, as if
// there were no such profile.
func (s *Service) Server(name string) (Server, error) {
	p, err := s.Profiles.Get(name)
	if err == nil && p.Doors.ACME != nil {
		return Server{p, *p.Doors.ACME}, nil
	}
	if err != nil && !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) {
		return Server{}, err
	}
	return Server{}, fault.New(fault.NotFound, "NoDoor", "there is no ACME server here; the address is /acme/{profile}/directory, and the profile's ACME door must be open")
}

// caller is who records name: the door, and from where the client came.
func caller(o access.Origin) access.Caller { return access.System("acme").From(o) }

// onRoad is the door as the one road knows it, with the account for whom it asks.
func onRoad(o access.Origin, account string) access.Caller {
	o.Correlation = "acme:" + account
	return access.System("acme").From(o)
}

// record begins a record of what an account did.
func record(r Request, operation, target string) audit.Record {
	rec := caller(r.Origin).Record(operation, target)
	rec.Details[audit.Profile] = r.Server.Profile.Name
	if r.Account.ID != "" {
		rec.Details[audit.Account] = r.Account.ID
	}
	return rec
}

// Paths in records.
func accountPath(id string) string { return "/acme/accounts/" + id }
func orderPath(id string) string   { return "/acme/orders/" + id }
