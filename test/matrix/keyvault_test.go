// Package matrix holds who may do what: every route of every door, under every role, at
// the own vault and at another, and without a token.
package matrix

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/object"
)

// row is what a route of the Key Vault door needs (contract §2.7), and a body that it
// accepts, so that the answer depends on the role alone.
type row struct{ action, body string }

const (
	jwk    = `{"key":{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}}`
	wrap   = `{"alg":"RSA-OAEP-256","value":"AAAA"}`
	sign   = `{"alg":"ES256","value":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	verify = `{"alg":"ES256","digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","value":"AAAA"}`
	policy = `{"x509_props":{"subject":"CN=a"},"issuer":{"name":"Self"},"key_props":{"kty":"EC","crv":"P-256"}}`
)

// needs has a row for each route. A route without one fails the test.
var needs = map[string]row{
	"SecretSet":          {"secrets/setSecret/action", `{"value":"x"}`},
	"SecretGet":          {"secrets/getSecret/action", ""},
	"SecretUpdate":       {"secrets/update/action", "{}"},
	"SecretDelete":       {"secrets/delete", ""},
	"SecretList":         {"secrets/readMetadata/action", ""},
	"SecretListVersions": {"secrets/readMetadata/action", ""},
	"SecretGetDeleted":   {"secrets/readMetadata/action", ""},
	"SecretListDeleted":  {"secrets/readMetadata/action", ""},
	"SecretRecover":      {"secrets/recover/action", ""},
	"SecretPurge":        {"secrets/purge/action", ""},

	"SecretBackup":  {"secrets/backup/action", ""},
	"SecretRestore": {"secrets/restore/action", `{"value":"AAAA"}`},

	"KeyBackup":       {"keys/backup/action", ""},
	"KeyRestore":      {"keys/restore/action", `{"value":"AAAA"}`},
	"KeyCreate":       {"keys/create/action", `{"kty":"EC"}`},
	"KeyImport":       {"keys/import/action", jwk},
	"KeyGet":          {"keys/read", ""},
	"KeyUpdate":       {"keys/update/action", "{}"},
	"KeyDelete":       {"keys/delete", ""},
	"KeyList":         {"keys/read", ""},
	"KeyListVersions": {"keys/read", ""},
	"KeyGetDeleted":   {"keys/read", ""},
	"KeyListDeleted":  {"keys/read", ""},
	"KeyRecover":      {"keys/recover/action", ""},
	"KeyPurge":        {"keys/purge/action", ""},
	"KeySign":         {"keys/sign/action", sign},
	"KeyVerify":       {"keys/verify/action", verify},
	"KeyEncrypt":      {"keys/encrypt/action", wrap},
	"KeyDecrypt":      {"keys/decrypt/action", wrap},
	"KeyWrap":         {"keys/wrap/action", wrap},
	"KeyUnwrap":       {"keys/unwrap/action", wrap},
	"KeyRotate":       {"keys/rotate/action", ""},
	"KeyRelease":      {"keys/release/action", `{"target":"x"}`},

	"KeyGetAttestation": {"keys/read", ""},
	"KeyGetRandomBytes": {"keys/read", `{"count":1}`},

	"KeyRotationPolicyGet": {"keyrotationpolicies/read", ""},
	"KeyRotationPolicySet": {"keyrotationpolicies/write", `{"attributes":{"expiryTime":"P90D"}}`},

	"CertificateCreate":        {"certificates/create/action", `{"policy":` + policy + `}`},
	"CertificateImport":        {"certificates/import/action", `{"value":"AAAA"}`},
	"CertificateGet":           {"certificates/read", ""},
	"CertificateUpdate":        {"certificates/update/action", "{}"},
	"CertificateDelete":        {"certificates/delete", ""},
	"CertificateList":          {"certificates/read", ""},
	"CertificateListVersions":  {"certificates/read", ""},
	"CertificateGetDeleted":    {"certificates/read", ""},
	"CertificateListDeleted":   {"certificates/read", ""},
	"CertificateRecover":       {"certificates/recover/action", ""},
	"CertificatePurge":         {"certificates/purge/action", ""},
	"CertificatePolicyGet":     {"certificates/read", ""},
	"CertificatePolicyUpdate":  {"certificates/update/action", policy},
	"CertificatePendingGet":    {"certificates/read", ""},
	"CertificatePendingUpdate": {"certificates/update/action", `{"cancellation_requested":true}`},
	"CertificatePendingDelete": {"certificates/update/action", ""},
	"CertificatePendingMerge":  {"certificates/create/action", `{"x5c":["AAAA"]}`},

	"CertificateBackup":         {"certificates/backup/action", ""},
	"CertificateRestore":        {"certificates/restore/action", `{"value":"AAAA"}`},
	"CertificateContactsGet":    {"certificatecontacts/write", ""},
	"CertificateContactsSet":    {"certificatecontacts/write", `{"contacts":[{"email":"a@example.com"}]}`},
	"CertificateContactsDelete": {"certificatecontacts/write", ""},
	"CertificateIssuersList":    {"certificatecas/read", ""},
	"CertificateIssuerGet":      {"certificatecas/read", ""},
	"CertificateIssuerSet":      {"certificatecas/write", `{"provider":"Test"}`},
	"CertificateIssuerUpdate":   {"certificatecas/write", "{}"},
	"CertificateIssuerDelete":   {"certificatecas/delete", ""},
}

// alsoRead are operations that whoever may read keys may do with asymmetric ones too:
// they need the public half alone (contract §2.7).
var alsoRead = map[string]bool{"KeyEncrypt": true, "KeyWrap": true, "KeyVerify": true}

func allowed(r access.Role, op string) bool {
	const vault = "Microsoft.KeyVault/vaults/"
	return r.Allows(access.Action(vault+needs[op].action)) || (alsoRead[op] && r.Allows(vault+"keys/read"))
}

// call sends the route with a name of its own and returns the status and the body.
func call(t *testing.T, p *apptest.Product, op wire.Operation, vault, bearer string) (int, string) {
	t.Helper()
	path := strings.NewReplacer("{name}", "n"+strings.ToLower(op.Name), "/{version?}", "", "{version}", "6f1a2b3c-0000-4000-8000-000000000001").Replace(op.Path)
	body := needs[op.Name].body + hsmNeeds[op.Name].body
	r, err := http.NewRequestWithContext(t.Context(), op.Method, p.VaultURL(vault)+path+"?api-version=7.6", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
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

func TestEveryVaultRouteUnderEveryRole(t *testing.T) {
	p := apptest.Start(t)
	if _, err := p.Vaults.Create(t.Context(), apptest.System, "other", object.Settings{}); err != nil {
		t.Fatal(err)
	}
	operations := p.KeyVaultOperations()
	rows := map[string]bool{}
	for _, op := range operations {
		if _, ok := needs[op.Name]; !ok {
			t.Errorf("the route %s %s (%s) has no row in the matrix", op.Method, op.Path, op.Name)
		}
		rows[op.Name] = true
	}
	for name := range needs {
		if !rows[name] {
			t.Errorf("the matrix has a row for %s, which is no route", name)
		}
	}
	for _, op := range operations {
		for _, vault := range []string{"default", "other"} {
			if status, _ := call(t, p, op, vault, ""); status != http.StatusUnauthorized {
				t.Errorf("%s without a token: %d, want 401", op.Name, status)
			}
		}
	}
	for _, role := range access.Roles() {
		t.Run(role.Name, func(t *testing.T) {
			bearer := p.Application(t, role.Name, "/vaults/default", role.ID)
			for _, op := range operations {
				status, body := call(t, p, op, "default", bearer)
				if want := allowed(role, op.Name); want == (status == http.StatusForbidden) || status == http.StatusUnauthorized || status >= 500 {
					t.Errorf("%s at the own vault: %d %s, allowed is %v", op.Name, status, body, want)
				}
				if status, body := call(t, p, op, "other", bearer); status != http.StatusForbidden {
					t.Errorf("%s at another vault: %d %s, want 403", op.Name, status, body)
				}
			}
		})
	}
}

// TestRefusalTellsNothing compares the refusal for a secret that exists with that for one that does not.
func TestRefusalTellsNothing(t *testing.T) {
	p := apptest.Start(t)
	admin := p.Application(t, "admin", "/", "Key Vault Administrator")
	nobody := p.Application(t, "nobody", "/vaults/default", "Key Vault Crypto User")
	get := func(bearer, method, name, body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, p.VaultURL("default")+"/secrets/"+name+"?api-version=7.6", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearer)
		res, err := p.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, strings.ReplaceAll(string(b), name, "NAME")
	}
	if status, body := get(admin, "PUT", "real", `{"value":"x"}`); status != http.StatusOK {
		t.Fatal(status, body)
	}

	realStatus, realBody := get(nobody, "GET", "real", "")
	noneStatus, noneBody := get(nobody, "GET", "none", "")

	if realStatus != noneStatus || realBody != noneBody || realStatus != http.StatusForbidden {
		t.Errorf("existing: %d %s\nabsent:   %d %s", realStatus, realBody, noneStatus, noneBody)
	}
}
