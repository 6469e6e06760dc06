package authority

import (
	"context"
	"crypto/x509"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/vault/keystore"
)

// Succeed makes a new authority, with a key, a certificate and a CRL of its own, that
// issues in the place of an old one from the same moment on. Profiles and requests keep
// the old name and lead to the new one. The old one signs its CRLs until it expires, so
// that both are valid side by side; Enable takes the step back. What spec leaves empty is
// as it was: the kind of key, the organization, the limits and how long it is valid. Errors as in Create.
func (s *Service) Succeed(ctx context.Context, c access.Caller, id string, spec Spec) (Authority, error) {
	if err := s.may(ctx, c, WriteAuthorities, id, "AuthoritySucceed"); err != nil {
		return Authority{}, err
	}
	old, err := s.public(ctx, id)
	if err != nil {
		return Authority{}, err
	}
	if old.State != Active && old.State != Disabled && old.State != Revoked || old.Successor != "" {
		return Authority{}, fault.New(fault.Conflict, "AuthoritySuperseded", "authority %s has the successor %s; make one of that", id, old.Successor)
	}
	if len(old.Above) > 0 {
		return Authority{}, fault.New(fault.Conflict, "ExternalAuthority", "authority %s was certified from outside; make a new one with a CSR, import its certificate and have it follow", id)
	}
	own, err := signature.ParseCertificate(old.Certificate)
	if err != nil {
		return Authority{}, err
	}
	if err := spec.inherit(own); err != nil {
		return Authority{}, err
	}
	return s.create(ctx, c, old.Parent, spec, func(ctx context.Context) error {
		return s.supersede(ctx, c, old, spec.ID)
	})
}

// Follow has an authority that exists issue in the place of another one, as Succeed does,
// and returns it.
func (s *Service) Follow(ctx context.Context, c access.Caller, id, successor string) (Authority, error) {
	for _, at := range []string{id, successor} {
		if err := s.may(ctx, c, WriteAuthorities, at, "AuthoritySucceed"); err != nil {
			return Authority{}, err
		}
	}
	old, err := s.public(ctx, id)
	if err != nil {
		return Authority{}, err
	}
	next, err := s.public(ctx, successor)
	if err != nil {
		return Authority{}, err
	}
	if old.Successor != "" || next.State != Active || next.Severed || id == successor {
		return Authority{}, fault.New(fault.Conflict, "AuthoritySuperseded", "authority %s has a successor, or %s is not active or below a revoked one", id, successor)
	}
	err = s.d.Transact(ctx, func(ctx context.Context) error {
		next, err := s.public(ctx, successor)
		if err == nil && next.State != Active { // somebody else turned the two around, or ended it
			err = fault.New(fault.Conflict, "AuthorityChanged", "authority %s is not active any more; look at it again", successor)
		}
		if err != nil {
			return err
		}
		return s.supersede(ctx, c, old, successor)
	})
	if err != nil {
		return Authority{}, err
	}
	return next, nil
}

// supersede is part of a transaction.
func (s *Service) supersede(ctx context.Context, c access.Caller, old Authority, successor string) error {
	to := Superseded
	if old.State == Revoked {
		to = Revoked // it stays so, but what is asked of it goes to the successor
	}
	if err := s.d.Store.SetState(ctx, old.ID, old.State, to, successor); err != nil {
		return err
	}
	old.Successor = successor
	return s.tell(ctx, c, "AuthoritySucceed", old, nil)
}

// inherit fills what is empty from the certificate of the predecessor.
func (s *Spec) inherit(own *x509.Certificate) error {
	if s.Key == (keystore.Spec{}) {
		key, err := keystore.AuthoritySpecOf(own.PublicKey)
		if err != nil {
			return err
		}
		s.Key = key
	}
	if s.Organization == "" && len(own.Subject.Organization) > 0 {
		s.Organization = own.Subject.Organization[0]
	}
	if s.Validity == 0 {
		s.Validity = own.NotAfter.Sub(own.NotBefore) + time.Second
	}
	if s.PathLength == nil && (own.MaxPathLen > 0 || own.MaxPathLenZero) {
		s.PathLength = &own.MaxPathLen
	}
	if s.Permitted.Count() == 0 {
		s.Permitted.DNS, s.Permitted.Email, s.Permitted.URI = own.PermittedDNSDomains, own.PermittedEmailAddresses, own.PermittedURIDomains
		for _, n := range own.PermittedIPRanges {
			s.Permitted.IP = append(s.Permitted.IP, n.String())
		}
	}
	if s.Excluded.Count() == 0 {
		s.Excluded.DNS, s.Excluded.Email, s.Excluded.URI = own.ExcludedDNSDomains, own.ExcludedEmailAddresses, own.ExcludedURIDomains
		for _, n := range own.ExcludedIPRanges {
			s.Excluded.IP = append(s.Excluded.IP, n.String())
		}
	}
	return nil
}

// Replace is Succeed or, when the successor exists, Follow, which takes an id alone. It
// returns the successor.
func (s *Service) Replace(ctx context.Context, c access.Caller, id string, spec Spec, exists bool) (Authority, error) {
	if !exists {
		return s.Succeed(ctx, c, id, spec)
	}
	if spec.CommonName != "" || spec.Organization != "" || spec.Key != (keystore.Spec{}) || spec.Validity != 0 || !spec.none() {
		return Authority{}, fault.New(fault.Invalid, "BadRequest", "authority %.64q exists; name it by its id alone", spec.ID)
	}
	return s.Follow(ctx, c, id, spec.ID)
}

// SetIssuing is Enable or Disable.
func (s *Service) SetIssuing(ctx context.Context, c access.Caller, id string, issuing bool) (Authority, error) {
	if issuing {
		return s.Enable(ctx, c, id)
	}
	return s.Disable(ctx, c, id)
}

// Disable ends the issuing of an authority, which keeps signing its CRLs.
func (s *Service) Disable(ctx context.Context, c access.Caller, id string) (Authority, error) {
	return s.change(ctx, c, id, "AuthorityDisable", Disabled, Active)
}

// Enable has an authority issue again, also one that was superseded.
func (s *Service) Enable(ctx context.Context, c access.Caller, id string) (Authority, error) {
	return s.change(ctx, c, id, "AuthorityEnable", Active, Disabled, Superseded)
}

func (s *Service) change(ctx context.Context, c access.Caller, id, operation string, to State, from ...State) (Authority, error) {
	if err := s.may(ctx, c, WriteAuthorities, id, operation); err != nil {
		return Authority{}, err
	}
	a, err := s.d.Store.Authority(ctx, id)
	if err != nil || a.State == to {
		return a, err
	}
	for _, f := range from {
		if a.State != f {
			continue
		}
		a.State, a.Successor = to, ""
		return a, s.d.Transact(ctx, func(ctx context.Context) error {
			if err := s.d.Store.SetState(ctx, id, f, to, ""); err != nil {
				return err
			}
			return s.tell(ctx, c, operation, a, nil)
		})
	}
	return Authority{}, fault.New(fault.Conflict, "AuthorityEnded", "authority %s is %s, which does not change to %s", id, a.State, to)
}
