package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"nines/internal/yamlconf"
)

// group is one entry of a file_sd file or http_sd answer.
type group struct {
	Targets []string          `json:"targets" yaml:"targets"`
	Labels  map[string]string `json:"labels" yaml:"labels"`
}

// Parse reads a file_sd document: JSON if the name ends in .json, else YAML.
// Errors start with name:line:col. An empty document is an error, because it
// is what a reader sees of a file that is just being written; a source without
// targets says [].
func Parse(name string, content []byte) ([]Target, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, fmt.Errorf("%s:1:1: the file is empty, which may be a write under way; write [] for no targets", name)
	}
	decode := parseYAML
	if strings.EqualFold(filepath.Ext(name), ".json") {
		decode = parseJSON
	}
	groups, where, err := decode(name, content)
	if err != nil {
		return nil, err
	}
	var out []Target
	for i, g := range groups {
		if err := g.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", where(i), err)
		}
		for _, a := range g.Targets {
			out = append(out, Target{Address: a, Labels: maps.Clone(g.Labels)})
		}
	}
	return out, nil
}

func (g group) check() error {
	if slices.Contains(g.Targets, "") {
		return errors.New("targets: an address is empty")
	}
	for _, n := range slices.Sorted(maps.Keys(g.Labels)) {
		if !ValidLabelName(n) {
			return fmt.Errorf("labels: not a label name (letters, digits and _, not first a digit), got %q", n)
		}
	}
	return nil
}

// ValidLabelName tells whether n can be the name of a label:
// [a-zA-Z_][a-zA-Z0-9_]*.
func ValidLabelName(n string) bool {
	for i, c := range n {
		letter := c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return n != ""
}

// locator tells where group i of a document stands, as file:line:col.
type locator func(i int) string

func parseYAML(name string, content []byte) ([]group, locator, error) {
	doc, err := yamlconf.One(name, content)
	if err != nil || doc == nil {
		// Comments alone are no document: a list that is commented out.
		return nil, nil, err
	}
	var groups []group
	if err := doc.Decode(&groups); err != nil {
		return nil, nil, err
	}
	where := func(i int) string {
		e := doc.Errorf(fmt.Sprintf("[%d]", i), nil, "")
		return fmt.Sprintf("%s:%d:%d", name, e.Line, e.Col)
	}
	return groups, where, nil
}

func parseJSON(name string, content []byte) ([]group, locator, error) {
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	var groups []group
	var offsets []int64
	failAt := func(at int64, err error) ([]group, locator, error) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, nil, fmt.Errorf("%s: %w", position(name, content, jsonOffset(err, at)), err)
	}
	fail := func(err error) ([]group, locator, error) { return failAt(dec.InputOffset(), err) }
	open, err := dec.Token()
	if err != nil {
		return fail(err)
	}
	if open != json.Delim('[') {
		return fail(fmt.Errorf("want a list of {targets, labels}, got %v", open))
	}
	for dec.More() {
		var g group
		offsets = append(offsets, dec.InputOffset())
		if err := dec.Decode(&g); err != nil {
			return failAt(offsets[len(offsets)-1], err)
		}
		groups = append(groups, g)
	}
	if _, err := dec.Token(); err != nil {
		return fail(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fail(errors.New("something follows the list"))
	}
	return groups, func(i int) string { return position(name, content, offsets[i]) }, nil
}

func jsonOffset(err error, at int64) int64 {
	var se *json.SyntaxError
	if errors.As(err, &se) {
		return max(se.Offset-1, 0)
	}
	return at
}

// position turns a byte offset into name:line:col, past separators and space.
func position(name string, content []byte, offset int64) string {
	n := int(min(offset, int64(len(content))))
	for n < len(content) && strings.IndexByte(", \t\r\n", content[n]) >= 0 {
		n++
	}
	line := 1 + bytes.Count(content[:n], []byte{'\n'})
	col := n - bytes.LastIndexByte(content[:n], '\n')
	return fmt.Sprintf("%s:%d:%d", name, line, col)
}

// CheckPattern tells whether p can name target files: it must end in .json,
// .yml or .yaml, and only its last element may be a glob.
func CheckPattern(p string) error {
	switch strings.ToLower(filepath.Ext(p)) {
	case ".json", ".yml", ".yaml":
	default:
		return fmt.Errorf("targets file must end in .json, .yml or .yaml, got %q", p)
	}
	if strings.ContainsAny(filepath.Dir(p), "*?[") {
		return fmt.Errorf("only the last element of a targets file may be a glob, got %q", p)
	}
	if _, err := filepath.Match(filepath.Base(p), ""); err != nil {
		return fmt.Errorf("not a valid glob (%w), got %q", err, p)
	}
	return nil
}
