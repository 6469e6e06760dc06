// Package keyvaulttest plays recorded exchanges against the Key Vault front door: txtar
// files in which a request, named by method and path, is followed by its answer, named by
// status. What differs from run to run has a name in braces, by which a later request can
// send it back.
package keyvaulttest

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
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/hsm/hsmtest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// Origin is the address of the vault that Start serves.
const Origin = "https://payroll.example.com:8443"

var update = flag.Bool("update", false, "write what the door answers into testdata")

// anyone takes every token for the caller's.
type anyone struct{ caller access.Caller }

func (a anyone) Authenticate(context.Context, string, string) (access.Caller, error) {
	return a.caller, nil
}

// Start serves the operations of one new vault.
func Start(t testing.TB, operations func(object.Deps) []wire.Operation) http.Handler {
	t.Helper()
	f := vaulttest.New(t, storagetest.SQLite(t))
	return keyvault.New(keyvault.Deps{
		Domain: "example.com", Authority: func(base string) string { return base + "/adfs" },
		Tokens: anyone{f.Caller}, Operations: operations(f.Deps),
	})
}

// Do sends one request.
func Do(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	r.Host = strings.TrimPrefix(Origin, "https://")
	r.Header.Set("Authorization", "Bearer token")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// StartHSM serves the operations of one new managed HSM, whose Administrator the caller is.
func StartHSM(t testing.TB, operations func(*hsmtest.World) []wire.Operation) http.Handler {
	t.Helper()
	w := hsmtest.New(t, storagetest.SQLite(t))
	door := keyvault.New(keyvault.Deps{
		Domain: "example.com", Authority: func(base string) string { return base + "/adfs" },
		Tokens: anyone{w.Caller}, Operations: operations(w),
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Host = strings.Replace(r.Host, vaulttest.Vault, hsmtest.HSM, 1)
		door.ServeHTTP(rw, r)
	})
}

// Play plays every story of testdata, each against a vault of its own.
func Play(t *testing.T, operations func(object.Deps) []wire.Operation) {
	t.Helper()
	PlayAgainst(t, func(t *testing.T) http.Handler { return Start(t, operations) })
}

// PlayAgainst plays every story of testdata, each against what start makes for it.
func PlayAgainst(t *testing.T, start func(*testing.T) http.Handler) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			want, err := os.ReadFile(filepath.Clean(name))
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, start(t), txtar.Parse(want))
			if *update {
				if err := os.WriteFile(name, got, 0o600); err != nil {
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
		target := n.restore(t, path)
		switch {
		case !strings.Contains(path, "?"):
			target += "?api-version=7.6"
		case !strings.Contains(path, "api-version"):
			target += "&api-version=7.6"
		}
		w := Do(h, method, target, n.restore(t, string(f.Data)))
		n.sent += string(f.Data)
		out.Files = append(out.Files, f, txtar.File{Name: fmt.Sprint(w.Code), Data: []byte(n.hide(answer(t, f.Name, w)))})
	}
	return txtar.Format(out)
}

// answer is what stands in a story of a response: Location and what goes with it, then the body.
func answer(t *testing.T, request string, w *httptest.ResponseRecorder) string {
	t.Helper()
	var out bytes.Buffer
	for _, name := range []string{"Location", "Azure-AsyncOperation"} {
		if address := w.Header().Get(name); address != "" {
			fmt.Fprintf(&out, "%s: %s\nRetry-After: %s\n", name, address, w.Header().Get("Retry-After"))
		}
	}
	if w.Body.Len() > 0 {
		if err := json.Indent(&out, w.Body.Bytes(), "", "  "); err != nil {
			t.Fatalf("%s: the answer is no JSON: %s", request, w.Body)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// names give what differs from run to run a name: {id 1}, {csr 2}. What a request of the
// story said itself stays as it is.
type names struct {
	byValue map[string]string
	count   int
	sent    string
}

// differs are ids, folders of backups, and the fields that hold keys, signatures,
// certificates and JSON as text.
var differs = regexp.MustCompile(`\b[0-9a-f]{32}\b|\bmhsm-[0-9a-z-]+|"(value|transfer_key)": "\{(\\.|[^"\\])*"|"(publicKeyAttestation|privateKeyAttestation|csr|cer|x5t|value|iv|tag|n|x|y|pub)": "([0-9A-Za-z_+/=-]{16,}|-----BEGIN [^"]+)"`)

func (n *names) hide(text string) string {
	return differs.ReplaceAllStringFunc(text, func(s string) string {
		kind, value, ok := strings.Cut(s, `": `)
		if kind = strings.Trim(kind, `"`); !ok {
			kind, value = "id", s
		}
		value = strings.Trim(value, `"`)
		if n.byValue[value] == "" {
			if strings.Contains(n.sent, value) {
				return s
			}
			n.count++
			n.byValue[value] = fmt.Sprintf("{%s %d}", kind, n.count)
		}
		return strings.Replace(s, value, n.byValue[value], 1)
	})
}

func (n *names) restore(t *testing.T, text string) string {
	text = certified.ReplaceAllStringFunc(text, func(s string) string {
		for value, name := range n.byValue {
			if name == "{"+certified.FindStringSubmatch(s)[1]+"}" {
				return certify(t, value)
			}
		}
		return s
	})
	for value, name := range n.byValue {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}
