package rows

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"bytes"
)

// maxLine is the longest line of JSON that is read.
const maxLine = 1 << 20

// records gives a file's rows, one after the other.
type records interface {
	// next reads the next row. A *rowError says what is wrong with it, and that
	// the next one may be read; io.EOF that there is none.
	next() error
	// get returns the text of a column, by its index in the list that the records
	// were made for; ok is false where the row has none, or nothing in it.
	get(column int) (text string, ok bool)
	// at returns where the column stands, or the row where column is negative.
	at(column int) (line, col int)
}

// rowError says that a row is not what its format wants.
type rowError struct {
	reason    string
	line, col int
	err       error
}

func (e *rowError) Error() string { return e.err.Error() }

// newRecords returns the rows of a table, for the columns.
func newRecords(t *table, s *Spec, columns []string) (records, error) {
	if t.format(s) == formatJSON {
		r := &jsonRecords{in: t.in, values: make([]string, len(columns)), present: make([]bool, len(columns))}
		for _, c := range columns {
			r.paths = append(r.paths, strings.Split(c, "."))
		}
		r.columns = columns
		return r, nil
	}
	r := &csvRecords{r: csv.NewReader(t.in)}
	r.r.Comma, r.r.ReuseRecord, r.r.FieldsPerRecord = t.delimiter(s), true, -1
	header := s.Columns
	if header == nil {
		first, err := r.r.Read()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: is empty; a csv file begins with a line that names its columns, unless spec.columns does", t.name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: read the line that names the columns: %w", t.name, err)
		}
		header = append(header, first...)
	}
	r.width = len(header)
	for _, want := range columns {
		at := -1
		for i, name := range header {
			if strings.TrimSpace(name) == want {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%s:1:1: has no column %q; it has %s", t.name, want, strings.Join(header, ", "))
		}
		r.index = append(r.index, at)
	}
	return r, nil
}

// csvRecords are the rows of a csv file.
type csvRecords struct {
	r     *csv.Reader
	index []int
	width int
	row   []string
}

func (r *csvRecords) next() error {
	row, err := r.r.Read()
	r.row = row
	var bad *csv.ParseError
	switch {
	case errors.As(err, &bad):
		return &rowError{reasonSyntax, bad.Line, max(bad.Column, 1), bad.Err}
	case err != nil:
		return err
	case len(row) != r.width:
		line, col := r.r.FieldPos(0)
		return &rowError{reasonColumns, line, col, fmt.Errorf("has %d columns, want %d", len(row), r.width)}
	}
	return nil
}

func (r *csvRecords) get(column int) (string, bool) {
	text := r.row[r.index[column]]
	return text, text != ""
}

func (r *csvRecords) at(column int) (line, col int) {
	if column < 0 {
		return r.r.FieldPos(0)
	}
	return r.r.FieldPos(r.index[column])
}

// jsonRecords are the lines of a file, each one object. A column's name is a
// path: a.b is the member b of the member a, unless there is a member "a.b".
type jsonRecords struct {
	in      *bufio.Reader
	columns []string
	paths   [][]string
	values  []string
	present []bool
	line    int
	long    []byte
}

func (r *jsonRecords) next() error {
	for {
		text, err := r.read()
		if err != nil {
			return err
		}
		if len(text) > 0 {
			return r.parse(text)
		}
	}
}

// read returns the next line without the blanks around it.
func (r *jsonRecords) read() ([]byte, error) {
	r.line++
	r.long = r.long[:0]
	tooLong := false
	for {
		part, err := r.in.ReadSlice('\n')
		if !tooLong && len(r.long)+len(part) <= maxLine {
			r.long = append(r.long, part...)
		} else {
			tooLong = true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(r.long) == 0 && !tooLong):
			return nil, err
		case tooLong:
			return nil, &rowError{reasonSyntax, r.line, 1, fmt.Errorf("is longer than %d bytes", maxLine)}
		}
		return bytes.TrimSpace(r.long), nil
	}
}

func (r *jsonRecords) parse(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var row map[string]any
	err := dec.Decode(&row)
	if err == nil && dec.More() {
		err = errors.New("has more than one value on the line")
	}
	if err == nil && row == nil {
		err = errors.New("is no object")
	}
	if err != nil {
		col := 1
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			col = int(syntax.Offset)
		}
		return &rowError{reasonSyntax, r.line, max(col, 1), err}
	}
	for i := range r.columns {
		r.values[i], r.present[i] = r.find(row, i)
	}
	return nil
}

// find returns the text of a column of the object.
func (r *jsonRecords) find(row map[string]any, column int) (string, bool) {
	switch v := r.member(row, column).(type) {
	case string:
		return v, v != ""
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// member returns what the column names: a member of the object, or else of an
// object within it.
func (r *jsonRecords) member(row map[string]any, column int) any {
	if v, ok := row[r.columns[column]]; ok {
		return v
	}
	var v any = row
	for _, step := range r.paths[column] {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[step]
	}
	return v
}

func (r *jsonRecords) get(column int) (string, bool) { return r.values[column], r.present[column] }

func (r *jsonRecords) at(int) (line, col int) { return r.line, 1 }
