// Package hsm is the Managed HSM part of the Key Vault front door (contract §1.5), one file
// an operation and its opposite. The keys of an HSM have the same routes as those of a
// vault.
package hsm

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/backup"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/role"
	hsmsetting "chatelaine.dev/internal/vault/hsm/setting"
)

// Deps are the services behind the routes.
type Deps struct {
	Roles    *role.Service
	Settings *hsmsetting.Service
	Backups  *backup.Service
	Domains  *domain.Service
}

// Operations are the routes.
func Operations(d Deps) []wire.Operation {
	s := door{d}
	list := []wire.Operation{
		{Name: "SettingList", Method: "GET", Path: "/settings", Handle: s.getSettings},
		{Name: "SettingGet", Method: "GET", Path: "/settings/{name}", Handle: s.getSetting},
		{Name: "SettingUpdate", Method: "PATCH", Path: "/settings/{name}", Handle: s.updateSetting},

		{Name: "HSMBackupStart", Method: "POST", Path: "/backup", Handle: s.fullBackup},
		{Name: "HSMBackupCheck", Method: "POST", Path: "/prebackup", Handle: s.preFullBackup},
		{Name: "HSMBackupStatus", Method: "GET", Path: "/backup/{name}/pending", Handle: s.backupStatus},
		{Name: "HSMRestoreStart", Method: "PUT", Path: "/restore", Handle: s.fullRestore},
		{Name: "HSMRestoreCheck", Method: "PUT", Path: "/prerestore", Handle: s.preFullRestore},
		{Name: "HSMKeyRestoreStart", Method: "PUT", Path: "/keys/{name}/restore", Handle: s.selectiveRestore},
		{Name: "HSMRestoreStatus", Method: "GET", Path: "/restore/{name}/pending", Handle: s.restoreStatus},

		{Name: "SecurityDomainDownload", Method: "POST", Path: "/securitydomain/download", Handle: s.downloadDomain},
		{Name: "SecurityDomainDownloadStatus", Method: "GET", Path: "/securitydomain/download/pending", Handle: s.downloadDomainStatus},
		{Name: "SecurityDomainTransferKey", Method: "GET", Path: "/securitydomain/upload", Handle: s.transferKey},
		{Name: "SecurityDomainUpload", Method: "POST", Path: "/securitydomain/upload", Handle: s.uploadDomain},
		{Name: "SecurityDomainUploadStatus", Method: "GET", Path: "/securitydomain/upload/pending", Handle: s.uploadDomainStatus},
	}
	list = append(list, scoped("RoleDefinitionSet", "PUT", "/roleDefinitions/{version}", s.setRoleDefinition)...)
	list = append(list, scoped("RoleDefinitionGet", "GET", "/roleDefinitions/{version}", s.getRoleDefinition)...)
	list = append(list, scoped("RoleDefinitionDelete", "DELETE", "/roleDefinitions/{version}", s.deleteRoleDefinition)...)
	list = append(list, scoped("RoleDefinitionList", "GET", "/roleDefinitions", s.listRoleDefinitions)...)
	list = append(list, scoped("RoleAssignmentCreate", "PUT", "/roleAssignments/{version}", s.createRoleAssignment)...)
	list = append(list, scoped("RoleAssignmentGet", "GET", "/roleAssignments/{version}", s.getRoleAssignment)...)
	list = append(list, scoped("RoleAssignmentDelete", "DELETE", "/roleAssignments/{version}", s.deleteRoleAssignment)...)
	list = append(list, scoped("RoleAssignmentList", "GET", "/roleAssignments", s.listRoleAssignments)...)
	return list
}

type door struct{ Deps }

const provider = "/providers/Microsoft.Authorization"

// scoped are the three routes of an operation at a scope: the HSM, all its keys, one key.
// The id stands where a key's version does.
func scoped(name, method, path string, handle func(context.Context, *wire.Request, access.Scope) (wire.Response, error)) []wire.Operation {
	var list []wire.Operation
	for _, scope := range []string{"", "/keys", "/keys/{name}"} {
		list = append(list, wire.Operation{
			Name: name, Method: method, Path: scope + provider + path,
			Handle: func(ctx context.Context, q *wire.Request) (wire.Response, error) {
				at, err := role.ParseScope("/" + strings.TrimPrefix(strings.Replace(scope, "{name}", q.Name, 1), "/"))
				if err != nil {
					return wire.Response{}, err
				}
				return handle(ctx, q, at)
			},
		})
	}
	return list
}
