package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/storage/storagetest"
)

// exchange sends one request through Wrap and returns the answer and the log's lines.
func exchange(t *testing.T, h http.HandlerFunc, r *http.Request) (*http.Response, string, []map[string]any) {
	t.Helper()
	var log bytes.Buffer
	s := httptest.NewServer(web.Wrap(web.Protect(h), web.Options{Log: slog.New(slog.NewJSONHandler(&log, nil)), Now: time.Now, MaxBody: 1000}))
	r.URL.Scheme, r.URL.Host, r.RequestURI = "http", strings.TrimPrefix(s.URL, "http://"), ""
	res, err := s.Client().Do(r)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	s.Close() // waits for the handler, so the event is there
	if err != nil {
		res = nil
	}
	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return res, string(body), lines
}

func TestRequestLeavesOneEvent(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/a/b?token=canary", strings.NewReader("body-canary"))
	r.Header.Set("Authorization", "Bearer header-canary")
	r.Header.Set("X-Ms-Client-Request-Id", "mine")
	r.Header.Set("User-Agent", "test/1")
	var id string

	res, _, lines := exchange(t, func(w http.ResponseWriter, r *http.Request) {
		id = web.RequestID(r.Context())
		web.EventOf(r.Context()).Caller(access.Caller{Principal: "p-1"})
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hello")
	}, r)

	if len(lines) != 1 {
		t.Fatalf("%d lines: %v", len(lines), lines)
	}
	e := lines[0]
	for k, want := range map[string]any{
		"msg": "request", "level": "INFO", "method": "POST", "path": "/a/b", "status": 201.0, "bytes": 5.0,
		"principal": "p-1", "address": "127.0.0.1", "agent": "test/1", "client_id": "mine", "id": id,
	} {
		if e[k] != want {
			t.Errorf("%s is %v, want %v", k, e[k], want)
		}
	}
	if all, _ := json.Marshal(e); bytes.Contains(all, []byte("canary")) {
		t.Errorf("the log has what it must not: %s", all)
	}
	if len(id) != 36 || res.Header.Get("X-Request-Id") != id {
		t.Errorf("id %q, in the header %q", id, res.Header.Get("X-Request-Id"))
	}
	for _, h := range []string{"Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy", "Cache-Control"} {
		if res.Header.Get(h) == "" {
			t.Errorf("no %s", h)
		}
	}
}

func TestErrorsBecomeProblemsOnce(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		detail string
	}{
		{fault.New(fault.Unauthenticated, "X", "who"), 401, "who"},
		{fault.New(fault.Denied, "X", "no"), 403, "no"},
		{fault.New(fault.NotFound, "X", "none"), 404, "none"},
		{fault.New(fault.Conflict, "X", "now"), 409, "now"},
		{fault.New(fault.Invalid, "X", "wrong"), 400, "wrong"},
		{fault.New(fault.Limited, "X", "later"), 429, "later"},
		{fault.Wrap(errors.New("canary"), fault.Unavailable, "X", "away"), 503, "away"},
		{errors.New("canary"), 500, "internal error; the server's log has the cause"},
	} {
		res, body, lines := exchange(t, func(w http.ResponseWriter, r *http.Request) { web.Problem(w, r, c.err) }, httptest.NewRequest(http.MethodGet, "/", nil))
		var d web.Details
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != c.status || d.Status != c.status || d.Detail != c.detail || d.Request != res.Header.Get("X-Request-Id") ||
			res.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(body, "canary") {
			t.Errorf("%v: %d %s", c.err, res.StatusCode, body)
		}
		if len(lines) != 1 || !strings.Contains(lines[0]["error"].(string), c.err.Error()) || (lines[0]["level"] == "ERROR") != (c.status >= 500) {
			t.Errorf("%v: log %v", c.err, lines)
		}
	}
}

func TestPanicIsA500AndOneEvent(t *testing.T) {
	res, body, lines := exchange(t, func(http.ResponseWriter, *http.Request) { panic("canary") }, httptest.NewRequest(http.MethodGet, "/", nil))
	if res.StatusCode != 500 || strings.Contains(body, "canary") || len(lines) != 1 || !strings.Contains(lines[0]["error"].(string), "panic: canary") {
		t.Errorf("%d %s, log %v", res.StatusCode, body, lines)
	}
	res, _, lines = exchange(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("half an answer", 10_000))
		panic("canary")
	}, httptest.NewRequest(http.MethodGet, "/", nil))
	if res != nil || len(lines) != 1 {
		t.Errorf("half an answer was taken for a whole one; log %v", lines)
	}
}

func TestBodyIsLimited(t *testing.T) {
	res, body, _ := exchange(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			web.Problem(w, r, err)
		}
	}, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 1001))))
	if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, "BodyTooLarge") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestCallerIsWhoTheTokenNames(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	tok, err := f.Tokens.ForClient(t.Context(), token.ClientCredentials{
		ClientID: f.Admin.ClientID, Secret: f.Admin.Secret, Resource: "https://localhost:8443", Base: "https://localhost:8443", Form: token.V2,
	})
	if err != nil {
		t.Fatal(err)
	}
	good := "Bearer " + tok.Text.Reveal()
	for name, c := range map[string]struct {
		host   string
		header []string
		ok     bool
	}{
		"good":            {"localhost:8443", []string{good}, true},
		"vault's host":    {"payroll.localhost:8443", []string{good}, true},
		"lower case":      {"localhost:8443", []string{"bearer " + tok.Text.Reveal()}, true},
		"another port":    {"localhost:9443", []string{good}, false},
		"none":            {"localhost:8443", nil, false},
		"basic":           {"localhost:8443", []string{"Basic " + tok.Text.Reveal()}, false},
		"no scheme":       {"localhost:8443", []string{tok.Text.Reveal()}, false},
		"empty":           {"localhost:8443", []string{"Bearer "}, false},
		"two":             {"localhost:8443", []string{good, "Bearer x"}, false},
		"two, first good": {"localhost:8443", []string{good, good}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host, r.RemoteAddr = c.host, "192.0.2.1:5"
		r.Header["Authorization"] = c.header
		caller, err := web.Caller(r, f.Tokens, accesstest.Domain)
		if (err == nil) != c.ok || c.ok && (caller.Principal != f.Admin.ID || caller.Address != "192.0.2.1") || !c.ok && !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %+v %v", name, caller, err)
		}
	}
}

func TestBaseIsOursWithTheClientsPort(t *testing.T) {
	for host, want := range map[string]string{
		"localhost:8443": "https://localhost:8443", "evil.example.com:1": "https://localhost:1", "localhost": "https://localhost",
		"localhost:443": "https://localhost", "[::1]:8443": "https://localhost:8443", "localhost:84x": "https://localhost", "": "https://localhost",
		"localhost:8443/x@evil": "https://localhost",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		if got := web.Base(r, "localhost"); got != want {
			t.Errorf("%q: %s", host, got)
		}
	}
}
