package yamlconf

import (
	"encoding/csv"
	"errors"
	"fmt"
	"time"
)

// NoCSV returns the error of a CSV reader with its position in the file.
func NoCSV(file string, err error) Error {
	e := Error{File: file, Line: 1, Col: 1, Reason: err.Error()}
	if p := (*csv.ParseError)(nil); errors.As(err, &p) {
		e.Line, e.Col, e.Reason = p.Line, p.Column, "is no CSV: "+p.Err.Error()
	}
	return e
}

// ParseInstant reads an instant, RFC 3339 with its offset, to the millisecond,
// and returns Unix milliseconds.
func ParseInstant(text string) (int64, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Nanosecond()%1_000_000 != 0 {
		return 0, fmt.Errorf("want a time with its offset, to the millisecond, such as 2026-11-02T10:30:00Z")
	}
	return t.UnixMilli(), nil
}
