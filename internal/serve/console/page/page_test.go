package page_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/a-h/templ"

	"chatelaine.dev/internal/serve/console/asset"
	"chatelaine.dev/internal/serve/console/consoletest"
	"chatelaine.dev/internal/serve/console/view"
)

func assets(t *testing.T) *asset.Set {
	t.Helper()
	set, err := asset.Load()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func render(t *testing.T, c templ.Component) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEveryPageIsSafeAndUsable(t *testing.T) {
	set := assets(t)
	for name, show := range pages() {
		t.Run(name, func(t *testing.T) {
			markup := render(t, show(shell("/certificates", name, set)))

			d, err := consoletest.Parse(markup)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range d.Problems() {
				t.Error(p)
			}
			if len(markup) > 100_000 {
				t.Errorf("%d bytes, want under 100,000", len(markup))
			}
		})
	}
}

func TestPagesAreTextForHostileNames(t *testing.T) {
	set := assets(t)
	for _, name := range []string{"certificate-bad", "certificates", "requests", "audit"} {
		d, err := consoletest.Parse(render(t, pages()[name](shell("/certificates", name, set))))
		if err != nil {
			t.Fatal(err)
		}

		if n := len(d.All("img")); n != 0 {
			t.Errorf("%s: a name became %d images", name, n)
		}
		if n := len(d.All("script")); n != 2 {
			t.Errorf("%s: %d scripts, want the two of the frame", name, n)
		}
		if !strings.Contains(consoletest.Text(d.All("main")[0]), `<img src=x onerror=alert(1)>`) {
			t.Errorf("%s: the name is not shown as text", name)
		}
	}
}

// TestLooks opens every page in a browser, in both themes and two widths. With
// CHATELAINE_PICTURES=DIR it leaves pictures there.
func TestLooks(t *testing.T) {
	b := consoletest.Open(t)
	set := assets(t)
	all := pages()
	dir := os.Getenv("CHATELAINE_PICTURES")
	only := os.Getenv("CHATELAINE_ONLY")
	mux := http.NewServeMux()
	mux.Handle(asset.Prefix, set)
	mux.HandleFunc("/show/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		here := map[string]string{"overview": "/", "certificates": "/certificates", "audit": "/audit", "vault": "/vaults"}[r.PathValue("name")]
		_ = all[r.PathValue("name")](shell(here, r.PathValue("name"), set)).Render(r.Context(), w)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	names := make([]string, 0, len(all))
	for name := range all {
		if only == "" || slices.Contains(strings.Split(only, ","), name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, width := range []int64{1440, 360} {
		for _, dark := range []bool{false, true} {
			b.Size(width, 860, dark)
			for _, name := range names {
				b.Visit(server.URL + "/show/" + name)
				if over := consoletest.Eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
					t.Errorf("%s at %d: %d pixels wider than the window", name, width, over)
				}
				for _, said := range b.Said() {
					t.Errorf("%s: %s", name, said)
				}
				b.Picture(dir, name+map[bool]string{true: "-dark", false: "-light"}[dark]+map[int64]string{360: "-360", 1440: ""}[width])
			}
		}
	}
}

func TestSystemThemeWritesNoAttribute(t *testing.T) {
	s := shell("/", "x", assets(t))

	if got := string(render(t, overview().Show(s))); strings.Contains(got, "data-theme=") {
		t.Error("the system's theme is forced")
	}
	s.Theme = view.Dark
	if got := string(render(t, overview().Show(s))); !strings.Contains(got, `data-theme="dark"`) {
		t.Error("the chosen theme is not in the page")
	}
}
