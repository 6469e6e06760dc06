package passcode

import (
	"context"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

// Profiles finds a profile; fault.Invalid when there is none.
type Profiles interface {
	Get(name string) (profile.Profile, error)
}

// Deps are what the service needs.
type Deps struct {
	Store    Store
	Profiles Profiles
	Transact audit.Transact
	Audit    audit.Recorder
	Guard    access.Guard
	Now      func() time.Time
}

// Service makes passcodes and takes them.
type Service struct{ d Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

const (
	defaultLife = 24 * time.Hour
	maxLife     = 365 * 24 * time.Hour
	maxNames    = 100
	maxText     = 255
	maxPage     = 500
	// kept is how long one that expired is still listed.
	kept = 30 * 24 * time.Hour
)

// Draft asks for a passcode.
type Draft struct {
	Door    string
	Profile string
	Names   []string
	Life    time.Duration // 0: a day
	Comment string
}

// Create makes a passcode and shows it this once.
func (s *Service) Create(ctx context.Context, c access.Caller, d Draft) (Passcode, access.Secret, error) {
	const operation = "PasscodeCreate"
	if err := s.d.Guard.Authorize(ctx, c, Write, access.Root, operation); err != nil {
		return Passcode{}, access.Secret{}, err
	}
	p, err := s.d.Profiles.Get(d.Profile)
	if err != nil {
		return Passcode{}, access.Secret{}, err
	}
	scope := access.Scope("/authorities/" + p.Authorities[0] + "/profiles/" + p.Name)
	if err := s.d.Guard.Authorize(ctx, c, issuance.IssueCertificates, scope, operation); err != nil {
		return Passcode{}, access.Secret{}, err
	}
	if d.Life == 0 {
		d.Life = defaultLife
	}
	if err := d.check(p); err != nil {
		return Passcode{}, access.Secret{}, err
	}
	secret := access.Generate(Prefix)
	e := Entry{
		Passcode: Passcode{
			ID: uuid.NewV7().String(), Door: d.Door, Profile: p.Name, Names: d.Names, Comment: d.Comment,
			Maker: c.Principal, Created: s.d.Now().UTC(), Expires: s.d.Now().Add(d.Life).UTC(),
		},
		Digest: digestOf(secret),
	}
	err = s.d.Transact(ctx, func(ctx context.Context) error {
		if err := s.d.Store.ForgetPasscodes(ctx, s.d.Now().Add(-kept)); err != nil {
			return err
		}
		if err := s.d.Store.InsertPasscode(ctx, e); err != nil {
			return err
		}
		return s.d.Audit.Record(ctx, record(c, operation, e.Passcode))
	})
	if err != nil {
		return Passcode{}, access.Secret{}, err
	}
	return e.Passcode, secret, nil
}

// check refuses a passcode that no door would take, or that says nothing.
func (d Draft) check(p profile.Profile) error {
	open := map[string]bool{EST: p.Doors.EST != nil && p.Doors.EST.Basic, SCEP: p.Doors.SCEP != nil && p.Doors.SCEP.Challenge}
	allowed, known := open[d.Door]
	switch {
	case !known:
		return fault.New(fault.Invalid, "UnknownDoor", "%.40q takes no one-time passwords; use %s or %s", d.Door, EST, SCEP)
	case !allowed:
		return fault.New(fault.Invalid, "DoorClosed", "the profile %s takes no one-time passwords by %s; open its door first", p.Name, d.Door)
	case d.Life < time.Minute || d.Life > maxLife:
		return fault.New(fault.Invalid, "InvalidLife", "a one-time password lives for a minute to 365 days")
	case len(d.Names) == 0 || len(d.Names) > maxNames:
		return fault.New(fault.Invalid, "InvalidNames", "say which names may be asked for, up to %d; * stands for every one that the door allows", maxNames)
	case len(d.Comment) > maxText || !utf8.ValidString(d.Comment):
		return fault.New(fault.Invalid, "TextTooLong", "a comment has up to %d bytes", maxText)
	}
	for _, n := range d.Names {
		if n == "" || len(n) > maxText || !utf8.ValidString(n) || strings.TrimSpace(n) != n {
			return fault.New(fault.Invalid, "InvalidNames", "%.64q is no name", n)
		}
	}
	return nil
}

// List returns up to limit passcodes, newest first, after an id.
func (s *Service) List(ctx context.Context, c access.Caller, after string, limit int) ([]Passcode, error) {
	if err := s.d.Guard.Authorize(ctx, c, Read, access.Root, "PasscodeList"); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, limit)
	}
	es, err := s.d.Store.Passcodes(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]Passcode, len(es))
	for i, e := range es {
		list[i] = e.Passcode
	}
	return list, nil
}

// Delete takes a passcode back. What was issued for it stays.
func (s *Service) Delete(ctx context.Context, c access.Caller, id string) error {
	if err := s.d.Guard.Authorize(ctx, c, Write, access.Root, "PasscodeDelete"); err != nil {
		return err
	}
	return s.d.Transact(ctx, func(ctx context.Context) error {
		e, err := s.d.Store.Passcode(ctx, id)
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.NotFound, "PasscodeNotFound", "there is no one-time password %.64q; the list names each with its id", id)
		}
		if err != nil {
			return err
		}
		if err := s.d.Store.DeletePasscode(ctx, id); err != nil {
			return err
		}
		return s.d.Audit.Record(ctx, record(c, "PasscodeDelete", e.Passcode))
	})
}

// Use is a passcode as a client shows it.
type Use struct {
	Door, Profile string
	Secret        access.Secret
	CSR           [32]byte // SHA-256 of the CSR that it is shown with
	Names         []string // all that the certificate would say
	From          access.Origin
}

// Spend takes a passcode for one CSR: the same again is taken again, because an answer may
// have been lost, another is refused. Whatever is wrong with it, the error is the same,
// fault.Unauthenticated; that a name is not allowed is fault.Denied, and spends nothing. It
// does not authorise: the passcode does.
func (s *Service) Spend(ctx context.Context, u Use) (Passcode, error) {
	if !strings.HasPrefix(u.Secret.Reveal(), Prefix) {
		return Passcode{}, errWrong()
	}
	var found Entry
	err := s.d.Transact(ctx, func(ctx context.Context) error {
		var err error
		// By the hash of 256 random bits, so its time tells nothing.
		found, err = s.d.Store.PasscodeByDigest(ctx, digestOf(u.Secret))
		if fault.Is(err, fault.NotFound) {
			return errWrong()
		}
		if err != nil {
			return err
		}
		csr := hex.EncodeToString(u.CSR[:])
		if found.Door != u.Door || found.Profile != u.Profile || !s.d.Now().Before(found.Expires) || found.SpentFor != "" && found.SpentFor != csr {
			return errWrong()
		}
		if name, outside := Outside(found.Names, u.Names); outside {
			return fault.New(fault.Denied, "NameNotAllowed", "the one-time password is not for the name %.64q", name)
		}
		if found.SpentFor == csr {
			return nil
		}
		if err := s.d.Store.SpendPasscode(ctx, found.ID, csr, s.d.Now()); err != nil {
			return err
		}
		return s.d.Audit.Record(ctx, record(caller(u), "PasscodeSpend", found.Passcode))
	})
	if fault.Is(err, fault.Conflict) {
		err = errWrong()
	}
	return found.Passcode, err
}

// Release makes a passcode unused again when its CSR was refused, so that the client can
// mend the CSR.
func (s *Service) Release(ctx context.Context, id string) error {
	return s.d.Store.SpendPasscode(ctx, id, "", time.Time{})
}

func errWrong() error {
	return fault.New(fault.Unauthenticated, "InvalidPasscode", "the one-time password is wrong, used, expired or for something else; ask for a new one")
}

// caller is the door that a passcode was shown at.
func caller(u Use) access.Caller {
	c := access.System(u.Door)
	c.Address, c.Agent, c.Correlation = u.From.Address, u.From.Agent, u.From.Correlation
	return c
}

func digestOf(s access.Secret) string {
	d := s.Digest()
	return hex.EncodeToString(d[:])
}

func record(c access.Caller, operation string, p Passcode) audit.Record {
	r := c.Record(operation, "/passcodes/"+p.ID)
	r.Details[audit.Door], r.Details[audit.Profile] = p.Door, p.Profile
	if len(p.Names) > 0 {
		r.Details[audit.Subject] = p.Names[0]
	}
	return r
}
