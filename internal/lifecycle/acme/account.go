package acme

import (
	"context"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"net/mail"
	"strings"
	"uuid"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme/jws"
)

const maxContacts = 10

// AccountDraft is an account to be made or changed.
type AccountDraft struct {
	Contacts     []string
	Terms        bool // agreed to
	OnlyExisting bool
	Binding      []byte // JWS of an external account key; may be empty
}

// NewAccount makes an account for the request's key, or finds the one that it has (RFC
// 8555 section 7.3).
func (s *Service) NewAccount(ctx context.Context, r Request, d AccountDraft) (a Account, made bool, err error) {
	a, err = s.Store.AccountByKey(ctx, r.Server.Profile.Name, r.Key.Thumbprint)
	switch {
	case err == nil && a.Status != Valid:
		return a, false, problem("unauthorized", "the account of this key is %s; use another key", a.Status)
	case err == nil:
		return a, false, nil
	case !fault.Is(err, fault.NotFound):
		return a, false, err
	case d.OnlyExisting:
		return a, false, problem("accountDoesNotExist", "there is no account with this key")
	}
	if wait := s.rates.take(rateKey{"account", network(r.Origin.Address), ""}, s.Limits.Accounts); wait > 0 {
		return a, false, limited("new accounts from this address", wait)
	}
	if s.Terms != "" && !d.Terms {
		return a, false, problem("userActionRequired", "agree to the terms of service at %s", s.Terms)
	}
	if err := checkContacts(d.Contacts); err != nil {
		return a, false, err
	}
	a = Account{
		ID: uuid.NewV7().String(), Profile: r.Server.Profile.Name, Status: Valid, Contacts: d.Contacts,
		Thumbprint: r.Key.Thumbprint, JWK: r.Key.JWK, Created: s.Now(), Revision: 1,
	}
	if d.Terms {
		a.Terms = s.Now()
	}
	var key *ExternalKey
	if key, err = s.binding(ctx, r, d.Binding); err != nil {
		return a, false, err
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		if key != nil {
			a.ExternalKey, a.Owner, a.Binding = key.ID, key.Owner, d.Binding
			if err := s.bind(ctx, key.ID, a.ID); err != nil {
				return err
			}
		}
		if err := s.Store.InsertAccount(ctx, a); err != nil {
			return err
		}
		of := r
		of.Account = a
		return s.Audit.Record(ctx, record(of, "AcmeAccountCreate", accountPath(a.ID)))
	})
	if fault.HasCode(err, "Exists") { // another request with this key was faster
		a, err = s.Store.AccountByKey(ctx, a.Profile, a.Thumbprint)
		return a, false, err
	}
	return a, err == nil, err
}

// checkContacts takes mailto: with one address and nothing else (RFC 8555 section 7.3).
func checkContacts(list []string) error {
	if len(list) > maxContacts {
		return problem("invalidContact", "%d contacts; at most %d are kept", len(list), maxContacts)
	}
	for _, c := range list {
		address, ok := strings.CutPrefix(c, "mailto:")
		if !ok {
			return problem("unsupportedContact", "the contact %.40q does not begin with mailto:", c)
		}
		a, err := mail.ParseAddress(address)
		if err != nil || a.Address != address || len(address) > 254 || strings.ContainsAny(address, "?,\"%") {
			return problem("invalidContact", "the contact %.100q is not mailto: and one address", c)
		}
	}
	return nil
}

// UpdateAccount changes contacts (RFC 8555 section 7.3.2). A nil list changes nothing.
func (s *Service) UpdateAccount(ctx context.Context, r Request, contacts []string) (Account, error) {
	if contacts == nil {
		return r.Account, nil
	}
	if err := checkContacts(contacts); err != nil {
		return r.Account, err
	}
	a := r.Account
	a.Contacts = contacts
	return s.change(ctx, r, a, "AcmeAccountUpdate")
}

// DeactivateAccount ends an account for good (RFC 8555 section 7.3.6). Its orders and
// authorizations are of no use without it.
func (s *Service) DeactivateAccount(ctx context.Context, r Request) (Account, error) {
	a := r.Account
	a.Status = Deactivated
	return s.change(ctx, r, a, "AcmeAccountDeactivate")
}

func (s *Service) change(ctx context.Context, r Request, a Account, operation string) (Account, error) {
	a.Revision++
	err := s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.UpdateAccount(ctx, a); err != nil {
			return err
		}
		return s.Audit.Record(ctx, record(r, operation, accountPath(a.ID)))
	})
	return a, err
}

// ChangeKey gives the account another key: the payload is signed by the new one and names
// the old (RFC 8555 section 7.3.5). A key that another account has is a *TakenKey.
func (s *Service) ChangeKey(ctx context.Context, r Request) (Account, error) {
	m, err := r.inner(r.Payload)
	if err != nil {
		return r.Account, err
	}
	if m.Key == nil {
		return r.Account, problem("malformed", "the inner JWS is signed by the new key: send jwk, not kid")
	}
	if err := m.Verify(*m.Key); err != nil {
		return r.Account, err
	}
	var p struct {
		Account string         `json:"account"`
		Old     jsontext.Value `json:"oldKey"`
	}
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		return r.Account, problem("malformed", "the payload of the inner JWS is not account and oldKey")
	}
	old, err := jws.ParseKey(p.Old)
	if err != nil {
		return r.Account, err
	}
	if p.Account != r.Base+"/account/"+r.Account.ID || !same(old.Thumbprint, r.Account.Thumbprint) {
		return r.Account, problem("malformed", "the inner JWS names another account or another old key")
	}
	if other, err := s.Store.AccountByKey(ctx, r.Account.Profile, m.Key.Thumbprint); err == nil {
		return other, taken(other)
	} else if !fault.Is(err, fault.NotFound) {
		return r.Account, err
	}
	a := r.Account
	a.JWK, a.Thumbprint = m.Key.JWK, m.Key.Thumbprint
	a, err = s.change(ctx, r, a, "AcmeAccountKeyChange")
	if fault.HasCode(err, "Exists") {
		if other, findErr := s.Store.AccountByKey(ctx, a.Profile, a.Thumbprint); findErr == nil {
			return other, taken(other)
		}
	}
	return a, err
}

// TakenKey says that a new key is another account's.
type TakenKey struct {
	*Problem
	Account string // id
}

// Unwrap returns the problem for a client.
func (t *TakenKey) Unwrap() error { return t.Problem }

func taken(a Account) error {
	p := problem("malformed", "the new key is that of another account")
	p.Status = 409
	return &TakenKey{p, a.ID}
}

// OrdersOf returns the ids of an account's orders, newest first, and where the next page
// begins; empty at the end.
func (s *Service) OrdersOf(ctx context.Context, r Request, before string) (ids []string, next string, err error) {
	const limit = 100
	ids, err = s.Orders.OrdersOf(ctx, r.Account.ID, before, limit+1)
	if err != nil || len(ids) <= limit {
		return ids, "", err
	}
	return ids[:limit], ids[limit-1], nil
}
