package app

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
)

// relay is a mail server without TLS that passes on what it is given.
func relay(t *testing.T) (address string, mails <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	taken := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			take(conn, taken)
		}
	}()
	return l.Addr().String(), taken
}

func take(conn net.Conn, taken chan<- string) {
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprint(conn, "220 relay\r\n")
	var mail strings.Builder
	data := false
	for in := bufio.NewScanner(conn); in.Scan(); {
		line := in.Text()
		mail.WriteString(line + "\n")
		switch {
		case data && line == ".":
			data = false
			taken <- mail.String()
		case data:
			continue
		case line == "DATA":
			data = true
			_, _ = fmt.Fprint(conn, "354 go on\r\n")
			continue
		}
		_, _ = fmt.Fprint(conn, "250 ok\r\n")
	}
}

// expiring is a certificate with its key that ends within the day.
func expiring(t *testing.T) pfx.Bundle {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web"}, NotBefore: time.Now().AddDate(0, -1, 0), NotAfter: time.Now().Add(20 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pfx.Bundle{Key: key, Certificates: []*x509.Certificate{leaf}}
}

// From the policy of a certificate, by the agenda, the queue and the configured server, to
// the contact.
func TestContactOfAVaultGetsMail(t *testing.T) {
	server, mails := relay(t)
	c := config.Default()
	c.Data, c.Listen, c.Status = t.TempDir(), "127.0.0.1:0", "off"
	c.SMTP = config.SMTP{URL: "smtp://" + server + "?tls=off", From: "chatelaine@example.com"}
	a, err := Open(t.Context(), Config{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	system := access.System("test")
	if err := a.Contacts.Set(t.Context(), system, "default", []contact.Contact{{Email: "ann@example.com", Name: "Ann"}}); err != nil {
		t.Fatal(err)
	}
	var p policy.Policy
	if err := json.Unmarshal([]byte(`{"lifetime_actions":[{"trigger":{"days_before_expiry":1},"action":{"action_type":"EmailContacts"}}]}`), &p); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Certificates.Import(t.Context(), system, object.Ref{Vault: "default", Name: "web"}, certificates.ImportRequest{Bundle: expiring(t), Policy: &p}); err != nil {
		t.Fatal(err)
	}

	if err := a.agenda.HandleDue(t.Context(), object.DueArgs{}); err != nil { // the minute's work, now
		t.Fatal(err)
	}

	select {
	case mail := <-mails:
		for _, part := range []string{"MAIL FROM:<chatelaine@example.com>", "RCPT TO:<ann@example.com>", "Subject: Certificate web of vault default expires on", "Hello Ann,", "@localhost>"} {
			if !strings.Contains(mail, part) {
				t.Errorf("the mail lacks %q:\n%s", part, mail)
			}
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no mail came")
	}
}
