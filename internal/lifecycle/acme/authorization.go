package acme

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"time"
	"uuid"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/validation/challenge"
)

// newAuthorization makes one with the challenges that can show the identifier, or a valid
// one for a name that the operator has authorised beforehand.
func newAuthorization(r Request, id Identifier, expires time.Time) Authorization {
	name, wild := id.wildcard()
	a := Authorization{
		ID: uuid.NewV7().String(), Account: r.Account.ID, Identifier: Identifier{id.Type, name}, Wildcard: wild, Status: Pending, Expires: expires, Revision: 1,
	}
	if profile.Allowed(r.Server.Door.Preauthorized, id.Value) {
		a.Status = Valid
		return a
	}
	token := newToken()
	for _, m := range methods(r.Server.Door, id) {
		a.Challenges = append(a.Challenges, Challenge{Type: m, Token: token, Status: Pending})
	}
	return a
}

// newToken has 256 random bits (RFC 8555 section 8.1 wants 128).
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// stands reports whether a valid authorization would be given today: the profile may have
// been changed since.
func stands(server Server, a Authorization) bool {
	if permits(server.Profile, server.Door, a.name()) != nil {
		return false
	}
	if m := a.method(); m != "" {
		return slices.Contains(methods(server.Door, a.name()), m)
	}
	return profile.Allowed(server.Door.Preauthorized, a.name().Value)
}

// NewAuthorization authorises an identifier before it is ordered (RFC 8555 section 7.4.1).
func (s *Service) NewAuthorization(ctx context.Context, r Request, id Identifier) (Authorization, error) {
	id, p := id.canonical()
	if p == nil {
		p = permits(r.Server.Profile, r.Server.Door, id)
	}
	if p != nil {
		return Authorization{}, p
	}
	if _, wild := id.wildcard(); wild {
		return Authorization{}, problem("malformed", "a wildcard is authorised by its order alone (RFC 8555 section 7.4.1)")
	}
	if wait := s.rates.take(rateKey{"order", r.Account.ID, ""}, s.Limits.Orders); wait > 0 {
		return Authorization{}, limited("orders of this account", wait)
	}
	made, all, err := s.authorizations(ctx, r, []Identifier{id}, s.Now().UTC().Add(orderLife).Truncate(time.Second))
	if err != nil {
		return Authorization{}, err
	}
	if len(made) == 0 {
		return all[0], nil
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.InsertAuthorization(ctx, made[0]); err != nil {
			return err
		}
		return s.Audit.Record(ctx, made[0].record(r, "AcmeAuthorizationCreate"))
	})
	return made[0], err
}

func (a Authorization) record(r Request, operation string) audit.Record {
	rec := record(r, operation, "/acme/authorizations/"+a.ID)
	rec.Details[audit.Subject] = a.name().Value
	return rec
}

// GetAuthorization returns one of the account's.
func (s *Service) GetAuthorization(ctx context.Context, r Request, id string) (Authorization, error) {
	a, err := s.Store.Authorization(ctx, id)
	if err == nil && a.Account != r.Account.ID {
		err = fault.New(fault.NotFound, "", "another's")
	}
	if fault.Is(err, fault.NotFound) {
		return a, fault.New(fault.NotFound, "NoAuthorization", "this account has no such authorization")
	}
	a.Status = a.at(s.Now())
	return a, err
}

// DeactivateAuthorization gives one up (RFC 8555 section 7.5.2).
func (s *Service) DeactivateAuthorization(ctx context.Context, r Request, id string) (Authorization, error) {
	a, err := s.GetAuthorization(ctx, r, id)
	if err != nil || a.Status == Deactivated {
		return a, err
	}
	if a.Status != Pending && a.Status != Valid {
		return a, problem("malformed", "the authorization is %s, so there is nothing to give up", a.Status)
	}
	a.Status = Deactivated
	return s.keep(ctx, r, a, a.record(r, "AcmeAuthorizationDeactivate"))
}

func (s *Service) keep(ctx context.Context, r Request, a Authorization, rec audit.Record) (Authorization, error) {
	a.Revision++
	err := s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.UpdateAuthorization(ctx, a); err != nil {
			return err
		}
		return s.Audit.Record(ctx, rec)
	})
	if fault.HasCode(err, "Changed") { // another answer was faster
		return s.GetAuthorization(ctx, r, a.ID)
	}
	return a, err
}

// GetChallenge returns an authorization whose challenge has the type.
func (s *Service) GetChallenge(ctx context.Context, r Request, id, kind string) (Authorization, Challenge, error) {
	a, err := s.GetAuthorization(ctx, r, id)
	if err != nil {
		return a, Challenge{}, err
	}
	i := slices.IndexFunc(a.Challenges, func(c Challenge) bool { return c.Type == kind })
	if i < 0 {
		return a, Challenge{}, fault.New(fault.NotFound, "NoChallenge", "the authorization has no challenge of this type")
	}
	return a, a.Challenges[i], nil
}

// Respond performs a challenge that the client says is ready (RFC 8555 section 7.5.1), and
// answers when it is decided: a validation takes seconds at most, and its outcome is
// durable when the client hears of it.
func (s *Service) Respond(ctx context.Context, r Request, id, kind string) (Authorization, Challenge, error) {
	a, c, err := s.GetChallenge(ctx, r, id, kind)
	if err != nil || a.Status != Pending || c.Status != Pending {
		return a, c, err
	}
	key := rateKey{"failure", r.Account.ID, a.Identifier.Value}
	if wait := s.rates.empty(key, s.Limits.Failures); wait > 0 {
		return a, c, limited("failed validations of "+a.Identifier.Value+" by this account", wait)
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		return a, c, limited("validations at once", 5*time.Second)
	}
	// The client may go away; its server has been asked, so the answer counts.
	ctx = context.WithoutCancel(ctx)
	failed := s.Validator.Validate(ctx, proof(r, a, c))
	rec := a.record(r, "AcmeAuthorizationValidate")
	rec.Details[audit.Algorithm] = c.Type
	now := s.Now().UTC()
	if failed == nil {
		c.Status, c.Validated = Valid, now.Truncate(time.Second)
		a.Status, a.Expires = Valid, now.Add(reuse).Truncate(time.Second)
	} else {
		_ = s.rates.take(key, s.Limits.Failures)
		s.Log.InfoContext(ctx, "an ACME challenge was not met", "profile", r.Server.Profile.Name, "account", a.Account, "identifier", a.name().Value, "type", c.Type, "error", failed)
		c.Status, c.Problem = Invalid, failure(failed, a)
		a.Status = Invalid
		rec.Outcome, rec.Details[audit.Reason] = audit.Failed, c.Problem.Type
	}
	a.Challenges = slices.Clone(a.Challenges)
	for i := range a.Challenges {
		if a.Challenges[i].Type == c.Type {
			a.Challenges[i] = c
		}
	}
	if a, err = s.keep(ctx, r, a, rec); err != nil {
		return a, c, err
	}
	for _, x := range a.Challenges {
		if x.Type == kind {
			c = x
		}
	}
	return a, c, nil
}

func proof(r Request, a Authorization, c Challenge) challenge.Proof {
	p := challenge.Proof{Method: c.Type, Token: c.Token, Authorization: c.Token + "." + r.Account.Thumbprint}
	if a.Identifier.Type == IP {
		p.IP, _ = netip.ParseAddr(a.Identifier.Value) // it was read when it was ordered
	} else {
		p.Name = a.Identifier.Value
	}
	return p
}

// failure words what a validation found.
func failure(err error, a Authorization) *Problem {
	var f *challenge.Failure
	if !errors.As(err, &f) {
		return problem("serverInternal", "the validation was not performed").about(a.name())
	}
	return problem(string(f.Kind), "%s", f.Detail).about(a.name())
}
