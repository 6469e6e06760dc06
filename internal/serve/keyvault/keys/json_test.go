package keys

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResultIsWrittenAsItsStructSays(t *testing.T) {
	for _, x := range []operationResult{
		{}, {ID: "https://a/b/c", Value: []byte{255, 254, 253, 1}},
		{ID: "x", Value: []byte{}, IV: []byte{1}, Tag: []byte{2, 3}, AAD: []byte{4, 5, 6}},
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
