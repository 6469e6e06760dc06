package matrix

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/settings"
)

// permissionsFor has, for each route, the permission that an access policy must give
// (contract §2.7). A route without one fails the test.
var permissionsFor = map[string]string{
	"SecretSet": "secrets set", "SecretGet": "secrets get", "SecretUpdate": "secrets set", "SecretDelete": "secrets delete",
	"SecretList": "secrets list", "SecretListVersions": "secrets list", "SecretGetDeleted": "secrets get", "SecretListDeleted": "secrets list",
	"SecretRecover": "secrets recover", "SecretPurge": "secrets purge", "SecretBackup": "secrets backup", "SecretRestore": "secrets restore",

	"KeyBackup": "keys backup", "KeyRestore": "keys restore", "KeyCreate": "keys create", "KeyImport": "keys import", "KeyGet": "keys get",
	"KeyUpdate": "keys update", "KeyDelete": "keys delete", "KeyList": "keys list", "KeyListVersions": "keys list", "KeyGetDeleted": "keys get",
	"KeyListDeleted": "keys list", "KeyRecover": "keys recover", "KeyPurge": "keys purge", "KeySign": "keys sign", "KeyVerify": "keys verify",
	"KeyEncrypt": "keys encrypt", "KeyDecrypt": "keys decrypt", "KeyWrap": "keys wrapKey", "KeyUnwrap": "keys unwrapKey", "KeyRotate": "keys rotate",
	"KeyRelease": "keys release", "KeyGetAttestation": "keys get", "KeyGetRandomBytes": "keys get",
	"KeyRotationPolicyGet": "keys getrotationpolicy", "KeyRotationPolicySet": "keys setrotationpolicy",

	"CertificateCreate": "certificates create", "CertificateImport": "certificates import", "CertificateGet": "certificates get",
	"CertificateUpdate": "certificates update", "CertificateDelete": "certificates delete", "CertificateList": "certificates list",
	"CertificateListVersions": "certificates list", "CertificateGetDeleted": "certificates get", "CertificateListDeleted": "certificates list",
	"CertificateRecover": "certificates recover", "CertificatePurge": "certificates purge", "CertificatePolicyGet": "certificates get",
	"CertificatePolicyUpdate": "certificates update", "CertificatePendingGet": "certificates get", "CertificatePendingUpdate": "certificates update",
	"CertificatePendingDelete": "certificates update", "CertificatePendingMerge": "certificates create",
	"CertificateBackup": "certificates backup", "CertificateRestore": "certificates restore",
	"CertificateContactsGet": "certificates managecontacts", "CertificateContactsSet": "certificates managecontacts", "CertificateContactsDelete": "certificates managecontacts",
	"CertificateIssuersList": "certificates listissuers", "CertificateIssuerGet": "certificates getissuers", "CertificateIssuerSet": "certificates setissuers",
	"CertificateIssuerUpdate": "certificates setissuers", "CertificateIssuerDelete": "certificates deleteissuers",
}

// permitting are the permissions that have, or have not, one word.
func permitting(permission string, has bool) settings.Permissions {
	var p settings.Permissions
	for area, list := range map[settings.Area]*[]string{settings.Keys: &p.Keys, settings.Secrets: &p.Secrets, settings.Certificates: &p.Certificates} {
		for _, word := range settings.Words(area) {
			if (string(area)+" "+word == permission) == has {
				*list = append(*list, word)
			}
		}
	}
	return p
}

func TestEveryVaultRouteUnderItsAccessPolicy(t *testing.T) {
	p := apptest.Start(t)
	bearer := p.Application(t, "robot", "/", "Key Vault Administrator") // its roles decide nothing here
	list, _, err := p.Directory.Principals(t.Context(), apptest.System, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	robot := list[slices.IndexFunc(list, func(x directory.Principal) bool { return x.Name == "robot" })].ID
	decide := func(given settings.Permissions) {
		t.Helper()
		policies := []settings.Policy{{ObjectID: robot, Permissions: given}}
		mode := true
		if _, err := p.Vaults.Update(t.Context(), apptest.System, "default", vault.Change{PolicyMode: &mode, Policies: &policies}); err != nil {
			t.Fatal(err)
		}
	}
	for _, op := range p.KeyVaultOperations() {
		need, ok := permissionsFor[op.Name]
		if !ok {
			t.Errorf("the route %s %s (%s) has no permission in the matrix", op.Method, op.Path, op.Name)
			continue
		}
		decide(permitting(need, false))
		area, word, _ := strings.Cut(need, " ")
		if status, body := call(t, p, op, "default", bearer); status != http.StatusForbidden || !strings.Contains(body, "does not have "+area+" "+word+" permission") {
			t.Errorf("%s with everything but %s: %d %s", op.Name, need, status, body)
		}
		decide(permitting(need, true))
		if status, body := call(t, p, op, "default", bearer); strings.Contains(body, "ForbiddenByPolicy") || status == http.StatusUnauthorized || status >= 500 {
			t.Errorf("%s with %s alone: %d %s", op.Name, need, status, body)
		}
	}
}
