package issuance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

// Ceremony is the fixed order of steps in which a certificate is made, and the only
// place that signs one:
//
//  1. A serial is drawn, and a lint certificate is made: the whole certificate, signed
//     by a throw-away key.
//  2. Its serial and the bytes to be signed are recorded and committed: state Intended.
//  3. The lint certificate is linted.
//  4. The recorded bytes are signed, and the result is compared with the lint certificate.
//  5. The certificate, the audit record and the event commit together: state Issued.
//
// Wherever the process stops, a serial that may have been signed is known and can be
// revoked. A certificate leaves only after step 5.
type Ceremony struct {
	c         CeremonyConfig
	throwaway throwaway
}

// CeremonyConfig is what a Ceremony needs.
type CeremonyConfig struct {
	Store    Store
	Transact audit.Transact
	Audit    audit.Recorder
	Events   event.Emitter
	Linter   *Linter
	// StatusURL is where serve/status is reached, such as "http://pki.example.com".
	// Certificates then name the CRL and the issuer's certificate there; plain HTTP is
	// right, because both are signed, and fetching them over TLS would need them. Empty: no
	// such extensions.
	StatusURL string
	Random    io.Reader // of serials; nil: crypto/rand
	Now       func() time.Time
	Log       *slog.Logger
}

// NewCeremony makes a Ceremony, or says what is wrong with the status URL.
func NewCeremony(c CeremonyConfig) (*Ceremony, error) {
	c.StatusURL = strings.TrimSuffix(c.StatusURL, "/")
	if c.StatusURL != "" {
		u, err := url.Parse(c.StatusURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("status URL %q: want a URL such as http://pki.example.com", c.StatusURL)
		}
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return &Ceremony{c: c, throwaway: newThrowaway()}, nil
}

// Order is one certificate to make. Whoever gives it has authorised and decided.
type Order struct {
	Operation string // of the audit record
	Issuer    Issuer
	Profile   string
	Standards []string // lint sources besides the basic ones
	Request   string   // id of the request; may be empty
	PublicKey crypto.PublicKey
	Names     profile.Names
	// Template holds subject, names, validity, usages and constraints. The ceremony adds
	// serial, key ids, algorithm and the addresses of the CRL and the issuer.
	Template x509.Certificate
	// Also joins the last transaction; may be nil, and may be run more than once.
	Also func(ctx context.Context, made Certificate) error
}

// afterIntent is how long the steps after the intent may take; they do not end when the
// caller goes away, because a half-made certificate serves nobody.
const afterIntent = time.Minute

// Certify makes a certificate. It must not be called inside a Transact: the intent would
// commit only with the rest. fault.Invalid when a lint refuses it.
func (y *Ceremony) Certify(ctx context.Context, c access.Caller, o Order) (Certificate, error) {
	made, lint, err := y.draft(c, o)
	if err != nil {
		return Certificate{}, fmt.Errorf("prepare a certificate of %s: %w", o.Issuer.ID, err)
	}
	if err := y.intend(ctx, c, made); err != nil {
		return Certificate{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterIntent)
	defer cancel()
	if err := y.c.Linter.Check(lint.Raw, o.Standards); err != nil {
		return Certificate{}, y.fail(ctx, c, o, made, "LintRefused", err)
	}
	final, err := y.sign(o, lint, made.TBS)
	if err != nil {
		return Certificate{}, y.fail(ctx, c, o, made, "SigningFailed", err)
	}
	return y.finish(ctx, c, o, made, final)
}

// draft makes the certificate's row and its lint certificate.
func (y *Ceremony) draft(c access.Caller, o Order) (Certificate, *x509.Certificate, error) {
	serial, err := newSerial(y.c.Random)
	if err != nil {
		return Certificate{}, nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(o.PublicKey)
	if err != nil {
		return Certificate{}, nil, err
	}
	keyHash := sha256.Sum256(spki)
	t := o.Template
	t.SerialNumber = serial
	if t.SignatureAlgorithm, err = algorithm(o.Issuer.Signer.Public()); err != nil {
		return Certificate{}, nil, err
	}
	t.SubjectKeyId = keyHash[:20] // RFC 7093 section 2 (4), cut to the usual length
	switch {
	case o.Issuer.Certificate == nil:
		t.AuthorityKeyId = t.SubjectKeyId
	case y.c.StatusURL != "":
		t.CRLDistributionPoints = []string{y.c.StatusURL + "/crl/" + o.Issuer.ID + ".crl"}
		t.IssuingCertificateURL = []string{y.c.StatusURL + "/ca/" + o.Issuer.ID + ".cer"}
	}
	lint, err := y.throwaway.certificate(&t, o.Issuer.Certificate, o.PublicKey)
	if err != nil {
		return Certificate{}, nil, err
	}
	return Certificate{
		Authority: o.Issuer.ID, Serial: FormatSerial(serial), Request: o.Request, Profile: o.Profile,
		Subject: lint.Subject.String(), Names: o.Names, KeySHA256: hex.EncodeToString(keyHash[:]),
		State: Intended, NotBefore: lint.NotBefore, NotAfter: lint.NotAfter, TBS: lint.RawTBSCertificate,
		CreatedAt: y.c.Now(), Requester: c.Principal,
	}, lint, nil
}

// intend records what is about to be signed, and makes sure that it is durable by reading
// it back with a context that carries no transaction.
func (y *Ceremony) intend(ctx context.Context, c access.Caller, made Certificate) error {
	err := y.c.Transact(ctx, func(ctx context.Context) error {
		if err := y.c.Store.Intend(ctx, made); err != nil {
			return err
		}
		return y.c.Audit.Record(ctx, record(c, "CertificateIntend", made))
	})
	if fault.Is(err, fault.Conflict) { // a chance of 2⁻¹²⁶, so the source of randomness is broken
		return fault.Wrap(err, fault.Internal, "SerialRepeated", "a serial was drawn twice; check the machine's source of randomness")
	}
	if err != nil {
		return fmt.Errorf("record the intent of %s: %w", made.Target(), err)
	}
	outside, cancel := context.WithTimeout(context.Background(), afterIntent)
	defer cancel()
	stored, err := y.c.Store.CertificateBySerial(outside, made.Authority, made.Serial)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "IntentNotDurable", "the intent of "+made.Target()+" cannot be read back; is this called inside a transaction?")
	}
	if !bytes.Equal(stored.TBS, made.TBS) || stored.State != Intended {
		return fmt.Errorf("the intent of %s was stored differently", made.Target())
	}
	return nil
}

// sign signs the recorded bytes and checks the result.
func (y *Ceremony) sign(o Order, lint *x509.Certificate, tbs []byte) (*x509.Certificate, error) {
	der, err := sign(o.Issuer.Signer, lint, tbs)
	if err != nil {
		return nil, err
	}
	final, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return final, correspond(lint, final, o.Issuer.Certificate)
}

// fail records why the certificate was not made and returns the cause.
func (y *Ceremony) fail(ctx context.Context, c access.Caller, o Order, made Certificate, code string, cause error) error {
	err := y.c.Transact(ctx, func(ctx context.Context) error {
		if err := y.c.Store.Fail(ctx, made.Serial, code); err != nil {
			return err
		}
		r := record(c, o.Operation, made)
		r.Outcome = audit.Failed
		r.Details[audit.Reason] = code
		return y.c.Audit.Record(ctx, r)
	})
	if err != nil { // it stays Intended, which is as safe
		y.c.Log.Error("a certificate that was not made stays intended", "serial", made.Serial, "error", err)
	}
	return fmt.Errorf("make %s: %w", made.Target(), cause)
}

// finish stores the signed certificate with its record and its event. When it fails, the
// certificate is dropped and its serial stays Intended.
func (y *Ceremony) finish(ctx context.Context, c access.Caller, o Order, made Certificate, final *x509.Certificate) (Certificate, error) {
	sum := sha256.Sum256(final.Raw)
	made.SHA256, made.DER, made.IssuedAt = hex.EncodeToString(sum[:]), final.Raw, y.c.Now()
	e, err := issued(made)
	if err != nil {
		return Certificate{}, err
	}
	done := made
	done.State, done.TBS = Issued, nil
	err = y.c.Transact(ctx, func(ctx context.Context) error {
		if err := y.c.Store.Finish(ctx, made); err != nil {
			return err
		}
		if o.Also != nil {
			if err := o.Also(ctx, done); err != nil {
				return err
			}
		}
		if err := y.c.Audit.Record(ctx, record(c, o.Operation, made)); err != nil {
			return err
		}
		return y.c.Events.Emit(ctx, e)
	})
	if err != nil {
		return Certificate{}, fmt.Errorf("store %s: %w", made.Target(), err)
	}
	return done, nil
}

func record(c access.Caller, operation string, m Certificate) audit.Record {
	r := c.Record(operation, m.Target())
	r.Details[audit.Serial] = m.Serial
	r.Details[audit.Issuer] = m.Authority
	r.Details[audit.Profile] = m.Profile
	for field, value := range map[audit.Field]string{audit.Subject: m.Subject, audit.Fingerprint: m.SHA256, audit.Request: m.Request} {
		if value != "" {
			r.Details[field] = value
		}
	}
	return r
}

// issued is the event that tells of a new certificate.
func issued(m Certificate) (event.Event, error) {
	data, err := json.Marshal(struct {
		SHA256    string    `json:"sha256"`
		Serial    string    `json:"serial"`
		Authority string    `json:"authority"`
		Profile   string    `json:"profile"`
		Subject   string    `json:"subject"`
		NotAfter  time.Time `json:"notAfter"`
		Request   string    `json:"request,omitempty"`
	}{m.SHA256, m.Serial, m.Authority, m.Profile, m.Subject, m.NotAfter, m.Request})
	return event.Event{
		Source: "/authorities/" + m.Authority, Type: "Chatelaine.CertificateIssued", Subject: m.Serial, Data: data,
	}, err
}
