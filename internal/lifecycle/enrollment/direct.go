package enrollment

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

// The direct road is for who brings a CSR and takes the certificate away: the doors of
// ACME, EST, SCEP and REST. There is no lineage, vault or target. An authority of ours
// that needs no approval answers in the same call and in two transactions: the intent to
// sign, and then certificate, request, record and events together. Everything else is a
// request like any other, and the answer is collected later.

// Own is an Issuer of our own, which takes names that the CSR does not hold and lets the
// request be noted in the transaction of the certificate.
type Own interface {
	Certify(ctx context.Context, c access.Caller, q issuance.Request) (issuance.Result, error)
}

// Profiles finds a profile by its name; fault.Invalid when there is none.
type Profiles interface {
	Get(name string) (profile.Profile, error)
}

// Ask asks for a certificate on the direct road.
type Ask struct {
	Door      string // the protocol, such as "est"; for the record
	Profile   string
	Authority string // empty: the profile's first
	CSR       []byte // PKCS #10, DER
	// CommonName and Names are what the door proved. When both are empty, those of the CSR
	// are taken.
	CommonName string
	Names      profile.Names
	Subject    profile.Subject // besides the common name; nil: that of the CSR, if the names are too
	Validity   time.Duration   // 0: the profile's default
	// Approval wants a person to agree even where the profile does not.
	Approval bool
	// Once makes the call idempotent: the same caller's second ask with it and the same CSR
	// returns what became of the first.
	Once  string
	Owner string // team or person who answers for the certificate
	// AtOnce wants the answer in this call: what needs a person or an issuer elsewhere is
	// refused, because nobody would come back for it.
	AtOnce bool
	// Also joins the transaction that notes the request; may be nil, and may be run more
	// than once. It is not run when Once finds an earlier request.
	Also func(ctx context.Context, made Enrolled) error
}

// Enrolled is what became of an Ask. Certificate and Chain are there when it is Completed.
type Enrolled struct {
	Request     string // id, for Collect
	Authority   string // who issued it, or shall
	State       State  // Pending: a person must agree; InProgress: the issuer thinks
	Certificate []byte // DER
	Chain       [][]byte
	Problem     string // why it failed or was denied
}

const maxCSR = 64 << 10

// Enroll has a certificate issued for a CSR. The caller needs the right to issue by the
// profile. A system caller is a door whose strangers are no principals; what its
// Correlation names, such as an account, is who Once belongs to.
func (s *Service) Enroll(ctx context.Context, c access.Caller, a Ask) (Enrolled, error) {
	p, err := s.entitled(ctx, c, &a)
	if err != nil {
		return Enrolled{}, err
	}
	e, csr, err := s.asked(c, a)
	if err != nil {
		return Enrolled{}, err
	}
	if a.Once != "" {
		if before, err := s.before(ctx, e); !fault.Is(err, fault.NotFound) {
			return before, err
		}
	}
	issuer, err := s.Issuers.Issuer(ctx, e.Wanted.Authority)
	if err != nil {
		return Enrolled{}, err
	}
	own, ours := issuer.(Own)
	e.NeedsApproval = p.Approval || a.Approval
	if ours && !e.NeedsApproval {
		return s.atOnce(ctx, c, own, e, a.also)
	}
	if a.AtOnce {
		return Enrolled{}, fault.New(fault.Invalid, "NotAtOnce", "the profile %s does not answer at once, so make the key yourself and send a CSR", p.Name)
	}
	if err := checkLater(p, csr, e, s.Now()); err != nil {
		return Enrolled{}, err
	}
	if !ours && !SameNames(e.Wanted.Names, RequestNames(csr)) {
		return Enrolled{}, fault.New(fault.Invalid, "NamesDiffer", "the issuer of profile %s takes the names of the CSR; make one that holds exactly the names that are wanted", p.Name)
	}
	made := e
	err = s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if made.Request, err = s.insert(ctx, c, e, "RequestCreate"); err != nil || made.ID != e.ID {
			return err
		}
		return a.also(ctx, made.enrolled())
	})
	if err != nil {
		return Enrolled{}, err
	}
	if made.ID != e.ID { // a call with the same Once was faster
		return s.before(ctx, e)
	}
	return made.enrolled(), nil
}

func (a Ask) also(ctx context.Context, made Enrolled) error {
	if a.Also == nil {
		return nil
	}
	return a.Also(ctx, made)
}

// entitled authorises the caller for the profile and finds it. Who may not issue does not
// learn which profiles there are. It fills in the authority that is meant.
func (s *Service) entitled(ctx context.Context, c access.Caller, a *Ask) (profile.Profile, error) {
	p, err := s.Profiles.Get(a.Profile)
	scope := access.Scope("/authorities")
	if err == nil {
		if a.Authority == "" {
			a.Authority = p.Authorities[0]
		}
		if slices.Contains(p.Authorities, a.Authority) {
			scope = issueScope(a.Authority, p.Name)
		} else {
			err = fault.New(fault.Invalid, "UnknownAuthority", "profile %s is not issued by authority %.64q; use one of %q", p.Name, a.Authority, p.Authorities)
		}
	}
	switch denied := s.Guard.Authorize(ctx, c, issuance.IssueCertificates, scope, "RequestEnroll"); {
	case fault.Is(denied, fault.Denied):
		return p, access.Refuse(c, issuance.IssueCertificates, "/authorities")
	case denied != nil:
		return p, denied
	}
	return p, err
}

func issueScope(authority, profile string) access.Scope {
	return access.Scope("/authorities/" + authority + "/profiles/" + profile)
}

// asked makes the request of an ask. The CSR's signature is not checked yet.
func (s *Service) asked(c access.Caller, a Ask) (Entry, *x509.CertificateRequest, error) {
	if err := errors.Join(checkTexts("", a.Once), lineage.CheckOwner(a.Owner)); err != nil {
		return Entry{}, nil, err
	}
	if len(a.CSR) == 0 || len(a.CSR) > maxCSR {
		return Entry{}, nil, fault.New(fault.Invalid, "BadCSR", "send a CSR of at most 64 KiB")
	}
	csr, err := x509.ParseCertificateRequest(a.CSR)
	if err != nil {
		return Entry{}, nil, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not readable as PKCS #10")
	}
	proved := a.CommonName != "" || a.Names.Count() > 0
	if !proved {
		a.CommonName = csr.Subject.CommonName
		a.Names = RequestNames(csr)
	}
	e := s.begin(c, "", "")
	e.Kind, e.Step, e.CSR, e.Door, e.Proved, e.Subject = Direct, Issue, a.CSR, a.Door, proved, a.Subject
	e.Wanted = lineage.Wanted{
		Name: nameOf(a), Owner: a.Owner, Profile: a.Profile, Authority: a.Authority, CommonName: a.CommonName, Names: a.Names,
		Key: profile.KeyName(csr.PublicKey), Validity: profile.Duration(a.Validity.Truncate(time.Second)),
	}
	if a.Once != "" {
		who := c.Principal
		if c.IsSystem() {
			who = c.Name + "/" + c.Correlation
		}
		e.Once = "direct/" + a.Door + "/" + who + "/" + a.Once
	}
	return e, csr, nil
}

// nameOf is what people call the request.
func nameOf(a Ask) string {
	if all := a.Names.All(); a.CommonName == "" && len(all) > 0 {
		return all[0]
	}
	return a.CommonName
}

// before returns what became of the request with the same Once, or fault.NotFound.
func (s *Service) before(ctx context.Context, e Entry) (Enrolled, error) {
	b, err := s.Store.RequestOnce(ctx, e.Once)
	if err != nil {
		return Enrolled{}, err
	}
	if b.Kind != Direct || !slices.Equal(b.CSR, e.CSR) || b.Wanted.Profile != e.Wanted.Profile || b.Wanted.Authority != e.Wanted.Authority || !SameNames(b.Wanted.Names, e.Wanted.Names) {
		return Enrolled{}, fault.New(fault.Conflict, "OnceUsed", "the idempotency key was used for another request; use a new one")
	}
	return b.enrolled(), nil
}

// atOnce has an authority of ours issue in this call. Killed before the last transaction
// there is an intended serial and no request; nobody has the certificate, and it can be
// asked for again.
func (s *Service) atOnce(ctx context.Context, c access.Caller, own Own, e Entry, also func(context.Context, Enrolled) error) (Enrolled, error) {
	var done Entry
	_, err := own.Certify(ctx, c, e.issuance(func(ctx context.Context, made issuance.Result) error {
		done = e
		done.State, done.Step = Completed, Record
		done.Certificate, done.Chain, done.Signer = made.DER, withoutRoot(made.Chain), made.Authority
		done.Result = lineage.Certificate{SHA256: made.SHA256, NotBefore: made.NotBefore, NotAfter: made.NotAfter, Request: e.ID}
		if err := s.Store.InsertRequest(ctx, done); err != nil {
			return err
		}
		if err := s.tell(ctx, c.Record("RequestEnroll", Path(e.ID)), "Chatelaine.RequestCompleted", done.Request); err != nil {
			return err
		}
		return also(ctx, done.enrolled())
	}))
	if fault.HasCode(err, "Exists") { // a call with the same Once was faster
		return s.before(ctx, e)
	}
	if err != nil {
		return Enrolled{}, err
	}
	return done.enrolled(), nil
}

// issuance is what an authority of ours is asked for.
func (e Entry) issuance(also func(context.Context, issuance.Result) error) issuance.Request {
	q := issuance.Request{
		ID: e.ID, Profile: e.Wanted.Profile, Authority: e.Wanted.Authority, CSR: e.CSR, Validity: time.Duration(e.Wanted.Validity), Subject: e.Subject, Also: also,
	}
	if e.Proved {
		q.CommonName, q.Names = e.Wanted.CommonName, e.Wanted.Names
	}
	return q
}

// checkLater refuses at once what would be refused after the approval: a request against
// the profile, and a CSR that is not signed by its own key.
func checkLater(p profile.Profile, csr *x509.CertificateRequest, e Entry, now time.Time) error {
	ask := profile.Ask{
		PublicKey: csr.PublicKey, CommonName: e.Wanted.CommonName, Names: e.Wanted.Names, Validity: time.Duration(e.Wanted.Validity), Now: now,
	}
	if ask.Subject = e.Subject; ask.Subject == nil && !e.Proved {
		ask.Subject = profile.SubjectOf(csr.Subject)
	}
	if _, err := p.Plan(ask, now.AddDate(100, 0, 0)); err != nil {
		return err
	}
	if err := csr.CheckSignature(); err != nil { // after Plan, which bounds the size of the key
		return fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not signed by its own key")
	}
	return nil
}

// Collect returns what became of a request of the direct road: its requester's, or
// anybody's with the right to read requests.
func (s *Service) Collect(ctx context.Context, c access.Caller, request string) (Enrolled, error) {
	e, findErr := s.Store.Request(ctx, request)
	if findErr == nil && e.Kind == Direct && e.Requester == c.Principal && e.RequesterName == c.Name {
		if err := s.Guard.Authorize(ctx, c, issuance.IssueCertificates, issueScope(e.Wanted.Authority, e.Wanted.Profile), "RequestCollect"); err != nil {
			return Enrolled{}, err
		}
		return e.enrolled(), nil
	}
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "RequestCollect"); err != nil {
		return Enrolled{}, err
	}
	if fault.Is(findErr, fault.NotFound) || findErr == nil && e.Kind != Direct {
		return Enrolled{}, fault.New(fault.NotFound, "RequestNotFound", "there is no request %.64q that a certificate is collected from", request)
	}
	if findErr != nil {
		return Enrolled{}, findErr
	}
	return e.enrolled(), nil
}

func (e Entry) enrolled() Enrolled {
	r := Enrolled{Request: e.ID, Authority: firstOf(e.Signer, e.Wanted.Authority), State: e.State, Problem: e.Problem}
	switch e.State {
	case Approved:
		r.State = InProgress
	case Completed:
		r.Certificate, r.Chain = e.Certificate, e.Chain
	}
	return r
}

// certify is the step issue of an approved request, at an authority of ours. It knows an
// order by its id, so a second call issues nothing.
func (r *runner) certify(ctx context.Context, own Own) (connector.Answer, error) {
	made, err := own.Certify(ctx, r.caller(), r.e.issuance(nil))
	if err != nil {
		return connector.Answer{}, err
	}
	return connector.Answer{Certificate: made.DER, Chain: withoutRoot(made.Chain)}, nil
}

// recordDirect tells the inventory of a certificate that is taken away, and ends the
// request. Where it is installed is for others to find.
func (r *runner) recordDirect(ctx context.Context) (outcome, error) {
	_, err := r.Inventory.Record(ctx, r.caller(), []inventory.Observation{{
		Place: inventory.Place{Source: "authority/" + r.e.Wanted.Authority}, State: inventory.Present,
		DER: r.e.Certificate, Chain: r.e.Chain, At: r.Now(),
	}})
	if err != nil {
		return outcome{}, fmt.Errorf("tell the inventory: %w", err)
	}
	o := r.finish(r.to(Record))
	o.also = func(ctx context.Context) error { return r.own(ctx, r.e) }
	return o, nil
}

// own notes who answers for a certificate of the direct road.
func (s *Service) own(ctx context.Context, e Entry) error {
	if e.Wanted.Owner == "" {
		return nil
	}
	return s.Inventory.SetLineage(ctx, e.Result.SHA256, "", e.Wanted.Owner)
}

// Seen is called by whoever has put a certificate of ours into the inventory: if a request
// of the direct road asked for it, its owner is noted. It does not authorise.
func (s *Service) Seen(ctx context.Context, request string) error {
	e, err := s.Store.Request(ctx, request)
	if fault.Is(err, fault.NotFound) || err == nil && (e.Kind != Direct || e.Result.SHA256 == "") {
		return nil
	}
	if err != nil {
		return err
	}
	return s.own(ctx, e)
}
