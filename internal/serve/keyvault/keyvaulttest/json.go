package keyvaulttest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// Written fails unless a body's own JSON says what encoding/json says of its struct.
func Written(t *testing.T, x wire.Appender) {
	t.Helper()
	want, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	got := x.AppendJSON(nil)
	var is, shall any
	if err := json.Unmarshal(got, &is); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	if err := json.Unmarshal(want, &shall); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(is, shall) {
		t.Errorf("%s\nwant %s", got, want)
	}
}
