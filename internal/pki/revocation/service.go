package revocation

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

// RevokeCertificates is the action that this package asks for, at "/authorities/{id}".
const RevokeCertificates access.Action = "Chatelaine/certificates/revoke"

// Certificates finds what is to be revoked. issuance.Store has these.
type Certificates interface {
	CertificateBySerial(ctx context.Context, authority, serial string) (issuance.Certificate, error)
	CertificateBySHA256(ctx context.Context, sha256 string) (issuance.Certificate, error)
}

// Config is what a Service needs.
type Config struct {
	Store        Store
	Certificates Certificates
	Authorities  issuance.Authorities
	Transact     audit.Transact
	Audit        audit.Recorder
	Events       event.Emitter
	Guard        access.Guard
	// StatusURL is where serve/status is reached. Lists name each other by it; empty: no parts.
	StatusURL string
	// Changed is told of an authority whose certificates were revoked or released, once that
	// is durable; may be nil.
	Changed func(authority string)
	// Sweeps keeps bulk revocations, and Enqueue starts their work, as job.Queue does.
	Sweeps  SweepStore
	Enqueue func(ctx context.Context, a SweepArgs) error
	// Lifetime of a CRL: from thisUpdate to nextUpdate. 0: seven days.
	Lifetime time.Duration
	// Refresh is the age at which a CRL is made anew although nothing changed; less than
	// Lifetime, so that a machine that is down for a while does not let it expire. 0: a day.
	Refresh time.Duration
	Now     func() time.Time
	Log     *slog.Logger
}

// Service revokes certificates and publishes CRLs.
type Service struct {
	c Config

	mu    sync.Mutex
	books map[string]*book // by authority
	shelf shelf
}

// New makes a Service.
func New(c Config) *Service {
	if c.Lifetime <= 0 {
		c.Lifetime = 7 * 24 * time.Hour
	}
	if c.Refresh <= 0 || c.Refresh >= c.Lifetime {
		c.Refresh = min(24*time.Hour, c.Lifetime/2)
	}
	if c.Changed == nil {
		c.Changed = func(string) {}
	}
	return &Service{c: c, books: map[string]*book{}}
}

// Request names a certificate, by SHA256 or by Authority and Serial, and says why it ends.
type Request struct {
	SHA256    string // hex, of the certificate
	Authority string
	Serial    string // hex
	Reason    string // RFC 5280 section 5.3.1; empty: unspecified
	// InvalidSince is when the key is thought to have been compromised, or when the
	// certificate became invalid otherwise (section 5.3.2); zero: not known.
	InvalidSince time.Time
}

// Revoke ends the trust in a certificate; with the reason certificateHold until Release
// or another Revoke. It is durable when Revoke returns; the CRL follows at once, and if
// that fails with the next RebuildDue. A serial that was intended but never issued can be
// revoked too, because it may have been signed.
// fault.NotFound; fault.Conflict "AlreadyRevoked" when it is revoked, "CertificateExpired"
// when there is no trust left to end; fault.Invalid for a reason that does not exist.
func (s *Service) Revoke(ctx context.Context, c access.Caller, r Request) (issuance.Certificate, error) {
	cert, err := s.mayChange(ctx, c, r, "CertificateRevoke")
	if err != nil {
		return issuance.Certificate{}, err
	}
	if r.Reason == "" {
		r.Reason = "unspecified"
	}
	now := s.c.Now()
	if err := check(r.Reason, r.InvalidSince, now); err != nil {
		return issuance.Certificate{}, err
	}
	if r.Reason == Hold && strings.HasPrefix(cert.Profile, "(") { // not of a profile: an authority's own
		return issuance.Certificate{}, fault.New(fault.Invalid, "HoldNotAllowed", "the certificate of an authority cannot be put on hold; disable the authority, or revoke it for good")
	}
	if now.After(cert.NotAfter) && cert.State != issuance.Revoked {
		return issuance.Certificate{}, fault.New(fault.Conflict, "CertificateExpired", "certificate %s expired at %s; nobody trusts it any more", cert.Serial, cert.NotAfter.Format(time.RFC3339))
	}
	return s.change(ctx, c, cert, func(ctx context.Context) (issuance.Certificate, int64, error) {
		cert, count, err := s.c.Store.Revoke(ctx, Revocation{Authority: cert.Authority, Serial: cert.Serial, Reason: r.Reason, At: now, InvalidSince: r.InvalidSince})
		if err != nil {
			return cert, count, err
		}
		return cert, count, s.tell(ctx, c, cert)
	})
}

// check refuses what no revocation can say.
func check(reason string, invalidSince, now time.Time) error {
	if _, err := code(reason); err != nil {
		return err
	}
	if invalidSince.After(now) {
		return fault.New(fault.Invalid, "BadInvalidityDate", "the date since which the certificate is invalid lies ahead; it is now %s", now.UTC().Format(time.RFC3339))
	}
	return nil
}

// Release ends a hold: the certificate is trusted again. Deltas say so until every list
// that has it is over. fault.NotFound; fault.Conflict "NotOnHold" for one that is not
// revoked, or for good.
func (s *Service) Release(ctx context.Context, c access.Caller, r Request) (issuance.Certificate, error) {
	cert, err := s.mayChange(ctx, c, r, "CertificateRelease")
	if err != nil {
		return issuance.Certificate{}, err
	}
	return s.change(ctx, c, cert, func(ctx context.Context) (issuance.Certificate, int64, error) {
		cert, count, err := s.c.Store.Release(ctx, cert.Authority, cert.Serial)
		if err != nil {
			return cert, count, err
		}
		return cert, count, s.tellReleased(ctx, c, cert)
	})
}

// mayChange finds the certificate and authorises. Whoever may not revoke learns nothing
// about what exists.
func (s *Service) mayChange(ctx context.Context, c access.Caller, r Request, operation string) (issuance.Certificate, error) {
	cert, findErr := s.find(ctx, r)
	scope := access.Scope("/authorities")
	if findErr == nil {
		scope = access.Scope("/authorities/" + cert.Authority)
	}
	if err := s.c.Guard.Authorize(ctx, c, RevokeCertificates, scope, operation); err != nil {
		return issuance.Certificate{}, err
	}
	return cert, findErr
}

// change runs a change of a certificate, tells who keeps answers and publishes the CRL.
func (s *Service) change(ctx context.Context, c access.Caller, cert issuance.Certificate, do func(ctx context.Context) (issuance.Certificate, int64, error)) (issuance.Certificate, error) {
	var count int64
	var done issuance.Certificate
	err := s.c.Transact(ctx, func(ctx context.Context) error {
		var err error
		done, count, err = do(ctx)
		return err
	})
	if err != nil {
		return issuance.Certificate{}, err
	}
	s.c.Changed(cert.Authority)
	if err := s.publish(context.WithoutCancel(ctx), c, cert.Authority, count); err != nil {
		s.c.Log.Error("a certificate changed, its CRL is not made yet", "authority", cert.Authority, "serial", cert.Serial, "error", err)
	}
	return done, nil
}

// find returns the certificate that the request names.
func (s *Service) find(ctx context.Context, r Request) (issuance.Certificate, error) {
	switch {
	case r.SHA256 != "" && r.Serial == "" && r.Authority == "":
		sum, err := fingerprint(r.SHA256)
		if err != nil {
			return issuance.Certificate{}, err
		}
		return s.c.Certificates.CertificateBySHA256(ctx, sum)
	case r.SHA256 == "" && r.Serial != "" && profile.ValidID(r.Authority):
		serial, err := issuance.ParseSerial(r.Serial)
		if err != nil {
			return issuance.Certificate{}, err
		}
		return s.c.Certificates.CertificateBySerial(ctx, r.Authority, serial)
	}
	return issuance.Certificate{}, fault.New(fault.Invalid, "BadRequest", "name the certificate by its SHA-256, or by its authority and serial")
}

// tell writes the record and the event of a revocation.
func (s *Service) tell(ctx context.Context, c access.Caller, cert issuance.Certificate) error {
	return s.write(ctx, c, cert, note{"CertificateRevoke", "Chatelaine.CertificateRevoked", cert.Reason, cert.RevokedAt})
}

// tellReleased writes those of the end of a hold.
func (s *Service) tellReleased(ctx context.Context, c access.Caller, cert issuance.Certificate) error {
	return s.write(ctx, c, cert, note{operation: "CertificateRelease", event: "Chatelaine.CertificateReleased"})
}

// note is what is told of a change.
type note struct {
	operation, event, reason string
	at                       time.Time
}

func (s *Service) write(ctx context.Context, c access.Caller, cert issuance.Certificate, n note) error {
	rec := c.Record(n.operation, cert.Target())
	rec.Details[audit.Serial], rec.Details[audit.Issuer], rec.Details[audit.Profile] = cert.Serial, cert.Authority, cert.Profile
	if n.reason != "" {
		rec.Details[audit.Reason] = n.reason
	}
	if cert.SHA256 != "" {
		rec.Details[audit.Fingerprint] = cert.SHA256
	}
	if err := s.c.Audit.Record(ctx, rec); err != nil {
		return err
	}
	data, err := json.Marshal(struct {
		SHA256    string    `json:"sha256,omitempty"`
		Serial    string    `json:"serial"`
		Authority string    `json:"authority"`
		Subject   string    `json:"subject"`
		Reason    string    `json:"reason,omitempty"`
		RevokedAt time.Time `json:"revokedAt,omitzero"`
	}{cert.SHA256, cert.Serial, cert.Authority, cert.Subject, n.reason, n.at})
	if err != nil {
		return err
	}
	return s.c.Events.Emit(ctx, event.Event{Source: "/authorities/" + cert.Authority, Type: n.event, Subject: cert.Serial, Data: data})
}
