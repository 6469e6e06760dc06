// Package est is the front door of enrolment over secure transport (RFC 7030, RFC 8951):
// /.well-known/est/{profile}/ and an operation. It decodes, asks the service and encodes.
package est

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/est"
	"chatelaine.dev/internal/serve/web"
)

// Prefix is where every path begins.
const Prefix = "/.well-known/est/"

// Default is the profile of an address that names none, as clients write it that know no
// labels (RFC 7030 section 3.2.2).
const Default = "tls-server"

// Service decides; *est.Service is one.
type Service interface {
	CACerts(ctx context.Context, profile string) ([][]byte, error)
	Attributes(ctx context.Context, profile string) ([]byte, error)
	Enroll(ctx context.Context, v est.Visitor, profile string, csr []byte) (est.Answer, error)
	Reenroll(ctx context.Context, v est.Visitor, profile string, csr []byte) (est.Answer, error)
	ServerKeygen(ctx context.Context, v est.Visitor, profile string, csr []byte) (est.Generated, error)
}

// maxBody bounds a CSR in base64.
const maxBody = 96 << 10

type door struct{ service Service }

// Operation is one operation of the protocol.
type Operation struct {
	Method, Name string
	// Open says that it answers anybody.
	Open   bool
	answer func(d door, w http.ResponseWriter, r *http.Request) error
}

// Operations are all that there are.
func Operations() []Operation {
	return []Operation{
		{http.MethodGet, "cacerts", true, door.caCerts},
		{http.MethodGet, "csrattrs", true, door.attributes},
		{http.MethodPost, "simpleenroll", false, door.enroll},
		{http.MethodPost, "simplereenroll", false, door.reenroll},
		{http.MethodPost, "serverkeygen", false, door.serverKeygen},
		{http.MethodPost, "fullcmc", true, door.fullCMC},
	}
}

// New makes the handler, for paths below Prefix.
func New(s Service) http.Handler {
	d := door{s}
	mux := http.NewServeMux()
	for _, o := range Operations() {
		answer := func(w http.ResponseWriter, r *http.Request) {
			if err := o.answer(d, w, r); err != nil {
				fail(w, r, err)
			}
		}
		mux.HandleFunc(o.Method+" "+Prefix+"{profile}/"+o.Name, answer)
		mux.HandleFunc(o.Method+" "+Prefix+o.Name, func(w http.ResponseWriter, r *http.Request) {
			r.SetPathValue("profile", Default)
			answer(w, r)
		})
	}
	mux.HandleFunc(Prefix, func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, fault.New(fault.NotFound, "UnknownPath", "write /.well-known/est/{profile}/ and one of cacerts, csrattrs, simpleenroll, simplereenroll and serverkeygen"))
	})
	return mux
}

// visitor is what the request shows.
func visitor(r *http.Request) est.Visitor {
	v := est.Visitor{From: web.Origin(r)}
	user, password, ok := r.BasicAuth()
	v.Basic, v.User, v.Password = ok, user, access.NewSecret(password)
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		v.Certificate = r.TLS.PeerCertificates[0] // its key signed the handshake
	}
	return v
}

// body is the CSR that was sent: in base64, however it is wrapped and whatever the header
// says (RFC 8951 section 3), or in DER, which cannot be taken for it.
func body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	const sequence = 0x30 // "0" in base64, but then of a first octet that no CSR has
	if len(b) > 1 && b[0] == sequence && b[1] >= 0x80 {
		return b, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(b)), ""))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadBase64", "the body is no PKCS #10 request in base64")
	}
	return der, nil
}

// send answers with DER in base64, in one line: RFC 8951 section 3.1 has base64 as RFC 4648
// has it, which breaks no lines, and there are clients that stumble over breaks.
func send(w http.ResponseWriter, kind string, der []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Transfer-Encoding", "base64") // RFC 8951 makes nothing of it; older clients want it
	text := base64.StdEncoding.EncodeToString(der)
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // small clients know no chunks
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, text)
}

// fail answers in plain text, which a client shows to people (RFC 7030 section 4.2.3).
func fail(w http.ResponseWriter, r *http.Request, err error) {
	web.EventOf(r.Context()).Fail(err)
	d := web.DetailsOf(r, err)
	h := w.Header()
	switch d.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Basic realm="est", charset="UTF-8"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(10))
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(d.Status)
	_, _ = io.WriteString(w, d.Detail+" (request "+d.Request+")\n")
}
