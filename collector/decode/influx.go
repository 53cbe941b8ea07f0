package decode

import (
	"bytes"
	"fmt"
	"strings"

	"nines/internal/telemetry"
)

// lines reads line protocol. A line's key, measurement and tags, is not looked
// into before somebody asks what it is: most lines' keys are known.
type lines struct {
	buf   []byte
	at    int // where the next line begins
	line  int // its number less one
	point Point
	// Memory of the key that was looked into last.
	tags   []tag
	labels telemetry.Labels
}

func (l *lines) open(value []byte) { l.buf, l.at, l.line = value, 0, 0 }

func (l *lines) next() (*Point, error) {
	b, err := l.start()
	if b == nil {
		return nil, err
	}
	return l.readWhole(b)
}

// start goes to the next line that holds a point, and returns what is left from
// there on, nil after the last and on error.
func (l *lines) start() ([]byte, error) {
	for l.at < len(l.buf) {
		l.line++
		for l.at < len(l.buf) && l.buf[l.at] == ' ' {
			l.at++
		}
		rest := l.buf[l.at:]
		if end, ok := lineEnd(rest); ok {
			l.at += end
			continue
		}
		if rest[0] != '#' {
			return rest, nil
		}
		if err := l.comment(rest); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// readWhole reads the line that b begins with, all of its values.
func (l *lines) readWhole(b []byte) (*Point, error) {
	n, what, ok := l.read(b)
	if !ok {
		return nil, l.refuse(l.at+n, what)
	}
	l.at += n
	return &l.point, nil
}

// lineEnd tells whether b begins with the end of a line, and how long that is.
func lineEnd(b []byte) (n int, ok bool) {
	switch {
	case len(b) == 0:
		return 0, true
	case b[0] == '\n':
		return 1, true
	case b[0] == '\r' && len(b) == 1:
		return 1, true
	case b[0] == '\r' && b[1] == '\n':
		return 2, true
	}
	return 0, false
}

// refuse returns what is wrong at a place, and goes on behind that line.
func (l *lines) refuse(at int, what string) error {
	err := fmt.Errorf("line %d, byte %d: %s", l.line, at-l.at+1, what)
	l.skip(at)
	return err
}

// skip goes to the line after the one that holds the place.
func (l *lines) skip(at int) {
	if nl := bytes.IndexByte(l.buf[min(at, len(l.buf)):], '\n'); nl >= 0 {
		l.at = at + nl + 1
	} else {
		l.at = len(l.buf)
	}
}

func (l *lines) comment(b []byte) error {
	for i := 1; i < len(b); i++ {
		if end, ok := lineEnd(b[i:]); ok {
			l.at += i + end
			return nil
		}
		if unprintable(b[i]) && b[i] != '\t' {
			return l.refuse(l.at+i, "a comment holds a control character")
		}
	}
	l.at = len(l.buf)
	return nil
}

func unprintable(c byte) bool { return c < ' ' || c == 0x7f }

// read reads the line that b begins with into the point, and returns how long it
// is with its end; where it is not ok, what is wrong at which place.
func (l *lines) read(b []byte) (n int, what string, ok bool) {
	n, ok = keyEnd(b)
	if !ok {
		return n, "no field follows the measurement and its tags", false
	}
	l.begin(b[:n])
	n += spaces(b[n:])
	for {
		size, why := l.field(b[n:])
		if n += size; why != "" {
			return n, why, false
		}
		if n == len(b) || b[n] != ',' {
			break
		}
		n++
	}
	return l.end(b, n)
}

// begin begins the point of a line with the key.
func (l *lines) begin(key []byte) {
	p := &l.point
	p.Key, p.Values, p.Unread, p.Timed, p.Time = key, p.Values[:0], 0, false, 0
}

// end reads what follows a line's fields at n, and returns as read does.
func (l *lines) end(b []byte, n int) (int, string, bool) {
	if end, done := lineEnd(b[n:]); done {
		return n + end, "", true
	}
	if b[n] != ' ' {
		return n, "want a comma, a space or the end of the line after a field", false
	}
	n += spaces(b[n:])
	if end, done := lineEnd(b[n:]); done {
		return n + end, "", true
	}
	size, t, ok := integer(b[n:])
	if !ok {
		return n, "the timestamp is no whole number of nanoseconds", false
	}
	n += size
	l.point.Time, l.point.Timed = t, true
	gap := spaces(b[n:])
	end, done := lineEnd(b[n+gap:])
	if !done {
		return n, "something follows the timestamp", false
	}
	return n + gap + end, "", true
}

// keyEnd returns where the key ends: at the first space that no backslash
// precedes. It is not ok where the line ends first.
func keyEnd(b []byte) (int, bool) {
	n := bytes.IndexByte(b, ' ')
	if n < 0 {
		n = len(b)
	}
	if nl := bytes.IndexByte(b[:n], '\n'); nl >= 0 {
		return nl, false
	}
	if bytes.IndexByte(b[:n], '\\') < 0 {
		return n, n < len(b)
	}
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ' ':
			return i, true
		case '\n':
			return i, false
		case '\\':
			i = escaped(b, i)
			if i < len(b) && b[i] == '\n' {
				return i, false
			}
		}
	}
	return len(b), false
}

// escaped returns the place of what the backslashes at i escape: however many
// there are, the first other character after them.
func escaped(b []byte, i int) int {
	for i < len(b) && b[i] == '\\' {
		i++
	}
	return i
}

func spaces(b []byte) (n int) {
	for n < len(b) && b[n] == ' ' {
		n++
	}
	return n
}

// field reads one field into the point, and returns its length; why is not empty
// where it cannot be read.
func (l *lines) field(b []byte) (n int, why string) {
	n, why = nameEnd(b)
	if why != "" {
		return n, why
	}
	v := l.point.grow(b[:n])
	n++
	if n == len(b) {
		return n, "a field has no value"
	}
	size, ok := fieldValue(b[n:], v)
	if !ok {
		return n, "a field's value is no number, true or false, or text in quotes"
	}
	return n + size, ""
}

// grow adds a value of the field to the point, in memory of a point before if
// there is some.
func (p *Point) grow(field []byte) *Value {
	if len(p.Values) < cap(p.Values) {
		p.Values = p.Values[:len(p.Values)+1]
	} else {
		p.Values = append(p.Values, Value{})
	}
	v := &p.Values[len(p.Values)-1]
	v.Field, v.Text, v.Hist, v.place = field, nil, nil, 0
	return v
}

// fieldValue reads the value that b, which is not empty, begins with.
func fieldValue(b []byte, v *Value) (n int, ok bool) {
	switch b[0] {
	case '"':
		return text(b, v)
	case 't', 'T', 'f', 'F':
		return truth(b, v)
	}
	return number(b, v)
}

// nameEnd returns where a field's name ends: at the equals sign.
func nameEnd(b []byte) (n int, why string) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c > '=' && c != '\\' && c != 0x7f {
			continue
		}
		switch {
		case c == '=' && i > 0:
			return i, ""
		case c == '=':
			return i, "a field has no name"
		case c == '\\':
			i = escaped(b, i)
			if i == len(b) || unprintable(b[i]) {
				return i, "nothing follows a backslash"
			}
		case c == ' ' || c == ',':
			return i, "want = after a field's name"
		case unprintable(c):
			return i, "a control character in a field's name"
		}
	}
	return len(b), "want = after a field's name"
}

// text reads a string in quotes, in which a backslash escapes any character.
func text(b []byte, v *Value) (n int, ok bool) {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			v.Form, v.Num, v.Bits, v.Text = Text, 0, 0, b[1:i]
			return i + 1, true
		}
	}
	return 0, false
}

// String returns a text without its escapes: of a quotation mark, of a backslash,
// and those that stand for the end of a line, a return or a tab; other
// backslashes stand for themselves.
func (v *Value) String() string {
	var out []byte
	for i := 0; i < len(v.Text); i++ {
		c := v.Text[i]
		if c == '\\' && i+1 < len(v.Text) {
			if at := strings.IndexByte(`"\nrt`, v.Text[i+1]); at >= 0 {
				c = "\"\\\n\r\t"[at]
				i++
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func truth(b []byte, v *Value) (n int, ok bool) {
	for n < len(b) && b[n] != ',' && b[n] != ' ' && b[n] != '\n' && b[n] != '\r' {
		n++
	}
	v.Form, v.Bits, v.Num = Bool, 0, 0
	switch string(b[:n]) {
	case "t", "T", "true", "True", "TRUE":
		v.Num = 1
	case "f", "F", "false", "False", "FALSE":
	default:
		return n, false
	}
	return n, true
}
