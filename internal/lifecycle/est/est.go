// Package est decides about enrolment over secure transport (RFC 7030, clarified by RFC
// 8951): who a client is, what it may ask for, and what it gets. It has no HTTP.
//
// Every operation but the lists for anybody wants one of
//
//   - the id and secret of an application of the directory, which needs the right to issue,
//   - a one-time password, which is for names that were said beforehand,
//   - a certificate of ours, which speaks for the names in it and for no others.
package est

import (
	"context"
	"crypto/x509"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/desk"
	"chatelaine.dev/internal/lifecycle/holder"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/profile"
)

// Door names the protocol in records.
const Door = passcode.EST

// Profiles finds a profile; fault.Invalid when there is none.
type Profiles interface {
	Get(name string) (profile.Profile, error)
}

// Directory knows applications; *directory.Directory is one.
type Directory interface {
	ProveSecret(clientID string, secret access.Secret) (directory.Principal, directory.Credential, error)
	Knows(clientID string) string
}

// Chains has the certificates of authorities; *authority.Service does.
type Chains interface {
	// Certificates returns an authority's certificate and those above it, DER, the root last.
	Certificates(ctx context.Context, authority string) ([][]byte, error)
}

// Refusals counts failed attempts; *access.Refusals does.
type Refusals interface {
	Note(ctx context.Context, rec audit.Record) error
}

// Deps are what the service needs.
type Deps struct {
	Profiles  Profiles
	Road      desk.Road
	Passcodes desk.Passcodes
	Directory Directory
	Issued    holder.Issued
	Waiting   desk.Waiting
	Chains    Chains
	Refusals  Refusals
	Now       func() time.Time
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

// Visitor is what a client shows.
type Visitor struct {
	Basic    bool // HTTP Basic is there
	User     string
	Password access.Secret
	// Certificate is the client's, whose key it proved to hold in the handshake. Nobody has
	// looked at who issued it.
	Certificate *x509.Certificate
	From        access.Origin
}

// Answer is a certificate, or how long to wait before the same is asked again.
type Answer struct {
	Certificate []byte // DER
	Chain       [][]byte
	Wait        time.Duration
}

// CACerts returns the certificates of the profile's authority, for anybody, the root last.
func (s *Service) CACerts(ctx context.Context, name string) ([][]byte, error) {
	p, err := s.open(name)
	if err != nil {
		return nil, err
	}
	return s.d.Chains.Certificates(ctx, p.Authorities[0])
}

// open returns a profile whose door is open. One that is closed and one that is not there
// are answered alike.
func (s *Service) open(name string) (profile.Profile, error) {
	p, err := s.d.Profiles.Get(name)
	if err != nil && !fault.Is(err, fault.Invalid) {
		return p, err
	}
	if err != nil || p.Doors.EST == nil {
		return p, fault.New(fault.NotFound, "NoSuchDoor", "no profile %.63q can be had by EST; the address is /.well-known/est/{profile}/simpleenroll", name)
	}
	return p, nil
}
