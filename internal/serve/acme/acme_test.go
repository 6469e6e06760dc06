package acme_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	rules "chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/acme/nonce"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/acme"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/storage/acmedb"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/seal"
)

// door is the front door on an empty store, for requests that nobody has signed.
func door(t testing.TB) http.Handler {
	t.Helper()
	set, err := profile.Parse([]byte(`[{"name":"web","title":"Web","authorities":["issuing"],"keys":["P-256"],"keyUsage":["digitalSignature"],
		"extendedKeyUsage":["serverAuth"],"names":{"commonName":"first","min":1,"max":5,"dns":true},
		"validity":{"default":"30d","min":"1h","max":"90d","backdate":"5m"},"doors":{"acme":{"challenges":["http-01"],"names":["*"],"externalAccount":true}}},
		{"name":"closed","title":"Closed","authorities":["issuing"],"keys":["P-256"],"keyUsage":["digitalSignature"],
		"extendedKeyUsage":["serverAuth"],"names":{"commonName":"first","min":1,"max":5,"dns":true},
		"validity":{"default":"30d","min":"1h","max":"90d","backdate":"5m"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	box, err := seal.NewBox(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	store := acmedb.New(storagetest.SQLite(t), box)
	nonces := nonce.New(make([]byte, 32), time.Time{}, time.Now)
	s := rules.New(rules.Deps{Store: store, Orders: store, Keys: store, Profiles: set, Nonces: nonces, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	return web.Wrap(acme.New(acme.Deps{Service: s, Nonces: nonces, Domain: "ca.example", Terms: "https://ca.example/terms", CAA: []string{"ca.example"}}),
		web.Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, MaxBody: 1 << 20})
}

func call(h http.Handler, method, path, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://ca.example"+path, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func typeOf(w *httptest.ResponseRecorder) string {
	var d struct{ Type string }
	_ = json.Unmarshal(w.Body.Bytes(), &d)
	return strings.TrimPrefix(d.Type, "urn:ietf:params:acme:error:")
}

func TestDirectoryNamesEverythingAndBelongsToItsProfile(t *testing.T) {
	t.Parallel()
	h := door(t)
	w := call(h, "GET", "/acme/web/directory", "", "")
	var d map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 {
		t.Fatal(w.Code, w.Body, err)
	}
	for _, name := range []string{"newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo"} {
		if text, _ := d[name].(string); !strings.HasPrefix(text, "https://ca.example/acme/web/") {
			t.Errorf("%s: %v", name, d[name])
		}
	}
	meta, _ := d["meta"].(map[string]any)
	if meta["externalAccountRequired"] != true || meta["termsOfService"] != "https://ca.example/terms" || meta["profiles"].(map[string]any)["web"] != "Web" {
		t.Errorf("%v", meta)
	}
	for _, path := range []string{"/acme/closed/directory", "/acme/absent/directory", "/acme/closed/nonce", "/acme/WEB/directory"} {
		if w := call(h, "GET", path, "", ""); w.Code != 404 || w.Header().Get("Replay-Nonce") != "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for method, status := range map[string]int{"GET": 204, "HEAD": 200} {
		if w := call(h, method, "/acme/web/nonce", "", ""); w.Code != status || w.Header().Get("Replay-Nonce") == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

// What anybody may read without a signature is this list and nothing else.
func TestEverythingButThreeResourcesWantsASignature(t *testing.T) {
	t.Parallel()
	h := door(t)
	open := []string{"directory", "nonce", "renewal-info/{certificate}"}
	for _, r := range acme.Routes() {
		path := "/acme/web/" + strings.NewReplacer("{id}", "x", "{type}", "http-01", "{chain}", "1", "{certificate}", "AAAA.AAAA").Replace(r.Path)
		if r.Signed == slices.Contains(open, r.Path) {
			t.Errorf("%s: signed %v", r.Path, r.Signed)
		}
		if !r.Signed {
			for _, method := range []string{"POST", "PUT", "DELETE"} {
				if w := call(h, method, path, "application/jose+json", "{}"); w.Code != 405 {
					t.Errorf("%s %s: %d", method, path, w.Code)
				}
			}
			continue
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
			if w := call(h, method, path, "", ""); w.Code != 405 || w.Header().Get("Allow") != "POST" {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
		for _, x := range []struct {
			kind, body string
			status     int
		}{
			{"", "{}", 415}, {"application/json", "{}", 415}, {"application/x-www-form-urlencoded", "a=b", 415},
			{"application/jose+json", "", 400}, {"application/jose+json", "{}", 400}, {"application/jose+json; charset=utf-8", `{"protected":"e30","payload":"","signature":"AA"}`, 400},
			{"application/jose+json", `{"protected":"eyJhbGciOiJub25lIiwia2lkIjoieCJ9","payload":"","signature":"AA"}`, 403}, // alg none, another url
			{"application/jose+json", strings.Repeat("x", 300_000), 413},
		} {
			w := call(h, "POST", path, x.kind, x.body)
			if w.Code != x.status || w.Header().Get("Replay-Nonce") == "" || typeOf(w) == "" || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %q %.40q: %d %s", path, x.kind, x.body, w.Code, w.Body)
			}
			if !strings.Contains(strings.Join(w.Header().Values("Link"), " "), `/acme/web/directory>;rel="index"`) {
				t.Errorf("%s: no link to the directory", path)
			}
		}
	}
}

func FuzzPaths(f *testing.F) {
	h := door(f)
	for _, seed := range []string{
		"/acme/web/directory", "/acme//web/directory", "/acme/web/../web/directory", "/acme/%2e%2e/web", "/acme/web%2fdirectory", "/acme/web/directory/", "/acme/web;x/directory",
		"/acme/web/order/../../x", "/acme/web/challenge/a/b/c", "/acme/web/renewal-info/", "/acme/web/renewal-info/a.b", "/acme/web/account/%00", "/acme/web/certificate/x/-1", "/acme",
	} {
		f.Add(seed, "GET")
		f.Add(seed, "POST")
	}
	f.Fuzz(func(t *testing.T, path, method string) {
		u, err := url.Parse("https://ca.example" + path)
		if err != nil || u.Host != "ca.example" || !slices.Contains([]string{"GET", "POST", "HEAD"}, method) {
			return
		}
		r := &http.Request{Method: method, URL: u, Host: "ca.example", Header: http.Header{"Content-Type": {"application/jose+json"}}, Body: io.NopCloser(strings.NewReader("{}")), Proto: "HTTP/1.1"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(t.Context()))
		if w.Code >= 500 {
			t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
		}
		if method == "POST" && w.Code < 300 {
			t.Errorf("%q: %d without a signature", path, w.Code)
		}
		if w.Code == 200 && u.Path != "/acme/web/directory" && u.Path != "/acme/web/nonce" {
			t.Errorf("%q is answered: %s", path, w.Body)
		}
	})
}
