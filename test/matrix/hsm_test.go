package matrix

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/object"
)

// container is one that nobody has: what is started there fails by itself.
const container = `{"storageResourceUri":"https://localhost:1/c","token":"sig=x"}`

// hsmNeeds has a row for each route that only a Managed HSM has (contract §2.7).
var hsmNeeds = map[string]row{
	"RoleDefinitionSet":    {"roleDefinitions/write/action", `{"properties":{"roleName":"x","permissions":[]}}`},
	"RoleDefinitionGet":    {"roleDefinitions/read/action", ""},
	"RoleDefinitionDelete": {"roleDefinitions/delete/action", ""},
	"RoleDefinitionList":   {"roleDefinitions/read/action", ""},
	"RoleAssignmentCreate": {"roleAssignments/write/action", `{"properties":{"principalId":"x","roleDefinitionId":"x"}}`},
	"RoleAssignmentGet":    {"roleAssignments/read/action", ""},
	"RoleAssignmentDelete": {"roleAssignments/delete/action", ""},
	"RoleAssignmentList":   {"roleAssignments/read/action", ""},

	"SettingList":   {"settings/read/action", ""},
	"SettingGet":    {"settings/read/action", ""},
	"SettingUpdate": {"settings/write/action", `{"value":"true"}`},

	"HSMBackupStart":     {"backup/start/action", container},
	"HSMBackupCheck":     {"backup/start/action", container},
	"HSMBackupStatus":    {"backup/status/action", ""},
	"HSMRestoreStart":    {"restore/start/action", `{"sasTokenParameters":` + container + `,"folderToRestore":"x"}`},
	"HSMRestoreCheck":    {"restore/start/action", `{"sasTokenParameters":` + container + `,"folderToRestore":"x"}`},
	"HSMKeyRestoreStart": {"restore/start/action", `{"sasTokenParameters":` + container + `,"folder":"x"}`},
	"HSMRestoreStatus":   {"restore/status/action", ""},

	"SecurityDomainDownload":       {"securitydomain/download/action", `{"certificates":[]}`},
	"SecurityDomainDownloadStatus": {"securitydomain/download/read", ""},
	"SecurityDomainTransferKey":    {"securitydomain/transferkey/read", ""},
	"SecurityDomainUpload":         {"securitydomain/upload/action", `{"value":"x"}`},
	"SecurityDomainUploadStatus":   {"securitydomain/upload/read", ""},
}

// hsmKeyNeeds says what the routes of keys need in a Managed HSM.
var hsmKeyNeeds = map[string]string{
	"KeyCreate": "keys/create", "KeyImport": "keys/import/action", "KeyGet": "keys/read/action", "KeyUpdate": "keys/write/action",
	"KeyDelete": "keys/delete", "KeyList": "keys/read/action", "KeyListVersions": "keys/read/action",
	"KeyGetDeleted": "keys/deletedKeys/read/action", "KeyListDeleted": "keys/deletedKeys/read/action",
	"KeyRecover": "keys/deletedKeys/recover/action", "KeyPurge": "keys/deletedKeys/delete",
	"KeyBackup": "keys/backup/action", "KeyRestore": "keys/restore/action",
	"KeyEncrypt": "keys/encrypt/action", "KeyDecrypt": "keys/decrypt/action", "KeyWrap": "keys/wrap/action", "KeyUnwrap": "keys/unwrap/action",
	"KeySign": "keys/sign/action", "KeyVerify": "keys/verify/action", "KeyRelease": "keys/release/action",
	"KeyRotate": "keys/write/action", "KeyRotationPolicyGet": "keys/read/action", "KeyRotationPolicySet": "keys/write/action",
	"KeyGetRandomBytes": "rng/action", "KeyGetAttestation": "keys/read/action",
}

// oid is the object id of whom the token is for.
func oid(t *testing.T, bearer string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(bearer, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		OID string `json:"oid"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.OID == "" {
		t.Fatal("no oid", err)
	}
	return claims.OID
}

func allows(d role.Definition, action string) bool {
	return slices.Contains(d.Permissions[0].DataActions, access.Action(object.ManagedPrefix+action))
}

func TestEveryRouteOfAnHSMUnderEveryLocalRole(t *testing.T) {
	p := apptest.Start(t)
	if _, err := p.Vaults.Create(t.Context(), apptest.System, "other", object.Settings{Kind: object.ManagedHSM}); err != nil {
		t.Fatal(err)
	}
	own := p.ManagedHSMOperations()
	rows := map[string]bool{}
	for _, op := range own {
		if _, ok := hsmNeeds[op.Name]; !ok {
			t.Errorf("the route %s %s (%s) has no row in the matrix", op.Method, op.Path, op.Name)
		}
		rows[op.Name] = true
	}
	for name := range hsmNeeds {
		if !rows[name] {
			t.Errorf("the matrix has a row for %s, which is no route", name)
		}
	}
	need := func(op wire.Operation) (action string) {
		if r, ok := hsmNeeds[op.Name]; ok {
			return r.action
		}
		return hsmKeyNeeds[op.Name]
	}
	operations := own
	for _, op := range p.KeyVaultOperations() {
		switch _, known := hsmKeyNeeds[op.Name]; {
		case known:
			operations = append(operations, op)
		case strings.HasPrefix(op.Name, "Key"):
			t.Errorf("the route %s %s (%s) has no row for managed HSMs", op.Method, op.Path, op.Name)
		}
	}
	for _, op := range operations {
		if status, _ := call(t, p, op, "hsm", ""); status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d, want 401", op.Name, status)
		}
	}
	// Roles of the control plane and of all vaults do not open an HSM.
	outsider := p.Application(t, "outsider", "/", "Key Vault Administrator", "Administrator")
	for _, op := range operations {
		if status, body := call(t, p, op, "hsm", outsider); status != http.StatusForbidden {
			t.Errorf("%s without a local role: %d %s, want 403", op.Name, status, body)
		}
	}
	for _, d := range role.BuiltIn() {
		t.Run(d.Name, func(t *testing.T) {
			bearer := p.Application(t, d.Name, "/")
			_, err := p.Roles.Assign(t.Context(), apptest.System, "hsm", role.Assignment{
				ID: uuid.NewV4().String(), Principal: oid(t, bearer), Role: d.ID, Scope: "/",
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, op := range operations {
				status, body := call(t, p, op, "hsm", bearer)
				if want := allows(d, need(op)); want == (status == http.StatusForbidden) || status == http.StatusUnauthorized || status >= 500 {
					t.Errorf("%s %s at the own HSM: %d %s, allowed is %v", op.Name, op.Path, status, body, want)
				}
				if status, body := call(t, p, op, "other", bearer); status != http.StatusForbidden {
					t.Errorf("%s at another HSM: %d %s, want 403", op.Name, status, body)
				}
			}
			for _, op := range own {
				if status, body := call(t, p, op, "default", bearer); status != http.StatusForbidden {
					t.Errorf("%s at a key vault: %d %s, want 403", op.Name, status, body)
				}
			}
		})
	}
}

// TestHSMHasNoSecretsAndCertificates: whoever asks, those routes do not exist there.
func TestHSMHasNoSecretsAndCertificates(t *testing.T) {
	p := apptest.Start(t)
	bearer := p.Application(t, "admin", "/", "Key Vault Administrator")
	for _, op := range p.KeyVaultOperations() {
		if strings.HasPrefix(op.Name, "Key") {
			continue
		}
		if status, body := call(t, p, op, "hsm", bearer); status != http.StatusNotFound {
			t.Errorf("%s: %d %s, want 404", op.Name, status, body)
		}
	}
}
