package notify

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"chatelaine.dev/internal/vault/certificates/lifetime"
)

// message writes a notice as a mail (RFC 5322): plain text, quoted-printable.
func (s *Service) message(n lifetime.Notice) []byte {
	var out bytes.Buffer
	header(&out, "From", "<"+s.Server.From+">")
	header(&out, "To", "<"+n.To.Email+">")
	header(&out, "Subject", mime.QEncoding.Encode("utf-8", subject(n, s.Now())))
	header(&out, "Date", s.Now().UTC().Format(time.RFC1123Z))
	// The same for every try, so that a mail that came twice is seen as one.
	header(&out, "Message-ID", "<"+n.Vault+"."+n.Name+"."+n.Version+"."+n.To.Key()+"@"+s.Domain+">")
	header(&out, "Auto-Submitted", "auto-generated") // RFC 3834: no answers from machines
	header(&out, "MIME-Version", "1.0")
	header(&out, "Content-Type", "text/plain; charset=utf-8")
	header(&out, "Content-Transfer-Encoding", "quoted-printable")
	out.WriteString("\r\n")
	w := quotedprintable.NewWriter(&out)
	_, _ = w.Write([]byte(strings.ReplaceAll(text(n, s.Now()), "\n", "\r\n"))) // into memory
	_ = w.Close()
	return out.Bytes()
}

// header writes one line. Nothing in a value can begin another: addresses and names were
// checked when they came in, and control characters are dropped here whatever they were.
func header(out *bytes.Buffer, name, value string) {
	fmt.Fprintf(out, "%s: %s\r\n", name, clean(value))
}

// clean drops control characters, among them line breaks.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == 0x2028 || r == 0x2029 {
			return -1
		}
		return r
	}, text)
}

const date = "2006-01-02"

func subject(n lifetime.Notice, now time.Time) string {
	verb := "expires"
	if !now.Before(n.Expires) {
		verb = "expired"
	}
	return fmt.Sprintf("Certificate %s of vault %s %s on %s", n.Name, n.Vault, verb, n.Expires.UTC().Format(date))
}

// text is for somebody who did not ask for this mail and has little time.
func text(n lifetime.Notice, now time.Time) string {
	var b strings.Builder
	greeting := "Hello,"
	if name := clean(n.To.Name); name != "" {
		greeting = "Hello " + name + ","
	}
	fmt.Fprintf(&b, "%s\n\nthe certificate %s of vault %s %s UTC.\n\n", greeting, n.Name, n.Vault, ends(n.Expires, now))
	line := func(name, value string) {
		if value = clean(value); value != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", name, value)
		}
	}
	line("subject", n.Subject)
	line("names", strings.Join(n.Names, ", "))
	line("serial", n.Serial)
	line("version", n.Version)
	b.WriteString("\n")
	if n.Renews.After(now) {
		fmt.Fprintf(&b, "Its policy renews it on %s. Programs that read it from the vault must then load the new version.\n", n.Renews.UTC().Format(date))
	} else {
		b.WriteString("Nothing renews it by itself: somebody must create or import a new version.\n")
	}
	b.WriteString("\nYou get this mail because you are a certificate contact of the vault.\n")
	return b.String()
}

func ends(at, now time.Time) string {
	if !now.Before(at) {
		return "expired at " + at.UTC().Format(time.DateTime)
	}
	days := int(at.Sub(now).Hours() / 24)
	return fmt.Sprintf("expires in %d days, at %s", days, at.UTC().Format(time.DateTime))
}
