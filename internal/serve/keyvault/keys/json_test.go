package keys

import (
	"testing"

	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
)

func TestResultIsWrittenAsItsStructSays(t *testing.T) {
	for _, x := range []operationResult{
		{}, {ID: "https://a/b/c", Value: []byte{255, 254, 253, 1}},
		{ID: "x", Value: []byte{}, IV: []byte{1}, Tag: []byte{2, 3}, AAD: []byte{4, 5, 6}},
	} {
		keyvaulttest.Written(t, x)
	}
}
