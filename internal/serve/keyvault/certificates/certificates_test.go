package certificates_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	door "chatelaine.dev/internal/serve/keyvault/certificates"
	keyDoor "chatelaine.dev/internal/serve/keyvault/keys"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	secretDoor "chatelaine.dev/internal/serve/keyvault/secrets"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// operations are those of the three kinds, for a certificate is seen as all of them, and
// those of registered issuers.
func operations(d object.Deps) []wire.Operation {
	k, s := keys.New(d, keystore.NewSoftware()), secrets.New(d)
	a := &authority{orders: map[string]certificates.Order{}}
	a.certs = certificates.New(d, k, s).With(a)
	return slices.Concat(registered(d, a), door.Operations(a.certs), keyDoor.Operations(keyDoor.Services{Keys: k, Rotation: rotation.New(d, k)}), secretDoor.Operations(s))
}

func TestExchangesAreAsRecorded(t *testing.T) { keyvaulttest.Play(t, operations) }

func TestNextLinkKeepsIncludePending(t *testing.T) {
	h := keyvaulttest.Start(t, operations)
	for i := range 3 {
		w := keyvaulttest.Do(h, "POST", fmt.Sprintf("/certificates/c%d/create?api-version=7.6", i), `{"policy":{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=x"}}}`)
		if w.Code != http.StatusAccepted {
			t.Fatal(w.Body)
		}
	}
	count := 0
	for target := "/certificates?api-version=7.6&includePending=true&maxresults=2"; target != ""; {
		var page struct {
			Value []struct {
				ID string `json:"id"`
			} `json:"value"`
			NextLink string `json:"nextLink"`
		}
		w := keyvaulttest.Do(h, "GET", target, "")
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
			t.Fatal(w.Body, err)
		}
		count += len(page.Value)
		target = strings.TrimPrefix(page.NextLink, keyvaulttest.Origin)
	}
	if count != 3 {
		t.Errorf("%d certificates are listed, want 3", count)
	}
}
