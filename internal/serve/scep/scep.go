// Package scep is the front door of the Simple Certificate Enrolment Protocol (RFC 8894):
// /scep/{profile}. It decodes, asks the service and encodes. What it carries is signed and
// encrypted by itself, so it is served by plain HTTP too.
package scep

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/cms"
	"chatelaine.dev/internal/serve/web"
)

// Prefix is where every path begins.
const Prefix = "/scep/"

// Service decides; *scep.Service is one.
type Service interface {
	Capabilities(ctx context.Context, profile string) (string, error)
	CACerts(ctx context.Context, profile string) ([][]byte, error)
	Operation(ctx context.Context, profile string, message []byte, from access.Origin) ([]byte, error)
}

// maxMessage bounds a message, in bytes.
const maxMessage = 64 << 10

type door struct{ service Service }

// New makes the handler, for paths below Prefix.
func New(s Service) http.Handler {
	d := door{s}
	mux := http.NewServeMux()
	for _, path := range []string{"{profile}", "{profile}/pkiclient.exe"} { // the latter is what section 4.1 has seen clients write
		mux.HandleFunc("GET "+Prefix+path, d.get)
		mux.HandleFunc("POST "+Prefix+path, d.post)
	}
	mux.HandleFunc(Prefix, func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, fault.New(fault.NotFound, "UnknownPath", "the address is /scep/{profile}"))
	})
	return mux
}

// get answers by the parameter operation: section 4.1.
func (d door) get(w http.ResponseWriter, r *http.Request) {
	var err error
	switch q := r.URL.Query(); q.Get("operation") {
	case "GetCACaps":
		err = d.capabilities(w, r)
	case "GetCACert":
		err = d.caCerts(w, r)
	case "PKIOperation":
		var raw []byte
		if raw, err = decode(q.Get("message")); err == nil {
			err = d.operation(w, r, raw)
		}
	default:
		err = fault.New(fault.Invalid, "UnknownOperation", "the parameter operation is GetCACaps, GetCACert or PKIOperation")
	}
	if err != nil {
		fail(w, r, err)
	}
}

// post answers PKIOperation: section 4.3.
func (d door) post(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("operation") != "PKIOperation" {
		fail(w, r, fault.New(fault.Invalid, "UnknownOperation", "only PKIOperation is posted"))
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err == nil {
		err = d.operation(w, r, raw)
	}
	if err != nil {
		fail(w, r, err)
	}
}

// decode reads a message in an address, where a plus may have become a space.
func decode(text string) ([]byte, error) {
	if len(text) > base64.StdEncoding.EncodedLen(maxMessage) {
		return nil, fault.New(fault.Invalid, "BodyTooLarge", "the message is too large")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadBase64", "the message is not in base64")
	}
	return raw, nil
}

func (d door) capabilities(w http.ResponseWriter, r *http.Request) error {
	text, err := d.service.Capabilities(r.Context(), r.PathValue("profile"))
	if err == nil {
		send(w, "text/plain", []byte(text))
	}
	return err
}

// caCerts: section 4.2.1.2.
func (d door) caCerts(w http.ResponseWriter, r *http.Request) error {
	ders, err := d.service.CACerts(r.Context(), r.PathValue("profile"))
	if err != nil {
		return err
	}
	message, err := cms.Certificates(ders...)
	if err == nil {
		send(w, "application/x-x509-ca-ra-cert", message)
	}
	return err
}

func (d door) operation(w http.ResponseWriter, r *http.Request, raw []byte) error {
	answer, err := d.service.Operation(r.Context(), r.PathValue("profile"), raw, web.Origin(r))
	if err == nil {
		send(w, "application/x-pki-message", answer)
	}
	return err
}

func send(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// fail answers in plain text what is no message and so gets no signed answer.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	web.EventOf(r.Context()).Fail(err)
	d := web.DetailsOf(r, err)
	if d.Status == http.StatusTooManyRequests || d.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(60))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(d.Status)
	_, _ = io.WriteString(w, d.Detail+" (request "+d.Request+")\n")
}
