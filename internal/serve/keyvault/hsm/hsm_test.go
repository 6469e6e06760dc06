package hsm_test

import (
	"net/http"
	"testing"

	doors "chatelaine.dev/internal/serve/keyvault/hsm"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/hsmtest"
	"chatelaine.dev/internal/vault/hsm/setting"
)

func operations(w *hsmtest.World) []wire.Operation {
	return doors.Operations(doors.Deps{Roles: w.Roles, Settings: setting.New(w.Deps)})
}

func start(t *testing.T) http.Handler { return keyvaulttest.StartHSM(t, operations) }

func TestExchangesAreAsRecorded(t *testing.T) { keyvaulttest.PlayAgainst(t, start) }
