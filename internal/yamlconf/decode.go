package yamlconf

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// maxNodes bounds how many values a document may expand to through aliases.
const maxNodes = 1_000_000

// Decode fills into, a pointer, from the document and reports every mistake as
// Errors. Struct fields take their name from the yaml tag, else the lower-case
// field name; ",inline" embeds. Fields that the document does not mention, or
// mentions as null, keep their value. A string takes any scalar as it was
// written, so that decimals keep their digits. Types that implement
// encoding.TextUnmarshaler, or UnmarshalYAML(func(any) error) error, decode
// themselves.
func (d *Doc) Decode(into any) error {
	return d.decodeNode(d.root, d.prefix, into)
}

func (d *Doc) decodeNode(n ast.Node, path string, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("decode %s: into a %T, which is not a pointer", d.file, into)
	}
	dec := &decoder{doc: d}
	dec.value(n, v.Elem(), path, 0)
	return dec.errs.Err()
}

// Raw is a part of a document that is decoded later, once it is known what it
// should be.
type Raw struct {
	doc  *Doc
	node ast.Node
	path string
}

// IsZero tells whether the document did not mention the part.
func (r Raw) IsZero() bool { return r.node == nil }

// Decode fills into from the part; paths and positions in errors are those of
// the whole document.
func (r Raw) Decode(into any) error {
	if r.node == nil {
		return nil
	}
	return r.doc.decodeNode(r.node, r.path, into)
}

// Text returns the part's text if it is a scalar.
func (r Raw) Text() (string, bool) {
	if r.node == nil {
		return "", false
	}
	return scalarText(r.doc.resolve(r.node))
}

type decoder struct {
	doc   *Doc
	errs  Errors
	nodes int
}

func (dec *decoder) fail(n ast.Node, path, format string, args ...any) {
	line, col := position(n)
	dec.errs = append(dec.errs, Error{File: dec.doc.file, Line: line, Col: col, Path: path,
		Reason: fmt.Sprintf(format, args...), Got: describe(dec.doc.resolve(n))})
}

var (
	rawType      = reflect.TypeFor[Raw]()
	durationType = reflect.TypeFor[time.Duration]()
)

// value decodes one node into v.
func (dec *decoder) value(n ast.Node, v reflect.Value, path string, depth int) {
	dec.nodes++
	if dec.nodes > maxNodes || depth > maxDepth {
		if len(dec.errs) == 0 {
			dec.fail(n, path, "is nested too deep, or aliases expand to too much")
		}
		return
	}
	r := dec.doc.resolve(n)
	if r == nil {
		if _, alias := n.(*ast.AliasNode); alias {
			dec.fail(n, path, "refers to an anchor that does not exist")
		}
		return
	}
	if v.Type() == rawType {
		v.Set(reflect.ValueOf(Raw{dec.doc, n, path}))
		return
	}
	if r.Type() == ast.NullType {
		return
	}
	if dec.custom(n, r, v, path) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		dec.value(n, v.Elem(), path, depth+1)
	case reflect.Struct:
		dec.structure(n, r, v, path, depth)
	case reflect.Map:
		dec.mapping(n, r, v, path, depth)
	case reflect.Slice:
		dec.list(n, r, v, path, depth)
	case reflect.Interface:
		if v.NumMethod() == 0 {
			if got := dec.natural(n, path, depth); got != nil {
				v.Set(reflect.ValueOf(got))
			}
			return
		}
		dec.fail(n, path, "cannot be configured")
	default:
		dec.scalar(n, r, v, path)
	}
}

// custom lets types decode themselves.
func (dec *decoder) custom(n, r ast.Node, v reflect.Value, path string) bool {
	if v.Type() == durationType {
		text, ok := scalarText(r)
		if !ok {
			dec.fail(n, path, "want a duration such as 5s or 1m30s")
			return true
		}
		d, err := ParseDuration(text)
		if err != nil {
			dec.fail(n, path, "%v", err)
			return true
		}
		v.SetInt(int64(d))
		return true
	}
	if !v.CanAddr() || v.Kind() == reflect.Pointer {
		return false
	}
	switch u := v.Addr().Interface().(type) {
	case interface{ UnmarshalYAML(func(any) error) error }:
		err := u.UnmarshalYAML(func(into any) error { return dec.doc.decodeNode(n, path, into) })
		dec.customError(n, path, err)
	case encoding.TextUnmarshaler:
		text, ok := scalarText(r)
		if !ok {
			dec.fail(n, path, "want a single value")
			return true
		}
		dec.customError(n, path, u.UnmarshalText([]byte(text)))
	default:
		return false
	}
	return true
}

func (dec *decoder) customError(n ast.Node, path string, err error) {
	switch e := err.(type) {
	case nil:
	case Errors:
		dec.errs = append(dec.errs, e...)
	case Error:
		dec.errs = append(dec.errs, e)
	default:
		dec.fail(n, path, "%v", err)
	}
}

func (dec *decoder) structure(n, r ast.Node, v reflect.Value, path string, depth int) {
	if !isMapping(r) {
		dec.fail(n, path, "want a mapping of fields")
		return
	}
	fields := map[string]reflect.Value{}
	var names []string
	collectFields(v, fields, &names)
	for _, kv := range dec.doc.pairs(r) {
		key, ok := scalarText(dec.doc.resolve(kv.Key))
		if !ok {
			dec.fail(kv.Key, path, "want a field name")
			continue
		}
		field, known := fields[key]
		if !known {
			line, col := position(kv.Key)
			dec.errs = append(dec.errs, Error{File: dec.doc.file, Line: line, Col: col,
				Path: joinPath(path, Key(key)), Reason: "unknown field" + hint(key, names)})
			continue
		}
		dec.value(kv.Value, field, joinPath(path, Key(key)), depth+1)
	}
}

func isMapping(n ast.Node) bool {
	return n.Type() == ast.MappingType || n.Type() == ast.MappingValueType
}

// collectFields lists the settable fields of a struct by their YAML names.
func collectFields(v reflect.Value, fields map[string]reflect.Value, names *[]string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inline := strings.Contains(options, "inline") || (f.Anonymous && name == "")
		switch {
		case name == "-", !f.IsExported() && !f.Anonymous:
			continue
		case inline && f.Type.Kind() == reflect.Struct: // its fields may be exported even if it is not
			collectFields(v.Field(i), fields, names)
			continue
		case !f.IsExported():
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		fields[name] = v.Field(i)
		*names = append(*names, name)
	}
}

func (dec *decoder) mapping(n, r ast.Node, v reflect.Value, path string, depth int) {
	if !isMapping(r) {
		dec.fail(n, path, "want a mapping")
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		dec.fail(n, path, "cannot be configured")
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, kv := range dec.doc.pairs(r) {
		key, ok := scalarText(dec.doc.resolve(kv.Key))
		if !ok {
			dec.fail(kv.Key, path, "want a key")
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		dec.value(kv.Value, item, joinPath(path, Key(key)), depth+1)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item)
	}
}

func (dec *decoder) list(n, r ast.Node, v reflect.Value, path string, depth int) {
	seq, ok := r.(*ast.SequenceNode)
	if !ok {
		dec.fail(n, path, "want a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		dec.value(item, out.Index(i), path+"["+strconv.Itoa(i)+"]", depth+1)
	}
	v.Set(out)
}

func (dec *decoder) scalar(n, r ast.Node, v reflect.Value, path string) {
	text, ok := scalarText(r)
	switch v.Kind() {
	case reflect.String:
		if !ok {
			dec.fail(n, path, "want text")
			return
		}
		v.SetString(text)
	case reflect.Bool:
		b, isBool := r.(*ast.BoolNode)
		if !isBool {
			dec.fail(n, path, "want true or false")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, isInt := wholeNumber(r)
		if !isInt || v.OverflowInt(i) {
			dec.fail(n, path, "want a whole number that fits %s", v.Kind())
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, isUint := naturalNumber(r)
		if !isUint || v.OverflowUint(i) {
			dec.fail(n, path, "want a whole number from 0 that fits %s", v.Kind())
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		f, isFloat := number(r)
		if !isFloat {
			dec.fail(n, path, "want a number")
			return
		}
		v.SetFloat(f)
	default:
		dec.fail(n, path, "cannot be configured")
	}
}

func wholeNumber(n ast.Node) (int64, bool) {
	t, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch i := t.Value.(type) {
	case int64:
		return i, true
	case uint64:
		return int64(i), i <= math.MaxInt64
	}
	return 0, false
}

func naturalNumber(n ast.Node) (uint64, bool) {
	t, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch i := t.Value.(type) {
	case int64:
		return uint64(i), i >= 0
	case uint64:
		return i, true
	}
	return 0, false
}

func number(n ast.Node) (float64, bool) {
	switch t := n.(type) {
	case *ast.FloatNode:
		return t.Value, true
	case *ast.InfinityNode:
		return t.Value, true
	case *ast.IntegerNode:
		switch i := t.Value.(type) {
		case int64:
			return float64(i), true
		case uint64:
			return float64(i), true
		}
	}
	return 0, false
}

// natural returns the node as plain Go values: string, bool, int64, uint64,
// float64, []any and map[string]any.
func (dec *decoder) natural(n ast.Node, path string, depth int) any {
	dec.nodes++
	if dec.nodes > maxNodes || depth > maxDepth {
		if len(dec.errs) == 0 {
			dec.fail(n, path, "is nested too deep, or aliases expand to too much")
		}
		return nil
	}
	switch t := dec.doc.resolve(n).(type) {
	case *ast.BoolNode:
		return t.Value
	case *ast.IntegerNode:
		return t.Value
	case *ast.FloatNode:
		return t.Value
	case *ast.InfinityNode:
		return t.Value
	case *ast.SequenceNode:
		out := []any{}
		for i, item := range t.Values {
			out = append(out, dec.natural(item, path+"["+strconv.Itoa(i)+"]", depth+1))
		}
		return out
	case *ast.MappingNode, *ast.MappingValueNode:
		out := map[string]any{}
		for _, kv := range dec.doc.pairs(t) {
			if key, ok := scalarText(dec.doc.resolve(kv.Key)); ok {
				out[key] = dec.natural(kv.Value, joinPath(path, Key(key)), depth+1)
			}
		}
		return out
	case nil:
		return nil
	default:
		if s, ok := scalarText(t); ok {
			return s
		}
		return nil
	}
}

// hint proposes the known name that is nearest to an unknown one.
func hint(key string, names []string) string {
	best, least := "", max(3, len(key)/3+1) // longer names bear more slips
	for _, n := range names {
		if d := distance(strings.ToLower(key), strings.ToLower(n)); d < least && d < len(n) {
			best, least = n, d
		}
	}
	if best == "" {
		if len(names) > 0 && len(names) <= 12 {
			return "; known are " + strings.Join(names, ", ")
		}
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is the Levenshtein distance of two names.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
