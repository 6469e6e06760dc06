package acme

import (
	"context"
	"crypto/subtle"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme/jws"
)

// Incoming is a signed request as the front door got it.
type Incoming struct {
	Server Server
	Base   string // https://host/acme/{profile}, as the client reached it
	URL    string // of the request
	Body   []byte
	Origin access.Origin
}

// Signer says whose key may sign.
type Signer int

// The signers.
const (
	ByAccount Signer = iota // kid alone
	ByKey                   // jwk alone: a new account
	ByEither                // a revocation: the account's key, or that of the certificate
)

// Request is one whose signature, nonce and address are right.
type Request struct {
	Server  Server
	Base    string
	URL     string
	Account Account // empty when it is signed by a bare key
	Key     jws.Key
	Payload []byte
	Origin  access.Origin

	nonce string
}

// Verify checks a signed request (RFC 8555 section 6.2 to 6.5).
func (s *Service) Verify(ctx context.Context, in Incoming, by Signer) (Request, error) {
	m, err := jws.Parse(in.Body)
	if err != nil {
		return Request{}, err
	}
	if m.URL != in.URL {
		return Request{}, problem("unauthorized", "the url of the signed header is not the address of the request")
	}
	r := Request{Server: in.Server, Base: in.Base, URL: in.URL, Payload: m.Payload, Origin: in.Origin}
	switch {
	case m.Key != nil && by == ByAccount:
		return r, problem("malformed", "this request is signed by an account: send kid, not jwk")
	case m.Key == nil && by == ByKey:
		return r, problem("malformed", "this request is signed by a key that has no account yet: send jwk, not kid")
	case m.Key != nil:
		r.Key = *m.Key
	default:
		if r.Account, err = s.accountOf(ctx, in, m.KeyID); err != nil {
			return r, err
		}
		r.Key = r.Account.key
	}
	if err := m.Verify(r.Key); err != nil {
		return r, err
	}
	// After the signature, so that nobody can use up a nonce that he saw.
	if !s.Nonces.Take(m.Nonce) {
		return r, problem("badNonce", "the nonce is not one of ours, or was used; sign again with the one of this answer")
	}
	r.nonce = m.Nonce
	return r, nil
}

// accountOf finds the account that a kid names.
func (s *Service) accountOf(ctx context.Context, in Incoming, kid string) (Account, error) {
	id, ok := strings.CutPrefix(kid, in.Base+"/account/")
	if !ok {
		return Account{}, problem("malformed", "the kid is no account of this server; it is the Location of the answer that made the account")
	}
	a, err := s.Store.Account(ctx, id)
	if err == nil && a.Profile != in.Server.Profile.Name {
		err = fault.New(fault.NotFound, "", "another server's")
	}
	if fault.Is(err, fault.NotFound) {
		return a, problem("accountDoesNotExist", "there is no such account; make one at newAccount")
	}
	if err != nil {
		return a, err
	}
	if a.Status != Valid {
		return a, problem("unauthorized", "the account is %s; make another", a.Status)
	}
	a.key, err = jws.ParseKey(a.JWK)
	return a, err
}

// inner reads a JWS inside a request's payload. It has the request's address and no nonce
// (RFC 8555 sections 7.3.4 and 7.3.5).
func (r Request) inner(body []byte) (jws.Message, error) {
	m, err := jws.Parse(body)
	if err != nil {
		return m, err
	}
	if m.URL != r.URL {
		return m, problem("malformed", "the url of the inner JWS is not the address of the request")
	}
	if m.Nonce != "" {
		return m, problem("malformed", "the inner JWS has a nonce; it must have none")
	}
	return m, nil
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
