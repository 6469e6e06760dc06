package issuance

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

// Actions that this package asks for. The scope of an issuance is
// "/authorities/{id}/profiles/{name}", that of everything else "/authorities/{id}" or "/".
const (
	IssueCertificates access.Action = "Chatelaine/certificates/issue"
	ReadCertificates  access.Action = "Chatelaine/certificates/read"
)

// Approvals knows which requests people agreed to.
type Approvals interface {
	// Approved returns nil if the approved request covers exactly this, fault.Denied or
	// fault.NotFound if not.
	Approved(ctx context.Context, a Approval) error
}

// Approval is what must have been agreed to.
type Approval struct {
	Request    string // id
	Authority  string
	Profile    string
	CommonName string
	Names      profile.Names
	KeySHA256  string // of the SubjectPublicKeyInfo, hex
	NotAfter   time.Time
}

// Deps is what a Service needs.
type Deps struct {
	Ceremony    *Ceremony
	Authorities Authorities
	Profiles    profile.Source
	Store       Store
	Guard       access.Guard
	// Approvals may be nil; then profiles that need an approval issue nothing.
	Approvals Approvals
	Now       func() time.Time
}

// Service issues certificates and lists them.
type Service struct{ d Deps }

// New makes a Service. It refuses profiles that claim a standard that no lint checks.
func New(d Deps) (*Service, error) {
	for _, p := range d.Profiles.All() {
		if err := CheckStandards(p); err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.Name, err)
		}
	}
	return &Service{d: d}, nil
}

// Request asks for one certificate.
type Request struct {
	// ID makes the call idempotent when it is set: a second call with the same ID and key
	// returns the certificate of the first.
	ID        string
	Profile   string
	Authority string // empty: the profile's first
	// CSR is a PKCS #10 request, DER or PEM. Only its key is taken, and its subject and
	// alternative names when the request has none of its own; every other attribute and
	// extension is ignored.
	CSR        []byte
	PublicKey  crypto.PublicKey // instead of CSR, when the caller holds the key
	CommonName string
	Subject    profile.Subject // attributes besides the common name
	Names      profile.Names
	Validity   time.Duration // 0: the profile's default
	// Also joins the transaction in which the certificate becomes an issued one; may be nil,
	// and may be run more than once. An earlier answer for the same ID does not run it.
	Also func(ctx context.Context, made Result) error
}

// Result is an issued certificate and the certificates above it.
type Result struct {
	Certificate
	Chain [][]byte // DER, the issuing authority first, the root last
}

// Issue makes a certificate: fault.Invalid when the profile or a lint refuses it,
// fault.Denied when the caller may not or an approval is missing, fault.Conflict when the
// authority cannot sign now or the ID was used for another key.
func (s *Service) Issue(ctx context.Context, c access.Caller, r Request) (Result, error) {
	p, err := s.resolve(&r)
	scope := access.Scope("/authorities")
	if err == nil {
		scope = access.Scope("/authorities/" + r.Authority + "/profiles/" + p.Name)
	}
	switch denied := s.d.Guard.Authorize(ctx, c, IssueCertificates, scope, "CertificateIssue"); {
	case fault.Is(denied, fault.Denied): // who may not issue does not learn which profiles there are, and of whom
		return Result{}, access.Refuse(c, IssueCertificates, "/authorities")
	case denied != nil:
		return Result{}, denied
	case err != nil:
		return Result{}, err
	}
	csr, err := r.read()
	if err != nil {
		return Result{}, err
	}
	line, err := s.line(ctx, r.Authority)
	if err != nil {
		return Result{}, err
	}
	issuer := line[len(line)-1]
	if r.ID != "" {
		if done, err := s.earlier(ctx, r, line); !fault.Is(err, fault.NotFound) {
			return done, err
		}
	}
	o, err := s.order(ctx, p, r, csr, issuer)
	if err != nil {
		return Result{}, err
	}
	made, err := s.d.Ceremony.Certify(ctx, c, o)
	if r.ID != "" && fault.Is(err, fault.Conflict) {
		if done, err := s.earlier(ctx, r, line); !fault.Is(err, fault.NotFound) { // another call was faster
			return done, err
		}
	}
	if err != nil {
		return Result{}, err
	}
	return Result{Certificate: made, Chain: issuer.Chain}, nil
}

// resolve finds the profile and the authority. It changes r.Authority to the one meant.
func (s *Service) resolve(r *Request) (profile.Profile, error) {
	if len(r.ID) > 128 {
		return profile.Profile{}, fault.New(fault.Invalid, "BadRequest", "a request's id has at most 128 bytes")
	}
	p, err := s.d.Profiles.Get(r.Profile)
	if err != nil {
		return p, err
	}
	if r.Authority == "" {
		r.Authority = p.Authorities[0]
	}
	if !slices.Contains(p.Authorities, r.Authority) {
		return p, fault.New(fault.Invalid, "UnknownAuthority", "profile %s is not issued by authority %.64q; use one of %q", p.Name, r.Authority, p.Authorities)
	}
	return p, nil
}

// earlier returns what was issued for the same request before, or fault.NotFound.
func (s *Service) earlier(ctx context.Context, r Request, line []Issuer) (Result, error) {
	done, err := s.d.Store.CertificateByRequest(ctx, r.ID)
	if err != nil {
		return Result{}, err
	}
	key, err := keyHash(r.PublicKey)
	if err != nil {
		return Result{}, err
	}
	at := slices.IndexFunc(line, func(i Issuer) bool { return i.ID == done.Authority })
	if done.KeySHA256 != key || done.Profile != r.Profile || at < 0 {
		return Result{}, fault.New(fault.Conflict, "RequestUsed", "request %s was answered for another key or profile; use a new id", r.ID)
	}
	if done.State != Issued {
		return Result{}, fault.New(fault.Conflict, "AlreadyRevoked", "the certificate of request %s is revoked; use a new id", r.ID)
	}
	return Result{Certificate: done, Chain: line[at].Chain}, nil
}

// order checks the request against the profile, and the approval if there must be one.
func (s *Service) order(ctx context.Context, p profile.Profile, r Request, csr *x509.CertificateRequest, issuer Issuer) (Order, error) {
	now := s.d.Now()
	if err := issuer.mayIssue(now); err != nil {
		return Order{}, err
	}
	if k, ok := r.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && k.Equal(issuer.Certificate.PublicKey) {
		return Order{}, fault.New(fault.Invalid, "KeyNotAllowed", "this is the authority's own key; make a new one")
	}
	plan, err := p.Plan(profile.Ask{PublicKey: r.PublicKey, CommonName: r.CommonName, Subject: r.Subject, Names: r.Names, Validity: r.Validity, Now: now}, issuer.Certificate.NotAfter)
	if err != nil {
		return Order{}, err
	}
	if csr != nil { // after Plan, which bounds the size of the key that is computed with here
		if err := csr.CheckSignature(); err != nil {
			return Order{}, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not signed by its own key")
		}
	}
	if err := s.uncompromised(ctx, r.PublicKey); err != nil {
		return Order{}, err
	}
	if err := s.approved(ctx, p, r, plan); err != nil {
		return Order{}, err
	}
	t, err := template(p, plan)
	o := Order{
		Operation: "CertificateIssue", Issuer: issuer, Profile: p.Name, Standards: p.Standards, NoStatus: p.NoRevocation, Publish: p.Publish,
		Request: r.ID, PublicKey: r.PublicKey, Names: plan.Names, Template: t,
	}
	if r.Also != nil {
		o.Also = func(ctx context.Context, made Certificate) error {
			return r.Also(ctx, Result{Certificate: made, Chain: issuer.Chain})
		}
	}
	return o, err
}

// uncompromised refuses a key that somebody else is known to have (Baseline Requirements,
// section 6.1.1.3).
func (s *Service) uncompromised(ctx context.Context, pub crypto.PublicKey) error {
	key, err := keyHash(pub)
	if err != nil {
		return err
	}
	if known, err := s.d.Store.Compromised(ctx, key); err != nil || !known {
		return err
	}
	return fault.New(fault.Invalid, "KeyCompromised", "a certificate of this key was revoked because the key was compromised; make a new key")
}

// approved refuses what nobody agreed to, when the profile wants it agreed to.
func (s *Service) approved(ctx context.Context, p profile.Profile, r Request, plan profile.Plan) error {
	if !p.Approval {
		return nil
	}
	if r.ID == "" || s.d.Approvals == nil {
		return fault.New(fault.Denied, "ApprovalRequired", "profile %s needs an approval; make a request and have it approved", p.Name)
	}
	key, err := keyHash(r.PublicKey)
	if err != nil {
		return err
	}
	return s.d.Approvals.Approved(ctx, Approval{
		Request: r.ID, Authority: r.Authority, Profile: p.Name, CommonName: plan.CommonName, Names: plan.Names, KeySHA256: key, NotAfter: plan.NotAfter,
	})
}

// Get returns one certificate by its authority and serial; fault.NotFound.
func (s *Service) Get(ctx context.Context, c access.Caller, authority, serial string) (Certificate, error) {
	if err := s.mayRead(ctx, c, authority, "CertificateGet"); err != nil {
		return Certificate{}, err
	}
	serial, err := ParseSerial(serial)
	if err != nil {
		return Certificate{}, err
	}
	return s.d.Store.CertificateBySerial(ctx, authority, serial)
}

// maxPage bounds one page of a list.
const maxPage = 1000

// List returns certificates, newest first, and the token of the next page, which is
// empty at the end. limit is 1 to 1000; 0 means 100.
func (s *Service) List(ctx context.Context, c access.Caller, f Filter, after string, limit int) ([]Certificate, string, error) {
	if err := s.mayRead(ctx, c, f.Authority, "CertificateList"); err != nil {
		return nil, "", err
	}
	cursor, err := ParseCursor(after)
	if err != nil {
		return nil, "", err
	}
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, maxPage)
	list, err := s.d.Store.Certificates(ctx, f, cursor, limit+1)
	if err != nil || len(list) <= limit {
		return list, "", err
	}
	last := list[limit-1]
	return list[:limit], Cursor{CreatedAt: last.CreatedAt, Serial: last.Serial}.String(), nil
}

// String is the cursor as a token; empty for the beginning.
func (c Cursor) String() string {
	if c == (Cursor{}) {
		return ""
	}
	return strconv.FormatInt(c.CreatedAt.UnixMicro(), 10) + "." + c.Serial
}

// ParseCursor reads what String writes.
func ParseCursor(token string) (Cursor, error) {
	if token == "" {
		return Cursor{}, nil
	}
	at, serial, ok := strings.Cut(token, ".")
	us, err := strconv.ParseInt(at, 10, 64)
	if _, hexErr := hex.DecodeString(serial); !ok || err != nil || hexErr != nil {
		return Cursor{}, fault.New(fault.Invalid, "BadPage", "%.64q marks no page of this list; begin again without it", token)
	}
	return Cursor{CreatedAt: time.UnixMicro(us).UTC(), Serial: serial}, nil
}

func (s *Service) mayRead(ctx context.Context, c access.Caller, authority, operation string) error {
	scope := access.Root
	if authority != "" {
		if !profile.ValidID(authority) {
			return fault.New(fault.Invalid, "UnknownAuthority", "%.64q is no id of an authority", authority)
		}
		scope = access.Scope("/authorities/" + authority)
	}
	return s.d.Guard.Authorize(ctx, c, ReadCertificates, scope, operation)
}
