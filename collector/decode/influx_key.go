package decode

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"nines/internal/telemetry"
)

var errFieldName = errors.New("a field's name is no UTF-8")

// describe reads the key of the line that was read last.
func (l *lines) describe() (*Set, error) {
	measurement, tags, err := splitKey(l.point.Key)
	if err != nil {
		return nil, errorAtLine(l.line, err)
	}
	labels := labelsOf(tags)
	set := &Set{Labels: labels}
	for i := range l.point.Values {
		v := &l.point.Values[i]
		if !utf8.Valid(v.Field) {
			return nil, errorAtLine(l.line, errFieldName)
		}
		if v.Form == Text {
			continue
		}
		set.Columns = append(set.Columns, Column{Field: string(v.Field), Labels: labels, Kind: Untyped,
			Name: telemetry.MetricName(measurement, string(unescape(v.Field, ",= ")))})
	}
	return set, nil
}

type tag struct{ key, value string }

// splitKey returns the measurement and the tags of a line's key, without their
// escapes, the tags sorted by key.
func splitKey(key []byte) (measurement string, tags []tag, err error) {
	if !utf8.Valid(key) {
		return "", nil, errors.New("the measurement or its tags are no UTF-8")
	}
	n, err := elementEnd(key, ",")
	if err != nil {
		return "", nil, err
	}
	if n == 0 {
		return "", nil, errors.New("the measurement has no name")
	}
	measurement = string(unescape(key[:n], ", "))
	for rest := key[n:]; len(rest) > 0; {
		rest = rest[1:] // the comma
		var t tag
		if n, err = elementEnd(rest, "=,"); err != nil {
			return "", nil, err
		}
		if n == len(rest) || rest[n] != '=' || n == 0 {
			return "", nil, errors.New("want NAME=VALUE for a tag")
		}
		t.key, rest = string(unescape(rest[:n], ",= ")), rest[n+1:]
		if n, err = elementEnd(rest, "=,"); err != nil {
			return "", nil, err
		}
		if n == 0 || n < len(rest) && rest[n] == '=' {
			return "", nil, errors.New("a tag's value is empty or holds an = without a backslash")
		}
		t.value, rest = string(unescape(rest[:n], ",= ")), rest[n:]
		tags = append(tags, t)
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(tags); i++ {
		if tags[i].key == tags[i-1].key {
			return "", nil, fmt.Errorf("tag %q is there twice", tags[i].key)
		}
	}
	return measurement, tags, nil
}

// elementEnd returns where an element of a key ends: at a character of ends
// without a backslash before it, or at the end of the key.
func elementEnd(b []byte, ends string) (int, error) {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case unprintable(c):
			return 0, errors.New("a control character in the measurement or its tags")
		case c == '\\':
			i = escaped(b, i)
			if i == len(b) || unprintable(b[i]) {
				return 0, errors.New("nothing follows a backslash")
			}
		case strings.IndexByte(ends, c) >= 0:
			return i, nil
		}
	}
	return len(b), nil
}

// unescape drops the backslashes before the characters of special; others stand
// for themselves.
func unescape(b []byte, special string) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && strings.IndexByte(special, b[i+1]) >= 0 {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// labelsOf turns sorted tags into labels. Of tags that become the same label, the
// values are joined by semicolons in the order of the tags' own names, so that
// different series stay different.
func labelsOf(tags []tag) telemetry.Labels {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		name := telemetry.LabelName(t.key)
		if name == "" {
			name = "_"
		}
		if was, ok := m[name]; ok {
			t.value = was + ";" + t.value
		}
		m[name] = t.value
	}
	return telemetry.NewLabels(m)
}
