package authority

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/vault/keystore"
)

// profileName is what the certificates of authorities bear in place of a profile. No
// profile has this name, so nobody can ask for one by a request.
const profileName = "(authority)"

const (
	minValidity = 24 * time.Hour
	maxValidity = 30 * 366 * 24 * time.Hour
	backdate    = time.Hour // notBefore lies this far back, for clocks that are slow
	maxText     = 64        // ub-common-name and ub-organization-name, RFC 5280 appendix A.1
)

// Make makes an authority as Create, CreateIntermediate or CreatePending does.
func (s *Service) Make(ctx context.Context, c access.Caller, o Origin, spec Spec) (Authority, error) {
	switch {
	case o.External && o.Parent != "":
		return Authority{}, fault.New(fault.Invalid, "UnknownAuthority", "an authority is certified either from outside or by authority %.64q", o.Parent)
	case o.External:
		return s.CreatePending(ctx, c, spec)
	case o.Parent != "":
		return s.CreateIntermediate(ctx, c, o.Parent, spec)
	}
	return s.Create(ctx, c, spec)
}

// Create makes a root: a key and a certificate that signs itself. fault.Conflict when the
// id exists, fault.Invalid when the Spec cannot be.
func (s *Service) Create(ctx context.Context, c access.Caller, spec Spec) (Authority, error) {
	return s.create(ctx, c, "", spec, nil)
}

// CreateIntermediate makes an authority that another one of ours signs. Errors as in
// Create, and when a path length or the validity above forbids it; fault.NotFound when
// there is no such parent.
func (s *Service) CreateIntermediate(ctx context.Context, c access.Caller, parent string, spec Spec) (Authority, error) {
	if parent == "" {
		return Authority{}, fault.New(fault.Invalid, "UnknownAuthority", "say which authority signs the intermediate one")
	}
	return s.create(ctx, c, parent, spec, nil)
}

// create makes an authority. also joins the transaction in which it comes into being; may be nil.
func (s *Service) create(ctx context.Context, c access.Caller, parent string, spec Spec, also func(ctx context.Context) error) (Authority, error) {
	if err := s.mayCreate(ctx, c, parent, spec.ID); err != nil {
		return Authority{}, err
	}
	if err := spec.valid(parent == ""); err != nil {
		return Authority{}, err
	}
	if err := s.fresh(ctx, spec.ID); err != nil {
		return Authority{}, err
	}
	issuer, template, err := s.prepare(ctx, parent, spec)
	if err != nil {
		return Authority{}, err
	}
	material, pub, err := s.d.Keystore.Generate(ctx, spec.Key)
	if err != nil {
		return Authority{}, err
	}
	if parent == "" {
		private, err := keystore.OpenSigner(ctx, s.d.Keystore, material)
		if err != nil {
			return Authority{}, err
		}
		issuer = issuance.Issuer{ID: spec.ID, Signer: private, Active: true}
	}
	sealed := s.d.Sealer.Seal(keyName(spec.ID), material)
	var created Authority
	_, err = s.d.Ceremony.Certify(ctx, c, issuance.Order{
		Operation: "AuthorityCreate", Issuer: issuer, Profile: profileName, PublicKey: pub, Template: template,
		Also: func(ctx context.Context, made issuance.Certificate) error {
			created = Authority{
				ID: spec.ID, Parent: parent, Subject: made.Subject, Certificate: made.DER, Serial: made.Serial, SHA256: made.SHA256,
				NotBefore: made.NotBefore, NotAfter: made.NotAfter, Keystore: s.d.Keystore.Name(), State: Active, CreatedAt: made.IssuedAt,
			}
			if err := s.d.Store.InsertAuthority(ctx, created, sealed); err != nil || also == nil {
				return err
			}
			return also(ctx)
		},
	})
	if err != nil {
		return Authority{}, fmt.Errorf("create authority %s: %w", spec.ID, err)
	}
	return created, nil
}

// mayCreate authorises a new authority. A signature of the parent is as much as a change of it.
func (s *Service) mayCreate(ctx context.Context, c access.Caller, parent, id string) error {
	err := s.may(ctx, c, WriteAuthorities, id, "AuthorityCreate")
	if err == nil && parent != "" {
		err = s.may(ctx, c, WriteAuthorities, parent, "AuthorityCreate")
	}
	return err
}

// fresh refuses an id that is taken.
func (s *Service) fresh(ctx context.Context, id string) error {
	_, err := s.d.Store.Authority(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil {
		err = fault.New(fault.Conflict, "AuthorityExists", "authority %s exists", id)
	}
	return err
}

// prepare opens the parent, if there is one, and makes the certificate's template.
func (s *Service) prepare(ctx context.Context, parent string, spec Spec) (issuance.Issuer, x509.Certificate, error) {
	t, err := Template(spec, s.d.Now(), parent == "")
	if err != nil || parent == "" {
		return issuance.Issuer{}, t, err
	}
	issuer, err := s.certifier(ctx, parent, t)
	return issuer, t, err
}

// Template is the certificate of an authority to be made now, but for what its key and its
// issuer decide. fault.Invalid when the Spec cannot be.
func Template(spec Spec, now time.Time, root bool) (x509.Certificate, error) {
	if err := spec.valid(root); err != nil {
		return x509.Certificate{}, err
	}
	from := now.UTC().Truncate(time.Second).Add(-backdate)
	t := x509.Certificate{
		Subject:   spec.name(),
		NotBefore: from, NotAfter: from.Add(spec.Validity.Truncate(time.Second) - time.Second),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	return t, spec.apply(&t, root)
}

// certifier opens the authority that shall certify another one, and refuses what it may not.
func (s *Service) certifier(ctx context.Context, id string, t x509.Certificate) (issuance.Issuer, error) {
	issuer, err := s.Issuer(ctx, id)
	switch {
	case err != nil:
	case len(issuer.Chain) >= maxDepth:
		err = fault.New(fault.Invalid, "PathTooLong", "above %s there are as many authorities as there may be", id)
	case !issuer.Active || s.d.Now().After(issuer.Certificate.NotAfter):
		err = fault.New(fault.Conflict, "AuthorityEnded", "authority %s is revoked, disabled or expired, or one above it is revoked, and it signs no authority; use another", id)
	case s.d.Now().Before(issuer.Certificate.NotBefore):
		err = fault.New(fault.Conflict, "AuthorityNotBegun", "authority %s is valid from %s on; is the clock of this machine right?", id, issuer.Certificate.NotBefore.Format(time.RFC3339))
	case t.NotAfter.After(issuer.Certificate.NotAfter):
		err = fault.New(fault.Invalid, "ValidityNotAllowed", "authority %s itself expires at %s; ask for a shorter validity", id, issuer.Certificate.NotAfter.Format(time.RFC3339))
	case issuer.Certificate.Subject.String() == t.Subject.String():
		err = fault.New(fault.Invalid, "BadName", "the authority would have the name of the one above it; give it another")
	default:
		err = issuer.CheckPath(t.MaxPathLen)
	}
	return issuer, err
}

// name is the subject.
func (s Spec) name() pkix.Name {
	n := pkix.Name{CommonName: s.CommonName}
	if s.Organization != "" {
		n.Organization = []string{s.Organization}
	}
	return n
}

func (s Spec) valid(root bool) error {
	if s.Validity < minValidity || s.Validity > maxValidity {
		return fault.New(fault.Invalid, "ValidityNotAllowed", "an authority is valid for a day up to 30 years; ask for years that you can plan")
	}
	return s.keyed(root)
}

// keyed is what of valid concerns an authority whose certificate comes from outside.
func (s Spec) keyed(root bool) error {
	if s.CommonName == "" || !readable(s.CommonName) || !readable(s.Organization) {
		return fault.New(fault.Invalid, "BadName", "an authority needs a common name of up to 64 bytes of printable UTF-8 without space at its ends, and may have an organization like it")
	}
	if s.Key.RootOnly() && !root {
		return fault.New(fault.Invalid, "KeyNotAllowed", "a key of type %s takes too long to sign for an authority that issues; make a root with it, and use P-384 or ML-DSA-65 below", s.Key)
	}
	return s.Key.CheckAuthority()
}

// readable reports whether people see what a text of a subject says: no controls, and
// nothing that turns the direction of writing.
func readable(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && strings.TrimSpace(text) == text &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
}

// Establish returns the issuing authority, after making it and its root if either is
// absent. The composition root calls it at every start; nodes that start at the same
// time agree on one.
func (s *Service) Establish(ctx context.Context, c access.Caller, root, issuing Spec) (Authority, error) {
	if _, err := s.ensure(ctx, c, "", root); err != nil {
		return Authority{}, err
	}
	return s.ensure(ctx, c, root.ID, issuing)
}

func (s *Service) ensure(ctx context.Context, c access.Caller, parent string, spec Spec) (Authority, error) {
	a, err := s.Get(ctx, c, spec.ID)
	if !fault.Is(err, fault.NotFound) {
		return a, err
	}
	if a, err = s.create(ctx, c, parent, spec, nil); fault.Is(err, fault.Conflict) {
		return s.Get(ctx, c, spec.ID)
	}
	return a, err
}

// belong reports whether a private key is the one that a certificate is for.
func belong(certified, held crypto.PublicKey) error {
	k, ok := certified.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !k.Equal(held) {
		return errors.New("the stored key is not that of the certificate")
	}
	return nil
}

// Defaults are the authorities that an empty installation makes: a root for ten years and
// an issuing authority for five. The domain is part of their names, so that two
// installations in one trust store are told apart.
func Defaults(domain string) (root, issuing Spec) {
	organization := "Chatelaine"
	if named := organization + " " + domain; len(named) <= maxText {
		organization = named
	}
	key := keystore.Spec{Type: keystore.EC, Curve: "P-256"}
	root = Spec{ID: "root", CommonName: "Chatelaine Root CA", Organization: organization, Key: key, Validity: 3652 * 24 * time.Hour}
	issuing = Spec{ID: "issuing", CommonName: "Chatelaine Issuing CA", Organization: organization, Key: key, Validity: 1826 * 24 * time.Hour}
	return root, issuing
}
