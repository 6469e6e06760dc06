// Package scep decides about the Simple Certificate Enrolment Protocol (RFC 8894): which
// message may do what, and what it gets. It has no HTTP.
//
// A message type that is not in the table of operations is refused, whoever sent it: an
// unknown type that fell through to issuance was CVE-2026-30836.
package scep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/desk"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/holder"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/lifecycle/scep/message"
	"chatelaine.dev/internal/pki/cms"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
)

// Door names the protocol in records.
const Door = passcode.SCEP

// Profiles finds a profile; fault.Invalid when there is none.
type Profiles interface {
	Get(name string) (profile.Profile, error)
}

// Road is the direct road, and what waits on it; *enrollment.Service is it.
type Road interface {
	desk.Road
	List(ctx context.Context, c access.Caller, q enrollment.Query) ([]enrollment.Request, error)
}

// Issued finds what our authorities issued.
type Issued interface {
	holder.Issued
	// CertificateBySerial returns one certificate, or fault.NotFound.
	CertificateBySerial(ctx context.Context, authority, serial string) (issuance.Certificate, error)
}

// CRLs has the published lists; *revocation.Service does.
type CRLs interface {
	// Current returns an authority's list; the empty part is the whole one.
	Current(ctx context.Context, authority, part string) (revocation.CRL, error)
}

// Refusals counts failed attempts; *access.Refusals does.
type Refusals interface {
	Note(ctx context.Context, rec audit.Record) error
}

// Deps are what the service needs.
type Deps struct {
	Profiles   Profiles
	Road       Road
	Passcodes  desk.Passcodes
	Issued     Issued
	Waiting    desk.Waiting
	CRLs       CRLs
	Registrars *Registrars
	Refusals   Refusals
	Now        func() time.Time
}

// Service decides.
type Service struct {
	d    Deps
	desk desk.Desk
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{d, desk.Desk{Road: d.Road, Passcodes: d.Passcodes, Waiting: d.Waiting, Now: d.Now}}
}

// Capabilities answers GetCACaps (section 3.5.2). SHA-384 is taken and has no word there;
// strongSwan looks for it.
func (s *Service) Capabilities(_ context.Context, name string) (string, error) {
	_, err := s.open(name)
	return strings.Join([]string{"AES", "SHA-256", "SHA-384", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard"}, "\n") + "\n", err
}

// CACerts answers GetCACert (section 4.2): the registrar's certificate first, then those
// of the authority and of whoever is above it, DER.
func (s *Service) CACerts(ctx context.Context, name string) ([][]byte, error) {
	p, err := s.open(name)
	if err != nil {
		return nil, err
	}
	r, err := s.d.Registrars.For(ctx, p.Authorities[0])
	if err != nil {
		return nil, err
	}
	return append([][]byte{r.Current.Certificate.Raw}, r.Current.Chain...), nil
}

// open returns a profile whose door is open. One that is closed and one that is not there
// are answered alike.
func (s *Service) open(name string) (profile.Profile, error) {
	p, err := s.d.Profiles.Get(name)
	if err != nil && !fault.Is(err, fault.Invalid) {
		return p, err
	}
	if err != nil || p.Doors.SCEP == nil {
		return p, fault.New(fault.NotFound, "NoSuchDoor", "no profile %.63q can be had by SCEP; the address is /scep/{profile}", name)
	}
	return p, nil
}

// exchange is one message under way.
type exchange struct {
	s         *Service
	profile   profile.Profile
	door      profile.SCEPDoor
	message   message.Message
	registrar Registrar
	from      access.Origin
}

// operation is what a type of message does.
type operation struct {
	name   string // of a record about a refusal
	answer func(x exchange, ctx context.Context) (message.Answer, error)
}

// operations is the table: what is not in it is refused.
func operations() map[message.Type]operation {
	return map[message.Type]operation{
		message.PKCSReq:    {"SCEPEnroll", exchange.enroll},
		message.RenewalReq: {"SCEPRenew", exchange.renew},
		message.CertPoll:   {"SCEPPoll", exchange.poll},
		message.GetCert:    {"SCEPGetCert", exchange.certificate},
		message.GetCRL:     {"SCEPGetCRL", exchange.crl},
	}
}

// Operation answers PKIOperation (section 4.3). What is a message gets a signed answer,
// refusals too; what is none is an error.
func (s *Service) Operation(ctx context.Context, name string, raw []byte, from access.Origin) ([]byte, error) {
	p, err := s.open(name)
	if err != nil {
		return nil, err
	}
	m, err := message.Read(raw, p.Doors.SCEP.Legacy)
	if err != nil {
		return nil, err
	}
	r, err := s.d.Registrars.For(ctx, p.Authorities[0])
	if err != nil {
		return nil, err
	}
	x := exchange{s: s, profile: p, door: *p.Doors.SCEP, message: m, registrar: r, from: from}
	o, known := operations()[m.Type]
	if !known {
		o.name = "SCEPUnknown"
	}
	a, err := x.do(ctx, o)
	if err != nil {
		if a, err = x.refuse(ctx, o.name, err); err != nil {
			return nil, err
		}
	}
	return message.Reply(x.registrar.Current.signer(), m, a)
}

func (x exchange) do(ctx context.Context, o operation) (message.Answer, error) {
	if o.answer == nil {
		return message.Answer{}, fault.New(fault.Denied, "UnknownMessage", "messages of type %s are not taken", x.message.Type)
	}
	return o.answer(x, ctx)
}

// decrypt opens the message by the registrar's key, or by the one before.
func (x exchange) decrypt() ([]byte, error) {
	content, err := x.message.Open(x.registrar.Current.opener(x.door.Legacy))
	if err != nil && x.registrar.Previous != nil {
		content, err = x.message.Open(x.registrar.Previous.opener(x.door.Legacy))
	}
	return content, err
}

// success is the answer with certificates or CRLs for the client alone.
func (x exchange) success(certificates, crls [][]byte) (message.Answer, error) {
	list, err := cms.List(certificates, crls)
	if err != nil {
		return message.Answer{}, err
	}
	content, err := cms.Encrypt(list, x.message.Signer)
	return message.Answer{Status: message.Success, Content: content}, err
}

// unreadable is the answer to every message whose content is not what its type says. The
// contents have no authentication of their own (RFC 8894 section 3.3 has them in CBC), and
// anybody can put another's envelope into a message of his own. Who were told whether an
// altered envelope still decrypts could read it, with the one-time password in it, bit by
// bit. The record has the reason.
const unreadable = "the message is not readable: encrypt it for the first certificate of GetCACert, and sign it and its CSR with the key of the CSR, or by RenewalReq with that of the certificate before"

// refuse turns an error into an answer, and counts it. What is our own failure stays one.
func (x exchange) refuse(ctx context.Context, name string, refusal error) (message.Answer, error) {
	f := fault.Of(refusal)
	switch f.Kind {
	case fault.Internal, fault.Unavailable, fault.Limited:
		return message.Answer{}, refusal
	}
	why, text := message.BadRequest, f.Message
	switch f.Code {
	case "BadMessage", "BadCSR", "OtherKey":
		why, text = message.BadCheck, unreadable
	case "NothingWaits", "CertificateNotFound":
		why = message.BadCertID
	}
	r := access.Caller{}.From(x.from).Record(name, "/profiles/"+x.profile.Name)
	r.Outcome = audit.Denied
	r.Details[audit.Door], r.Details[audit.Profile], r.Details[audit.Reason] = Door, x.profile.Name, f.Code
	if err := x.s.d.Refusals.Note(ctx, r); err != nil {
		return message.Answer{}, errors.Join(refusal, err)
	}
	return message.Answer{Status: message.Failure, Why: why, Text: text}, nil
}

// caller is a client that is nobody of the directory. The door speaks for it, after the
// service has decided.
func (x exchange) caller(who string) access.Caller {
	c := access.System(Door)
	c.Address, c.Agent, c.Correlation = x.from.Address, x.from.Agent, who
	return c
}

// key is what a client shows again when it comes back: its key, the transaction, and more.
func (x exchange) key(more string) string {
	signer := sha256.Sum256(x.message.Signer.RawSubjectPublicKeyInfo)
	return desk.Key(Door, x.profile.Name, hex.EncodeToString(signer[:]), x.message.Transaction, more)
}
