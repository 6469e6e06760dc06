package status_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/serve/status"
)

// parrot answers with what it was asked, for as long as it is told.
type parrot struct {
	asked     []byte
	authority string
	answer    ocsp.Answer
}

// Respond implements status.OCSP.
func (p *parrot) Respond(_ context.Context, authority string, request []byte) ocsp.Answer {
	p.authority, p.asked = authority, request
	a := p.answer
	a.DER = []byte("answer")
	return a
}

// speak sends a request to the door in front of a parrot.
func speak(p *parrot, now time.Time, r *http.Request) *httptest.ResponseRecorder {
	h := status.New(status.Config{OCSP: p, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOCSPRequestsAreReadInEveryWayThatClientsWriteThem(t *testing.T) {
	t.Parallel()
	asked := []byte{0xff, 0xff, 0xff, 0xfb, 0xef} // ////++8=
	text := base64.StdEncoding.EncodeToString(asked)
	if text != "////++8=" {
		t.Fatal(text)
	}
	big := base64.StdEncoding.EncodeToString(make([]byte, ocsp.MaxRequest+1))
	for why, c := range map[string]struct {
		method, path string
		body         []byte
		want         []byte
	}{
		"posted":               {"POST", "/ocsp/issuing", asked, asked},
		"in the path":          {"GET", "/ocsp/issuing/" + text, nil, asked},
		"escaped":              {"GET", "/ocsp/issuing/" + url.QueryEscape(text), nil, asked},
		"half escaped":         {"GET", "/ocsp/issuing/" + strings.ReplaceAll(text, "/", "%2F"), nil, asked},
		"without padding":      {"GET", "/ocsp/issuing/" + strings.TrimRight(text, "="), nil, asked},
		"by HEAD":              {"HEAD", "/ocsp/issuing/" + text, nil, asked},
		"no base64":            {"GET", "/ocsp/issuing/!!!!", nil, nil},
		"a broken escape":      {"GET", "/ocsp/issuing/AA%252", nil, nil},
		"nothing":              {"GET", "/ocsp/issuing/", nil, nil},
		"too long in the path": {"GET", "/ocsp/issuing/" + big, nil, nil},
		"too long":             {"POST", "/ocsp/issuing", make([]byte, ocsp.MaxRequest+1), nil},
	} {
		p := &parrot{}
		w := speak(p, time.Now(), httptest.NewRequest(c.method, c.path, bytes.NewReader(c.body)))
		if !bytes.Equal(p.asked, c.want) || p.authority != "issuing" || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/ocsp-response" {
			t.Errorf("%s: asked %x of %q; %d %v", why, p.asked, p.authority, w.Code, w.Header())
		}
		if body := w.Body.String(); (body == "") != (c.method == "HEAD") {
			t.Errorf("%s: body %q", why, body)
		}
	}
	for _, c := range [][2]string{{"GET", "/ocsp/issuing"}, {"POST", "/ocsp/issuing/AAAA"}, {"PUT", "/ocsp/issuing"}, {"DELETE", "/ocsp/issuing/AAAA"}} {
		if w := speak(&parrot{}, time.Now(), httptest.NewRequest(c[0], c[1], http.NoBody)); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s %s: %d", c[0], c[1], w.Code)
		}
	}
}

// RFC 5019 section 6: a cache keeps what lasts, and nothing longer than it lasts.
func TestOCSPAnswersAreKeptByCachesAsLongAsTheyHold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	lasting := ocsp.Answer{ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour), Tag: `"tag"`}
	ending := lasting
	ending.NextUpdate = now.Add(10 * time.Second)
	over := lasting
	over.NextUpdate = now.Add(-time.Second)
	for why, c := range map[string]struct {
		method, target, none string
		answer               ocsp.Answer
		status               int
		control              string
	}{
		"lasting":                      {"GET", "/ocsp/a/AAAA", "", lasting, 200, "max-age=50, public, no-transform, must-revalidate"},
		"posted":                       {"POST", "/ocsp/a", "", lasting, 200, "max-age=50, public, no-transform, must-revalidate"},
		"at its end":                   {"GET", "/ocsp/a/AAAA", "", ending, 200, "max-age=10, public, no-transform, must-revalidate"},
		"over":                         {"GET", "/ocsp/a/AAAA", "", over, 200, "max-age=0, public, no-transform, must-revalidate"},
		"an error, or with a nonce":    {"GET", "/ocsp/a/AAAA", "", ocsp.Answer{}, 200, "no-store"},
		"the client has it":            {"GET", "/ocsp/a/AAAA", `"tag"`, lasting, 304, "max-age=50, public, no-transform, must-revalidate"},
		"the client has another":       {"GET", "/ocsp/a/AAAA", `"other"`, lasting, 200, "max-age=50, public, no-transform, must-revalidate"},
		"posted by who has it":         {"POST", "/ocsp/a", `"tag"`, lasting, 200, "max-age=50, public, no-transform, must-revalidate"},
		"an error, to who has nothing": {"GET", "/ocsp/a/AAAA", `""`, ocsp.Answer{}, 200, "no-store"},
	} {
		r := httptest.NewRequest(c.method, c.target, strings.NewReader("x"))
		r.Header.Set("If-None-Match", c.none)
		w := speak(&parrot{answer: c.answer}, now, r)
		if w.Code != c.status || w.Header().Get("Cache-Control") != c.control {
			t.Errorf("%s: %d %q", why, w.Code, w.Header().Get("Cache-Control"))
		}
		if expires := w.Header().Get("Expires"); (expires == "") != (c.control == "no-store") {
			t.Errorf("%s: expires %q", why, expires)
		}
	}
}
