package issuers_test

import (
	"testing"

	doors "chatelaine.dev/internal/serve/keyvault/issuers"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/object"
)

func TestExchangesAreAsRecorded(t *testing.T) {
	keyvaulttest.Play(t, func(d object.Deps) []wire.Operation { return doors.Operations(issuer.New(d, nil)) })
}
