// Package notify tells people what happens to certificates. Mail waits in the queue as a
// name of what it is about, and is written when it leaves: no address and no certificate
// lies open in between.
package notify

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/vault/certificates/lifetime"
)

// TLS is how a mail server protects what it is sent.
type TLS int

// The ways of TLS.
const (
	StartTLS    TLS = iota // after the greeting, or not at all
	ImplicitTLS            // from the first byte
	NoTLS
)

// Server is where mail goes.
type Server struct {
	Host, Port     string
	User, Password string // empty for a server that asks for none
	TLS            TLS
	From           string // address of the sender
}

// Deps are what the service needs.
type Deps struct {
	Server Server // without a host no mail is sent
	Domain string // of the product, for the ids of messages
	Roots  *x509.CertPool
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	// Notice returns what a mail says; fault.NotFound when it is to be forgotten.
	Notice func(ctx context.Context, m lifetime.Mail) (lifetime.Notice, error)
	Jobs   job.Queue
	Now    func() time.Time
	Log    *slog.Logger
}

// Service sends mail.
type Service struct {
	Deps
	silent sync.Once
}

// New makes the service.
func New(d Deps) *Service { return &Service{Deps: d} }

// SendArgs is one mail to be sent.
type SendArgs struct{ lifetime.Mail }

// Kind implements job.Args.
func (SendArgs) Kind() string { return "notify.mail" }

// Send implements lifetime.Mailer. Without a server it says once that nothing is sent.
func (s *Service) Send(ctx context.Context, m lifetime.Mail) error {
	if s.Server.Host == "" {
		s.silent.Do(func() {
			s.Log.WarnContext(ctx, "contacts of vaults are not told of certificates that expire: no mail server is configured; set smtp.url and smtp.from")
		})
		return nil
	}
	return s.Jobs.Enqueue(ctx, SendArgs{m}, job.Options{})
}

// sending bounds one mail, from the connection to the server's last word.
const sending = time.Minute

// HandleSend sends one mail. What the server refuses for good is given up; everything
// else is tried again, so a mail may come twice, with the same id.
func (s *Service) HandleSend(ctx context.Context, a SendArgs) error {
	n, err := s.Notice(ctx, a.Mail)
	if fault.Is(err, fault.NotFound) {
		s.Log.InfoContext(ctx, "a mail is forgotten: the contact or the certificate is gone", "vault", a.Vault, "certificate", a.Name)
		return nil
	}
	if err != nil {
		return err
	}
	if s.Server.Host == "" {
		return job.GiveUp(errors.New("no mail server is configured any more"))
	}
	ctx, cancel := context.WithTimeout(ctx, sending)
	defer cancel()
	err = s.deliver(ctx, n.To.Email, s.message(n))
	if permanent(err) {
		return job.GiveUp(err)
	}
	return err
}
