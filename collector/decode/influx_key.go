package decode

import (
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
	measurement, labels, err := l.name(string(l.point.Key))
	if err != nil {
		return nil, err
	}
	set := &Set{Labels: slices.Clone(labels)}
	if set.Columns, err = l.columns(measurement); err != nil {
		return nil, err
	}
	for i := range set.Columns {
		set.Columns[i].Labels = set.Labels
	}
	return set, nil
}

// name reads the key of the line that was read last. The labels are the reader's
// until the next call; their values lie in the key where they can.
func (l *lines) name(key string) (measurement string, labels telemetry.Labels, err error) {
	if measurement, l.tags, err = splitKey(key, l.tags[:0]); err != nil {
		return "", nil, errorAtLine(l.line, err)
	}
	l.labels = labelsOf(l.tags, l.labels[:0])
	return measurement, l.labels, nil
}

// columns returns those of the line that was read last, without their labels.
func (l *lines) columns(measurement string) ([]Column, error) {
	columns := make([]Column, 0, len(l.point.Values))
	for i := range l.point.Values {
		v := &l.point.Values[i]
		if !utf8.Valid(v.Field) {
			return nil, errorAtLine(l.line, errFieldName)
		}
		if v.Form == Text {
			continue
		}
		field := string(v.Field)
		columns = append(columns, Column{Field: field, Kind: Untyped, Name: telemetry.MetricName(measurement, unescape(field, ",= "))})
	}
	return columns, nil
}

type tag struct{ key, value string }

// splitKey returns the measurement and the tags of a line's key, without their
// escapes, the tags sorted by key and appended to tags.
func splitKey(key string, tags []tag) (measurement string, _ []tag, err error) {
	if !utf8.ValidString(key) {
		return "", tags, errors.New("the measurement or its tags are no UTF-8")
	}
	n, err := elementEnd(key, false)
	if err != nil {
		return "", tags, err
	}
	if n == 0 {
		return "", tags, errors.New("the measurement has no name")
	}
	measurement = unescape(key[:n], ", ")
	for rest := key[n:]; len(rest) > 0; {
		rest = rest[1:] // the comma
		var t tag
		if n, err = elementEnd(rest, true); err != nil {
			return "", tags, err
		}
		if n == len(rest) || rest[n] != '=' || n == 0 {
			return "", tags, errors.New("want NAME=VALUE for a tag")
		}
		t.key, rest = unescape(rest[:n], ",= "), rest[n+1:]
		if n, err = elementEnd(rest, true); err != nil {
			return "", tags, err
		}
		if n == 0 || n < len(rest) && rest[n] == '=' {
			return "", tags, errors.New("a tag's value is empty or holds an = without a backslash")
		}
		t.value, rest = unescape(rest[:n], ",= "), rest[n:]
		tags = append(tags, t)
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(tags); i++ {
		if tags[i].key == tags[i-1].key {
			return "", tags, fmt.Errorf("tag %q is there twice", tags[i].key)
		}
	}
	return measurement, tags, nil
}

// elementEnd returns where an element of a key ends: at a comma, or at an equals
// sign if that ends it, without a backslash before it, or at the end of the key.
func elementEnd(s string, equals bool) (int, error) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case unprintable(c):
			return 0, errors.New("a control character in the measurement or its tags")
		case c == '\\':
			for i < len(s) && s[i] == '\\' {
				i++
			}
			if i == len(s) || unprintable(s[i]) {
				return 0, errors.New("nothing follows a backslash")
			}
		case c == ',' || equals && c == '=':
			return i, nil
		}
	}
	return len(s), nil
}

// unescape drops the backslashes before the characters of special; others stand
// for themselves.
func unescape(s string, special string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(special, s[i+1]) >= 0 {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}

// labelsOf appends sorted tags to labels, as labels. Of tags that become the same
// label, the values are joined by semicolons in the order of the tags' own names,
// so that different series stay different.
func labelsOf(tags []tag, labels telemetry.Labels) telemetry.Labels {
	clean := true // their order is that of the labels
	for _, t := range tags {
		name := telemetry.LabelName(t.key)
		if name == "" {
			name = "_"
		}
		clean = clean && name == t.key
		labels = append(labels, telemetry.Label{Name: name, Value: t.value})
	}
	if clean {
		return labels
	}
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		if was, ok := m[l.Name]; ok {
			l.Value = was + ";" + l.Value
		}
		m[l.Name] = l.Value
	}
	return telemetry.NewLabels(m)
}
