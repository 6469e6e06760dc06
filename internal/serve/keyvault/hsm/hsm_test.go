package hsm_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/blob"
	"chatelaine.dev/internal/blob/blobtest"
	doors "chatelaine.dev/internal/serve/keyvault/hsm"
	keydoors "chatelaine.dev/internal/serve/keyvault/keys"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/backup"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/hsmtest"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/hsm/setting"
)

// storage is an address of a container; what is sent there gets to the storage of the test.
const storage = "https://storage.example.com" + blobtest.Container

// without hands requests to a service without a network.
type without struct{ service http.Handler }

func (w without) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	w.service.ServeHTTP(rec, r)
	res := rec.Result()
	res.Request = r
	return res, nil
}

// start serves a managed HSM whose jobs are done after the answer to the request that
// asked for them, and before the next one. Its caller may use keys too.
func start(t *testing.T) http.Handler {
	var mu sync.Mutex
	var queued []backup.Run
	var backups *backup.Service
	blobs := (&blobtest.Server{}).Handler()
	door := keyvaulttest.StartHSM(t, func(w *hsmtest.World) []wire.Operation {
		w.Assign(t, w.Caller, role.CryptoUser, "/keys")
		domains := domain.New(w.Deps)
		backups = backup.New(backup.Config{
			Deps: w.Deps, Domains: domains, Roles: w.Roles,
			Containers: func(address string, token backup.Token) (backup.Container, error) {
				return blob.New(address, string(token), without{blobs})
			},
			Enqueue: func(_ context.Context, r backup.Run) error {
				mu.Lock()
				defer mu.Unlock()
				queued = append(queued, r)
				return nil
			},
		})
		return append(doors.Operations(doors.Deps{Roles: w.Roles, Settings: setting.New(w.Deps), Backups: backups, Domains: domains}),
			keydoors.Operations(keydoors.Services{Keys: w.Keys})...)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		door.ServeHTTP(w, r)
		mu.Lock()
		runs := queued
		queued = nil
		mu.Unlock()
		for _, run := range runs {
			if err := backups.HandleRun(context.WithoutCancel(r.Context()), run); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestExchangesAreAsRecorded(t *testing.T) { keyvaulttest.PlayAgainst(t, start) }

// Whatever is sent as a role, an answer is one of the protocol's, and a role that was taken
// grants nothing but data actions that there are.
func FuzzRoleDefinition(f *testing.F) {
	f.Add(`{"properties":{"roleName":"x","permissions":[{"dataActions":["Microsoft.KeyVault/managedHsm/keys/read/action"],"notDataActions":[]}],"assignableScopes":["/keys"]}}`)
	f.Add(`{"properties":{"permissions":[{"actions":["*"],"dataActions":["Microsoft.KeyVault/managedHsm/*"]}]}}`)
	f.Add(`{"properties":null}`)
	door := keyvaulttest.StartHSM(f, rolesOnly)
	f.Fuzz(func(t *testing.T, body string) {
		w := keyvaulttest.Do(door, "PUT", "//providers/Microsoft.Authorization/roleDefinitions/6f1a2b3c-0000-4000-8000-000000000001?api-version=7.6", body)
		if w.Code != http.StatusCreated {
			if w.Code < 400 || w.Code >= 500 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return
		}
		var made struct {
			Properties struct {
				Permissions []struct{ DataActions, NotDataActions []access.Action }
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
			t.Fatal(err)
		}
		for _, p := range made.Properties.Permissions {
			for _, a := range append(p.DataActions, p.NotDataActions...) {
				if !slices.Contains(role.Actions(), a) {
					t.Errorf("it names %q", a)
				}
			}
		}
	})
}

func rolesOnly(w *hsmtest.World) []wire.Operation {
	return doors.Operations(doors.Deps{Roles: w.Roles})
}
