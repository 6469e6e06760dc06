package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// changing are package-level variables that do change, and why they must.
var changing = map[string]string{}

// constants are calls whose result nobody changes afterwards: errors, patterns,
// templates, addresses, conversions, and what is computed once.
var constants = regexp.MustCompile(`^(errors\.New|fault\.New|access\.System|fmt\.Errorf|must\w*|\w+\.Must\w*|\w+\.ParseFS|sync\.Once(Func|Values?)|` +
	`time\.Date|big\.NewInt|new\(big\.Int\)\.\w+|strings\.NewReplacer|reflect\.TypeFor|reflect\.TypeOf|net\.ParseIP|elliptic\.\w+|maps\.\w+|slices\.\w+|` +
	`\[\]byte|[A-Z]\w*|[a-z]+)$`)

func TestNothingRunsBeforeMain(t *testing.T) {
	tree := readTree(t)
	for _, s := range tree.sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: let the composition root call it by name", tree.at(f))
			}
		}
	}
}

func TestPackageVariablesNeverChange(t *testing.T) {
	tree := readTree(t)
	asked := map[string]bool{}
	for folder, sources := range tree.packages(false) {
		var parsed []*ast.File
		for _, s := range sources {
			if !isTest(s) {
				parsed = append(parsed, s.file)
			}
		}
		for _, c := range changeable(parsed) {
			key := folder + ":" + c.name.Name
			asked[key] = true
			if changing[key] == "" {
				t.Errorf("%s: package-level variable %s %s: pass it in, or answer in changing why not", tree.at(c.name), c.name.Name, c.why)
			}
		}
	}
	for key := range changing {
		if !asked[key] {
			t.Errorf("changing answers for %s, which does not change any more: take the line out", key)
		}
	}
}

func TestChangesOfPackageVariablesAreSeen(t *testing.T) {
	const text = `package p
		var table = map[string]int{"a": 1}
		var empty int
		var counter atomic.Int64
		var lock = sync.Mutex{}
		var cache = newCache()
		var errGone = errors.New("gone")
		var once = sync.OnceValue(func() int { return 1 })
		//go:embed x.txt
		var text string
		var _ I = T{}
		var local, kept = []int{1}, []int{2}
		func f() {
			table["b"] = 2
			kept := kept
			kept[0], local := 3, 4
			_ = local
		}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}

	seen := map[string]bool{}
	for _, c := range changeable([]*ast.File{file}) {
		seen[c.name.Name] = true
	}

	want := map[string]bool{"table": true, "empty": true, "counter": true, "lock": true, "cache": true}
	if !maps.Equal(seen, want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
}

// change is a place where a package-level variable is made to be changed, or is changed.
type change struct {
	name *ast.Ident
	why  string
}

func changeable(files []*ast.File) []change {
	var found []change
	names := map[string]bool{}
	for _, f := range files {
		for _, v := range variables(f) {
			for i, name := range v.Names {
				names[name.Name] = name.Name != "_"
				if why := mutable(v, i); names[name.Name] && why != "" {
					found = append(found, change{name, why})
				}
			}
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if _, ok := d.(*ast.FuncDecl); !ok {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				for _, id := range changed(n) {
					if names[id.Name] && isPackageLevel(f, id) {
						found = append(found, change{id, "is changed here, or may be through its address"})
					}
				}
				return true
			})
		}
	}
	return found
}

func variables(f *ast.File) []*ast.ValueSpec {
	var found []*ast.ValueSpec
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if v.Doc == nil {
					v.Doc = g.Doc
				}
				found = append(found, v)
			}
		}
	}
	return found
}

func isEmbed(v *ast.ValueSpec) bool {
	if v.Doc != nil {
		for _, c := range v.Doc.List {
			if strings.HasPrefix(c.Text, "//go:embed") {
				return true
			}
		}
	}
	return false
}

// mutable says why the i-th variable of a declaration is one that code means to change, or nothing.
func mutable(v *ast.ValueSpec, i int) string {
	if isEmbed(v) {
		return ""
	}
	if i >= len(v.Values) {
		return "begins empty, so something must change it"
	}
	switch value := v.Values[i].(type) {
	case *ast.CallExpr:
		if name := callee(value.Fun); !constants.MatchString(name) {
			return "is made by " + name + ", which is not known to make constants"
		}
	case *ast.CompositeLit:
		if isLock(value.Type) {
			return "is a lock or a pool"
		}
	}
	return ""
}

func isLock(e ast.Expr) bool {
	name := callee(e)
	return strings.HasPrefix(name, "sync.") || strings.HasPrefix(name, "atomic.")
}

func callee(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return callee(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		args := make([]string, len(e.Args))
		for i, a := range e.Args {
			args[i] = callee(a)
		}
		return callee(e.Fun) + "(" + strings.Join(args, ", ") + ")"
	case *ast.ArrayType:
		return "[]" + callee(e.Elt)
	case *ast.IndexExpr:
		return callee(e.X)
	case *ast.IndexListExpr:
		return callee(e.X)
	case *ast.ParenExpr:
		return callee(e.X)
	}
	return "?"
}

// changed lists the variables that a statement changes: assigned, counted, indexed into,
// deleted from, cleared, or whose address is taken.
func changed(n ast.Node) []*ast.Ident {
	var targets []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			targets = n.Lhs
		}
	case *ast.IncDecStmt:
		targets = []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			targets = []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") && len(n.Args) > 0 {
			targets = n.Args[:1]
		}
	}
	var found []*ast.Ident
	for _, e := range targets {
		if id := variable(e); id != nil {
			found = append(found, id)
		}
	}
	return found
}

// variable finds the variable at the root of x, x[i], x.f, *x.
func variable(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.Ident:
		return e
	case *ast.IndexExpr:
		return variable(e.X)
	case *ast.SelectorExpr:
		return variable(e.X)
	case *ast.StarExpr:
		return variable(e.X)
	case *ast.ParenExpr:
		return variable(e.X)
	}
	return nil
}

// isPackageLevel tells a package's variable from a local one of the same name: the
// parser has resolved local names to where they are declared.
func isPackageLevel(f *ast.File, id *ast.Ident) bool {
	return id.Obj == nil || f.Scope.Lookup(id.Name) == id.Obj
}
