package contacts_test

import (
	"testing"

	doors "chatelaine.dev/internal/serve/keyvault/contacts"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/object"
)

func TestExchangesAreAsRecorded(t *testing.T) {
	keyvaulttest.Play(t, func(d object.Deps) []wire.Operation { return doors.Operations(contact.New(d)) })
}
