package revocation

import (
	"context"
	"encoding/json"
	"log/slog"
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
	// Lifetime of a CRL: from thisUpdate to nextUpdate. 0: seven days.
	Lifetime time.Duration
	// Refresh is the age at which a CRL is made anew although nothing changed; less than
	// Lifetime, so that a machine that is down for a while does not let it expire. 0: a day.
	Refresh time.Duration
	Now     func() time.Time
	Log     *slog.Logger
}

// Service revokes certificates and publishes CRLs.
type Service struct{ c Config }

// New makes a Service.
func New(c Config) *Service {
	if c.Lifetime <= 0 {
		c.Lifetime = 7 * 24 * time.Hour
	}
	if c.Refresh <= 0 || c.Refresh >= c.Lifetime {
		c.Refresh = min(24*time.Hour, c.Lifetime/2)
	}
	return &Service{c: c}
}

// Request names a certificate, by SHA256 or by Authority and Serial, and says why it ends.
type Request struct {
	SHA256    string // hex, of the certificate
	Authority string
	Serial    string // hex
	Reason    string // RFC 5280 section 5.3.1; empty: unspecified
}

// Revoke ends the trust in a certificate. It is durable when Revoke returns; the CRL
// follows at once, and if that fails with the next RebuildDue. A serial that was
// intended but never issued can be revoked too, because it may have been signed.
// fault.NotFound; fault.Conflict "AlreadyRevoked" when it is revoked, "CertificateExpired"
// when there is no trust left to end; fault.Invalid for a reason that does not exist.
func (s *Service) Revoke(ctx context.Context, c access.Caller, r Request) (issuance.Certificate, error) {
	cert, findErr := s.find(ctx, r)
	scope := access.Scope("/authorities")
	if findErr == nil {
		scope = access.Scope("/authorities/" + cert.Authority)
	}
	// Whoever may not revoke learns nothing about what exists.
	if err := s.c.Guard.Authorize(ctx, c, RevokeCertificates, scope, "CertificateRevoke"); err != nil {
		return issuance.Certificate{}, err
	}
	if findErr != nil {
		return issuance.Certificate{}, findErr
	}
	if _, err := code(r.Reason); err != nil {
		return issuance.Certificate{}, err
	}
	if r.Reason == "" {
		r.Reason = "unspecified"
	}
	now := s.c.Now()
	if now.After(cert.NotAfter) && cert.State != issuance.Revoked {
		return issuance.Certificate{}, fault.New(fault.Conflict, "CertificateExpired", "certificate %s expired at %s; nobody trusts it any more", cert.Serial, cert.NotAfter.Format(time.RFC3339))
	}
	var count int64
	err := s.c.Transact(ctx, func(ctx context.Context) error {
		var err error
		if cert, count, err = s.c.Store.Revoke(ctx, cert.Authority, cert.Serial, r.Reason, now); err != nil {
			return err
		}
		return s.tell(ctx, c, cert)
	})
	if err != nil {
		return issuance.Certificate{}, err
	}
	if err := s.publish(context.WithoutCancel(ctx), c, cert.Authority, count); err != nil {
		s.c.Log.Error("a certificate is revoked, its CRL is not made yet", "authority", cert.Authority, "serial", cert.Serial, "error", err)
	}
	return cert, nil
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
	rec := c.Record("CertificateRevoke", cert.Target())
	rec.Details[audit.Serial], rec.Details[audit.Issuer] = cert.Serial, cert.Authority
	rec.Details[audit.Reason], rec.Details[audit.Profile] = cert.Reason, cert.Profile
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
		Reason    string    `json:"reason"`
		RevokedAt time.Time `json:"revokedAt"`
	}{cert.SHA256, cert.Serial, cert.Authority, cert.Subject, cert.Reason, cert.RevokedAt})
	if err != nil {
		return err
	}
	return s.c.Events.Emit(ctx, event.Event{
		Source: "/authorities/" + cert.Authority, Type: "Chatelaine.CertificateRevoked", Subject: cert.Serial, Data: data,
	})
}
