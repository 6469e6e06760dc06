package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "chatelaine.dev"
	root   = "../.."
)

// source is one Go file of the product. The tests parse the files themselves: go list
// would be answered from the test cache after a violation was added.
type source struct {
	path  string // from the root, with slashes
	file  *ast.File
	lines int
	test  bool
}

func (s source) folder() string { return path.Dir(s.path) }

// tree is every Go file that people write.
type tree struct {
	fset    *token.FileSet
	sources []source
}

// at tells where a node stands, for a message.
func (t tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	p.Filename = relative(p.Filename)
	return p.String()
}

// height is how many lines a node has.
func (t tree) height(n ast.Node) int {
	return t.fset.Position(n.End()).Line - t.fset.Position(n.Pos()).Line + 1
}

// packages groups the files by folder. With tests false, test files are left out.
func (t tree) packages(tests bool) map[string][]source {
	m := map[string][]source{}
	for _, s := range t.sources {
		if tests || !s.test {
			m[s.folder()] = append(m[s.folder()], s)
		}
	}
	return m
}

func readTree(t *testing.T) tree {
	t.Helper()
	read := tree{fset: token.NewFileSet()}
	for _, name := range files(t, ".go") {
		file, err := parser.ParseFile(read.fset, filepath.Join(root, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if ast.IsGenerated(file) {
			continue
		}
		read.sources = append(read.sources, source{
			path: name, file: file, test: strings.HasSuffix(name, "_test.go"),
			lines: read.fset.File(file.Pos()).LineCount(),
		})
	}
	if len(read.sources) < 20 {
		t.Fatalf("only %d Go files found below %s: this test looks in the wrong place", len(read.sources), root)
	}
	return read
}

// skipped are folders that hold no source of ours. Tools are another module.
var skipped = []string{".git", "bin", "build", "data", "node_modules", "testdata", "tools"}

// files lists the files with a suffix, from the root.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, suffix):
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func relative(name string) string {
	return strings.TrimPrefix(filepath.ToSlash(name), root+"/")
}
