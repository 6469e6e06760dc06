// Package acme is the ACME front door (RFC 8555): /acme/{profile}/directory and what it
// names. One file holds one resource.
package acme

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/acme/jws"
	"chatelaine.dev/internal/lifecycle/acme/nonce"
	"chatelaine.dev/internal/serve/web"
)

// Deps are what the door needs.
type Deps struct {
	Service *acme.Service
	Nonces  *nonce.Source
	Domain  string // of the control plane
	Terms   string // URL of the terms of service; may be empty
	Website string // URL; may be empty
	// CAA are the issuer domain names that mean us in CAA records.
	CAA []string
}

// Prefix is where every path begins.
const Prefix = "/acme/"

// New makes the door's handler, for paths below Prefix. It goes inside web.Wrap.
func New(d Deps) http.Handler {
	o := &door{d}
	mux := http.NewServeMux()
	for _, r := range o.routes() {
		mux.Handle(r.pattern(), o.adapt(r))
	}
	return mux
}

// Route is one resource of a server.
type Route struct {
	Path   string // below /acme/{profile}/
	Signed bool   // POST with a signature; else GET and HEAD by anybody
	serve  func(x *exchange) error
}

func (r Route) pattern() string { return Prefix + "{profile}/" + r.Path }

// Routes lists the resources, for those who want to try each.
func Routes() []Route { return (&door{}).routes() }

func (o *door) routes() []Route {
	return []Route{
		{"directory", false, o.directory},
		{"nonce", false, o.nonce},
		{"renewal-info/{certificate}", false, o.renewalInfo},
		{"new-account", true, o.newAccount},
		{"account/{id}", true, o.account},
		{"account/{id}/orders", true, o.orders},
		{"key-change", true, o.keyChange},
		{"new-order", true, o.newOrder},
		{"order/{id}", true, o.order},
		{"order/{id}/finalize", true, o.finalize},
		{"new-authorization", true, o.newAuthorization},
		{"authorization/{id}", true, o.authorization},
		{"challenge/{id}/{type}", true, o.challenge},
		{"certificate/{id}", true, o.certificate},
		{"certificate/{id}/{chain}", true, o.certificate},
		{"revoke", true, o.revoke},
	}
}

type door struct{ Deps }

// exchange is one request and its answer.
type exchange struct {
	w      http.ResponseWriter
	q      *http.Request
	server acme.Server
	base   string // https://host/acme/{profile}
}

// adapt finds the server, and writes what a resource returns as an error.
func (o *door) adapt(r Route) http.Handler {
	methods := []string{http.MethodPost}
	if !r.Signed {
		methods = []string{http.MethodGet, http.MethodHead}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		x := &exchange{w: w, q: q, base: web.Base(q, o.Domain) + Prefix + q.PathValue("profile")}
		w.Header().Set("Cache-Control", "no-store")
		var err error
		if x.server, err = o.Service.Server(q.PathValue("profile")); err != nil {
			x.fail(err)
			return
		}
		if r.Path != "directory" {
			w.Header().Add("Link", link(x.base+"/directory", "index"))
		}
		if r.Signed { // every answer to a POST brings a nonce (RFC 8555 section 6.5)
			w.Header().Set("Replay-Nonce", o.Nonces.Make())
		}
		if q.Method != methods[0] && q.Method != methods[len(methods)-1] {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			x.fail(&acme.Problem{Type: "malformed", Detail: "this resource takes " + strings.Join(methods, " and "), Status: http.StatusMethodNotAllowed})
			return
		}
		if err := r.serve(x); err != nil {
			x.fail(err)
		}
	})
}

func link(url, relation string) string { return fmt.Sprintf(`<%s>;rel="%s"`, url, relation) }

// url is the address of a resource of this server.
func (x *exchange) url(format string, args ...any) string {
	return x.base + "/" + fmt.Sprintf(format, args...)
}

// signed reads the request and checks who signed it.
func (o *door) signed(x *exchange, by acme.Signer) (acme.Request, error) {
	if kind, _, err := mime.ParseMediaType(x.q.Header.Get("Content-Type")); err != nil || kind != "application/jose+json" {
		return acme.Request{}, &acme.Problem{Type: "malformed", Detail: "the content type of a signed request is application/jose+json", Status: http.StatusUnsupportedMediaType}
	}
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.q.Body, jws.MaxBody))
	if err != nil {
		return acme.Request{}, web.Fault(err)
	}
	r, err := o.Service.Verify(x.q.Context(), acme.Incoming{
		Server: x.server, Base: x.base, URL: web.Base(x.q, o.Domain) + x.q.URL.RequestURI(), Body: body, Origin: web.Origin(x.q),
	}, by)
	if r.Account.ID != "" {
		web.EventOf(x.q.Context()).Add(slog.String("account", r.Account.ID))
	}
	return r, err
}

// read decodes the payload of a signed request.
func read(r acme.Request, into any) error {
	if err := json.Unmarshal(r.Payload, into); err != nil {
		return &acme.Problem{Type: "malformed", Detail: "the payload is not the JSON object that this resource takes", Err: err}
	}
	return nil
}

// empty wants a POST-as-GET (RFC 8555 section 6.3).
func empty(r acme.Request) error {
	if len(r.Payload) > 0 {
		return &acme.Problem{Type: "malformed", Detail: "this resource is read by POST-as-GET: its payload is empty"}
	}
	return nil
}

// answer writes a JSON object.
func (x *exchange) answer(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(append(b, '\n'))
	return nil
}

// document is a problem as clients read it.
type document struct {
	Type        string           `json:"type"`
	Detail      string           `json:"detail"`
	Status      int              `json:"status,omitzero"`
	Identifier  *acme.Identifier `json:"identifier,omitempty"`
	Subproblems []document       `json:"subproblems,omitempty"`
	Algorithms  []string         `json:"algorithms,omitempty"`
}

const urn = "urn:ietf:params:acme:error:"

func documentOf(p *acme.Problem, status int) *document {
	if p == nil {
		return nil
	}
	d := &document{Type: urn + p.Type, Detail: p.Detail, Status: status, Identifier: p.Identifier}
	for i := range p.Subproblems {
		d.Subproblems = append(d.Subproblems, *documentOf(&p.Subproblems[i], 0))
	}
	if p.Type == "badSignatureAlgorithm" { // RFC 8555 section 6.2
		d.Algorithms = jws.Algorithms()
	}
	return d
}

// statusOf is the HTTP status of a problem.
func statusOf(p *acme.Problem) int {
	if p.Status != 0 {
		return p.Status
	}
	switch p.Type {
	case "unauthorized", "caa", "orderNotReady", "userActionRequired", "externalAccountRequired":
		return http.StatusForbidden
	case "rateLimited":
		return http.StatusTooManyRequests
	case "serverInternal":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// fail answers with an error.
func (x *exchange) fail(err error) {
	web.EventOf(x.q.Context()).Fail(err)
	p := acme.ProblemOf(err)
	status := statusOf(p)
	if f := web.Fault(err); f.Code == "BodyTooLarge" {
		status = http.StatusRequestEntityTooLarge
	}
	var taken *acme.TakenKey
	if errors.As(err, &taken) {
		x.w.Header().Set("Location", x.url("account/%s", taken.Account))
	}
	x.retryAfter(p.RetryAfter)
	b, err := json.Marshal(documentOf(p, status))
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"type":"`+urn+`serverInternal"}`)
	}
	x.w.Header().Set("Content-Type", "application/problem+json")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(append(b, '\n'))
}

func (x *exchange) retryAfter(d time.Duration) {
	if d > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
}

// missing is for a path whose resource is another's, or not there.
func missing() error {
	return fault.New(fault.NotFound, "NotFound", "there is nothing at this address; the directory lists what there is")
}
