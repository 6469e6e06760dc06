package config

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
)

// SMTP is the server that takes mail, for the contacts of vaults.
type SMTP struct {
	// URL names it: smtp://user:password@mail.example.com:587 for STARTTLS, which must be
	// offered; smtps://… for TLS from the first byte; smtp://localhost:25?tls=off for a
	// relay without TLS, which takes no password. The ports may be left out: 587, 465 and,
	// without TLS, 25. The password is percent-encoded. Default: no mail is sent, and a
	// warning says so once.
	URL string `yaml:"url"`

	// From is the sender's address, chatelaine@example.com. It is required with URL.
	From string `yaml:"from"`
}

// MailServer is what an SMTP says. The zero value, without a host, is none.
type MailServer struct {
	Host, Port     string
	User, Password string // both empty for a server that asks for none
	TLS            MailTLS
	From           string
}

// MailTLS is how a mail server protects what it is sent.
type MailTLS int

// The ways of TLS.
const (
	StartTLS    MailTLS = iota // after the greeting, or not at all
	ImplicitTLS                // from the first byte
	NoTLS
)

// Server reads the fields. Errors do not repeat the URL, which may hold a password.
func (s SMTP) Server() (m MailServer, err error) {
	if s.URL == "" {
		if s.From != "" {
			return m, errors.New("smtp.from is set without smtp.url: name the server, smtp://mail.example.com")
		}
		return m, nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return m, errors.New("smtp.url: want smtp://user:password@host:port or smtps://…, with the password percent-encoded")
	}
	m = MailServer{Host: u.Hostname(), Port: u.Port(), User: u.User.Username(), From: s.From}
	m.Password, _ = u.User.Password()
	standard := "587"
	switch {
	case u.Scheme == "smtps" && u.RawQuery == "":
		m.TLS, standard = ImplicitTLS, "465"
	case u.Scheme == "smtp" && u.RawQuery == "tls=off":
		m.TLS, standard = NoTLS, "25"
	case u.Scheme != "smtp" || u.RawQuery != "":
		return m, fmt.Errorf("smtp.url: want the scheme smtp or smtps, and no parameter but tls=off with smtp")
	}
	if m.Port == "" {
		m.Port = standard
	}
	if m.TLS == NoTLS && m.User != "" {
		return m, errors.New("smtp.url: a user and a password are not sent without TLS; leave out tls=off, or the user")
	}
	a, err := mail.ParseAddress(s.From)
	if err != nil || a.Address != s.From {
		return m, fmt.Errorf("smtp.from %q: want an address, such as chatelaine@example.com", s.From)
	}
	return m, nil
}
