package client

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"chatelaine.dev/internal/app/apptest"
)

// fake is a server that answers as a test wants, with a token endpoint that counts.
type fake struct {
	*httptest.Server
	mux *http.ServeMux

	mu     sync.Mutex
	tokens int
	life   int // of a token, in seconds
}

func newFake(t *testing.T) (*fake, *Client) {
	t.Helper()
	f := &fake{mux: http.NewServeMux(), life: 3600}
	f.mux.HandleFunc("POST /adfs/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.PostFormValue("client_secret") != "right" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		f.tokens++
		fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":%d}`, f.tokens, f.life)
	})
	f.Server = httptest.NewTLSServer(f.mux)
	t.Cleanup(f.Close)
	c, err := New(f.config(t))
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func (f *fake) config(t *testing.T) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{URL: f.URL, ClientID: "me", Secret: "right", CAFile: file, Agent: "test/1"}
}

func TestOneTokenServesManyCallsUntilItEnds(t *testing.T) {
	f, c := newFake(t)
	var seen []string
	f.mux.HandleFunc("GET /api/v1/vaults", func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization")+" "+r.UserAgent())
		fmt.Fprint(w, `{}`)
	})

	for range 3 {
		if err := c.Do(t.Context(), "GET /vaults", nil, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.token.until = c.token.until.AddDate(0, 0, -1) // a day later
	if err := c.Do(t.Context(), "GET /vaults", nil, nil, nil); err != nil {
		t.Fatal(err)
	}

	one, two := "Bearer token-1 test/1", "Bearer token-2 test/1"
	if want := []string{one, one, one, two}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
}

func TestTokenThatTheServerForgotIsReplacedOnce(t *testing.T) {
	f, c := newFake(t)
	calls := 0
	f.mux.HandleFunc("GET /api/v1/vaults", func(w http.ResponseWriter, r *http.Request) {
		if calls++; r.Header.Get("Authorization") != "Bearer token-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	f.mux.HandleFunc("GET /api/v1/never", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })

	if err := c.Do(t.Context(), "GET /vaults", nil, nil, nil); err != nil || calls != 2 {
		t.Errorf("%d calls: %v", calls, err)
	}
	var refused *Error
	if err := c.Do(t.Context(), "GET /never", nil, nil, nil); !errors.As(err, &refused) || refused.Status != 401 || f.tokens != 3 {
		t.Errorf("%v after %d tokens", err, f.tokens)
	}
}

func TestTokenGoesNowhereElse(t *testing.T) {
	other := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was called with %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	f, c := newFake(t)
	f.mux.HandleFunc("GET /api/v1/vaults", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})

	var refused *Error
	if err := c.Do(t.Context(), "GET /vaults", nil, nil, nil); !errors.As(err, &refused) || refused.Status != 307 {
		t.Errorf("%v", err)
	}
}

func TestListsAreReadToTheirEnd(t *testing.T) {
	f, c := newFake(t)
	f.mux.HandleFunc("GET /api/v1/vaults", func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); q.Get("after") {
		case "":
			fmt.Fprintf(w, `{"items":[{"name":"a","new":%q},{"name":"b"}],"next":"b & c"}`, q.Get("filter"))
		case "b & c":
			fmt.Fprint(w, `{"items":[],"next":"d"}`)
		case "d":
			fmt.Fprint(w, `{"items":[{"name":"e"}]}`)
		}
	})
	f.mux.HandleFunc("GET /api/v1/endless", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"items":[{"name":"a"}],"next":"x"}`) })
	f.mux.HandleFunc("GET /api/v1/broken", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "" {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"status":409,"detail":"gone","code":"Gone"}`)
			return
		}
		fmt.Fprint(w, `{"items":[{"name":"a"}],"next":"x"}`)
	})
	type vault struct {
		Name string `json:"name"`
	}

	var names []string
	var raw []byte
	for o, err := range All[vault](t.Context(), c, "GET /vaults", url.Values{"filter": {"x = y"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if names = append(names, o.Value.Name); raw == nil {
			raw, _ = json.Marshal(o)
		}
	}
	if want := []string{"a", "b", "e"}; !slices.Equal(names, want) || string(raw) != `{"name":"a","new":"x = y"}` {
		t.Errorf("%q, first %s", names, raw)
	}
	var last error
	n := 0
	for _, err := range All[vault](t.Context(), c, "GET /endless", nil) {
		n, last = n+1, err
	}
	if n != 3 || last == nil || !strings.Contains(last.Error(), "the same page again") {
		t.Errorf("%d: %v", n, last)
	}
	n = 0
	for _, err := range All[vault](t.Context(), c, "GET /broken", nil) {
		n, last = n+1, err
	}
	if n != 2 || !HasCode(last, "Gone") || last.Error() != "gone" {
		t.Errorf("%d: %v", n, last)
	}
}

func TestErrorsSayWhatHelps(t *testing.T) {
	f, c := newFake(t)
	f.mux.HandleFunc("GET /api/v1/{what}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "r-1")
		switch r.PathValue("what") {
		case "busy":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":503,"title":"Service Unavailable","detail":"the database is away","request":"r-2"}`)
		case "proxy":
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, `<html>`)
		case "two":
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"status":422,"detail":"not valid","errors":[{"location":"body.a","message":"no a"},{"location":"body.b","message":"no b"}]}`)
		case "azure":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"status":403,"detail":"Caller may not.\r\nAction: x\r\n"}`)
		default:
			fmt.Fprint(w, `[`)
		}
	})
	for what, want := range map[string]struct {
		text    string
		passing bool
	}{
		"busy":    {"the database is away (request r-2)", true},
		"proxy":   {"the server answered 502 Bad Gateway (request r-1)", true},
		"two":     {"not valid\n  body.a: no a\n  body.b: no b", false},
		"azure":   {"Caller may not.\nAction: x", false},
		"garbage": {"answer of GET /garbage: unexpected end of JSON input; do client and server have the same version?", false},
	} {
		var into map[string]any
		if err := c.Do(t.Context(), "GET /"+what, nil, nil, &into); err == nil || err.Error() != want.text || Passing(err) != want.passing {
			t.Errorf("%s: %v, passing %v", what, err, Passing(err))
		}
	}
	f.Close()
	if err := c.Do(t.Context(), "GET /busy", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "nobody listens there") || !Passing(err) {
		t.Errorf("%v, passing %v", err, Passing(err))
	}
}

func TestWhatCannotWorkIsRefusedBeforeAnyCall(t *testing.T) {
	f, _ := newFake(t)
	good := f.config(t)
	for text, change := range map[string]func(*Config){
		"CHATELAINE_URL is not set":      func(c *Config) { c.URL = "" },
		"AZURE_CLIENT_ID is not set":     func(c *Config) { c.ClientID = "" },
		"AZURE_CLIENT_SECRET is not set": func(c *Config) { c.Secret = "" },
		"want https://host[:port]":       func(c *Config) { c.URL = "http://localhost" },
		"want https://host[:port] ":      func(c *Config) { c.URL = "https://localhost/path" },
		"there is no certificate in":     func(c *Config) { c.CAFile = os.Args[0] },
		"no such file":                   func(c *Config) { c.CAFile = "/nowhere" },
	} {
		config := good
		change(&config)
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	bad := good
	bad.Secret = "wrong"
	c, err := New(bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), "GET /vaults", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "does not accept AZURE_CLIENT_ID") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v", err)
	}
}

// The real server is found below localhost whatever the resolver says, and only with its root.
func TestServerIsReachedByTheEnvironmentAlone(t *testing.T) {
	p := apptest.Start(t)
	text, err := os.ReadFile(filepath.Join(p.Data, "bootstrap", "admin.env"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	config := FromEnvironment(func(name string) string { return env[name] })
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Name string }
	if err := c.Do(t.Context(), "PUT /vaults/payroll", nil, map[string]any{"retentionDays": 7}, &made); err != nil || made.Name != "payroll" {
		t.Errorf("%+v %v", made, err)
	}
	if err := c.Do(t.Context(), "PUT /vaults/payroll", nil, nil, nil); !HasCode(err, "VaultAlreadyExists") || Passing(err) {
		t.Errorf("%v", err)
	}
	if res, err := c.http.Get(p.VaultURL("payroll") + "/secrets?api-version=7.6"); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("below localhost: %v", err)
	}

	f, _ := newFake(t)
	config.CAFile = f.config(t).CAFile
	if c, err = New(config); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), "GET /vaults", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE must name the server's root.pem") || Passing(err) {
		t.Errorf("%v", err)
	}
}
