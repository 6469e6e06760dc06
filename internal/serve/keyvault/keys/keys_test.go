package keys_test

import (
	"testing"

	doors "chatelaine.dev/internal/serve/keyvault/keys"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

func TestExchangesAreAsRecorded(t *testing.T) {
	keyvaulttest.Play(t, func(d object.Deps) []wire.Operation {
		k := keys.New(d, keystore.NewSoftware())
		return doors.Operations(doors.Services{Keys: k, Rotation: rotation.New(d, k)})
	})
}
