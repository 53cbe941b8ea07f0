package nines_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// shared are the package-level variables that may change, with the reason.
var shared = map[string]string{
	"web.gzipPool":            "a pool keeps no state",
	"agent/telegraf.tame":     "Telegraf's logger is a global of its own and is set up once",
	"agent/telegraf.register": "Telegraf's registry of inputs is a global of its own; ours are added once",
	"test/kafka.shared":       "one Apache Kafka serves all tests of a binary, in turn",
}

// source is the syntax of one of our packages.
type source struct {
	path  string
	set   *token.FileSet
	files []*ast.File
}

func sources(t *testing.T, tests bool) []source {
	t.Helper()
	var out []source
	for path, p := range packages(t) {
		s := source{path: path, set: token.NewFileSet()}
		names := p.GoFiles
		if tests {
			names = slices.Concat(p.TestGoFiles, p.XTestGoFiles)
		}
		for _, name := range names {
			f, err := parser.ParseFile(s.set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			s.files = append(s.files, f)
		}
		out = append(out, s)
	}
	return out
}

// at is where a node stands: package/file.go:line.
func (s source) at(n ast.Node) string {
	pos := s.set.Position(n.Pos())
	return filepath.Join(s.path, filepath.Base(pos.Filename)) + ":" + strconv.Itoa(pos.Line)
}

// each calls f for every node of the package.
func (s source) each(f func(ast.Node)) {
	for _, file := range s.files {
		ast.Inspect(file, func(n ast.Node) bool {
			f(n)
			return true
		})
	}
}

// isSelector tells whether a node is pkg.name, by the words alone.
func isSelector(n ast.Node, pkg string) (name string, ok bool) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	x, ok := sel.X.(*ast.Ident)
	return sel.Sel.Name, ok && x.Name == pkg
}

func TestNothingHappensBeforeMain(t *testing.T) {
	for _, s := range sources(t, false) {
		s.each(func(n ast.Node) {
			if f, ok := n.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: let New do it", s.at(n))
			}
		})
	}
}

// noImports lets the type checker look at one package alone: names of the
// package are resolved, what comes from elsewhere is not.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }

// TestPackagesHaveNoState finds assignments to package-level variables and
// those of kinds that exist to change (sync, atomic). What goes through a
// pointer is not seen.
func TestPackagesHaveNoState(t *testing.T) {
	for _, s := range sources(t, false) {
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
		conf := types.Config{Importer: noImports{}, Error: func(error) {}}
		pkg, _ := conf.Check(s.path, s.set, s.files, info) // errors are expected: nothing is imported
		global := func(e ast.Expr) (string, bool) {
			v, ok := info.Uses[root(e)].(*types.Var)
			if !ok || pkg == nil || v.Parent() != pkg.Scope() {
				return "", false
			}
			return v.Name(), shared[s.path+"."+v.Name()] == ""
		}
		s.each(func(n ast.Node) {
			var changed []ast.Expr
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					changed = n.Lhs
				}
			case *ast.IncDecStmt:
				changed = []ast.Expr{n.X}
			}
			for _, e := range changed {
				if name, bad := global(e); bad {
					t.Errorf("%s: changes the package-level variable %s: give it an owner", s.at(n), name)
				}
			}
		})
		for _, file := range s.files {
			for _, d := range file.Decls {
				for _, name := range stateful(d) {
					if shared[s.path+"."+name] == "" {
						t.Errorf("%s: package-level variable %s exists to change: give it an owner", s.at(d), name)
					}
				}
			}
		}
	}
}

// root returns the variable at the root of x, x.f, x[i], *x.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// stateful returns the variables of a declaration whose type is of sync or
// sync/atomic, or a channel.
func stateful(d ast.Decl) (names []string) {
	decl, ok := d.(*ast.GenDecl)
	if !ok || decl.Tok != token.VAR {
		return nil
	}
	for _, spec := range decl.Specs {
		v := spec.(*ast.ValueSpec)
		kinds := []ast.Expr{v.Type}
		for _, value := range v.Values {
			if lit, ok := value.(*ast.CompositeLit); ok {
				kinds = append(kinds, lit.Type)
			}
		}
		for _, k := range kinds {
			_, isSync := isSelector(k, "sync")
			_, isAtomic := isSelector(k, "atomic")
			if _, isChan := k.(*ast.ChanType); isSync || isAtomic || isChan {
				for _, n := range v.Names {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// pure are the packages of the contract mathematics: how many lines an auditor
// is promised at most, and what of package time they may use. Numbers, slots and
// clauses stand apart so that what is owed can be read by itself.
var pure = map[string]struct {
	lines  int
	ofTime string
}{
	"internal/sla":         {1200, "UnixMilli RFC3339"},
	"internal/sla/exact":   {250, ""},
	"internal/sla/slot":    {300, ""},
	"internal/sla/clauses": {950, "UnixMilli RFC3339 Location Time Date UTC"},
}

// TestTheContractMathematicsArePure holds what internal/sla promises its
// auditor.
func TestTheContractMathematicsArePure(t *testing.T) {
	imports := strings.Fields("cmp errors fmt maps math/big math/bits slices strconv strings time nines/internal/sla nines/internal/sla/exact nines/internal/sla/slot")
	for _, s := range sources(t, false) {
		limit, ok := pure[s.path]
		if !ok {
			if strings.HasPrefix(s.path, "internal/sla") {
				t.Errorf("%s: say how many lines an auditor is to read", s.path)
			}
			continue
		}
		lines := 0
		for _, f := range s.files {
			for _, imp := range f.Imports {
				if name, _ := strconv.Unquote(imp.Path.Value); !slices.Contains(imports, name) {
					t.Errorf("%s: imports %s", s.at(imp), name)
				}
			}
			text, err := os.ReadFile(s.set.Position(f.Pos()).Filename)
			if err != nil {
				t.Fatal(err)
			}
			lines += strings.Count(string(text), "\n")
		}
		s.each(func(n ast.Node) {
			switch n := n.(type) {
			case *ast.Ident:
				if strings.HasPrefix(n.Name, "float") || strings.HasPrefix(n.Name, "complex") || strings.HasPrefix(n.Name, "Float") {
					t.Errorf("%s: %s: ratios are exact here", s.at(n), n.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.FLOAT {
					t.Errorf("%s: %s: ratios are exact here", s.at(n), n.Value)
				}
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
				t.Errorf("%s: a pure function needs no goroutine", s.at(n))
			}
			if name, ok := isSelector(n, "time"); ok && !slices.Contains(strings.Fields(limit.ofTime), name) {
				t.Errorf("%s: time.%s: instants are arguments", s.at(n), name)
			}
		})
		if lines == 0 || lines > limit.lines {
			t.Errorf("%s has %d lines; an auditor is promised at most %d", s.path, lines, limit.lines)
		}
	}
}

// TestTestsDoNotSleep: a sleep is too short on a busy machine and too long on
// any other. In a synctest bubble time is virtual, and sleeping is how it passes.
func TestTestsDoNotSleep(t *testing.T) {
	for _, s := range sources(t, true) {
		for _, f := range s.files {
			if slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` }) {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if name, ok := isSelector(n, "time"); ok && name == "Sleep" {
					t.Errorf("%s: time.Sleep: wait for the condition", s.at(n))
				}
				return true
			})
		}
	}
}
