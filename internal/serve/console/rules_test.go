package console

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestEveryRuleHasWords reads the names of the rules from the policy's source: a rule
// without words here would be missing on the first screen.
func TestEveryRuleHasWords(t *testing.T) {
	files, err := filepath.Glob("../../lifecycle/policy/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of the policy: %v", len(files), err)
	}
	found := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:Rule: |\.finding\()"([a-z-]+)"`).FindAllStringSubmatch(string(b), -1) {
			found[m[1]] = true
		}
	}
	for name := range found {
		if rules()[name] == "" {
			t.Errorf("rule %s has no words", name)
		}
	}
	for name := range rules() {
		if !found[name] {
			t.Errorf("there is no rule %s", name)
		}
	}
}
