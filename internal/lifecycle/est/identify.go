package est

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/holder"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

// client is a visitor that we know.
type client struct {
	caller access.Caller
	// Of the rest at most one is there: what the visitor was known by, besides the secret
	// of an application.
	passcode    access.Secret
	isPasscode  bool
	certificate *x509.Certificate
	issued      issuance.Certificate
}

// identify says who a visitor is, before anything that it sends is read. Basic counts
// before a certificate: what is born with a certificate of its maker enrols by password.
func (s *Service) identify(ctx context.Context, p profile.Profile, v Visitor, operation string) (client, error) {
	door := p.Doors.EST
	var c client
	var err error
	switch {
	case v.Basic && door.Basic && strings.HasPrefix(v.Password.Reveal(), passcode.Prefix):
		return client{caller: stranger(v, "passcode"), passcode: v.Password, isPasscode: true}, nil // it is looked at with the CSR
	case v.Basic && door.Basic:
		c, err = s.application(v)
	case v.Certificate != nil && door.MutualTLS:
		c, err = s.holder(ctx, v)
	default:
		err = fault.New(fault.Unauthenticated, "NoCredential", "show the id and secret of an application or a one-time password by HTTP Basic, or a certificate of ours by TLS, as the profile %s takes it", p.Name)
	}
	if err != nil {
		return client{}, s.refuse(ctx, v, p.Name, operation, err)
	}
	return c, nil
}

func (s *Service) application(v Visitor) (client, error) {
	p, _, err := s.d.Directory.ProveSecret(v.User, v.Password)
	if err != nil {
		return client{}, err
	}
	return client{caller: p.Caller().From(v.From)}, nil
}

func (s *Service) holder(ctx context.Context, v Visitor) (client, error) {
	issued, err := holder.Check(ctx, s.d.Issued, v.Certificate, s.d.Now())
	if err != nil {
		return client{}, err
	}
	return client{caller: stranger(v, "certificate "+issued.SHA256), certificate: v.Certificate, issued: issued}, nil
}

// stranger is a caller that is nobody of the directory. The door speaks for it, after the
// service has decided.
func stranger(v Visitor, who string) access.Caller {
	c := access.System(Door)
	c.Address, c.Agent, c.Correlation = v.From.Address, v.From.Agent, who
	return c
}

// refuse counts a failed attempt and returns its error.
func (s *Service) refuse(ctx context.Context, v Visitor, profile, operation string, refusal error) error {
	if !fault.Is(refusal, fault.Unauthenticated) && !fault.Is(refusal, fault.Denied) {
		return refusal
	}
	r := access.Caller{Application: s.d.Directory.Knows(v.User)}.From(v.From).Record(operation, "/profiles/"+profile)
	r.Outcome = audit.Denied
	r.Details[audit.Door], r.Details[audit.Profile], r.Details[audit.Reason] = Door, profile, fault.Of(refusal).Code
	return errors.Join(refusal, s.d.Refusals.Note(ctx, r))
}

// mayHave checks that the visitor may ask for the names, and takes its one-time password.
func (s *Service) mayHave(ctx context.Context, p profile.Profile, v Visitor, c *client, q question) (release string, err error) {
	if len(q.names) == 0 {
		return "", fault.New(fault.Invalid, "TooFewNames", "the CSR names nobody; ask for a common name or an alternative name")
	}
	if name, outside := passcode.Outside(p.Doors.EST.Names, q.names); outside {
		return "", fault.New(fault.Denied, "NameNotAllowed", "the name %.64q cannot be had by EST", name)
	}
	switch {
	case c.isPasscode:
		spent, err := s.d.Passcodes.Spend(ctx, passcode.Use{Door: Door, Profile: p.Name, Secret: c.passcode, CSR: q.sum, Names: q.names, From: v.From})
		if err != nil {
			return "", err
		}
		c.caller.Correlation = "passcode " + spent.ID
		return spent.ID, nil
	case c.certificate != nil:
		if !holder.IsClient(c.certificate) {
			return "", fault.New(fault.Denied, "NotAClient", "the certificate is not for signing in; it can be renewed by simplereenroll")
		}
		if name, outside := enrollment.Outside(q.csr, c.certificate); outside {
			return "", fault.New(fault.Denied, "NameNotAllowed", "the certificate does not speak for the name %.64q", name)
		}
	}
	return "", nil
}

// namesOf are all names that a certificate would say.
func namesOf(commonName string, n profile.Names) []string {
	all := n.All()
	if commonName != "" {
		all = append(all, commonName)
	}
	return all
}

// question is a CSR that is read.
type question struct {
	csr   *x509.CertificateRequest
	sum   [sha256.Size]byte
	names []string
}

const maxCSR = 64 << 10

// read reads a CSR. Its signature is checked on the road.
func read(der []byte) (question, error) {
	if len(der) == 0 || len(der) > maxCSR {
		return question{}, fault.New(fault.Invalid, "BadCSR", "send a CSR of at most 64 KiB")
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return question{}, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not readable as PKCS #10")
	}
	return question{csr, sha256.Sum256(der), namesOf(csr.Subject.CommonName, enrollment.RequestNames(csr))}, nil
}
