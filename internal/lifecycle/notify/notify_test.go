package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/notify"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/lifetime"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// queue keeps what is enqueued.
type queue struct{ jobs []job.Args }

func (q *queue) Enqueue(_ context.Context, a job.Args, _ job.Options) error {
	q.jobs = append(q.jobs, a)
	return nil
}

func notice() lifetime.Notice {
	return lifetime.Notice{
		To:    contact.Contact{Email: "ann@example.com", Name: "Änn"},
		Vault: "payroll", Name: "web", Version: "0123456789abcdef0123456789abcdef", Subject: "CN=shop.example, O=Café", Serial: "4f",
		Names: []string{"shop.example", "www.shop.example"}, Expires: now.AddDate(0, 0, 30), Renews: now.AddDate(0, 0, 20),
	}
}

// post makes a service that sends to s, and says n.
func post(t *testing.T, s *server, n lifetime.Notice, change func(*notify.Deps)) (*notify.Service, *queue) {
	t.Helper()
	q := &queue{}
	d := notify.Deps{
		Server: notify.Server{Host: mailHost, Port: "587", From: "chatelaine@example.com"}, Domain: "vault.example.com", Jobs: q,
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
		Notice: func(_ context.Context, m lifetime.Mail) (lifetime.Notice, error) {
			if m.Contact != n.To.Key() {
				return lifetime.Notice{}, fault.New(fault.NotFound, "ContactNotFound", "gone")
			}
			return n, nil
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, _ := net.SplitHostPort(address); host != mailHost || port != "587" {
				t.Errorf("dials %s", address)
			}
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, s.listener.Addr().String())
		},
	}
	if s != nil {
		s.once.Do(s.start)
		d.Roots = s.roots
	}
	if change != nil {
		change(&d)
	}
	return notify.New(d), q
}

func args(n lifetime.Notice) notify.SendArgs {
	return notify.SendArgs{Mail: lifetime.Mail{Vault: n.Vault, Name: n.Name, Version: n.Version, Contact: n.To.Key()}}
}

func TestMailReachesTheContact(t *testing.T) {
	for what, c := range map[string]struct {
		server func(*server)
		change func(*notify.Deps)
		secret bool
	}{
		"STARTTLS": {func(*server) {}, nil, true},
		"TLS from the first byte": {
			func(s *server) { s.implicit = true },
			func(d *notify.Deps) { d.Server.TLS = notify.ImplicitTLS }, true,
		},
		"with a password": {
			func(s *server) { s.user = "chatelaine\x00hush" },
			func(d *notify.Deps) { d.Server.User, d.Server.Password = "chatelaine", "hush" }, true,
		},
		"a relay without TLS": {
			func(s *server) { s.offers = "" },
			func(d *notify.Deps) { d.Server.TLS = notify.NoTLS }, false,
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newServer(t)
			c.server(s)
			p, q := post(t, s, notice(), c.change)

			if err := p.Send(t.Context(), args(notice()).Mail); err != nil || len(q.jobs) != 1 {
				t.Fatalf("%d jobs: %v", len(q.jobs), err)
			}
			if b, err := json.Marshal(q.jobs[0]); err != nil || strings.Contains(string(b), "ann") {
				t.Errorf("the queue holds an address: %s %v", b, err)
			}
			if err := p.HandleSend(t.Context(), q.jobs[0].(notify.SendArgs)); err != nil {
				t.Fatal(err)
			}

			got := s.taken()
			if len(got) != 1 || got[0].from != "chatelaine@example.com" || got[0].to != "ann@example.com" || got[0].encrypted != c.secret {
				t.Fatalf("%+v", got)
			}
			checkMail(t, got[0].text)
		})
	}
}

// checkMail reads a mail as a mail program does.
func checkMail(t *testing.T, raw string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"Subject": subject}
	for _, name := range []string{"From", "To", "Date", "Message-Id", "Auto-Submitted", "Content-Type"} {
		got[name] = m.Header.Get(name)
	}
	want := map[string]string{
		"Subject": "Certificate web of vault payroll expires on 2026-12-23",
		"From":    "<chatelaine@example.com>", "To": "<ann@example.com>", "Date": "Mon, 23 Nov 2026 12:00:00 +0000",
		"Message-Id":     "<payroll.web.0123456789abcdef0123456789abcdef." + notice().To.Key() + "@vault.example.com>",
		"Auto-Submitted": "auto-generated", "Content-Type": "text/plain; charset=utf-8",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Hello Änn,", "expires in 30 days, at 2026-12-23 12:00:00 UTC", "CN=shop.example, O=Café", "shop.example, www.shop.example", "renews it on 2026-12-13"} {
		if !strings.Contains(string(body), part) {
			t.Errorf("the mail lacks %q:\n%s", part, body)
		}
	}
}

// A password never goes to a server that offers no TLS, or that is another.
func TestMailIsNotSentWithoutTheTLSThatIsWanted(t *testing.T) {
	for what, c := range map[string]struct {
		server func(*server)
		change func(*notify.Deps)
	}{
		"STARTTLS was taken out": {func(s *server) { s.offers = "" }, nil},
		"another certificate":    {func(*server) {}, func(d *notify.Deps) { d.Roots = newServer(t).roots }},
		"another host":           {func(*server) {}, func(d *notify.Deps) { d.Server.Host = "other.example.com" }},
	} {
		t.Run(what, func(t *testing.T) {
			s := newServer(t)
			s.user = "chatelaine\x00hush"
			c.server(s)
			p, _ := post(t, s, notice(), func(d *notify.Deps) {
				d.Server.User, d.Server.Password = "chatelaine", "hush"
				d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					var dialer net.Dialer
					return dialer.DialContext(ctx, network, s.listener.Addr().String())
				}
				if c.change != nil {
					c.change(d)
				}
			})

			err := p.HandleSend(t.Context(), args(notice()))

			if err == nil || len(s.taken()) != 0 || s.heard("AUTH") || s.heard("MAIL") {
				t.Errorf("%v; it heard %q", err, s.commands)
			}
		})
	}
}

// What the server will never take is given up; the rest is tried again.
func TestOnlyAFinalRefusalEndsTheMail(t *testing.T) {
	for answer, final := range map[string]bool{
		"RCPT 550 5.1.1 no such person": true, "RCPT 553 5.1.3 bad address": true, "MAIL 554 5.7.1 not you": true,
		"RCPT 450 4.2.0 greylisted": false, "DATA 452 4.3.1 disk full": false, "EHLO 421 4.3.2 going down": false, "MAIL 530 5.7.0 sign in": false,
	} {
		verb, says, _ := strings.Cut(answer, " ")
		s := newServer(t)
		s.says[verb] = says
		if verb == "EHLO" {
			s.says["HELO"] = says
		}
		p, _ := post(t, s, notice(), nil)

		err := p.HandleSend(t.Context(), args(notice()))

		if err == nil || isFinal(err) != final || len(s.taken()) != 0 {
			t.Errorf("%s: %v, final is %v", answer, err, isFinal(err))
		}
	}
	refused := errors.New("connection refused")
	p, _ := post(t, nil, notice(), func(d *notify.Deps) {
		d.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, refused }
	})
	if err := p.HandleSend(t.Context(), args(notice())); !errors.Is(err, refused) || isFinal(err) {
		t.Errorf("no connection: %v", err)
	}
}

// isFinal reports whether the queue gives a job up that returned err.
func isFinal(err error) bool { return reflect.TypeOf(err) == reflect.TypeOf(job.GiveUp(err)) }

func TestNothingCanBeSmuggledIntoTheHeader(t *testing.T) {
	n := notice()
	n.Name, n.Vault = "web\r\nBcc: eve@example.com", "payroll\nX-Evil: 1"
	n.To.Name = "Ann\r\n\r\n.\r\nMAIL FROM:<eve@example.com>"
	n.Subject, n.Names = "CN=x\r\nBcc: eve@example.com", []string{"a\r\n.\r\nQUIT"}
	s := newServer(t)
	p, _ := post(t, s, n, nil)

	if err := p.HandleSend(t.Context(), args(n)); err != nil {
		t.Fatal(err)
	}

	got := s.taken()
	if len(got) != 1 || got[0].to != "ann@example.com" {
		t.Fatalf("%+v", got)
	}
	m, err := mail.ReadMessage(strings.NewReader(got[0].text))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Bcc") != "" || m.Header.Get("X-Evil") != "" || len(m.Header) != 9 {
		t.Errorf("header: %v", m.Header)
	}
	n.To.Email = "ann@example.com>\r\nRCPT TO:<eve@example.com"
	p, _ = post(t, s, n, nil)
	if err := p.HandleSend(t.Context(), args(n)); err == nil || len(s.taken()) != 1 {
		t.Errorf("an address with a line break was sent to: %v", err)
	}
}

func TestMailToWhoIsGoneIsForgotten(t *testing.T) {
	s := newServer(t)
	p, _ := post(t, s, notice(), nil)
	a := args(notice())
	a.Contact = "gone"

	if err := p.HandleSend(t.Context(), a); err != nil || s.heard("EHLO") {
		t.Errorf("%v; it heard %q", err, s.commands)
	}
}

// A server that says nothing does not hold a worker for ever.
func TestSilentServerIsLeft(t *testing.T) {
	client, silent := net.Pipe()
	defer func() { _ = silent.Close() }()
	p, _ := post(t, nil, notice(), func(d *notify.Deps) {
		d.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := p.HandleSend(ctx, args(notice())); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWithoutAServerNothingIsQueuedAndTheLogSaysSoOnce(t *testing.T) {
	var log bytes.Buffer
	p, q := post(t, nil, notice(), func(d *notify.Deps) {
		d.Server, d.Log = notify.Server{}, slog.New(slog.NewTextHandler(&log, nil))
	})

	for range 3 {
		if err := p.Send(t.Context(), args(notice()).Mail); err != nil {
			t.Fatal(err)
		}
	}

	if len(q.jobs) != 0 || strings.Count(log.String(), "smtp.url") != 1 {
		t.Errorf("%d jobs; the log says %s", len(q.jobs), log.String())
	}
	if err := p.HandleSend(t.Context(), args(notice())); !isFinal(err) { // it was queued when there was one
		t.Errorf("a mail of before: %v", err)
	}
}
