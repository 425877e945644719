package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const policyPath = module + "/policy"

// mayWriteEntries says who makes audit entries by hand: the package that owns them, and the log that keeps them.
func mayWriteEntries(dir string) bool {
	return dir == "policy" || dir == "policy/audit" || strings.HasPrefix(dir, "policy/audit/")
}

// An entry is what the function of its event makes: whoever writes one by hand invents fields, or leaves some out.
func TestEntriesComeFromTheirConstructors(t *testing.T) {
	seen := 0
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "./...") {
		dir := strings.TrimPrefix(p.ImportPath, module+"/")
		if mayWriteEntries(dir) {
			continue
		}
		for _, f := range slices.Concat(p.GoFiles, p.CgoFiles) {
			seen++
			name := dir + "/" + f
			found := entriesByHand(t, filepath.Join(p.Dir, f), nil)
			for _, place := range found {
				t.Errorf("%s:%s writes an audit entry by hand: use the function that policy has for its event", name, place)
			}
		}
	}
	if seen < 50 {
		t.Fatalf("only %d files were looked at", seen)
	}
}

// entriesByHand are the places where a file writes a policy.Entry that is not empty, or sets which event one is of.
// src is for tests; nil: the file is read.
func entriesByHand(t *testing.T, path string, src any) []string {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	name := importedAs(file)
	if name == "" {
		return nil
	}
	var found []string
	add := func(n ast.Node) {
		p := fset.Position(n.Pos())
		found = append(found, strconv.Itoa(p.Line))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if writesEntries(n, name) {
				add(n)
			}
		case *ast.AssignStmt: // e.Event = policy.X, though e began as an empty one
			for i, left := range n.Lhs {
				field, ok := left.(*ast.SelectorExpr)
				if ok && field.Sel.Name == "Event" && i < len(n.Rhs) && selects(n.Rhs[i], name, "") {
					add(n)
				}
			}
		}
		return true
	})
	return found
}

// importedAs is what the file calls package policy; empty if it does not know it.
func importedAs(file *ast.File) string {
	for _, spec := range file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err != nil || path != policyPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return "policy"
	}
	return ""
}

// writesEntries reports whether a literal writes an entry, or is a list or map of them whose elements leave out
// their type. An empty entry says nothing; a list of what constructors made is nobody's handiwork.
func writesEntries(lit *ast.CompositeLit, name string) bool {
	var element ast.Expr
	switch typ := lit.Type.(type) {
	case *ast.ArrayType:
		element = typ.Elt
	case *ast.MapType:
		element = typ.Value
	default:
		return len(lit.Elts) > 0 && selects(lit.Type, name, "Entry")
	}
	if pointer, ok := element.(*ast.StarExpr); ok {
		element = pointer.X
	}
	return selects(element, name, "Entry") && slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		if pair, ok := e.(*ast.KeyValueExpr); ok {
			e = pair.Value
		}
		inner, ok := e.(*ast.CompositeLit)
		return ok && inner.Type == nil
	})
}

// selects reports whether the expression is name.sel; any sel if that is empty. In a file that imports policy with a
// dot the bare identifier is meant.
func selects(e ast.Expr, name, sel string) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return ok && x.Name == name && (sel == "" || e.Sel.Name == sel)
	case *ast.Ident:
		return name == "." && sel != "" && e.Name == sel
	}
	return false
}

func TestEntriesByHandAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		imported, body string
		want           int
	}{
		"a literal":      {`"klarsyn/policy"`, `var _ = policy.Entry{Actor: "a"}`, 1},
		"another name":   {`p "klarsyn/policy"`, `var _ = p.Entry{Actor: "a"}`, 1},
		"a dot":          {`. "klarsyn/policy"`, `var _ = Entry{Actor: "a"}`, 1},
		"a pointer":      {`"klarsyn/policy"`, `var _ = &policy.Entry{Actor: "a"}`, 1},
		"a list":         {`"klarsyn/policy"`, `var _ = []policy.Entry{{Actor: "a"}}`, 1},
		"a map":          {`"klarsyn/policy"`, `var _ = map[string]policy.Entry{"a": {Actor: "a"}}`, 1},
		"in pieces":      {`"klarsyn/policy"`, `func f() { var e policy.Entry; e.Event = policy.Denied }`, 1},
		"pointers":       {`"klarsyn/policy"`, `var _ = []*policy.Entry{{Actor: "a"}}`, 1},
		"what was made":  {`"klarsyn/policy"`, `var _ = []policy.Entry{policy.ServiceStartedEntry("a")}`, 0},
		"an empty one":   {`"klarsyn/policy"`, `var _ = policy.Entry{}`, 0},
		"something else": {`"klarsyn/policy"`, `var _ = policy.Request{Clip: "a"}`, 0},
		"not ours":       {`"archive/policy"`, `var _ = policy.Entry{Actor: "a"}`, 0},
		"a constructor":  {`"klarsyn/policy"`, `var _ = policy.ServiceStartedEntry("a")`, 0},
	} {
		if got := entriesByHand(t, "x.go", "package x\nimport "+c.imported+"\n"+c.body); len(got) != c.want {
			t.Errorf("%s: found %v, want %d", name, got, c.want)
		}
	}
}
