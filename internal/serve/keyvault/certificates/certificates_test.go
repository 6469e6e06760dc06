package certificates_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/serve/keyvault"
	door "chatelaine.dev/internal/serve/keyvault/certificates"
	keyDoor "chatelaine.dev/internal/serve/keyvault/keys"
	secretDoor "chatelaine.dev/internal/serve/keyvault/secrets"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

var update = flag.Bool("update", false, "write what the door answers into testdata")

const origin = "https://payroll.example.com:8443"

// anyone takes every token for the caller's.
type anyone struct{ caller access.Caller }

func (a anyone) Authenticate(context.Context, string, string) (access.Caller, error) {
	return a.caller, nil
}

// start serves the three kinds of one vault.
func start(t *testing.T) http.Handler {
	t.Helper()
	f := vaulttest.New(t, storagetest.SQLite(t))
	k, s := keys.New(f.Deps, keystore.NewSoftware()), secrets.New(f.Deps)
	ops := append(door.Operations(certificates.New(f.Deps, k, s)), append(keyDoor.Operations(k), secretDoor.Operations(s)...)...)
	return keyvault.New(keyvault.Deps{
		Domain: "example.com", Authority: func(string) string { return "https://example.com:8443/adfs" },
		Tokens: anyone{f.Caller}, Operations: ops,
	})
}

func do(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = strings.TrimPrefix(origin, "https://")
	r.Header.Set("Authorization", "Bearer token")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestExchangesAreAsRecorded plays every story of testdata: a request, named by method and
// path, then its answer, named by status. What differs from run to run has a name in
// braces, by which a later request can send it back.
func TestExchangesAreAsRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, start(t), txtar.Parse(want))
			if *update {
				if err := os.WriteFile(name, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("the story went otherwise (-want +got):\n%s", d)
			}
		})
	}
}

// play sends the requests of a story and returns it with the answers that came.
func play(t *testing.T, h http.Handler, story *txtar.Archive) []byte {
	t.Helper()
	n := names{byValue: map[string]string{}}
	out := &txtar.Archive{Comment: story.Comment}
	for _, f := range story.Files {
		method, path, isRequest := strings.Cut(f.Name, " ")
		if !isRequest || strings.ToUpper(method) != method {
			continue
		}
		target := n.restore(path)
		switch {
		case !strings.Contains(path, "?"):
			target += "?api-version=7.6"
		case !strings.Contains(path, "api-version"):
			target += "&api-version=7.6"
		}
		w := do(h, method, target, n.restore(string(f.Data)))
		var body bytes.Buffer
		if location := w.Header().Get("Location"); location != "" {
			fmt.Fprintf(&body, "Location: %s\nRetry-After: %s\n", location, w.Header().Get("Retry-After"))
		}
		if w.Body.Len() > 0 {
			if err := json.Indent(&body, w.Body.Bytes(), "", "  "); err != nil {
				t.Fatalf("%s: the answer is no JSON: %s", f.Name, w.Body)
			}
			body.WriteByte('\n')
		}
		out.Files = append(out.Files, f, txtar.File{Name: fmt.Sprint(w.Code), Data: []byte(n.hide(body.String()))})
	}
	return txtar.Format(out)
}

// names give what differs from run to run a name.
type names struct {
	byValue map[string]string
	count   int
}

var differs = regexp.MustCompile(`\b[0-9a-f]{32}\b|"(csr|cer|x5t|value|n|x|y)": "[^"]+"`)

func (n *names) hide(text string) string {
	return differs.ReplaceAllStringFunc(text, func(s string) string {
		kind, value, ok := strings.Cut(s, `": `)
		if kind = strings.Trim(kind, `"`); !ok {
			kind, value = "id", s
		}
		value = strings.Trim(value, `"`)
		if n.byValue[value] == "" {
			n.count++
			n.byValue[value] = fmt.Sprintf("{%s %d}", kind, n.count)
		}
		return strings.ReplaceAll(s, value, n.byValue[value])
	})
}

func (n *names) restore(text string) string {
	for value, name := range n.byValue {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

func TestNextLinkKeepsIncludePending(t *testing.T) {
	h := start(t)
	for i := range 3 {
		w := do(h, "POST", fmt.Sprintf("/certificates/c%d/create?api-version=7.6", i), `{"policy":{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=x"}}}`)
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
		w := do(h, "GET", target, "")
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
			t.Fatal(w.Body, err)
		}
		count += len(page.Value)
		target = strings.TrimPrefix(page.NextLink, origin)
	}
	if count != 3 {
		t.Errorf("%d certificates are listed, want 3", count)
	}
}
