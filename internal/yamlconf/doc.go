// Package yamlconf reads YAML strictly and keeps positions: unknown fields,
// wrong types and semantic errors are reported as
// file:line:col: path.to.field: reason, got X, all of them at once. It promises
// never to panic on any input and to leave alone what the document does not
// mention, so that defaults are set before decoding. Every package that owns a
// Config uses it; package rules reads objectives and contracts with it.
package yamlconf

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Doc is one document of a YAML (or JSON) file.
type Doc struct {
	file    string
	root    ast.Node
	prefix  string // path of root within the file's document, "[2]" for a list's third item
	anchors map[string]ast.Node
}

// Parse parses a file's documents; empty ones are left out. A syntax error is
// returned as Errors with its position.
func Parse(file string, data []byte) (docs []*Doc, err error) {
	defer func() {
		// The parser is foreign code fed with user input: a bug in it is a bad
		// document, never a crash of the daemon.
		if r := recover(); r != nil {
			docs, err = nil, Errors{{File: file, Line: 1, Col: 1, Reason: fmt.Sprintf("is not YAML that can be read (%v)", r)}}
		}
	}()
	if bad := invalidUTF8(data); bad >= 0 {
		line := 1 + strings.Count(string(data[:bad]), "\n")
		col := bad - strings.LastIndexByte(string(data[:bad]), '\n')
		return nil, Errors{{File: file, Line: line, Col: col, Reason: "is not UTF-8"}}
	}
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, Errors{syntaxError(file, err)}
	}
	for _, d := range f.Docs {
		if d == nil || isNil(d.Body) || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType {
			continue
		}
		doc := &Doc{file: file, root: d.Body, anchors: map[string]ast.Node{}}
		ast.Walk(anchorVisitor(doc.anchors), d.Body)
		docs = append(docs, doc)
	}
	return docs, nil
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func syntaxError(file string, err error) Error {
	e := Error{File: file, Line: 1, Col: 1, Reason: err.Error()}
	var ye yaml.Error
	if errors.As(err, &ye) {
		e.Reason = ye.GetMessage()
		if tk := ye.GetToken(); tk != nil && tk.Position != nil {
			e.Line, e.Col = tk.Position.Line, tk.Position.Column
		}
	}
	return e
}

type anchorVisitor map[string]ast.Node

func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && !isNil(a.Name) {
		v[a.Name.GetToken().Value] = a.Value
	}
	return v
}

// isNil tells whether the interface is nil or holds a nil pointer.
func isNil(n ast.Node) bool {
	if n == nil {
		return true
	}
	switch t := n.(type) {
	case *ast.MappingNode:
		return t == nil
	case *ast.MappingValueNode:
		return t == nil
	case *ast.SequenceNode:
		return t == nil
	case *ast.StringNode:
		return t == nil
	case *ast.NullNode:
		return t == nil
	}
	return false
}

// File returns the name under which the document was parsed.
func (d *Doc) File() string { return d.file }

// Line returns the line on which the value at path begins.
func (d *Doc) Line(path string) int {
	line, _ := d.locate(path)
	return line
}

// Items returns the elements of a document that is a list, each as a document;
// for any other it returns the document itself.
func (d *Doc) Items() []*Doc {
	seq, ok := d.resolve(d.root).(*ast.SequenceNode)
	if !ok {
		return []*Doc{d}
	}
	var docs []*Doc
	for i, n := range seq.Values {
		docs = append(docs, &Doc{file: d.file, root: n, prefix: d.prefix + "[" + strconv.Itoa(i) + "]", anchors: d.anchors})
	}
	return docs
}

// Has tells whether the document mentions the path, with a value or null.
func (d *Doc) Has(path string) bool {
	_, found := d.find(splitPath(path))
	return found == len(splitPath(path))
}

// Text returns the text of the scalar at path, "" where there is none. It is
// for telling documents apart before they are decoded.
func (d *Doc) Text(path string) string {
	steps := splitPath(path)
	at, found := d.find(steps)
	if found < len(steps) {
		return ""
	}
	s, _ := scalarText(d.resolve(at.value))
	return s
}

// Errorf returns an error at the position of path, written as
// spec.objectives[0].target; where the document has no such field, at the
// nearest parent. got is the value that was found, nil to leave it out.
func (d *Doc) Errorf(path string, got any, format string, args ...any) Error {
	line, col := d.locate(path)
	return Error{File: d.file, Line: line, Col: col, Path: joinPath(d.prefix, path), Reason: fmt.Sprintf(format, args...), Got: gotText(got)}
}

// Place returns an error that a package's Validate gave, joined or single, each
// of its parts at its position. A part that begins with a path, as in "dir: must
// name a directory", stands there below prefix; any other stands at prefix.
func (d *Doc) Place(prefix string, err error) Errors {
	var out Errors
	for _, e := range Parts(err) {
		path, reason, ok := strings.Cut(e.Error(), ": ")
		if !ok || strings.ContainsAny(path, " \n/") {
			path, reason = "", e.Error()
		}
		out = append(out, d.Errorf(joinPath(prefix, path), nil, "%s", reason))
	}
	return out
}

// Parts returns the errors that errors.Join joined, none for nil.
func Parts(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, Parts(e)...)
		}
		return out
	}
	return []error{err}
}

func gotText(got any) string {
	switch v := got.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(v)
	}
	return fmt.Sprint(got)
}

// place is where a path ends: the key that names it, and its value.
type place struct{ key, value ast.Node }

// find walks as many steps of the path as the document has.
func (d *Doc) find(steps []string) (place, int) {
	at := place{value: d.root}
	for i, s := range steps {
		next, ok := d.child(at.value, s)
		if !ok {
			return at, i
		}
		at = next
	}
	return at, len(steps)
}

func (d *Doc) child(n ast.Node, step string) (place, bool) {
	n = d.resolve(n)
	if seq, ok := n.(*ast.SequenceNode); ok {
		i, err := strconv.Atoi(step)
		if err != nil || i < 0 || i >= len(seq.Values) {
			return place{}, false
		}
		return place{value: seq.Values[i]}, true
	}
	for _, kv := range d.pairs(n) {
		if k, ok := scalarText(d.resolve(kv.Key)); ok && k == step {
			return place{key: kv.Key, value: kv.Value}, true
		}
	}
	return place{}, false
}

func (d *Doc) locate(path string) (line, col int) {
	steps := splitPath(path)
	at, found := d.find(steps)
	if found < len(steps) && at.key != nil { // a missing field: show its parent
		return position(at.key)
	}
	return position(at.value)
}

// position returns where a node begins, 1:1 where that is not known.
func position(n ast.Node) (line, col int) {
	if isNil(n) {
		return 1, 1
	}
	var tk *token.Token
	switch t := n.(type) {
	case *ast.MappingNode:
		tk = t.Start
		if !t.IsFlowStyle && len(t.Values) > 0 {
			return position(t.Values[0])
		}
	case *ast.MappingValueNode:
		return position(t.Key)
	default:
		tk = n.GetToken()
	}
	if tk == nil || tk.Position == nil {
		return 1, 1
	}
	return tk.Position.Line, tk.Position.Column
}

// splitPath splits a.b[0].c into a, b, 0, c; ["x.y"] quotes a key.
func splitPath(path string) []string {
	var steps []string
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case strings.HasPrefix(path, `["`):
			q, err := strconv.QuotedPrefix(path[1:])
			if err != nil {
				return append(steps, path)
			}
			s, _ := strconv.Unquote(q)
			steps = append(steps, s)
			path = strings.TrimPrefix(path[1+len(q):], "]")
		case path[0] == '[':
			s, rest, _ := strings.Cut(path[1:], "]")
			steps = append(steps, s)
			path = rest
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			steps = append(steps, path[:end])
			path = path[end:]
		}
	}
	return steps
}

func joinPath(parent, child string) string {
	if parent == "" || child == "" || child[0] == '[' {
		return parent + child
	}
	return parent + "." + child
}

// Key returns key as one step of a path, quoted where it holds dots or brackets.
func Key(key string) string {
	if key == "" || strings.ContainsAny(key, ".[]\"\n") {
		return "[" + strconv.Quote(key) + "]"
	}
	return key
}
