package keyvault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault"
	doors "chatelaine.dev/internal/serve/keyvault/secrets"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

type tokens struct{ caller access.Caller }

func (a tokens) Authenticate(_ context.Context, token, audience string) (access.Caller, error) {
	if token != "good" || audience != "https://example.com:8443" {
		return access.Caller{}, fault.New(fault.Unauthenticated, "InvalidToken", "AKV10022: Invalid audience.")
	}
	return a.caller, nil
}

func start(t *testing.T) (*vaulttest.Floor, *keyvault.Door) {
	t.Helper()
	f := vaulttest.New(t, storagetest.SQLite(t))
	return f, keyvault.New(keyvault.Deps{
		Domain: "example.com", Authority: func(base string) string { return base + "/adfs" },
		Tokens: tokens{f.Caller}, Operations: doors.Operations(secrets.New(f.Deps)),
	})
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the caller was known")
	return 0, io.EOF
}

func do(d http.Handler, method, target string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, body)
	r.Host = "payroll.example.com:8443"
	r.Header.Set("Authorization", "Bearer good")
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestFirstRequestIsChallengedBeforeItsBodyIsRead(t *testing.T) {
	_, d := start(t)
	r := httptest.NewRequest("PUT", "/secrets/a?api-version=7.6", unread{t})
	r.Host = "payroll.example.com:8443"
	w := httptest.NewRecorder()

	d.ServeHTTP(w, r)

	const want = `Bearer authorization="https://example.com:8443/adfs", resource="https://example.com:8443"`
	if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || got != want {
		t.Errorf("%d %s\nwant 401 %s", w.Code, got, want)
	}
	if body := w.Body.String(); body != `{"error":{"code":"Unauthorized","message":"AKV10000: Request is missing a Bearer or PoP token."}}` {
		t.Errorf("body %s", body)
	}
}

func TestBadRequestsGetTheProtocolsOwnErrors(t *testing.T) {
	_, d := start(t)
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for _, c := range []struct {
		method, target, body string
		status               int
		code                 string
	}{
		{"GET", "/secrets/none?api-version=7.6", "", 404, "SecretNotFound"},
		{"GET", "/secrets/a_b?api-version=7.6", "", 400, "BadParameter"},
		{"GET", "/secrets/a%2Fb?api-version=7.6", "", 400, "BadParameter"},
		{"GET", "/secrets/none", "", 400, "BadParameter"},
		{"GET", "/nothing?api-version=7.6", "", 404, "NotFound"},
		{"PUT", "/secrets/a?api-version=7.6", "", 400, "BadParameter"},
		{"PUT", "/secrets/a?api-version=7.6", `{"value":1}`, 400, "BadParameter"},
		{"PUT", "/secrets/a?api-version=7.6", `{"value":"x","value":"y"}`, 400, "BadParameter"},
		{"PUT", "/secrets/a?api-version=7.6", `{"value":"x"} {}`, 400, "BadParameter"},
		{"PUT", "/secrets/a?api-version=7.6", `{"value":"x","tags":` + deep + `}`, 400, "BadParameter"},
		{"PUT", "/secrets/a?api-version=7.6", "{\"value\":\"\xff\"}", 400, "BadParameter"},
		{"PUT", "/secrets/a?api-version=7.6", `{"value":"` + strings.Repeat("x", 25*1024+1) + `"}`, 400, "BadParameter"},
		{"PUT", "/secrets/a?api-version=7.6", strings.Repeat(" ", 9<<20), 413, "RequestBodyTooLarge"},
		{"GET", "/secrets?api-version=7.6&maxresults=26", "", 400, "BadParameter"},
		{"GET", "/secrets?api-version=7.6&$skiptoken=zzz", "", 400, "BadParameter"},
	} {
		w := do(d, c.method, c.target, strings.NewReader(c.body))
		var e struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != c.status || e.Error.Code != c.code {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.target, w.Code, w.Body, c.status, c.code)
		}
	}
}

func TestRefusalNamesTheActionInside(t *testing.T) {
	f, d := start(t)
	f.Deny("Microsoft.KeyVault/vaults/secrets/getSecret/action")

	w := do(d, "GET", "/secrets/a?api-version=7.6", nil)

	if w.Code != 403 || !strings.Contains(w.Body.String(), `"code":"Forbidden"`) || !strings.Contains(w.Body.String(), `"innererror":{"code":"ForbiddenByRbac"}`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestListLinksToItsNextPage(t *testing.T) {
	_, d := start(t)
	for i := range 30 {
		if w := do(d, "PUT", fmt.Sprintf("/secrets/s%02d?api-version=7.6", i), strings.NewReader(`{"value":"x"}`)); w.Code != 200 {
			t.Fatal(w.Body)
		}
	}

	seen := 0
	next := "/secrets?api-version=7.6&maxresults=7"
	for pages := 0; next != "" && pages < 10; pages++ {
		w := do(d, "GET", strings.TrimPrefix(next, "https://payroll.example.com:8443"), nil)
		var l struct {
			Value    []struct{ ID string }
			NextLink *string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != 200 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		seen += len(l.Value)
		if next = ""; l.NextLink != nil {
			next = *l.NextLink
		} else if !strings.Contains(w.Body.String(), `"nextLink":null`) {
			t.Errorf("the last page has no null nextLink: %s", w.Body)
		}
	}

	if seen != 30 {
		t.Errorf("%d secrets on all pages, want 30", seen)
	}
}

func TestNoRecordNoAnswer(t *testing.T) {
	f, d := start(t)
	if w := do(d, "PUT", "/secrets/a?api-version=7.6", strings.NewReader(`{"value":"canary"}`)); w.Code != 200 {
		t.Fatal(w.Body)
	}
	f.DB.OnFlush(func(context.Context, []any) error { return errors.New("the trail is full") })

	get := do(d, "GET", "/secrets/a?api-version=7.6", nil)
	set := do(d, "PUT", "/secrets/a?api-version=7.6", strings.NewReader(`{"value":"second"}`))

	if get.Code != 503 || strings.Contains(get.Body.String(), "canary") || set.Code != 503 {
		t.Errorf("get %d %s, set %d", get.Code, get.Body, set.Code)
	}
}
