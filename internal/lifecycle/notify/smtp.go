package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
)

// deliver hands one mail to the server (RFC 5321). It ends when ctx does.
func (s *Service) deliver(ctx context.Context, to string, message []byte) error {
	conn, err := s.Dial(ctx, "tcp", net.JoinHostPort(s.Server.Host, s.Server.Port))
	if err != nil {
		return fmt.Errorf("mail server %s: %w", s.Server.Host, err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // what waits for the server returns at once
	defer func() { _ = conn.Close() }()
	if s.Server.TLS == ImplicitTLS {
		conn = tls.Client(conn, s.tls())
	}
	if err := s.speak(conn, to, message); err != nil {
		return fmt.Errorf("mail server %s: %w", s.Server.Host, errors.Join(err, ctx.Err()))
	}
	return nil
}

func (s *Service) tls() *tls.Config {
	return &tls.Config{ServerName: s.Server.Host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
}

// speak is the conversation with the server.
func (s *Service) speak(conn net.Conn, to string, message []byte) error {
	c, err := smtp.NewClient(conn, s.Server.Host)
	if err != nil {
		return err
	}
	if err := c.Hello(s.Domain); err != nil {
		return err
	}
	if s.Server.TLS == StartTLS {
		// Not offered may mean that somebody in between took it out.
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("it offers no STARTTLS; use smtps://, or tls=off for a relay on this machine")
		}
		if err := c.StartTLS(s.tls()); err != nil {
			return err
		}
	}
	if s.Server.User != "" {
		if err := c.Auth(smtp.PlainAuth("", s.Server.User, s.Server.Password, s.Server.Host)); err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
	}
	if err := c.Mail(s.Server.From); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the mail is taken, whatever the farewell
	return nil
}

// permanent reports whether the server said that it will never take the mail (RFC 5321,
// section 4.2.1: the 5yz replies). A refused sign-in is not: somebody can mend it.
func permanent(err error) bool {
	var said *textproto.Error
	return errors.As(err, &said) && said.Code >= 500 && said.Code != 530 && said.Code != 534 && said.Code != 535 && said.Code != 538
}
