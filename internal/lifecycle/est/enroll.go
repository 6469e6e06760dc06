package est

import (
	"context"
	"encoding/hex"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/desk"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/profile"
)

// How long a client waits before it asks the same again: for a person, and for an issuer.
const (
	personWait = time.Minute
	issuerWait = 10 * time.Second
)

// Enroll answers simpleenroll: a certificate for a CSR.
func (s *Service) Enroll(ctx context.Context, v Visitor, name string, csr []byte) (Answer, error) {
	const operation = "ESTEnroll"
	p, err := s.open(name)
	if err != nil {
		return Answer{}, err
	}
	c, err := s.identify(ctx, p, v, operation)
	if err != nil {
		return Answer{}, err
	}
	q, err := read(csr)
	if err != nil {
		return Answer{}, err
	}
	if again, err := s.again(ctx, p, c, q); !fault.Is(err, fault.NotFound) {
		return again, err
	}
	release, err := s.mayHave(ctx, p, v, &c, q)
	if err != nil {
		return Answer{}, s.refuse(ctx, v, p.Name, operation, err)
	}
	return s.ask(ctx, p, c, wish{question: q, passcode: release})
}

// Reenroll answers simplereenroll: a certificate like the one that the client shows, for
// the same profile, subject and names (RFC 7030 section 4.2.2).
func (s *Service) Reenroll(ctx context.Context, v Visitor, name string, csr []byte) (Answer, error) {
	const operation = "ESTReenroll"
	p, err := s.open(name)
	if err != nil {
		return Answer{}, err
	}
	v.Basic = false // only the certificate itself can be renewed, by whoever holds it
	c, err := s.identify(ctx, p, v, operation)
	if err != nil {
		return Answer{}, err
	}
	q, err := read(csr)
	if err != nil {
		return Answer{}, err
	}
	if again, err := s.again(ctx, p, c, q); !fault.Is(err, fault.NotFound) {
		return again, err
	}
	name, outside := passcode.Outside(p.Doors.EST.Names, q.names)
	var refusal error
	switch {
	case outside:
		refusal = fault.New(fault.Denied, "NameNotAllowed", "the name %.64q cannot be had by EST", name)
	case c.issued.Profile != p.Name:
		refusal = fault.New(fault.Denied, "OtherProfile", "the certificate was issued by the profile %s; renew it there", c.issued.Profile)
	case !enrollment.SameSubject(q.csr, c.certificate):
		refusal = fault.New(fault.Denied, "NamesDiffer", "the CSR must have the subject and the alternative names of the certificate that it renews; other names are had by simpleenroll")
	}
	if refusal != nil {
		return Answer{}, s.refuse(ctx, v, p.Name, operation, refusal)
	}
	return s.ask(ctx, p, c, wish{question: q})
}

// wish is a question that may be asked.
type wish struct {
	question
	passcode string // id of the one-time password that was taken for it
	atOnce   bool   // nobody can come back for the answer
}

// ask takes the direct road.
func (s *Service) ask(ctx context.Context, p profile.Profile, c client, w wish) (Answer, error) {
	made, err := s.desk.Ask(ctx, c.caller, desk.Wish{
		Ask: enrollment.Ask{Door: Door, Profile: p.Name, CSR: w.csr.Raw, AtOnce: w.atOnce}, Passcode: w.passcode, Again: s.key(p, c, w.question),
	})
	if err != nil {
		return Answer{}, err
	}
	return answer(made)
}

// again answers a client that comes back for what it waits for, or fault.NotFound.
func (s *Service) again(ctx context.Context, p profile.Profile, c client, q question) (Answer, error) {
	made, err := s.desk.Again(ctx, c.caller, s.key(p, c, q))
	if err != nil {
		return Answer{}, err
	}
	return answer(made)
}

// key is what a client must show again: the same credential and the same CSR.
func (s *Service) key(p profile.Profile, c client, q question) string {
	who := "principal " + c.caller.Principal
	switch {
	case c.isPasscode:
		d := c.passcode.Digest()
		who = "passcode " + hex.EncodeToString(d[:])
	case c.certificate != nil:
		who = "certificate " + c.issued.SHA256
	}
	return desk.Key(Door, p.Name, who, hex.EncodeToString(q.sum[:]))
}

func answer(made enrollment.Enrolled) (Answer, error) {
	switch made.State {
	case enrollment.Completed:
		return Answer{Certificate: made.Certificate, Chain: made.Chain}, nil
	case enrollment.Pending:
		return Answer{Wait: personWait}, nil
	case enrollment.InProgress, enrollment.Approved:
		return Answer{Wait: issuerWait}, nil
	}
	return Answer{}, fault.New(fault.Denied, "RequestEnded", "the request %s was %s: %s", made.Request, made.State, made.Problem)
}
