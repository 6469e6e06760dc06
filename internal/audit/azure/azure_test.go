package azure_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/audit/azure"
)

func places() azure.Places {
	return azure.Places{
		Vault: func(name string) string { return "https://" + name + ".vault.example" },
		Resource: func(name string) string {
			if name == "" {
				return "/subscriptions/t/resourceGroups/g"
			}
			return "/subscriptions/t/resourceGroups/g/providers/Microsoft.KeyVault/vaults/" + name
		},
		Routes: map[string]string{
			"SecretGet": "/secrets/{name}/{version?}", "SecretSet": "/secrets/{name}", "SecretRecover": "/deletedsecrets/{name}/recover",
			"KeySign": "/keys/{name}/{version?}/sign", "KeyList": "/keys", "KeyListDeleted": "/deletedkeys", "KeyRestore": "/keys/restore",
			"KeyPurge": "/deletedkeys/{name}", "KeyGetRandomBytes": "/rng", "CertificateContactsSet": "/certificates/contacts",
			"CertificateIssuerGet": "/certificates/issuers/{name}",
		},
	}
}

var at = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("x", 3600))

func TestRecordHasTheShapeOfAnAuditEvent(t *testing.T) {
	for what, c := range map[string]struct {
		record audit.Record
		want   string
	}{
		"a secret that was read": {
			audit.Record{
				Sequence: 7, Time: at, Operation: "SecretGet", Target: "/vaults/payroll/secrets/db", Outcome: audit.Success,
				Principal: "11111111-0000-4000-8000-000000000000", Name: "ann@example.com", Application: "22222222-0000-4000-8000-000000000000",
				Address: "192.0.2.7", Agent: "azsdk-go", Correlation: "c1",
				Details: map[audit.Field]string{audit.APIVersion: "2025-07-01", audit.Version: "0123456789abcdef0123456789abcdef"},
			},
			`{"time":"2026-03-01T11:00:00.1234567Z","resourceId":"/SUBSCRIPTIONS/T/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/PAYROLL","operationName":"SecretGet",` +
				`"operationVersion":"2025-07-01","category":"AuditEvent","resultType":"Success","resultSignature":"OK","callerIpAddress":"192.0.2.7","correlationId":"c1",` +
				`"identity":{"claim":{"http://schemas.microsoft.com/identity/claims/objectidentifier":"11111111-0000-4000-8000-000000000000",` +
				`"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn":"ann@example.com","appid":"22222222-0000-4000-8000-000000000000"}},` +
				`"properties":{"clientInfo":"azsdk-go","requestUri":"https://payroll.vault.example/secrets/db/0123456789abcdef0123456789abcdef?api-version=2025-07-01",` +
				`"id":"https://payroll.vault.example/secrets/db/0123456789abcdef0123456789abcdef","httpStatusCode":200,"sequence":7,"target":"/vaults/payroll/secrets/db","name":"ann@example.com"}}`,
		},
		"a key that may not be used": {
			audit.Record{
				Sequence: 8, Time: at, Operation: "KeySign", Target: "/vaults/payroll/keys/k", Outcome: audit.Denied, Principal: "p", Name: "web",
				Details: map[audit.Field]string{audit.Reason: "ForbiddenByRbac", audit.Action: "Microsoft.KeyVault/vaults/keys/sign/action"},
			},
			`{"time":"2026-03-01T11:00:00.1234567Z","resourceId":"/SUBSCRIPTIONS/T/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/PAYROLL","operationName":"KeySign",` +
				`"category":"AuditEvent","resultType":"Failure","resultSignature":"Forbidden","resultDescription":"ForbiddenByRbac",` +
				`"identity":{"claim":{"http://schemas.microsoft.com/identity/claims/objectidentifier":"p"}},` +
				`"properties":{"requestUri":"https://payroll.vault.example/keys/k/sign","id":"https://payroll.vault.example/keys/k","httpStatusCode":403,"sequence":8,` +
				`"target":"/vaults/payroll/keys/k","name":"web","details":{"action":"Microsoft.KeyVault/vaults/keys/sign/action"}}}`,
		},
		"a request without a token": {
			audit.Record{Sequence: 9, Time: at, Operation: "Authentication", Target: "/tokens", Outcome: audit.Denied, Principal: "anonymous", Address: "192.0.2.7"},
			`{"time":"2026-03-01T11:00:00.1234567Z","resourceId":"/SUBSCRIPTIONS/T/RESOURCEGROUPS/G","operationName":"Authentication","category":"AuditEvent",` +
				`"resultType":"Failure","resultSignature":"Unauthorized","callerIpAddress":"192.0.2.7","identity":{"claim":{}},` +
				`"properties":{"httpStatusCode":401,"sequence":9,"target":"/tokens"}}`,
		},
		"what the product did by itself": {
			audit.Record{Sequence: 10, Time: at, Operation: "SecretNearExpiryEventGridNotification", Target: "/vaults/payroll/secrets/db", Outcome: audit.Success, Principal: "system", Name: "expiry"},
			`{"time":"2026-03-01T11:00:00.1234567Z","resourceId":"/SUBSCRIPTIONS/T/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/PAYROLL",` +
				`"operationName":"SecretNearExpiryEventGridNotification","category":"AuditEvent","resultType":"Success","identity":{"claim":{}},` +
				`"properties":{"id":"https://payroll.vault.example/secrets/db","sequence":10,"target":"/vaults/payroll/secrets/db","name":"expiry"}}`,
		},
		"something of the control plane": {
			audit.Record{Sequence: 11, Time: at, Operation: "CampaignCreate", Target: "/campaigns/x", Outcome: audit.Success, Principal: "p", Details: map[audit.Field]string{audit.Count: "3"}},
			`{"time":"2026-03-01T11:00:00.1234567Z","resourceId":"/SUBSCRIPTIONS/T/RESOURCEGROUPS/G","operationName":"CampaignCreate","category":"AuditEvent","resultType":"Success",` +
				`"identity":{"claim":{"http://schemas.microsoft.com/identity/claims/objectidentifier":"p"}},"properties":{"sequence":11,"target":"/campaigns/x","details":{"count":"3"}}}`,
		},
	} {
		got, err := json.Marshal(places().Event(c.record))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, string(got)); d != "" {
			t.Errorf("%s:\n%s", what, d)
		}
	}
}

func TestAddressOfAnOperationIsThatOfItsRoute(t *testing.T) {
	for _, c := range []struct{ operation, target, version, want string }{
		{"SecretGet", "/vaults/a/secrets/s", "v", "/secrets/s/v"},
		{"SecretGet", "/vaults/a/secrets/s", "", "/secrets/s"},
		{"SecretSet", "/vaults/a/secrets/s", "v", "/secrets/s"},
		{"SecretRecover", "/vaults/a/secrets/s", "", "/deletedsecrets/s/recover"},
		{"KeySign", "/vaults/a/keys/k", "v", "/keys/k/v/sign"},
		{"KeySign", "/vaults/a/keys/k", "", "/keys/k/sign"},
		{"KeyList", "/vaults/a", "", "/keys"},
		{"KeyListDeleted", "/vaults/a", "", "/deletedkeys"},
		{"KeyRestore", "/vaults/a", "", "/keys/restore"},
		{"KeyPurge", "/vaults/a/keys/k", "", "/deletedkeys/k"},
		{"KeyGetRandomBytes", "/vaults/a", "", "/rng"},
		{"CertificateContactsSet", "/vaults/a", "", "/certificates/contacts"},
		{"CertificateIssuerGet", "/vaults/a", "", ""}, // which one is not known
		{"VaultGet", "/vaults/a", "", ""},
		{"CertificateRevoke", "/certificates/x", "", ""},
		{"SecretGet", "/vaults/a/keys/k", "", ""},
	} {
		e := places().Event(audit.Record{
			Time: at, Operation: c.operation, Target: c.target, Outcome: audit.Success, Principal: "p", Details: map[audit.Field]string{audit.Version: c.version},
		})
		want := c.want
		if want != "" {
			want = "https://a.vault.example" + want
		}
		if e.Properties.RequestURI != want {
			t.Errorf("%s of %s: %q, want %q", c.operation, c.target, e.Properties.RequestURI, want)
		}
	}
}

func TestStatusIsTheContracts(t *testing.T) {
	for _, c := range []struct {
		operation, reason string
		outcome           audit.Outcome
		want              int
		words             string
	}{
		{"SecretGet", "SecretNotFound", audit.Failed, 404, "Not Found"},
		{"SecretGet", "SecretDisabled", audit.Failed, 403, "Forbidden"},
		{"SecretSet", "ObjectIsDeletedButRecoverable", audit.Failed, 409, "Conflict"},
		{"SecretSet", "BadParameter", audit.Failed, 400, "Bad Request"},
		{"KeySign", "KeyExpired", audit.Failed, 403, "Forbidden"},
		{"KeySign", "SomethingNew", audit.Failed, 0, ""}, // not known, so not invented
		{"CertificateCreate", "", audit.Success, 202, "Accepted"},
		{"CertificatePendingMerge", "", audit.Success, 201, "Created"},
		{"KeyPurge", "", audit.Success, 204, "No Content"},
		{"KeyPurge", "ForbiddenByRbac", audit.Denied, 403, "Forbidden"},
	} {
		e := places().Event(audit.Record{
			Time: at, Operation: c.operation, Target: "/vaults/a/keys/k", Outcome: c.outcome, Principal: "p", Details: map[audit.Field]string{audit.Reason: c.reason},
		})
		if e.Properties.HTTPStatusCode != c.want || e.ResultSignature != c.words || e.ResultDescription != c.reason {
			t.Errorf("%s %s: %d %q, want %d %q", c.operation, c.reason, e.Properties.HTTPStatusCode, e.ResultSignature, c.want, c.words)
		}
	}
}
