package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMailServerIsReadFromItsURL(t *testing.T) {
	const from = "chatelaine@example.com"
	for url, want := range map[string]MailServer{
		"":                                      {},
		"smtp://mail.example.com":               {Host: "mail.example.com", Port: "587", TLS: StartTLS, From: from},
		"smtps://u%40x:p%2Fw@mail.example.com/": {Host: "mail.example.com", Port: "465", User: "u@x", Password: "p/w", TLS: ImplicitTLS, From: from},
		"smtp://localhost?tls=off":              {Host: "localhost", Port: "25", TLS: NoTLS, From: from},
		"smtp://[::1]:2525":                     {Host: "::1", Port: "2525", TLS: StartTLS, From: from},
	} {
		s := SMTP{URL: url, From: from}
		if url == "" {
			s.From = ""
		}
		got, err := s.Server()
		if err != nil {
			t.Errorf("%q: %v", url, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", url, d)
		}
	}
}

// A password goes over TLS or not at all, and no error shows it.
func TestMailServerThatCannotWorkIsRefusedWithoutShowingThePassword(t *testing.T) {
	for _, s := range []SMTP{
		{From: "a@example.com"},
		{URL: "mail.example.com:25", From: "a@example.com"},
		{URL: "http://u:hush@mail.example.com", From: "a@example.com"},
		{URL: "smtp://u:hush@mail.example.com?tls=off", From: "a@example.com"},
		{URL: "smtp://u:hush@mail.example.com?tls=no", From: "a@example.com"},
		{URL: "smtps://u:hush@mail.example.com?tls=off", From: "a@example.com"},
		{URL: "smtp://u:hush@mail.example.com/path", From: "a@example.com"},
		{URL: "smtp://u:hush%zz@mail.example.com", From: "a@example.com"},
		{URL: "smtp://u:hush@mail.example.com", From: "Chatelaine <a@example.com>"},
		{URL: "smtp://u:hush@mail.example.com", From: "a@example.com\r\nBcc: b@example.com"},
		{URL: "smtp://u:hush@mail.example.com"},
	} {
		if _, err := s.Server(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q from %q: %v", s.URL, s.From, err)
		}
		c := Default()
		c.SMTP = s
		if c.Check() == nil {
			t.Errorf("%q from %q: the configuration takes it", s.URL, s.From)
		}
	}
}
