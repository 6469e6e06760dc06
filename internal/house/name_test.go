package house

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// empty are names that say nothing of what is inside.
var empty = []string{"util", "utils", "common", "helper", "helpers", "manager", "impl", "base", "data", "info", "misc"}

func TestFoldersAreNounsThatSayWhatIsInside(t *testing.T) {
	for folder, sources := range readTree(t).packages(false) {
		name := path.Base(folder)
		if slices.Contains(empty, name) {
			t.Errorf("%s: %q says nothing: name the folder by what it holds", folder, name)
		}
		for _, s := range sources {
			if pkg := s.file.Name.Name; pkg != name && pkg != "main" {
				t.Errorf("%s: package %s stands in folder %s", s.path, pkg, name)
			}
			file := strings.TrimSuffix(path.Base(s.path), ".go")
			if slices.Contains(empty, file) {
				t.Errorf("%s: %q says nothing: name the file by what it holds", s.path, file)
			}
		}
	}
}

func TestReceiversAreShortAndTheSameEverywhere(t *testing.T) {
	for folder, sources := range readTree(t).packages(true) {
		first := map[string]string{} // receiver of a type, as first seen
		for _, s := range sources {
			for _, d := range s.file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || f.Recv == nil || len(f.Recv.List[0].Names) == 0 {
					continue
				}
				name, of := f.Recv.List[0].Names[0].Name, receiverType(f.Recv.List[0].Type)
				if name == "_" {
					continue
				}
				if len(name) > 2 {
					t.Errorf("%s: %s.%s: receiver %q has more than two letters", s.path, of, f.Name.Name, name)
				}
				if was, seen := first[of]; seen && was != name {
					t.Errorf("%s: %s.%s in %s: receiver %q, elsewhere %q", s.path, of, f.Name.Name, folder, name, was)
				}
				first[of] = name
			}
		}
	}
}

func receiverType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiverType(e.X)
	case *ast.IndexExpr:
		return receiverType(e.X)
	case *ast.IndexListExpr:
		return receiverType(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}
