package decode

import (
	"encoding/binary"
	"errors"
	"math"
)

// errMessage says that bytes are no protobuf message.
var errMessage = errors.New("the protobuf message is damaged")

// Types of fields on the wire.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// message walks through the fields of a protobuf message without making any
// object of it. The zero value is an empty message.
type message struct {
	b []byte
	// Of the current field: its number and type, what it holds if that is a number,
	// else its bytes.
	field uint64
	typ   uint8
	num   uint64
	bytes []byte
	// damaged says that the message ends in the middle of something or holds what
	// no encoder writes.
	damaged bool
}

// next goes to the next field. It is false at the end, and where the message is
// damaged.
func (m *message) next() bool {
	if len(m.b) == 0 {
		return false
	}
	tag, ok := m.varint()
	if !ok || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return m.fail()
	}
	m.field, m.typ, m.num, m.bytes = tag>>3, uint8(tag&7), 0, nil
	switch m.typ {
	case wireVarint:
		if m.num, ok = m.varint(); !ok {
			return m.fail()
		}
	case wireFixed64:
		if len(m.b) < 8 {
			return m.fail()
		}
		m.num, m.b = binary.LittleEndian.Uint64(m.b), m.b[8:]
	case wireFixed32:
		if len(m.b) < 4 {
			return m.fail()
		}
		m.num, m.b = uint64(binary.LittleEndian.Uint32(m.b)), m.b[4:]
	case wireBytes:
		n, ok := m.varint()
		if !ok || n > uint64(len(m.b)) {
			return m.fail()
		}
		m.bytes, m.b = m.b[:n:n], m.b[n:]
	default:
		return m.fail() // groups, which nobody writes any more
	}
	return true
}

func (m *message) fail() bool {
	m.b, m.damaged = nil, true
	return false
}

func (m *message) varint() (uint64, bool) {
	if len(m.b) > 0 && m.b[0] < 0x80 {
		v := uint64(m.b[0])
		m.b = m.b[1:]
		return v, true
	}
	v, n := binary.Uvarint(m.b)
	if n <= 0 {
		return 0, false
	}
	m.b = m.b[n:]
	return v, true
}

// is tells whether the current field has the number and type. Another type under
// a known number is what no encoder writes.
func (m *message) is(field uint64, typ uint8) bool {
	if m.field != field {
		return false
	}
	if m.typ != typ {
		m.fail()
		return false
	}
	return true
}

func (m *message) float() float64 { return math.Float64frombits(m.num) }

// err is what is wrong with the message, if anything.
func (m *message) err() error {
	if m.damaged {
		return errMessage
	}
	return nil
}

// find returns the bytes of the last field of that number, as protobuf has it
// for fields that do not repeat.
func find(b []byte, field uint64) (found []byte, err error) {
	m := message{b: b}
	for m.next() {
		if m.is(field, wireBytes) {
			found = m.bytes
		}
	}
	return found, m.err()
}

// numbers appends the values of a repeated field of numbers, which are packed or
// not, as the bits that they have on the wire.
func (m *message) numbers(dst []uint64, typ uint8) []uint64 {
	if m.typ == typ {
		return append(dst, m.num)
	}
	if m.typ != wireBytes {
		m.fail()
		return dst
	}
	packed := message{b: m.bytes}
	for len(packed.b) > 0 {
		if typ == wireVarint {
			v, ok := packed.varint()
			if !ok {
				m.fail()
				return dst
			}
			dst = append(dst, v)
			continue
		}
		if len(packed.b) < 8 {
			m.fail()
			return dst
		}
		dst = append(dst, binary.LittleEndian.Uint64(packed.b))
		packed.b = packed.b[8:]
	}
	return dst
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
