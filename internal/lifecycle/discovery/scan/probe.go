package scan

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"chatelaine.dev/internal/fault"
)

// Outcome is how a probe ended.
type Outcome string

// The outcomes.
const (
	Found         Outcome = "found"          // a certificate
	NoCertificate Outcome = "no certificate" // TLS, but anonymous or by a shared key
	NotTLS        Outcome = "not TLS"        // something answered, in another protocol
	Unreachable   Outcome = "unreachable"    // nothing can be said: no answer, or a handshake that was refused
	Forbidden     Outcome = "forbidden"      // an address that is never scanned
)

// Result is what one address showed.
type Result struct {
	Target  Target
	IP      netip.Addr // invalid when the name was not found
	SNI     string
	At      time.Time
	Outcome Outcome
	Problem string   // for people; empty when Found
	Chain   [][]byte // DER as served, the server's own first

	Version    string   // negotiated
	Cipher     string   // IANA name, or 0x and its number
	Group      string   // of the key exchange; empty where it was not finished
	Versions   []string // accepted, oldest first; nil unless asked for
	ClientAuth bool     // a client certificate was asked for
	Incomplete bool     // the chain ended in the middle
}

// probe is the examination of one address.
type probe struct {
	s    *Scanner
	to   netip.AddrPort
	sni  string
	home bool // loopback was named expressly
	r    *Result
}

// examine fills the result. Everything together takes at most Config.Timeout.
func (p *probe) examine(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.s.c.Timeout)
	defer cancel()
	err := p.handshake(ctx)
	if err != nil && len(p.r.Chain) == 0 && worthAnotherTry(err) {
		for _, v := range []uint16{tls12, tls10} {
			if f, e := p.hello(ctx, v, func(*flight) bool { return false }); e == nil && f.version != 0 {
				p.take(f)
				break
			}
		}
	}
	switch {
	case len(p.r.Chain) > 0:
		p.r.Outcome, p.r.Problem = Found, ""
	case p.r.Version != "":
		p.r.Outcome, p.r.Problem = NoCertificate, "speaks TLS, but shows no certificate"
	default:
		p.r.Outcome, p.r.Problem = explain(err)
	}
	if p.s.c.Versions && p.r.Outcome == Found {
		p.versions(ctx)
	}
}

// handshake is the usual way: crypto/tls with everything allowed that it can do. What it
// refuses, such as a certificate that it cannot parse, is taken from the bytes it got.
func (p *probe) handshake(ctx context.Context) error {
	conn, err := p.s.guard.dial(ctx, p.to, p.home, p.s.c.ConnectTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	recorded := &recorder{Conn: conn}
	var log bytes.Buffer
	client := tls.Client(recorded, p.config(&log))
	err = client.HandshakeContext(ctx)
	state := client.ConnectionState()
	if state.Version != 0 {
		p.r.Version = versionName(state.Version)
		p.r.Cipher = tls.CipherSuiteName(state.CipherSuite)
		if state.CurveID != 0 {
			p.r.Group = state.CurveID.String()
		}
	}
	if len(p.r.Chain) == 0 {
		f := newFlight()
		f.secret = func() []byte { return handshakeSecret(log.Bytes()) }
		f.feedAll(recorded.b.Bytes())
		p.take(f)
	}
	return err
}

// config trusts everybody: the certificate is what is wanted, not a connection.
func (p *probe) config(log io.Writer) *tls.Config {
	var suites []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	return &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // judging is the policy's work; nothing is sent to the peer
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       suites,
		ServerName:         p.sni,
		KeyLogWriter:       log, // of this connection alone, and forgotten with it
		Time:               p.s.c.Now,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			for _, der := range raw {
				p.r.Chain = append(p.r.Chain, slices.Clone(der))
			}
			return nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			p.r.ClientAuth = true
			return &tls.Certificate{}, nil
		},
	}
}

// take adds what a flight showed to what is known.
func (p *probe) take(f *flight) {
	p.r.ClientAuth = p.r.ClientAuth || f.clientAuth
	if len(p.r.Chain) == 0 {
		p.r.Chain, p.r.Incomplete = f.chain, f.incomplete
	}
	if f.version != 0 && p.r.Version == "" {
		p.r.Version, p.r.Cipher = versionName(f.version), tls.CipherSuiteName(f.suite)
	}
}

// handshakeSecret picks the server's handshake traffic secret from a key log.
func handshakeSecret(log []byte) []byte {
	for line := range bytes.Lines(log) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "SERVER_HANDSHAKE_TRAFFIC_SECRET" {
			if secret, err := hex.DecodeString(string(f[2])); err == nil {
				return secret
			}
		}
	}
	return nil
}

// hello offers one version by hand, with the suites of old servers too, and reads the
// server's first flight until enough says so. Its error is that of the connection.
func (p *probe) hello(ctx context.Context, version uint16, enough func(*flight) bool) (*flight, error) {
	conn, err := p.s.guard.dial(ctx, p.to, p.home, p.s.c.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := conn.Write(clientHello(version, p.sni)); err != nil {
		return nil, err
	}
	f := newFlight()
	err = f.read(conn, enough)
	if f.version != 0 || f.alert >= 0 || f.notTLS {
		err = nil
	}
	return f, err
}

// versions asks for each version that is not known yet, one connection each.
func (p *probe) versions(ctx context.Context) {
	for _, v := range []uint16{tls10, tls11, tls12, tls13} {
		name := versionName(v)
		accepted := name == p.r.Version
		if !accepted {
			f, err := p.hello(ctx, v, func(f *flight) bool { return f.version != 0 })
			accepted = err == nil && f.version == v
		}
		if accepted {
			p.r.Versions = append(p.r.Versions, name)
		}
	}
}

// recorder keeps what the server sends.
type recorder struct {
	net.Conn
	b bytes.Buffer
}

var errTooMuch = errors.New("the server sends more than a handshake needs")

func (r *recorder) Read(b []byte) (int, error) {
	if r.b.Len() > maxFlight {
		return 0, errTooMuch
	}
	n, err := r.Conn.Read(b)
	r.b.Write(b[:n])
	return n, err
}

// worthAnotherTry reports whether an old server may have disliked the hello: it is there,
// and what it says is TLS or nothing.
func worthAnotherTry(err error) bool {
	var header tls.RecordHeaderError
	return !errors.As(err, &header) && !dialFailed(err) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

func dialFailed(err error) bool {
	var op *net.OpError
	return fault.Is(err, fault.Denied) || errors.As(err, &op) && op.Op == "dial"
}

// explain sorts the error of a probe.
func explain(err error) (Outcome, string) {
	var header tls.RecordHeaderError
	var dns *net.DNSError
	var alert tls.AlertError
	switch {
	case err == nil:
		return NoCertificate, "shows no certificate"
	case fault.HasCode(err, "AddressForbidden"):
		return Forbidden, fault.Of(err).Message
	case errors.As(err, &header):
		return NotTLS, "answers, but not in TLS"
	case errors.As(err, &dns):
		return Unreachable, "name not found"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
		return Unreachable, "timed out"
	case errors.Is(err, syscall.ECONNREFUSED):
		return Unreachable, "connection refused"
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return Unreachable, "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return Unreachable, "no route"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return Unreachable, "closed the connection during the handshake"
	case errors.As(err, &alert):
		return Unreachable, "refused the handshake: " + strings.TrimPrefix(alert.Error(), "tls: ")
	}
	return Unreachable, fmt.Sprintf("handshake failed: %.200s", err)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
