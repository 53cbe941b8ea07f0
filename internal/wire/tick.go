package wire

import (
	"encoding/hex"
)

// AppendTick appends the tick's bytes to dst.
func AppendTick(dst []byte, t *Tick) []byte {
	dst = append(dst, MagicTick, versionTick)
	dst = appendVarint(dst, t.Clock)
	dst = appendUvarint(dst, t.Incarnation)
	dst = appendID(dst, t.RuleSet)
	return appendString(dst, t.Owner)
}

// DecodeTick reads the tick b into t.
func DecodeTick(b []byte, t *Tick) error {
	r := reader{b: b, record: "tick"}
	r.begin(MagicTick, versionTick)
	*t = Tick{
		Clock:       r.varint("clock"),
		Incarnation: r.uvarint("incarnation"),
		RuleSet:     r.id("rule set"),
		Owner:       r.string("owner"),
	}
	r.end()
	return r.err
}

// Forms of an identity.
const (
	idText = 0 // a string
	idHex  = 1 // 8 bytes, to be written as 16 hex digits
)

// appendID appends an identity: those of streams and rule sets are 16 hex
// digits.
func appendID(dst []byte, id string) []byte {
	var raw [8]byte
	if len(id) == 16 {
		if _, err := hex.Decode(raw[:], []byte(id)); err == nil && hex.EncodeToString(raw[:]) == id {
			return append(append(dst, idHex), raw[:]...)
		}
	}
	return appendString(append(dst, idText), id)
}

func (r *reader) id(element string) string {
	at := r.p
	switch r.byte(element) {
	case idText:
		return r.string(element)
	case idHex:
		if r.left() < 8 {
			r.fail(at, element, ErrTruncated)
			return ""
		}
		r.p += 8
		return hex.EncodeToString(r.b[r.p-8 : r.p])
	}
	r.fail(at, element, ErrVersion)
	return ""
}
