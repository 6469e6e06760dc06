package random_test

import (
	"testing"

	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	doors "chatelaine.dev/internal/serve/keyvault/random"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

func TestExchangesAreAsRecorded(t *testing.T) {
	keyvaulttest.Play(t, func(d object.Deps) []wire.Operation {
		return doors.Operations(keys.New(d, keystore.NewSoftware()))
	})
}
