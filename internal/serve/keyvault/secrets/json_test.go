package secrets

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		want, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		got := x.AppendJSON(nil)
		if !cmp.Equal(decoded(t, got), decoded(t, want)) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func decoded(t *testing.T, text []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
