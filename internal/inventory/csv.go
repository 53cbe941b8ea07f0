package inventory

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"nines/internal/yamlconf"
)

// matchPrefix begins the columns that are labels of the match.
const matchPrefix = "match."

// csvReader reads rows: each is what holds of a resource from an instant on.
type csvReader struct {
	file    string
	csv     *csv.Reader
	columns []string
	entries []Entry
	errs    yamlconf.Errors
}

func readCSV(name string, data []byte) ([]Entry, error) {
	r := &csvReader{file: name, csv: csv.NewReader(bytes.NewReader(data))}
	r.csv.FieldsPerRecord = -1
	if r.header() {
		for r.row() {
		}
	}
	return r.entries, r.errs.Err()
}

func (r *csvReader) at(column int) yamlconf.Error {
	line, col := r.csv.FieldPos(column)
	e := yamlconf.Error{File: r.file, Line: line, Col: col}
	if column < len(r.columns) {
		e.Path = r.columns[column]
	}
	return e
}

func (r *csvReader) fail(column int, reason, got string) {
	e := r.at(column)
	e.Reason, e.Got = reason, strconv.Quote(got)
	r.errs = append(r.errs, e)
}

func (r *csvReader) header() bool {
	row, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		r.errs = append(r.errs, yamlconf.Error{File: r.file, Line: 1, Col: 1, Reason: "is empty: want a header with the columns resource and from"})
		return false
	}
	if err != nil {
		r.errs = append(r.errs, yamlconf.NoCSV(r.file, err))
		return false
	}
	for i, name := range row {
		label, match := strings.CutPrefix(name, matchPrefix)
		switch {
		case slices.Contains(row[:i], name):
			r.fail(i, "this column is there already", name)
		case name == "resource", name == "from", match && label != "":
		case name != string(Match) && slices.Contains(Attributes(), Attribute(name)):
		default:
			r.fail(i, "unknown column: want resource, from, match.LABEL, "+strings.TrimPrefix(names(), "match, "), name)
		}
	}
	for _, name := range []string{"resource", "from"} {
		if !slices.Contains(row, name) {
			r.errs = append(r.errs, yamlconf.Error{File: r.file, Line: 1, Col: 1, Reason: "want a header with the column " + name})
		}
	}
	r.columns = row
	return len(r.errs) == 0
}

// row reads one row; false at the end.
func (r *csvReader) row() bool {
	row, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		r.errs = append(r.errs, yamlconf.NoCSV(r.file, err))
		return false
	}
	if len(row) != len(r.columns) {
		e := r.at(0)
		e.Path, e.Reason, e.Got = "", "want "+strconv.Itoa(len(r.columns))+" columns", strconv.Itoa(len(row))
		r.errs = append(r.errs, e)
		return true
	}
	resource, fromColumn := slices.Index(r.columns, "resource"), slices.Index(r.columns, "from")
	if err := plain(row[resource]); err != nil {
		r.fail(resource, err.Error(), row[resource])
		return true
	}
	from, err := yamlconf.ParseInstant(row[fromColumn])
	if err != nil {
		r.fail(fromColumn, err.Error(), row[fromColumn])
		return true
	}
	r.facts(row, row[resource], from)
	return true
}

// facts reads the cells of a row; empty ones tell nothing.
func (r *csvReader) facts(row []string, resource string, from int64) {
	match, first, told := map[string]string{}, -1, false
	for i, name := range r.columns {
		if row[i] == "" || name == "resource" || name == "from" {
			continue
		}
		told = true
		if l, ok := strings.CutPrefix(name, matchPrefix); ok {
			if first < 0 {
				first = i
			}
			if err := label(match, l, row[i]); err != nil {
				r.fail(i, err.Error(), row[i])
			}
			continue
		}
		f, err := fact(resource, Attribute(name), from, row[i])
		if err != nil {
			r.fail(i, err.Error(), row[i])
			continue
		}
		r.entries = append(r.entries, Entry{f, r.at(i)})
	}
	switch {
	case first >= 0:
		f := Fact{Resource: resource, Attribute: Match, From: from, Value: FormatMatch(match)}
		f.Withdrawn = len(match) == 1 && row[first] == Withdrawn
		if f.Withdrawn {
			f.Value = ""
		}
		r.entries = append(r.entries, Entry{f, r.at(first)})
	case !told:
		r.fail(slices.Index(r.columns, "resource"), "the row tells nothing: want a value in some column", resource)
	}
}
