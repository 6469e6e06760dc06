package notify_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is a small mail server (RFC 5321) with STARTTLS (RFC 3207), TLS from the first
// byte (RFC 8314) and AUTH PLAIN (RFC 4954). A test tells it how to behave.
type server struct {
	t        *testing.T
	listener net.Listener
	config   *tls.Config
	roots    *x509.CertPool

	implicit bool              // TLS from the first byte
	offers   string            // extensions besides, such as "STARTTLS"
	user     string            // and password, "user\x00password"; empty for none
	says     map[string]string // what it answers to a command instead

	once     sync.Once // start
	mu       sync.Mutex
	mails    []delivered
	commands []string
}

// delivered is one mail that it took.
type delivered struct {
	from, to, text string
	encrypted      bool
}

const mailHost = "mail.example.com"

func newServer(t *testing.T) *server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: mailHost}, DNSNames: []string{mailHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, offers: "STARTTLS", says: map[string]string{}, roots: x509.NewCertPool()}
	s.roots.AddCert(root)
	s.config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.listener.Close() })
	return s
}

// start begins to serve, as the fields say then.
func (s *server) start() {
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { s.serve(conn) })
		}
	})
	s.t.Cleanup(func() {
		_ = s.listener.Close()
		served.Wait()
	})
}

// serve is one conversation.
func (s *server) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	encrypted := s.implicit
	if s.implicit {
		conn = tls.Server(conn, s.config)
	}
	in := bufio.NewReader(conn)
	say := func(line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 " + mailHost + " ESMTP")
	signedIn := s.user == ""
	var mail delivered
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb := strings.ToUpper(strings.Fields(line + " ?")[0])
		s.mu.Lock()
		s.commands = append(s.commands, line)
		s.mu.Unlock()
		if answer := s.says[verb]; answer != "" {
			say(answer)
			continue
		}
		switch verb {
		case "EHLO":
			say("250-" + mailHost)
			if s.user != "" {
				say("250-AUTH PLAIN")
			}
			if !encrypted && s.offers != "" {
				say("250-" + s.offers)
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go ahead")
			conn = tls.Server(conn, s.config)
			in, encrypted = bufio.NewReader(conn), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "AUTH PLAIN "))
			if signedIn = string(raw) == "\x00"+s.user; !signedIn {
				say("535 5.7.8 bad credentials")
				continue
			}
			say("235 welcome")
		case "MAIL":
			if !signedIn {
				say("530 5.7.0 sign in first")
				continue
			}
			mail = delivered{from: between(line), encrypted: encrypted}
			say("250 ok")
		case "RCPT":
			mail.to = between(line)
			say("250 ok")
		case "DATA":
			say("354 go on")
			mail.text = readMail(in)
			s.mu.Lock()
			s.mails = append(s.mails, mail)
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 what?")
		}
	}
}

func between(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

// readMail reads up to the line with a dot alone, and undoes the doubling of dots.
func readMail(in *bufio.Reader) string {
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			return text.String()
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
}

func (s *server) taken() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]delivered(nil), s.mails...)
}

func (s *server) heard(verb string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		if strings.HasPrefix(c, verb) {
			return true
		}
	}
	return false
}
