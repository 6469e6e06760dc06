package house

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for folder, sources := range readTree(t).packages(false) {
		said := ""
		for _, s := range sources {
			if s.file.Doc != nil {
				said += s.file.Doc.Text()
			}
		}
		want := "Package " + path.Base(folder) + " "
		if sources[0].file.Name.Name == "main" {
			want = ""
		}
		if said == "" || !strings.HasPrefix(said, want) {
			t.Errorf("%s: no file has a comment that begins with %q above its package clause", folder, want)
		}
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	fenced   = regexp.MustCompile("(?s)```.*?```")
	notInRef = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinksInTheDocumentsLeadSomewhere(t *testing.T) {
	documents := files(t, ".md")
	if len(documents) == 0 {
		t.Fatal("no documents found: this test looks in the wrong place")
	}
	for _, name := range documents {
		text := fenced.ReplaceAllString(read(t, name), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") { // another site: the network is not asked
				continue
			}
			to := path.Join(path.Dir(name), target)
			if target == "" {
				to = name
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: link to %s, which is not there", name, m[1])
				continue
			}
			if anchor != "" && strings.HasSuffix(to, ".md") && !hasHeading(read(t, to), anchor) {
				t.Errorf("%s: link to %s, which has no such heading", name, m[1])
			}
		}
	}
}

// hasHeading compares with the anchors that code hosts make of headings.
func hasHeading(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := strings.ReplaceAll(strings.ToLower(notInRef.ReplaceAllString(m[1], "")), " ", "-")
		if slug == anchor {
			return true
		}
	}
	return false
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
