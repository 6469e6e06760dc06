package asset

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestFilesOfOthersAreUnchanged(t *testing.T) {
	f, err := os.Open("thirdparty/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	known := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		sum, name, ok := strings.Cut(s.Text(), "  ")
		if !ok {
			t.Fatalf("line %q", s.Text())
		}
		known[name] = true
		b, err := os.ReadFile(filepath.Join("thirdparty", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s was changed", name)
		}
	}
	all, err := filepath.Glob("thirdparty/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if name := filepath.ToSlash(strings.TrimPrefix(p, "thirdparty"+string(filepath.Separator))); !known[name] {
			t.Errorf("%s has no checksum", name)
		}
	}
}

func TestAssetsAreKeptForEverUnderTheirOwnVersionOnly(t *testing.T) {
	set, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		set.Path("style.css"):                     "public, max-age=31536000, immutable",
		set.Path("htmx.min.js"):                   "public, max-age=31536000, immutable",
		set.Path("inter-latin-wght-normal.woff2"): "public, max-age=31536000, immutable",
		Prefix + "older/style.css":                "no-store",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		set.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != want || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if strings.HasSuffix(path, ".css") != (w.Header().Get("Content-Type") == "text/css; charset=utf-8") {
			t.Errorf("%s: %s", path, w.Header().Get("Content-Type"))
		}
	}
	for _, path := range []string{Prefix, Prefix + "x/../asset.go", set.Path("README.md"), set.Path("LICENSE"), set.Path("thirdparty/htmx/htmx.min.js")} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		set.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}

// TestColoursAreReadable computes the contrast of every pair of text and ground that the
// style sheet uses, in both themes, by WCAG 2.1 section 1.4.3: 4.5 to 1.
func TestColoursAreReadable(t *testing.T) {
	css, err := files.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := map[string]map[string]string{}
	for name, start := range map[string]string{"light": ":root {", "dark by choice": ":root[data-theme=dark] {", "dark by system": ":root:not([data-theme=light]) {"} {
		_, rest, ok := strings.Cut(string(css), start)
		if !ok {
			t.Fatalf("no %q", start)
		}
		block, _, _ := strings.Cut(rest, "}")
		themes[name] = map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
			themes[name][m[1]] = m[2]
		}
	}
	pairs := []string{
		"ink bg", "ink surface", "ink sunken", "ink-2 bg", "ink-2 surface", "ink-2 sunken", "quiet bg", "quiet surface", "quiet sunken",
		"ok-ink ok-bg", "warn-ink warn-bg", "bad bad-bg", "info info-bg", "ink bad-bg", "bad surface", "bad sunken", "on-brass brass", "brass surface", "brass bg",
	}
	for theme, colour := range themes {
		for _, pair := range pairs {
			a, b, _ := strings.Cut(pair, " ")
			if colour[a] == "" || colour[b] == "" {
				t.Errorf("%s: no colours %s", theme, pair)
				continue
			}
			if c := contrast(t, colour[a], colour[b]); c < 4.5 {
				t.Errorf("%s: %s on %s has %.2f, want 4.5", theme, a, b, c)
			}
		}
		if c := contrast(t, colour["field"], colour["bg"]); c < 3 { // WCAG 2.1 section 1.4.11
			t.Errorf("%s: the edge of a field has %.2f, want 3", theme, c)
		}
	}
	if a, b := fmt.Sprint(themes["dark by choice"]), fmt.Sprint(themes["dark by system"]); a != b {
		t.Errorf("the two dark themes differ:\n%s\n%s", a, b)
	}
	if regexp.MustCompile(`[{; ]color: var\(--ink-3\)`).Match(css) {
		t.Error("--ink-3 is used for text; it is not readable enough, --quiet is")
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
