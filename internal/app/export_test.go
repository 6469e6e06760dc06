package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
)

// What a client did is exported with the addresses that it used.
func TestExportedAuditEventsSayWhatWasAsked(t *testing.T) {
	p := apptest.Start(t)
	bearer := p.Application(t, "officer", "/", "Key Vault Secrets Officer", "Auditor")
	call := func(method, address, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearer)
		r.Header.Set("Content-Type", "application/json")
		res, err := p.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	vault := p.VaultURL("default")
	requests := []struct {
		method, path, body, operation string
		status                        int
	}{
		{http.MethodPut, "/secrets/db", `{"value":"canary-62aa"}`, "SecretSet", 200},
		{http.MethodGet, "/secrets/none", ``, "SecretGet", 404},
		{http.MethodGet, "/secrets", ``, "SecretList", 200},
		{http.MethodPost, "/keys/k/create", `{"kty":"EC"}`, "KeyCreate", 403},
		{http.MethodDelete, "/secrets/db", ``, "SecretDelete", 200},
		{http.MethodGet, "/deletedsecrets/db", ``, "SecretGetDeleted", 200},
		{http.MethodDelete, "/deletedsecrets/db", ``, "SecretPurge", 204},
	}
	for _, r := range requests {
		if status, body := call(r.method, vault+r.path+"?api-version=2025-07-01", r.body); status != r.status {
			t.Fatalf("%s %s: %d %s", r.method, r.path, status, body)
		}
	}

	status, body := call(http.MethodGet, p.URL+"/api/v1/audit/export/azure?limit=1000&target=/vaults/default", "")
	var page struct {
		Items []struct {
			OperationName, OperationVersion, Category, ResultType, CallerIPAddress, CorrelationID string
			Identity                                                                              struct{ Claim map[string]string }
			Properties                                                                            struct {
				RequestURI, ID string
				HTTPStatusCode int
			}
		}
		Next string
	}
	if err := json.Unmarshal([]byte(body), &page); status != http.StatusOK || err != nil || page.Next == "" {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if strings.Contains(body, "canary-62aa") {
		t.Error("a secret is exported")
	}
	next := 0
	for _, e := range page.Items {
		if next == len(requests) || e.OperationName != requests[next].operation {
			continue
		}
		r := requests[next]
		next++
		if want := vault + r.path + "?api-version=2025-07-01"; e.Properties.RequestURI != want || e.Properties.HTTPStatusCode != r.status {
			t.Errorf("%s: %s %d, want %s %d", r.operation, e.Properties.RequestURI, e.Properties.HTTPStatusCode, want, r.status)
		}
		if e.OperationVersion != "2025-07-01" || e.Category != "AuditEvent" || e.CallerIPAddress != "127.0.0.1" || e.CorrelationID == "" ||
			e.Identity.Claim["http://schemas.microsoft.com/identity/claims/objectidentifier"] == "" || (e.ResultType == "Success") != (r.status < 300) {
			t.Errorf("%s: %+v", r.operation, e)
		}
	}
	if next != len(requests) {
		t.Errorf("no record of %s in %s", requests[next].operation, body)
	}
}
