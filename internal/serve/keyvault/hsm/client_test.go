package hsm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azadmin/backup"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azadmin/rbac"

	"chatelaine.dev/internal/blob/blobtest"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
)

// direct hands a client's requests to the door without a network.
type direct struct{ door http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody // as a server has it
	}
	w := httptest.NewRecorder()
	d.door.ServeHTTP(w, r)
	res := w.Result()
	res.Request = r
	return res, nil
}

type tokens struct{}

func (tokens) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || o.Scopes[0] != "https://example.com:8443/.default" {
		return azcore.AccessToken{}, fmt.Errorf("the challenge asks for %v", o.Scopes)
	}
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Its client sends an empty scope, "/" and "/keys" as they come, so that paths begin with
// one to three slashes.
func TestVendorsClientFindsEveryScope(t *testing.T) {
	o := azcore.ClientOptions{Transport: direct{start(t)}}
	c, err := rbac.NewClient(keyvaulttest.Origin, tokens{}, &rbac.ClientOptions{ClientOptions: o})
	if err != nil {
		t.Fatal(err)
	}
	for i, scope := range []rbac.RoleScope{"", rbac.RoleScopeGlobal, rbac.RoleScopeKeys, "/keys/signing"} {
		name := fmt.Sprintf("6f1a2b3c-0000-4000-8000-00000000000%d", i)
		made, err := c.CreateRoleAssignment(t.Context(), scope, name, rbac.RoleAssignmentCreateParameters{Properties: &rbac.RoleAssignmentProperties{
			PrincipalID: to.Ptr(name), RoleDefinitionID: to.Ptr("Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/21dbd100-6940-42c2-9190-5d6cb909625b"),
		}}, nil)
		want := scope
		if want == "" {
			want = "/"
		}
		if err != nil || *made.Properties.Scope != want {
			t.Fatalf("scope %q: %+v, %v", scope, made.Properties, err)
		}
		if _, err := c.DeleteRoleAssignment(t.Context(), scope, name, nil); err != nil {
			t.Errorf("scope %q: %v", scope, err)
		}
		var refused *azcore.ResponseError
		if _, err := c.GetRoleAssignment(t.Context(), scope, name, nil); !errors.As(err, &refused) || refused.ErrorCode != "RoleAssignmentNotFound" || refused.StatusCode != 404 {
			t.Errorf("scope %q: %v", scope, err)
		}
	}
}

// Its pollers ask until the job is done, go on from a token, and say why a job failed.
func TestVendorsClientBacksUpAndRestores(t *testing.T) {
	o := azcore.ClientOptions{Transport: direct{start(t)}}
	c, err := backup.NewClient(keyvaulttest.Origin, tokens{}, &backup.ClientOptions{ClientOptions: o})
	if err != nil {
		t.Fatal(err)
	}
	place := backup.SASTokenParameters{StorageResourceURI: to.Ptr(storage), Token: to.Ptr(blobtest.Token)}
	begun, err := c.BeginFullBackup(t.Context(), place, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := begun.ResumeToken()
	if err != nil {
		t.Fatal(err)
	}
	resumed, err := c.BeginFullBackup(t.Context(), place, &backup.BeginFullBackupOptions{ResumeToken: token})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := resumed.PollUntilDone(t.Context(), nil)
	if err != nil || *saved.Status != "Succeeded" || saved.Error != nil || !strings.HasPrefix(*saved.AzureStorageBlobContainerURI, storage+"/mhsm-") {
		t.Fatalf("%+v, %v", saved, err)
	}
	folder := strings.TrimPrefix(*saved.AzureStorageBlobContainerURI, storage+"/")

	restoring, err := c.BeginFullRestore(t.Context(), backup.RestoreOperationParameters{FolderToRestore: &folder, SASTokenParameters: &place}, nil)
	if err != nil {
		t.Fatal(err)
	}
	restored, err := restoring.PollUntilDone(t.Context(), nil)
	if err != nil || *restored.Status != "Succeeded" || restored.EndTime == nil || *restored.JobID == "" {
		t.Errorf("%+v, %v", restored, err)
	}

	selecting, err := c.BeginSelectiveKeyRestore(t.Context(), "none", backup.SelectiveKeyRestoreOperationParameters{Folder: &folder, SASTokenParameters: &place}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var failed *azcore.ResponseError
	if _, err := selecting.PollUntilDone(t.Context(), nil); !errors.As(err, &failed) || failed.ErrorCode != "KeyNotFound" {
		t.Errorf("a key that the backup does not have: %v", err)
	}
}
