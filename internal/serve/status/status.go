// Package status tells the world about the certificates of our own authorities: CRLs,
// OCSP answers and their own certificates, over plain HTTP, for anyone (RFC 5280 sections
// 4.2.1.13 and 4.2.2.1, RFC 6960 appendix A). What it serves is signed, so it needs no TLS
// and no sign-in.
package status

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/revocation"
)

// The routes. All of them take GET and HEAD. OCSP has its own, see ocsp.go.
const (
	CRLRoute       = "GET /crl/{file}"             // {authority}.crl
	PartRoute      = "GET /crl/{authority}/{file}" // delta.crl, 1.crl, 2.crl…
	AuthorityRoute = "GET /ca/{file}"              // {authority}.cer
)

// maxAge in a cache: a revocation is seen everywhere within a minute, of which another node
// may need two seconds (see ocsp.Responder); an authority's certificate never changes.
const (
	maxAge          = 50 * time.Second
	maxAgeAuthority = 24 * time.Hour
)

// CRLs has the published lists. *revocation.Service is one.
type CRLs interface {
	// Current returns a CRL of an authority, or fault.NotFound.
	Current(ctx context.Context, authority, part string) (revocation.CRL, error)
}

// Authorities has the certificates of authorities. *authority.Service is one.
type Authorities interface {
	// Certificate returns an authority's certificate in DER, or fault.NotFound.
	Certificate(ctx context.Context, id string) ([]byte, error)
}

// Config is what the door needs.
type Config struct {
	CRLs        CRLs
	Authorities Authorities
	OCSP        OCSP
	Now         func() time.Time
	Log         *slog.Logger
}

// New returns the handler of all routes.
func New(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(CRLRoute, c.crl)
	mux.HandleFunc(PartRoute, c.crl)
	mux.HandleFunc(AuthorityRoute, c.authority)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Before the mux: it would redirect a base64 that has two slashes in a row.
		if rest, ok := strings.CutPrefix(r.URL.Path, ocspPath); ok {
			c.ocsp(w, r, rest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (c Config) crl(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(r.PathValue("file"), ".crl")
	if !ok {
		c.fail(w, r, fault.New(fault.NotFound, "NotFound", "write /crl/{authority}.crl"))
		return
	}
	id, part := name, ""
	if of := r.PathValue("authority"); of != "" {
		id, part = of, name
		name = of + "-" + name
		if part == "" {
			id = "" // "/crl/root/.crl" is no way to write /crl/root.crl
		}
	}
	list, err := c.CRLs.Current(r.Context(), id, part)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	// Nothing keeps a list beyond the moment at which it ends.
	age := max(0, min(maxAge, list.NextUpdate.Sub(c.Now())))
	serve(w, r, file{kind: "application/pkix-crl", name: name + ".crl", sum: list.SHA256, changed: list.ThisUpdate, age: age, der: list.DER})
}

func (c Config) authority(w http.ResponseWriter, r *http.Request) {
	id, ok := strings.CutSuffix(r.PathValue("file"), ".cer")
	if !ok {
		c.fail(w, r, fault.New(fault.NotFound, "NotFound", "write /ca/{authority}.cer"))
		return
	}
	der, err := c.Authorities.Certificate(r.Context(), id)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	sum := sha256.Sum256(der)
	serve(w, r, file{kind: "application/pkix-cert", name: id + ".cer", sum: hex.EncodeToString(sum[:]), age: maxAgeAuthority, der: der})
}

// file is what is sent.
type file struct {
	kind, name string
	sum        string // SHA-256 of der, hex
	changed    time.Time
	age        time.Duration // in a cache
	der        []byte
}

// serve sends a file, or 304 to a client that has it.
func serve(w http.ResponseWriter, r *http.Request, f file) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, no-transform, max-age="+strconv.Itoa(int(f.age.Seconds())))
	h.Set("ETag", `"`+f.sum+`"`)
	http.ServeContent(w, r, "", f.changed, bytes.NewReader(f.der))
}

// fail answers an error in plain text; what only the operator may know goes to the log.
func (c Config) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.Of(err)
	code := http.StatusInternalServerError
	switch f.Kind {
	case fault.NotFound, fault.Invalid:
		code = http.StatusNotFound
	case fault.Unavailable:
		code = http.StatusServiceUnavailable
	}
	if code != http.StatusNotFound {
		c.Log.ErrorContext(r.Context(), "status", "path", r.URL.Path, "error", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, f.Message, code)
}
