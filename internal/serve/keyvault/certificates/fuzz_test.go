package certificates_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
)

// Bodies of strangers: whatever is sent, the answer is success or the sender's fault, in
// JSON.

// FuzzCreate sends policies. What is taken comes back as it was sent.
func FuzzCreate(f *testing.F) {
	seed(f, "/create", f.Add)
	h := keyvaulttest.Start(f, operations)
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Contains(body, `"RSA`) && len(body)%16 != 0 {
			return // keys that take long to make are tried less
		}
		if expect(t, h, "POST", "/certificates/fuzz/create", body) != http.StatusAccepted {
			return
		}
		got := keyvaulttest.Do(h, "GET", "/certificates/fuzz/policy?api-version=7.6", "")
		var sent struct{ Policy map[string]any }
		var kept map[string]any
		if json.Unmarshal([]byte(body), &sent) != nil || json.Unmarshal(got.Body.Bytes(), &kept) != nil {
			t.Fatalf("%s: no policy comes back: %s", body, got.Body)
		}
		same(t, body, sent.Policy, kept)
		expect(t, h, "DELETE", "/certificates/fuzz/pending", "")
	})
}

// fields are those of a policy (data/azure-keyvault/models.json: CertificatePolicy).
var fields = strings.Fields(`key_props exportable kty key_size reuse_key crv secret_props contentType x509_props subject sans emails dns_names upns
	uris ipAddresses ekus key_usage validity_months basic_constraints lifetime_actions issuer name cty cert_transparency`)

// same wants every field that was sent, and is one of a policy, to be as it was sent.
func same(t *testing.T, body string, sent, kept map[string]any) {
	t.Helper()
	for name, value := range sent {
		is, known := kept[name]
		if !known && slices.Contains(fields, name) && value != nil && !reflect.ValueOf(value).IsZero() {
			t.Errorf("%s: %s was sent as %v and does not come back", body, name, value)
		}
		if below, ok := value.(map[string]any); ok && known {
			if x, ok := is.(map[string]any); ok && name != "attributes" { // whose times are the service's
				same(t, body, below, x)
			}
			continue
		}
		if known && value != nil && name != "id" && !reflect.DeepEqual(value, is) && !reflect.ValueOf(value).IsZero() {
			t.Errorf("%s: %s was sent as %v and comes back as %v", body, name, value, is)
		}
	}
}

// FuzzMerge sends what a CA might have issued.
func FuzzMerge(f *testing.F) {
	seed(f, "/merge", f.Add)
	h := keyvaulttest.Start(f, operations)
	expect(f, h, "POST", "/certificates/fuzz/create", `{"policy":{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=x"}}}`)
	f.Fuzz(func(t *testing.T, body string) { expect(t, h, "POST", "/certificates/fuzz/pending/merge", body) })
}

// FuzzImport sends certificate files, in JSON.
func FuzzImport(f *testing.F) {
	seed(f, "/import", f.Add)
	h := keyvaulttest.Start(f, operations)
	f.Fuzz(func(t *testing.T, body string) { expect(t, h, "POST", "/certificates/fuzz/import", body) })
}

// seed adds the bodies of the recorded requests to an operation.
func seed(f *testing.F, operation string, add func(args ...any)) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal("no stories", err)
	}
	for _, name := range files {
		story, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, x := range story.Files {
			if strings.HasSuffix(x.Name, operation) {
				add(string(x.Data))
			}
		}
	}
}

func expect(t testing.TB, h http.Handler, method, path, body string) int {
	t.Helper()
	w := keyvaulttest.Do(h, method, path+"?api-version=7.6", body)
	allowed := []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict}
	if !slices.Contains(allowed, w.Code) {
		t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s: the answer is no JSON: %s", path, w.Body)
	}
	return w.Code
}
