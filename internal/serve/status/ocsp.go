package status

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/pki/ocsp"
)

// ocspPath begins the paths of OCSP: POST /ocsp/{authority}, and GET
// /ocsp/{authority}/{the request in base64}.
const ocspPath = "/ocsp/"

// OCSP answers requests. *ocsp.Responder is one.
type OCSP interface {
	// Respond answers a request in DER about certificates of an authority.
	Respond(ctx context.Context, authority string, request []byte) ocsp.Answer
}

// ocsp answers with an OCSPResponse whatever was asked, in status 200: an error of OCSP is
// an answer (RFC 6960 appendix A.2). rest is the path after ocspPath.
func (c Config) ocsp(w http.ResponseWriter, r *http.Request, rest string) {
	authority, _, inPath := strings.Cut(rest, "/")
	var request []byte
	var err error
	switch {
	case r.Method == http.MethodPost && !inPath:
		request, err = io.ReadAll(http.MaxBytesReader(w, r.Body, ocsp.MaxRequest))
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && inPath:
		request, err = fromPath(r.URL.EscapedPath())
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "POST the request to /ocsp/{authority}, or GET /ocsp/{authority}/{request in base64}", http.StatusMethodNotAllowed)
		return
	}
	if err != nil {
		request = nil // no request is readable either, and the answer is the same
	}
	a := c.OCSP.Respond(r.Context(), authority, request)
	if a.Cause != nil {
		c.Log.DebugContext(r.Context(), "ocsp", "authority", authority, "error", a.Cause)
	}
	c.answer(w, r, a)
}

// fromPath reads the request from a path, as it came: base64 may have slashes, escaped or not.
func fromPath(escaped string) ([]byte, error) {
	_, text, _ := strings.Cut(strings.TrimPrefix(escaped, ocspPath), "/")
	text, err := url.PathUnescape(text)
	if err != nil {
		return nil, err
	}
	// Some clients leave the padding away.
	text = strings.TrimRight(text, "=")
	if base64.RawStdEncoding.DecodedLen(len(text)) > ocsp.MaxRequest {
		return nil, http.ErrContentLength
	}
	return base64.RawStdEncoding.DecodeString(text)
}

// answer sends it. An answer may be kept for less than a minute, so that a revocation is seen soon;
// servers that staple go by nextUpdate, which is in the answer (RFC 5019 section 6.2).
func (c Config) answer(w http.ResponseWriter, r *http.Request, a ocsp.Answer) {
	h := w.Header()
	h["Content-Type"] = contentOCSP()
	h["X-Content-Type-Options"] = nosniff()
	if a.NextUpdate.IsZero() {
		h["Cache-Control"] = noStore()
	} else {
		now := c.Now()
		age := max(0, min(maxAge, a.NextUpdate.Sub(now)))
		h["Cache-Control"] = []string{"max-age=" + strconv.Itoa(int(age/time.Second)) + ", public, no-transform, must-revalidate"}
		h["Etag"] = []string{a.Tag}
		h["Last-Modified"] = []string{a.ThisUpdate.UTC().Format(http.TimeFormat)}
		h["Expires"] = []string{now.Add(age).UTC().Format(http.TimeFormat)}
		if r.Method != http.MethodPost && r.Header.Get("If-None-Match") == a.Tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(a.DER))}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.DER)
	}
}

func contentOCSP() []string { return []string{"application/ocsp-response"} }
func nosniff() []string     { return []string{"nosniff"} }
func noStore() []string     { return []string{"no-store"} }
