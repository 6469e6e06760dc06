package keys_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	doors "chatelaine.dev/internal/serve/keyvault/keys"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// Bodies of strangers: whatever is sent to import a key or to use one, the answer is
// success or the sender's fault, in JSON.

func FuzzImport(f *testing.F) {
	seed(f, func(request, body string) {
		if strings.HasPrefix(request, "PUT /keys/") {
			f.Add(body)
		}
	})
	h := start(f)
	f.Fuzz(func(t *testing.T, body string) { expect(t, h, "PUT", "/keys/fuzz", body) })
}

func FuzzOperation(f *testing.F) {
	operations := []string{"encrypt", "decrypt", "wrapkey", "unwrapkey", "sign", "verify"}
	names := []string{"rsa", "ec", "oct", "akp"}
	seed(f, func(request, body string) {
		for i, op := range operations {
			if strings.HasPrefix(request, "POST /keys/") && strings.HasSuffix(strings.ToLower(request), "/"+op) {
				for j := range names {
					f.Add(byte(i), byte(j), body)
				}
			}
		}
	})
	h := start(f)
	for name, body := range map[string]string{
		"rsa": `{"kty": "RSA"}`, "ec": `{"kty": "EC", "crv": "P-256K"}`, "akp": `{"kty": "AKP", "alg": "ML-DSA-44"}`,
		"oct": `{"kty": "oct", "key_ops": ["encrypt", "decrypt", "wrapKey", "unwrapKey", "sign", "verify"]}`,
	} {
		expect(f, h, "POST", "/keys/"+name+"/create", body)
	}
	f.Fuzz(func(t *testing.T, op, name byte, body string) {
		expect(t, h, "POST", "/keys/"+names[int(name)%len(names)]+"/"+operations[int(op)%len(operations)], body)
	})
}

func start(f *testing.F) http.Handler {
	f.Helper()
	return keyvaulttest.Start(f, func(d object.Deps) []wire.Operation {
		return doors.Operations(doors.Services{Keys: keys.New(d, keystore.NewSoftware())})
	})
}

// seed gives the requests of the recorded exchanges.
func seed(f *testing.F, add func(request, body string)) {
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
			add(x.Name, string(x.Data))
		}
	}
}

func expect(t testing.TB, h http.Handler, method, path, body string) {
	t.Helper()
	w := keyvaulttest.Do(h, method, path+"?api-version=2026-05-01-preview", body)
	switch w.Code {
	case http.StatusOK, http.StatusBadRequest, http.StatusForbidden:
	default:
		t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s: the answer is no JSON: %s", path, w.Body)
	}
}
