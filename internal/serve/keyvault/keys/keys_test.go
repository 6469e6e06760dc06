package keys_test

import (
	"bytes"
	"context"
	"encoding/base64"
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
	doors "chatelaine.dev/internal/serve/keyvault/keys"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/vaulttest"
)

var update = flag.Bool("update", false, "write what the door answers into testdata")

const origin = "https://payroll.example.com:8443"

// anyone takes every token for the caller's.
type anyone struct{ caller access.Caller }

func (a anyone) Authenticate(context.Context, string, string) (access.Caller, error) {
	return a.caller, nil
}

func start(t *testing.T) http.Handler {
	t.Helper()
	f := vaulttest.New(t, storagetest.SQLite(t))
	return keyvault.New(keyvault.Deps{
		Domain: "example.com", Authority: func(string) string { return "https://example.com:8443/adfs" },
		Tokens: anyone{f.Caller}, Operations: doors.Operations(keys.New(f.Deps, keystore.NewSoftware())),
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
		if !isRequest {
			continue
		}
		target := n.restore(path)
		if !strings.Contains(path, "?") {
			target += "?api-version=7.6"
		}
		w := do(h, method, target, n.restore(string(f.Data)))
		n.sent += string(f.Data)
		var body bytes.Buffer
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

// names give what differs from run to run a name. What a request of the story said itself
// stays as it is.
type names struct {
	byValue          map[string]string
	versions, values int
	sent             string
}

var differs = regexp.MustCompile(`\b[0-9a-f]{32}\b|"[0-9A-Za-z_-]{40,}"`)

func (n *names) hide(text string) string {
	return differs.ReplaceAllStringFunc(text, func(s string) string {
		value := strings.Trim(s, `"`)
		if n.byValue[value] == "" {
			b, err := base64.RawURLEncoding.DecodeString(value)
			switch {
			case value == s:
				n.versions++
				n.byValue[value] = fmt.Sprintf("{version %d}", n.versions)
			case err != nil || strings.Contains(n.sent, s):
				return s
			default:
				n.values++
				n.byValue[value] = fmt.Sprintf("{%d bytes, %d}", len(b), n.values)
			}
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
