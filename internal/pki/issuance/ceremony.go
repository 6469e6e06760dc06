package issuance

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/url"
	"strconv"
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
//  1. A serial is drawn, and the bytes to be signed are drafted.
//  2. Both are recorded and committed: state Intended.
//  3. The draft is linted, with no signature in the place of the issuer's.
//  4. The recorded bytes are signed, and the result is compared with the draft.
//  5. The certificate, the audit record and the event commit together: state Issued.
//
// Wherever the process stops, a serial that may have been signed is known and can be
// revoked. A certificate leaves only after step 5.
type Ceremony struct{ c CeremonyConfig }

// CeremonyConfig is what a Ceremony needs.
type CeremonyConfig struct {
	Store    Store
	Transact audit.Transact
	// InTransaction reports whether a context carries a transaction, which Transact would join.
	InTransaction func(ctx context.Context) bool
	Audit         audit.Recorder
	Events        event.Emitter
	Linter        *Linter
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
	return &Ceremony{c: c}, nil
}

// Order is one certificate to make. Whoever gives it has authorised and decided.
type Order struct {
	Operation string // of the audit record
	Issuer    Issuer
	Profile   string
	Standards []string // lint sources besides the basic ones
	NoStatus  bool     // no revocation information, and RFC 9608's word for it
	Publish   bool     // the event of the issuance carries the certificate
	Request   string   // id of the request; may be empty
	PublicKey crypto.PublicKey
	Names     profile.Names
	// Template holds subject, names, validity, usages and constraints. The ceremony adds
	// serial, key ids, algorithm and the addresses of OCSP, the CRL and the issuer.
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
	made, drafted, err := y.draft(c, o)
	if err != nil {
		return Certificate{}, fmt.Errorf("prepare a certificate of %s: %w", o.Issuer.ID, err)
	}
	if err := o.allowed(drafted); err != nil {
		return Certificate{}, err
	}
	if err := y.intend(ctx, c, made); err != nil {
		return Certificate{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterIntent)
	defer cancel()
	if err := drafted.check(y.c.Linter, o.Standards); err != nil {
		return Certificate{}, y.fail(ctx, c, o, made, "LintRefused", err)
	}
	final, err := drafted.sign(o.Issuer)
	if err != nil {
		return Certificate{}, y.fail(ctx, c, o, made, "SigningFailed", err)
	}
	return y.finish(ctx, c, o, made, final)
}

// draft makes the certificate's row and the bytes to be signed.
func (y *Ceremony) draft(c access.Caller, o Order) (Certificate, draft, error) {
	serial, err := newSerial(y.c.Random)
	if err != nil {
		return Certificate{}, draft{}, err
	}
	keyHash, err := o.identify(serial)
	if err != nil {
		return Certificate{}, draft{}, err
	}
	t, part := &o.Template, 0
	if url := y.c.StatusURL; url != "" && o.Issuer.Certificate != nil {
		t.IssuingCertificateURL = []string{url + "/ca/" + o.Issuer.ID + ".cer"}
		if !o.NoStatus { // RFC 9608 section 2: noRevAvail and addresses of status exclude each other
			t.OCSPServer = []string{url + "/ocsp/" + o.Issuer.ID}
			name := "" // of the whole list
			if part = partOf(serial, o.Issuer.Partitions); part > 0 {
				name = strconv.Itoa(part)
			}
			t.CRLDistributionPoints = []string{ListAddress(url, o.Issuer.ID, name)}
		}
	}
	drafted, err := newDraft(t, o.Issuer.Certificate, o.Issuer.Signer.Public(), o.PublicKey)
	if err != nil {
		return Certificate{}, draft{}, err
	}
	return Certificate{
		Authority: o.Issuer.ID, Serial: FormatSerial(serial), Request: o.Request, Profile: o.Profile,
		Subject: subjectText(t.Subject), Names: o.Names, KeySHA256: hex.EncodeToString(keyHash[:]),
		State: Intended, NotBefore: t.NotBefore.UTC(), NotAfter: t.NotAfter.UTC(), TBS: drafted.tbs,
		CreatedAt: y.c.Now(), Requester: c.Principal, Part: part,
	}, drafted, nil
}

// ListAddress is where a CRL of an authority is found, below the address of serve/status:
// the whole list, or the part with a name. A certificate names the list that it is on by
// it, and a part says by it which certificates it is about.
func ListAddress(statusURL, authority, part string) string {
	if part != "" {
		authority += "/" + part
	}
	return statusURL + "/crl/" + authority + ".crl"
}

// partOf is the part of a list that a new serial is on: they are random, so that all parts
// grow alike. 0 where the list has no parts.
func partOf(serial *big.Int, parts int) int {
	if parts == 0 {
		return 0
	}
	return 1 + int(new(big.Int).Mod(serial, big.NewInt(int64(parts))).Int64())
}

// subjectText is the subject as a parsed certificate prints it.
func subjectText(n pkix.Name) string {
	var parsed pkix.Name
	rdns := n.ToRDNSequence()
	parsed.FillFromRDNSequence(&rdns)
	return parsed.String()
}

// intend records what is about to be signed.
func (y *Ceremony) intend(ctx context.Context, c access.Caller, made Certificate) error {
	if y.c.InTransaction(ctx) {
		return fault.New(fault.Internal, "IntentNotDurable", "the intent of %s would be committed only with the certificate: no certificate is made inside a transaction", made.Target())
	}
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
	return nil
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
	e, err := issued(made, o.Publish)
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

// issued is the event that tells of a new certificate, and shows it when it is to be published.
func issued(m Certificate, publish bool) (event.Event, error) {
	x := struct {
		SHA256      string    `json:"sha256"`
		Serial      string    `json:"serial"`
		Authority   string    `json:"authority"`
		Profile     string    `json:"profile"`
		Subject     string    `json:"subject"`
		NotAfter    time.Time `json:"notAfter"`
		Request     string    `json:"request,omitempty"`
		Certificate []byte    `json:"certificate,omitempty"` // DER
	}{SHA256: m.SHA256, Serial: m.Serial, Authority: m.Authority, Profile: m.Profile, Subject: m.Subject, NotAfter: m.NotAfter, Request: m.Request}
	if publish {
		x.Certificate = m.DER
	}
	data, err := json.Marshal(x)
	return event.Event{
		Source: "/authorities/" + m.Authority, Type: "Chatelaine.CertificateIssued", Subject: m.Serial, Data: data,
	}, err
}
