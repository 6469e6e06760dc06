package secrets

import (
	"testing"

	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
)

func TestSecretIsWrittenAsItsStructSays(t *testing.T) {
	text, yes, no, number, days := "a \"b\"\n\u2028\x00é€𝄞", true, false, int64(-5), 90
	for _, x := range []bundle{
		{},
		{Value: new(string), ID: "https://a/b/c"},
		{Value: &text, ID: "https://a/b/c", ContentType: text, Tags: map[string]string{"z": "1", text: text, "": ""}, KeyID: "k", Managed: true, PreviousVersion: "p"},
		{Attributes: wire.Attributes{Enabled: &yes, NotBefore: &number, Expires: &number, Created: &number, Updated: &number, RecoveryLevel: "Recoverable", RecoverableDays: &days}},
		{Attributes: wire.Attributes{Enabled: &no}, Deleted: wire.Deleted{RecoveryID: "r", DeletedDate: &number, ScheduledPurgeDate: &number}},
	} {
		keyvaulttest.Written(t, x)
	}
}
