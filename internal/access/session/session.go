// Package session lets people into the console: by a one-time link or a password, for a
// session that ends by itself.
package session

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

const (
	idle     = 15 * time.Minute // a session that is not used for so long ends
	absolute = 8 * time.Hour    // every session ends after so long
	linkLife = 15 * time.Minute
	touch    = time.Minute // how exactly the last use is stored
)

// Deps is what a Service needs.
type Deps struct {
	Directory *directory.Directory
	Store     Store
	Transact  audit.Transact
	Audit     audit.Recorder
	// Refusals takes what failed; the caller flushes it.
	Refusals *access.Refusals
	Sealer   Sealer
	Now      func() time.Time
	Log      *slog.Logger
}

// Service signs people in and out. It is safe for concurrent use.
type Service struct {
	Deps
	attempts *attempts
}

// New makes the service.
func New(d Deps) *Service { return &Service{Deps: d, attempts: newAttempts(d.Now)} }

// Session is one that just began. ID is for the browser's cookie and for nobody else.
type Session struct {
	ID        access.Secret
	Principal directory.Principal
	Expires   time.Time // at the latest
}

// Link is a one-time way in. Token is for whoever signs in with it.
type Link struct {
	Token   access.Secret
	Expires time.Time
}

// CreateLink makes a link that signs its holder in as the principal, once, for a quarter
// of an hour.
func (s *Service) CreateLink(ctx context.Context, c access.Caller, principal string) (Link, error) {
	if err := s.Directory.Authorize(ctx, c, access.WriteAccess, access.Root, "SignInLinkCreate"); err != nil {
		return Link{}, err
	}
	p, err := s.Directory.Find(principal)
	if err != nil {
		return Link{}, err
	}
	now := s.Now().UTC()
	link := Link{Token: access.Generate(access.SignInLinkPrefix), Expires: now.Add(linkLife)}
	row, err := s.seal(linkKind, link.Token.Digest(), content{Principal: p.ID, Epoch: p.Epoch, Began: now, Expires: link.Expires})
	if err != nil {
		return Link{}, err
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.PutLink(ctx, row); err != nil {
			return err
		}
		return s.Audit.Record(ctx, c.Record("SignInLinkCreate", "/principals/"+p.ID))
	})
	if err != nil {
		return Link{}, err
	}
	return link, nil
}

// SignInByLink trades a link for a session. previous, if any, is the session that the
// browser had; it ends. A link that was used, is unknown or has expired is
// fault.Unauthenticated with the code InvalidLink.
func (s *Service) SignInByLink(ctx context.Context, token access.Secret, previous access.Secret, from access.Origin) (Session, error) {
	var began Session
	err := s.Transact(ctx, func(ctx context.Context) error {
		row, err := s.Store.UseLink(ctx, token.Digest())
		if err != nil {
			return err
		}
		link, p, err := s.open(linkKind, row)
		if err != nil {
			return err
		}
		if !s.Now().Before(link.Expires) {
			return fault.New(fault.NotFound, "LinkExpired", "the link has expired")
		}
		began, err = s.begin(ctx, p, previous, from, "link")
		return err
	})
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unauthenticated) {
		return Session{}, s.refuse(ctx, directory.Principal{}, from, fault.Wrap(err, fault.Unauthenticated, "InvalidLink",
			"the link was used, has expired or is incomplete; ask an administrator for a new one, or start the server again, which prints one"))
	}
	if err != nil {
		return Session{}, err
	}
	return began, nil
}

// Attempt is one try to sign in with a password.
type Attempt struct {
	Name     string
	Password access.Secret
	Previous access.Secret // the session that the browser had, if any; it ends
	From     access.Origin
}

// SignIn begins a session for a user's name and password. Too many wrong ones from an
// address, or for a user, are fault.Limited.
func (s *Service) SignIn(ctx context.Context, a Attempt) (Session, error) {
	if err := s.attempts.begin(a.Name, a.From.Address); err != nil {
		return Session{}, s.refuse(ctx, directory.Principal{}, a.From, fault.Of(err))
	}
	p, err := s.Directory.ProvePassword(ctx, a.Name, a.Password)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			return Session{}, s.refuse(ctx, p, a.From, fault.Of(err))
		}
		return Session{}, err
	}
	s.attempts.succeeded(a.Name, a.From.Address)
	var began Session
	err = s.Transact(ctx, func(ctx context.Context) (err error) {
		began, err = s.begin(ctx, p, a.Previous, a.From, "password")
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return began, nil
}

// begin makes a session with a new id, always: an id that somebody planted in the browser
// before is never the one that is signed in.
func (s *Service) begin(ctx context.Context, p directory.Principal, previous access.Secret, from access.Origin, how string) (Session, error) {
	if previous.Reveal() != "" {
		if err := s.Store.End(ctx, previous.Digest()); err != nil {
			return Session{}, err
		}
	}
	now := s.Now().UTC()
	began := Session{ID: access.Generate(""), Principal: p, Expires: now.Add(absolute)}
	row, err := s.seal(sessionKind, began.ID.Digest(), content{Principal: p.ID, Epoch: p.Epoch, Began: now, Expires: began.Expires})
	if err != nil {
		return Session{}, err
	}
	row.Seen = now
	if err := s.Store.PutSession(ctx, row); err != nil {
		return Session{}, err
	}
	r := p.Caller().From(from).Record("SignIn", "/principals/"+p.ID)
	r.Details[audit.Grant] = how
	return began, s.Audit.Record(ctx, r)
}

// Authenticate returns whose session it is, and notes that it was used. One that has
// ended, for whatever reason, is fault.Unauthenticated with the code SessionEnded.
func (s *Service) Authenticate(ctx context.Context, id access.Secret) (access.Caller, error) {
	ended := func(cause error) error {
		return fault.Wrap(cause, fault.Unauthenticated, "SessionEnded", "your session has ended; sign in again")
	}
	if id.Reveal() == "" {
		return access.Caller{}, fault.New(fault.Unauthenticated, "SignInNeeded", "sign in first")
	}
	row, err := s.Store.Session(ctx, id.Digest())
	if fault.Is(err, fault.NotFound) {
		return access.Caller{}, ended(err)
	}
	if err != nil {
		return access.Caller{}, err
	}
	sealed, p, err := s.open(sessionKind, row)
	if err != nil {
		return access.Caller{}, ended(err)
	}
	now := s.Now().UTC()
	if !now.Before(sealed.Expires) || !now.Before(row.Seen.Add(idle)) {
		return access.Caller{}, ended(nil)
	}
	if now.Sub(row.Seen) >= touch {
		if err := s.Store.Touch(ctx, row.Hash, now); err != nil {
			return access.Caller{}, err
		}
	}
	return p.Caller(), nil
}

// SignOut ends a session. One that has ended already is no error.
func (s *Service) SignOut(ctx context.Context, id access.Secret, from access.Origin) error {
	row, err := s.Store.Session(ctx, id.Digest())
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.End(ctx, row.Hash); err != nil {
			return err
		}
		_, p, err := s.open(sessionKind, row)
		if err != nil { // it had ended otherwise already
			return nil
		}
		return s.Audit.Record(ctx, p.Caller().From(from).Record("SignOut", "/principals/"+p.ID))
	})
}

// SignOutEverywhere ends every session of a principal: the caller's own, or anybody's for
// whoever may write access.
func (s *Service) SignOutEverywhere(ctx context.Context, c access.Caller, principal string) error {
	if c.Principal != principal {
		if err := s.Directory.Authorize(ctx, c, access.WriteAccess, access.Root, "SignOutEverywhere"); err != nil {
			return err
		}
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.EndAll(ctx, principal); err != nil {
			return err
		}
		return s.Audit.Record(ctx, c.Record("SignOutEverywhere", "/principals/"+principal))
	})
}

// Purge deletes what has ended. Call it every hour or so.
func (s *Service) Purge(ctx context.Context) error {
	now := s.Now()
	return s.Store.Purge(ctx, now, now.Add(-idle))
}

func (s *Service) seal(kind string, hash access.Digest, c content) (Row, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return Row{}, err
	}
	return Row{Hash: hash, Principal: c.Principal, Expires: c.Expires, Sealed: s.Sealer.Seal(identity(kind, hash), plain)}, nil
}

// open returns what a row says, and the principal if it is still who it was: enabled, and
// without a newer password.
func (s *Service) open(kind string, row Row) (content, directory.Principal, error) {
	plain, err := s.Sealer.Open(identity(kind, row.Hash), row.Sealed)
	if err != nil {
		return content{}, directory.Principal{}, fmt.Errorf("open %s: %w", kind, err)
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return content{}, directory.Principal{}, fmt.Errorf("open %s: %w", kind, err)
	}
	p, err := s.Directory.Find(c.Principal)
	if err != nil {
		return content{}, directory.Principal{}, err
	}
	if p.Epoch != c.Epoch {
		return content{}, directory.Principal{}, fault.New(fault.Unauthenticated, "Revoked", "the account has changed since")
	}
	return c, p, nil
}

// refuse counts a failed sign-in and returns its error. A name that belongs to nobody is
// not recorded: people type passwords there.
func (s *Service) refuse(ctx context.Context, p directory.Principal, from access.Origin, refusal *fault.Error) error {
	r := p.Caller().From(from).Record("SignIn", "/sessions")
	r.Outcome = audit.Denied
	r.Details[audit.Reason] = refusal.Code
	if err := s.Refusals.Note(ctx, r); err != nil {
		return fmt.Errorf("record the refused sign-in: %w", err)
	}
	return refusal
}
