package yamlconf

import (
	"github.com/goccy/go-yaml/ast"
)

// maxDepth bounds aliases of aliases and merges of merges; it also ends those
// that refer to themselves.
const maxDepth = 100

// maxMerges bounds how many mappings one mapping may merge, directly or not.
const maxMerges = 1000

// resolve follows anchors, aliases, tags and explicit keys to the value meant.
// An alias that leads nowhere resolves to nil.
func (d *Doc) resolve(n ast.Node) ast.Node {
	for range maxDepth {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.AliasNode:
			if isNil(t.Value) {
				return nil
			}
			n = d.anchors[t.Value.GetToken().Value]
		case *ast.TagNode:
			n = t.Value
		case *ast.MappingKeyNode:
			n = t.Value
		default:
			if isNil(n) {
				return nil
			}
			return n
		}
	}
	return nil
}

// pairs returns the entries of a mapping with merges (<<) expanded: own entries
// first, so that the first of equal keys holds.
func (d *Doc) pairs(n ast.Node) []*ast.MappingValueNode {
	budget := maxMerges
	return d.merge(n, &budget)
}

func (d *Doc) merge(n ast.Node, budget *int) []*ast.MappingValueNode {
	var own []*ast.MappingValueNode
	switch t := n.(type) {
	case *ast.MappingNode:
		own = t.Values
	case *ast.MappingValueNode:
		own = []*ast.MappingValueNode{t}
	}
	if *budget--; *budget < 0 {
		return nil
	}
	var out, merged []*ast.MappingValueNode
	for _, kv := range own {
		if kv == nil {
			continue
		}
		if _, ok := kv.Key.(*ast.MergeKeyNode); !ok {
			out = append(out, kv)
			continue
		}
		from := d.resolve(kv.Value)
		if seq, ok := from.(*ast.SequenceNode); ok {
			for _, v := range seq.Values {
				merged = append(merged, d.merge(d.resolve(v), budget)...)
			}
			continue
		}
		merged = append(merged, d.merge(from, budget)...)
	}
	if len(merged) == 0 {
		return out
	}
	seen := map[string]bool{}
	var unique []*ast.MappingValueNode
	for _, kv := range append(out, merged...) {
		if k, ok := scalarText(d.resolve(kv.Key)); ok {
			if seen[k] {
				continue
			}
			seen[k] = true
		}
		unique = append(unique, kv)
	}
	return unique
}

// scalarText returns the text of a scalar as it was written, without quotes.
func scalarText(n ast.Node) (string, bool) {
	switch t := n.(type) {
	case *ast.StringNode:
		return t.Value, true
	case *ast.LiteralNode:
		return t.Value.Value, true
	case *ast.IntegerNode:
		return t.Token.Value, true
	case *ast.FloatNode:
		return t.Token.Value, true
	case *ast.BoolNode:
		return t.Token.Value, true
	case *ast.InfinityNode:
		return t.Token.Value, true
	case *ast.NanNode:
		return t.Token.Value, true
	}
	return "", false
}

// describe says what a node is, for "got X".
func describe(n ast.Node) string {
	switch t := n.(type) {
	case nil:
		return "nothing"
	case *ast.NullNode:
		return "null"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return gotText(shorten(t.Value))
	case *ast.LiteralNode:
		return gotText(shorten(t.Value.Value))
	}
	if s, ok := scalarText(n); ok {
		return shorten(s)
	}
	return "a " + n.Type().YAMLName()
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
