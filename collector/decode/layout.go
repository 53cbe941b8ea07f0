package decode

import (
	"encoding/binary"
	"unicode/utf8"
)

// layout is which fields a line holds in which order, and what is needed of
// them. An agent writes the lines of a key alike each time, and all hosts of a
// fleet do, so that sets share few layouts: a line of a known one is compared
// with it, and only what is needed is taken from it.
type layout struct {
	fields []layoutField
	unread int // samples that nobody needs
}

type layoutField struct {
	name  []byte // as it is written, with the equals sign
	place int    // of its column, below zero where the field is a text
	need  bool
	// The name in words and which bits of them it has, where it is no longer than
	// they are: a comparison costs less than a call.
	words, masks [3]uint64
}

// begins tells whether b begins with the field's name and goes on behind it.
func (f *layoutField) begins(b []byte) bool {
	if len(b) <= 24 || f.masks[0] == 0 {
		return len(b) > len(f.name) && string(b[:len(f.name)]) == string(f.name)
	}
	le := binary.LittleEndian
	return (le.Uint64(b)^f.words[0])&f.masks[0]|(le.Uint64(b[8:])^f.words[1])&f.masks[1]|(le.Uint64(b[16:])^f.words[2])&f.masks[2] == 0
}

// inWords puts the name into words, if it fits.
func (f *layoutField) inWords() {
	if len(f.name) > 24 {
		return
	}
	var name, mask [24]byte
	for i := range copy(name[:], f.name) {
		mask[i] = 0xff
	}
	for i := range f.words {
		f.words[i], f.masks[i] = binary.LittleEndian.Uint64(name[8*i:]), binary.LittleEndian.Uint64(mask[8*i:])
	}
}

// maxLayouts bounds the layouts that sets can share.
const maxLayouts = 1 << 16

// nextLine reads the next line: by its layout where that is known, else whole.
func (s *Sets[C]) nextLine() (*Point, error) {
	s.found = nil
	l := &s.reader.lines
	b, err := l.start()
	if b == nil {
		return nil, err
	}
	set := s.lineSet(b)
	if set != nil && set.layout != nil && l.readKnown(b, len(set.key), set.layout) {
		s.found = set
		s.chain(set)
		return &l.point, nil
	}
	p, err := l.readWhole(b)
	if set == nil || err != nil {
		return p, err
	}
	if err := s.follow(set, p); err != nil {
		return nil, err
	}
	s.found = set
	return p, nil
}

// lineSet returns the set of the line that b begins with, nil where it is not
// known. Mostly it is the one that followed the set before the last time, too.
func (s *Sets[C]) lineSet(b []byte) *Known[C] {
	if s.before != nil {
		if set := s.before.after; set != nil && set.begins(b) && (!set.hostless || set.record == s.key) {
			return set
		}
	}
	n, ok := keyEnd(b)
	if !ok {
		return nil
	}
	return s.find(s.hash(b[:n]), b[:n])
}

// begins tells whether the line has the set's key: a key ends where its bytes
// say, so that what begins with them and a space has no other.
func (set *Known[C]) begins(b []byte) bool {
	n := len(set.key)
	return len(b) > n && b[n] == ' ' && string(b[:n]) == set.key
}

// follow notes the set of the line that was read whole, and its layout. On error
// the line is to be refused.
func (s *Sets[C]) follow(set *Known[C], p *Point) error {
	s.chain(set)
	lay, err := s.layoutOf(set, p)
	if lay != nil {
		set.layout = lay
	}
	return err
}

func (s *Sets[C]) chain(set *Known[C]) {
	if s.before != nil && s.before.after != set {
		s.before.after = set
	}
	s.before = set
}

// layoutOf returns the layout of a point with all its values, nil where one of
// them has no column yet. Names are looked at as describe does, whether or not the
// set is known.
func (s *Sets[C]) layoutOf(set *Known[C], p *Point) (*layout, error) {
	key := s.scratch[:0]
	at, whole := 0, true
	for i := range p.Values {
		v := &p.Values[i]
		place := -1
		if v.Form != Text {
			if at >= len(set.Columns) || set.Columns[at].field != string(v.Field) {
				at = set.column(v.Field)
			}
			place = at
			at++
		}
		if place < 0 {
			if !utf8.Valid(v.Field) {
				return nil, errorAtLine(s.reader.lines.line, errFieldName)
			}
			whole = whole && v.Form == Text
		}
		key = append(binary.AppendUvarint(key, uint64(len(v.Field))), v.Field...)
		key = binary.AppendVarint(key, int64(place))
		if need := place >= 0 && !s.unneeded(set, place); need {
			key = append(key, 1)
		} else {
			key = append(key, 0)
		}
	}
	if s.scratch = key; !whole {
		return nil, nil
	}
	lay := s.layouts[string(key)]
	if lay == nil {
		lay = parseLayout(key)
		if s.layouts == nil || len(s.layouts) >= maxLayouts {
			s.layouts = map[string]*layout{} // sets keep theirs
		}
		s.layouts[string(key)] = lay
	}
	return lay, nil
}

func (s *Sets[C]) unneeded(set *Known[C], place int) bool {
	return s.Unneeded != nil && s.Unneeded(&set.Columns[place].Is)
}

// parseLayout reads the key that layoutOf made.
func parseLayout(key []byte) *layout {
	lay := &layout{}
	for len(key) > 0 {
		size, n := binary.Uvarint(key)
		name := append(append([]byte{}, key[n:n+int(size)]...), '=')
		key = key[n+int(size):]
		place, n := binary.Varint(key)
		f := layoutField{name: name, place: int(place), need: key[n] == 1}
		f.inWords()
		lay.fields = append(lay.fields, f)
		if place >= 0 && !f.need {
			lay.unread++
		}
		key = key[n+1:]
	}
	return lay
}

// readKnown reads the line that b begins with, of which the first key bytes are
// its key, into the point, if it has the layout. Where it has not, or something is
// wrong with it, it is to be read whole.
func (l *lines) readKnown(b []byte, key int, lay *layout) bool {
	l.begin(b[:key])
	n := key + spaces(b[key:])
	for i := range lay.fields {
		f := &lay.fields[i]
		if i > 0 {
			if n >= len(b) || b[n] != ',' {
				return false
			}
			n++
		}
		if !f.begins(b[n:]) {
			return false
		}
		n += len(f.name)
		size := 0
		if !f.need && f.place >= 0 {
			size = plainNumber(b[n:])
		}
		if size == 0 {
			if size = l.knownValue(b[n:], f); size == 0 {
				return false
			}
		}
		n += size
	}
	if n < len(b) && b[n] == ',' {
		return false
	}
	l.point.Unread = lay.unread
	n, _, ok := l.end(b, n)
	if ok {
		l.at += n
	}
	return ok
}

// knownValue reads the value of a field, if it is needed, and returns its length,
// 0 where it is to be looked at by readWhole.
func (l *lines) knownValue(b []byte, f *layoutField) int {
	if f.need {
		v := l.point.grow(f.name[:len(f.name)-1])
		n, ok := fieldValue(b, v)
		if !ok || v.Form == Text {
			return 0
		}
		v.place = f.place + 1
		return n
	}
	var v Value
	n, ok := fieldValue(b, &v)
	if !ok || (v.Form == Text) != (f.place < 0) {
		return 0
	}
	return n
}
