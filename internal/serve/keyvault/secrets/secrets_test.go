package secrets_test

import (
	"testing"

	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	doors "chatelaine.dev/internal/serve/keyvault/secrets"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

func TestExchangesAreAsRecorded(t *testing.T) {
	keyvaulttest.Play(t, func(d object.Deps) []wire.Operation { return doors.Operations(secrets.New(d)) })
}
