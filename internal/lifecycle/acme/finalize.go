package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme/renewal"
	"chatelaine.dev/internal/pki/validation/caa"
)

// maxCSR in bytes.
const maxCSR = 64 << 10

// Finalize asks the one road for the certificate of an order that is ready (RFC 8555
// section 7.4). The order is valid when it returns, or processing while a person or another
// CA decides. The same CSR again finds the same certificate.
func (s *Service) Finalize(ctx context.Context, r Request, id string, der []byte) (Order, error) {
	o, err := s.order(ctx, r, id)
	if err != nil {
		return o, err
	}
	switch o.Status {
	case Ready:
	case Processing, Valid: // the answer to the first request was lost
		return o, nil
	default:
		return o, problem("orderNotReady", "the order is %s", o.Status)
	}
	csr, err := readCSR(der, o, r)
	if err != nil {
		return o, err
	}
	if err := s.recheck(ctx, r, o); err != nil {
		return o, err
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	var done *Order // with the request and the certificate, in one transaction
	got, err := s.Road.Enroll(ctx, onRoad(r.Origin, o.Account), Ask{
		Profile: o.Profile, CSR: der, CommonName: csr.Subject.CommonName, Names: namesOf(o.Identifiers), Validity: s.validity(r, o),
		Once: "acme/" + o.ID + "/" + hex.EncodeToString(sum[:8]), Owner: r.Account.Owner,
		Also: func(ctx context.Context, got Issuance) error {
			c, err := s.conclusion(r, o, got)
			if err != nil {
				return err
			}
			done = &c.order
			return s.store(ctx, c)
		},
	})
	switch {
	case fault.HasCode(err, "Changed"): // another request was faster, with another key
		return s.order(ctx, r, o.ID)
	case err != nil:
		return o, err
	case done != nil:
		return *done, nil
	}
	return s.conclude(context.WithoutCancel(ctx), r, o, got)
}

// validity is the profile's, or what ends at the order's notAfter: a certificate counts from
// its backdated first second to its last, both included.
func (s *Service) validity(r Request, o Order) time.Duration {
	if o.NotAfter.IsZero() {
		return 0
	}
	from := s.Now().UTC().Truncate(time.Second).Add(-time.Duration(r.Server.Profile.Validity.Backdate))
	return o.NotAfter.Truncate(time.Second).Sub(from) + time.Second
}

// readCSR refuses a request that is not for exactly the order's identifiers, or for the
// account's own key (RFC 8555 sections 7.4 and 11.1). Its signature is checked on the road.
func readCSR(der []byte, o Order, r Request) (*x509.CertificateRequest, error) {
	if len(der) > maxCSR {
		return nil, problem("badCSR", "the CSR has more than %d bytes", maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		p := problem("badCSR", "the CSR is not readable as PKCS #10 in DER")
		p.Err = err
		return nil, p
	}
	var got []Identifier
	add := func(i Identifier) {
		if !slices.Contains(got, i) {
			got = append(got, i)
		}
	}
	for _, n := range csr.DNSNames {
		add(Identifier{DNS, lower(n)})
	}
	for _, a := range csr.IPAddresses {
		add(Identifier{IP, a.String()})
	}
	csr.Subject.CommonName = lower(csr.Subject.CommonName)
	if cn := csr.Subject.CommonName; cn != "" {
		if !slices.ContainsFunc(o.Identifiers, func(i Identifier) bool { return i.Value == cn }) {
			return nil, problem("badCSR", "the common name %.64q is none of the order's identifiers", cn)
		}
		if len(got) == 0 || !slices.Contains(got, Identifier{IP, cn}) {
			add(Identifier{kindOf(cn, o), cn})
		}
	}
	if len(csr.EmailAddresses) > 0 || len(csr.URIs) > 0 {
		return nil, problem("badCSR", "the CSR asks for e-mail addresses or URIs; an order is for names and addresses")
	}
	if len(got) != len(o.Identifiers) || slices.ContainsFunc(got, func(i Identifier) bool { return !slices.Contains(o.Identifiers, i) }) {
		return nil, problem("badCSR", "the CSR is not for exactly the identifiers of the order")
	}
	if k, ok := csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && k.Equal(r.Key.Public) {
		return nil, problem("badCSR", "the CSR is for the account's key; make another key for the certificate")
	}
	return csr, nil
}

func kindOf(value string, o Order) string {
	for _, i := range o.Identifiers {
		if i.Value == value {
			return i.Type
		}
	}
	return DNS
}

// recheck looks at every name once more: the door may have been closed for it since, and
// the CAA records of its owner count at the time of the issuance (RFC 8659 section 3).
func (s *Service) recheck(ctx context.Context, r Request, o Order) error {
	list := make([]Authorization, len(o.Authorizations))
	for i, id := range o.Authorizations {
		var err error
		if list[i], err = s.Store.Authorization(ctx, id); err != nil {
			return err
		}
		if !stands(r.Server, list[i]) {
			return problem("unauthorized", "the profile was changed since %s was authorised; make another order", list[i].name().Value).about(list[i].name())
		}
	}
	if !r.Server.Door.CAA {
		return nil
	}
	problems := make([]*Problem, len(list))
	var asked sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, a := range list {
		// Addresses have no CAA records, and for names authorised beforehand the operator answers.
		if a.Identifier.Type != DNS || a.method() == "" {
			continue
		}
		asked.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			problems[i] = s.caa(ctx, r, a)
		})
	}
	asked.Wait()
	var bad []Problem
	for _, p := range problems {
		if p != nil {
			bad = append(bad, *p)
		}
	}
	if len(bad) > 0 {
		return several("caa", "CAA records forbid some of the names; see each", bad)
	}
	return nil
}

func (s *Service) caa(ctx context.Context, r Request, a Authorization) *Problem {
	name := a.name()
	err := s.CAA.Check(ctx, caa.Question{Name: name.Value, Account: r.Base + "/account/" + a.Account, Method: a.method()})
	if err == nil {
		return nil
	}
	var refused *caa.Refusal
	if errors.As(err, &refused) {
		return problem("caa", "%s", refused.Error()).about(name)
	}
	p := problem("caa", "the CAA records of %s could not be looked up, so nothing may be issued", name.Value).about(name)
	p.Err, p.RetryAfter = err, time.Minute
	return p
}

// conclusion is what an order becomes by the road's answer.
type conclusion struct {
	order  Order
	record audit.Record
	news   bool
}

func (s *Service) conclusion(r Request, o Order, got Issuance) (c conclusion, err error) {
	before := o.Status
	c.record = record(r, "AcmeOrderFinalize", orderPath(o.ID))
	c.record.Details[audit.Request] = got.Request
	o.Request = got.Request
	switch got.Status {
	case Valid:
		if err := o.certified(got, s.Now()); err != nil {
			return c, err
		}
		c.record.Details[audit.Fingerprint] = o.Certificate.SHA256
	case Invalid:
		o.Status, o.Problem = Invalid, problem("serverInternal", "the certificate was not issued: %s", got.Problem)
		c.record.Outcome = audit.Failed
	default:
		o.RetryAfter = 5 * time.Second
		if got.Status == Pending { // a person is asked
			o.RetryAfter = time.Minute
		}
		o.Status, o.Expires = Processing, o.Created.Add(processing).Truncate(time.Second)
	}
	c.news = o.Status != Processing || before != Processing
	if c.news {
		o.Revision++
	}
	c.order = o
	return c, nil
}

// store keeps a conclusion, in the transaction of ctx.
func (s *Service) store(ctx context.Context, c conclusion) error {
	if err := s.Orders.UpdateOrder(ctx, c.order); err != nil {
		return err
	}
	if c.order.Status == Valid && c.order.Replaces != "" {
		if err := s.Orders.MarkReplaced(ctx, c.order.Replaces, c.order.ID); err != nil {
			return err
		}
	}
	return s.Audit.Record(ctx, c.record)
}

// conclude stores what the road answered later.
func (s *Service) conclude(ctx context.Context, r Request, o Order, got Issuance) (Order, error) {
	c, err := s.conclusion(r, o, got)
	if err != nil || !c.news {
		return c.order, err
	}
	err = s.Transact(ctx, func(ctx context.Context) error { return s.store(ctx, c) })
	if fault.HasCode(err, "Changed") { // another request was faster
		return s.order(ctx, r, o.ID)
	}
	return c.order, err
}

// processing is how long an order may wait for a person or another CA.
const processing = 30 * 24 * time.Hour

// certified fills in the certificate.
func (o *Order) certified(got Issuance, now time.Time) error {
	leaf, err := x509.ParseCertificate(got.Certificate)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(leaf.Raw)
	o.Status, o.Problem = Valid, nil
	o.Certificate = Certificate{
		DER: leaf.Raw, Chain: got.Chain, SHA256: hex.EncodeToString(sum[:]), RenewalID: renewal.ID(leaf),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Issued: now.UTC(),
	}
	return nil
}

// rootless leaves out a root at the end, unless it is all that there is: programs want a
// chain of at least two.
func rootless(chain [][]byte) [][]byte {
	if len(chain) < 2 {
		return chain
	}
	last, err := x509.ParseCertificate(chain[len(chain)-1])
	if err != nil || !bytes.Equal(last.RawIssuer, last.RawSubject) {
		return chain
	}
	return chain[:len(chain)-1]
}
