package matrix

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
)

// bodies has, for each operation of the API that takes one, a body that it accepts, so
// that the answer depends on the role alone. An operation without one fails the test.
var bodies = map[string]string{
	"createApplication": `{"name":"a"}`,
	"assignRole":        `{"principal":"00000000-0000-4000-8000-000000000000","role":"Auditor","scope":"/"}`,
	"revokeIssued":      `{}`,
	"partitionCRL":      `{"partitions":1}`, "previewRevocations": `{"profile":"a"}`, "beginRevocations": `{"selection":{"profile":"a"},"expected":1}`,
	"createAuthority": `{"id":"issuing","commonName":"a","validityDays":1}`, "setAuthorityIssuing": `{"issuing":true}`,
	"importAuthorityCertificate": `{"certificates":"none"}`, "crossSignAuthority": `{"issuer":"nobody"}`, "succeedAuthority": `{"id":"nobody","existing":true}`,
	"createCampaign":      `{"name":"a","targets":["nothing.invalid"]}`,
	"updateCampaign":      `{"name":"a","targets":["nothing.invalid"],"revision":1}`,
	"adoptCertificate":    `{"keep":{"vault":"default","name":"a"},"profile":"tls-server"}`,
	"requestRevocation":   `{}`,
	"revokeCertificate":   `{}`,
	"createConnection":    `{"name":"a","connector":"files","settings":{"roots":["/nothing"]}}`,
	"updateConnection":    `{"name":"a","settings":{"roots":["/nothing"]}}`,
	"createLineage":       `{"keep":{"vault":"default","name":"a"},"profile":"tls-server","names":{"dns":["a.example.com"]}}`,
	"updateLineage":       `{"keep":{"vault":"default","name":"a"},"profile":"tls-server","revision":1}`,
	"recordObservations":  `{"observations":[{"port":443,"host":"nothing.invalid","state":"unreachable"}]}`,
	"setPrincipalEnabled": `{"enabled":true}`,
	"addCredential":       `{"kind":"secret"}`,
	"issueCertificate":    `{"csr":"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"}`,
	"createPasscode":      `{"door":"est","profile":"tls-server","names":["a.test"]}`, "generateCertificate": `{"names":{"dns":["a.test"]},"password":"correct horse"}`,
	"createRequest":    `{"lineage":"00000000-0000-4000-8000-000000000000"}`,
	"approveRequest":   `{}`,
	"denyRequest":      `{}`,
	"createSignInLink": `{"principal":"00000000-0000-4000-8000-000000000000"}`,
	"createUser":       `{"name":"a","signIn":"a","password":"correct horse battery staple"}`,
	"setExportPolicy":  `{"allow":"nothing"}`, "requestExport": `{"recipients":["age1"]}`, "importVault": `no tar`, "denyExport": `{}`,
	"approveExport":        `{"digest":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}`,
	"createVault":          `{}`,
	"updateVault":          `{}`,
	"setVaultPolicy":       `{"secrets":["get"]}`,
	"setKeyVersionEnabled": `{"enabled":false}`, "setSecretVersionEnabled": `{"enabled":false}`, "setCertificateVersionEnabled": `{"enabled":false}`,
	"createProfile": `{"profile":{"name":"a"}}`, "updateProfile": `{"profile":{"name":"tls-server"},"revision":1}`, "copyProfile": `{"name":"a-copy"}`,
	"createSubscription": `{"name":"a","endpoint":"https://127.0.0.1/"}`,
	"redeliverLetters":   `{}`,
	"createAcmeKey":      `{"profile":"tls-server","owner":"shop"}`,
	"createAcmeWindow":   `{"end":"2099-01-01T00:00:00Z"}`,
}

// anyone are operations for everybody who has a token: they tell what the program can do
// and nothing of what is in it.
var anyone = map[string]bool{"listRoles": true, "listConnectors": true}

// route is an operation as the document describes it.
type route struct {
	ID          string `json:"operationId"`
	Action      string `json:"x-action"`
	Scope       string `json:"x-scope"`
	RequestBody *struct {
		Required bool `json:"required"`
	} `json:"requestBody"`
	method, path string
}

// routes reads the OpenAPI document, as anybody may.
func routes(t *testing.T, p *apptest.Product) []route {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/api/v1/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	var list []route
	for path, methods := range doc.Paths {
		for method, raw := range methods {
			x := route{method: strings.ToUpper(method), path: path}
			if err := json.Unmarshal(raw, &x); err != nil {
				continue // "parameters" and other lists beside the methods
			}
			list = append(list, x)
		}
	}
	return list
}

// parameters of paths, as ids that do not exist but are well formed.
func (x route) at(vault string) string { return x.fill(x.path, vault) }

func (x route) fill(path, vault string) string {
	for name, value := range map[string]string{
		"vault": vault, "sha256": strings.Repeat("ab", 32), "profile": "tls-server", "authority": "issuing", "serial": "00ab", "connector": "files",
	} {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		path = before + "00000000-0000-4000-8000-000000000000" + after
	}
	return path
}

func (x route) call(t *testing.T, p *apptest.Product, vault, bearer string) (int, string) {
	t.Helper()
	var body io.Reader
	if x.RequestBody != nil {
		body = strings.NewReader(bodies[x.ID])
	}
	r, err := http.NewRequestWithContext(t.Context(), x.method, p.URL+x.at(vault), body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
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

func TestEveryAPIRouteUnderEveryRole(t *testing.T) {
	p := apptest.Start(t)
	list := routes(t, p)
	if len(list) < 20 {
		t.Fatalf("the document has %d operations", len(list))
	}
	for _, x := range list {
		if !anyone[x.ID] && (x.Action == "" || x.Scope == "") {
			t.Errorf("%s %s (%s) does not say which action it needs where", x.method, x.path, x.ID)
		}
		if x.RequestBody != nil && bodies[x.ID] == "" {
			t.Errorf("%s %s (%s) has no body in the matrix", x.method, x.path, x.ID)
		}
		if status, body := x.call(t, p, "default", ""); status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d %s, want 401", x.ID, status, body)
		}
	}
	for _, role := range access.Roles() {
		t.Run(role.Name, func(t *testing.T) {
			everywhere := p.Application(t, role.Name, "/", role.ID)
			elsewhere := p.Application(t, role.Name+" elsewhere", "/vaults/other", role.ID)
			for _, x := range list {
				if anyone[x.ID] {
					continue
				}
				status, body := x.call(t, p, "default", everywhere)
				if want := role.Allows(access.Action(x.Action)); want == (status == http.StatusForbidden) || status == http.StatusUnauthorized || status >= 500 {
					t.Errorf("%s (%s) at /: %d %s, allowed is %v", x.ID, x.Action, status, body, want)
				}
				if status, body := x.call(t, p, "default", elsewhere); status != http.StatusForbidden {
					t.Errorf("%s (%s) with the role at another vault: %d %s, want 403", x.ID, x.Action, status, body)
				}
			}
		})
	}
}
