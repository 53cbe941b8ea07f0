package yamlconf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a file.
type Error struct {
	File string
	// Line and Col count from 1; 0 where the mistake has no position.
	Line, Col int
	// Path names the field, as spec.objectives[0].target; empty for the whole.
	Path string
	// Reason says what is wrong and what would be right.
	Reason string
	// Got is what was found, as it is to be printed; empty to leave it out.
	Got string
}

// Error returns file:line:col: path: reason, got X.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Reason)
	if e.Got != "" {
		b.WriteString(", got " + e.Got)
	}
	return b.String()
}

// Errors are all the mistakes of one or more files.
type Errors []Error

// Error returns the mistakes sorted by file and position, one a line.
func (es Errors) Error() string {
	sorted := es.Sorted()
	lines := make([]string, len(sorted))
	for i, e := range sorted {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the mistakes by file, line and column, doubles left out.
func (es Errors) Sorted() Errors {
	sorted := slices.Clone(es)
	slices.SortStableFunc(sorted, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(sorted)
}

// Err returns the mistakes as an error, nil where there are none.
func (es Errors) Err() error {
	if len(es) == 0 {
		return nil
	}
	return es.Sorted()
}

// Append adds err to es: the mistakes that it holds, or one without position.
func (es Errors) Append(file string, err error) Errors {
	var list Errors
	var one Error
	switch {
	case err == nil:
		return es
	case errors.As(err, &list):
		return append(es, list...)
	case errors.As(err, &one):
		return append(es, one)
	}
	return append(es, Error{File: file, Reason: err.Error()})
}
