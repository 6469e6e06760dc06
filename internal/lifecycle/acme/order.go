package acme

import (
	"bytes"
	"context"
	"slices"
	"time"
	"uuid"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

// OrderDraft is a certificate that an account asks for.
type OrderDraft struct {
	Identifiers []Identifier
	NotBefore   time.Time
	NotAfter    time.Time
	Replaces    string // RFC 9773 section 5
	Profile     string // draft-ietf-acme-profiles; empty: the server's
}

// NewOrder makes an order, with an authorization for each identifier: one that the account
// has already, or a new one (RFC 8555 section 7.4).
func (s *Service) NewOrder(ctx context.Context, r Request, d OrderDraft) (Order, error) {
	if d.Profile != "" && d.Profile != r.Server.Profile.Name {
		return Order{}, problem("invalidProfile", "this server issues by profile %s; each profile has its own directory", r.Server.Profile.Name)
	}
	ids, err := s.wanted(r, d)
	if err != nil {
		return Order{}, err
	}
	if err := s.period(r, d); err != nil {
		return Order{}, err
	}
	if d.Replaces != "" {
		if err := s.mayReplace(ctx, r, d.Replaces, ids); err != nil {
			return Order{}, err
		}
	}
	// Renewals on our advice are not counted (RFC 9773 section 5), but for those who order
	// the same one over and over.
	if d.Replaces == "" || s.rates.take(rateKey{"renewal", r.Account.ID, d.Replaces}, renewals) > 0 {
		if wait := s.rates.take(rateKey{"order", r.Account.ID, ""}, s.Limits.Orders); wait > 0 {
			return Order{}, limited("orders of this account", wait)
		}
	}
	now := s.Now().UTC()
	o := Order{
		ID: uuid.NewV7().String(), Account: r.Account.ID, Profile: r.Server.Profile.Name, Status: Pending, Expires: now.Add(orderLife).Truncate(time.Second),
		Identifiers: ids, NotBefore: d.NotBefore, NotAfter: d.NotAfter, Replaces: d.Replaces, Named: d.Profile != "", Created: now, Revision: 1, Once: r.nonce,
	}
	made, list, err := s.authorizations(ctx, r, ids, o.Expires)
	if err != nil {
		return o, err
	}
	for _, a := range list {
		o.Authorizations = append(o.Authorizations, a.ID)
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		for _, a := range made {
			if err := s.Store.InsertAuthorization(ctx, a); err != nil {
				return err
			}
		}
		if err := s.Orders.InsertOrder(ctx, o); err != nil {
			return err
		}
		rec := record(r, "AcmeOrderCreate", orderPath(o.ID))
		rec.Details[audit.Subject] = ids[0].Value
		return s.Audit.Record(ctx, rec)
	})
	if fault.HasCode(err, "Exists") {
		return o, problem("badNonce", "the nonce was used on another node; sign again with the one of this answer")
	}
	o.settle(list, now)
	return o, err
}

// wanted checks the identifiers and returns them in one spelling, each once.
func (s *Service) wanted(r Request, d OrderDraft) ([]Identifier, error) {
	limit := r.Server.Profile.Names.Max
	if len(d.Identifiers) == 0 || len(d.Identifiers) > limit {
		return nil, problem("malformed", "%d identifiers; this profile takes 1 to %d", len(d.Identifiers), limit)
	}
	var ids []Identifier
	var bad []Problem
	for _, i := range d.Identifiers {
		id, p := i.canonical()
		if p == nil {
			p = permits(r.Server.Profile, r.Server.Door, id)
		}
		if p != nil {
			bad = append(bad, *p)
		} else if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(bad) > 0 {
		return nil, several("rejectedIdentifier", "some identifiers are not certified here; see each", bad)
	}
	return ids, nil
}

// period refuses dates that the certificate could not have (RFC 8555 section 7.4).
func (s *Service) period(r Request, d OrderDraft) error {
	now, rule := s.Now(), r.Server.Profile.Validity
	if !d.NotBefore.IsZero() && d.NotBefore.Sub(now).Abs() > max(time.Duration(rule.Backdate), time.Minute) {
		return problem("malformed", "notBefore: certificates of this profile begin when they are issued; leave it out")
	}
	if d.NotAfter.IsZero() {
		return nil
	}
	if life := d.NotAfter.Sub(now); life < time.Duration(rule.Min) || life > time.Duration(rule.Max)-time.Duration(rule.Backdate) {
		return problem("malformed", "notAfter: this profile takes %s to %s from now", rule.Min, rule.Max)
	}
	return nil
}

// authorizations returns one for each identifier, and those among them that are new.
func (s *Service) authorizations(ctx context.Context, r Request, ids []Identifier, expires time.Time) (made, all []Authorization, err error) {
	for _, id := range ids {
		a, err := s.Store.ValidAuthorization(ctx, r.Account.ID, id, s.Now())
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, nil, err
		}
		if err != nil || !stands(r.Server, a) {
			a = newAuthorization(r, id, expires)
			made = append(made, a)
		}
		all = append(all, a)
	}
	return made, all, nil
}

// GetOrder returns an order of the account. One that is processing is looked after: the
// road may have come to its end.
func (s *Service) GetOrder(ctx context.Context, r Request, id string) (Order, error) {
	o, err := s.order(ctx, r, id)
	if err != nil {
		return o, err
	}
	if o.Status == Processing {
		got, err := s.Road.Collect(ctx, onRoad(r.Origin, o.Account), o.Request)
		if err != nil {
			return o, err
		}
		return s.conclude(ctx, r, o, got)
	}
	return o, nil
}

// order reads an order of the account. Another's is not there.
func (s *Service) order(ctx context.Context, r Request, id string) (Order, error) {
	o, err := s.Orders.Order(ctx, id)
	if err == nil && o.Account != r.Account.ID {
		err = fault.New(fault.NotFound, "", "another's")
	}
	if fault.Is(err, fault.NotFound) {
		return o, fault.New(fault.NotFound, "NoOrder", "this account has no such order")
	}
	if err != nil || o.Status != Pending {
		return o, err
	}
	list := make([]Authorization, 0, len(o.Authorizations))
	for _, id := range o.Authorizations {
		a, err := s.Store.Authorization(ctx, id)
		if err != nil {
			return o, err
		}
		list = append(list, a)
	}
	o.settle(list, s.Now())
	return o, nil
}

// settle tells from the authorizations how a pending order stands (RFC 8555 section
// 7.1.6). It is not stored: they may serve many orders.
func (o *Order) settle(list []Authorization, now time.Time) {
	ready := true
	for _, a := range list {
		switch status := a.at(now); status {
		case Valid:
		case Pending:
			ready = false
		default:
			o.Status = Invalid
			o.Problem = problem("unauthorized", "the authorization of %s is %s", a.name().Value, status).about(a.name())
			for _, c := range a.Challenges {
				if c.Problem != nil {
					o.Problem = c.Problem
				}
			}
			return
		}
	}
	switch {
	case now.After(o.Expires):
		o.Status, o.Problem = Invalid, problem("malformed", "the order has expired; make another")
	case ready:
		o.Status = Ready
	}
}

// at is how the authorization stands at a time.
func (a Authorization) at(now time.Time) Status {
	if (a.Status == Valid || a.Status == Pending) && now.After(a.Expires) {
		return Expired
	}
	return a.Status
}

// Download returns a chain of an order's certificate, the certificate first, and how many
// other chains there are. which is 0 for the usual one (RFC 8555 section 7.4.2).
func (s *Service) Download(ctx context.Context, r Request, id string, which int) (chain [][]byte, alternates int, err error) {
	o, err := s.order(ctx, r, id)
	if err == nil && o.Status != Valid {
		err = fault.New(fault.NotFound, "NoCertificate", "the order has no certificate; it is %s", o.Status)
	}
	if err != nil {
		return nil, 0, err
	}
	chains, err := s.chains(ctx, o.Certificate.Chain)
	if err != nil {
		return nil, 0, err
	}
	if which < 0 || which >= len(chains) {
		return nil, 0, fault.New(fault.NotFound, "NoChain", "the certificate has %d chains", len(chains))
	}
	return slices.Concat([][]byte{o.Certificate.DER}, chains[which]), len(chains) - 1, nil
}

// chains are the ways up that a client may choose from: the usual one; those by
// cross-signed authorities; and each with its root, for those who copy it from there.
func (s *Service) chains(ctx context.Context, issued [][]byte) ([][][]byte, error) {
	list := [][][]byte{rootless(issued)}
	if s.Chains == nil {
		return list, nil
	}
	others, err := s.Chains.Alternates(ctx, issued)
	if err != nil {
		return nil, err
	}
	add := func(chain [][]byte) {
		if !slices.ContainsFunc(list, func(has [][]byte) bool { return slices.EqualFunc(has, chain, bytes.Equal) }) {
			list = append(list, chain)
		}
	}
	for _, o := range others {
		add(rootless(o))
	}
	for _, o := range others {
		add(o)
	}
	return list, nil
}
