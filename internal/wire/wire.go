// Package wire is the bytes of every record that nines writes to Kafka;
// docs/wire.md specifies them. Equal records give equal bytes, so that a
// partial cut twice is the same record twice. Decoders never panic and never
// allocate more than their input justifies, whatever the bytes: an undecodable
// record costs an error that names the byte.
package wire

import (
	"errors"
	"fmt"
)

// The first byte of each binary record. None of them begins UTF-8 text, so line
// protocols and JSON are told apart even where headers are lost.
const (
	MagicFrame      = 0xF9
	MagicTick       = 0xFA
	MagicPartial    = 0xFB
	MagicCheckpoint = 0xFC
)

// The second byte of each binary record is the version of its form. Whoever
// changes what the bytes mean raises it: a reader then refuses what it would
// misread.
const (
	versionFrame      = 1
	versionTick       = 1
	versionPartial    = 2
	versionCheckpoint = 1
)

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Errors of decoders, to be tested with errors.Is. Each comes wrapped in an
// *Error, which says where.
var (
	// ErrTruncated: the record ends too early.
	ErrTruncated = errors.New("record is truncated")
	// ErrMagic: the record is of another kind.
	ErrMagic = errors.New("record is of another kind")
	// ErrVersion: the record is of a newer release; upgrade the reader first.
	ErrVersion = errors.New("record has a version that this release does not know: upgrade this program")
	// ErrRetired: the record is of an earlier form that nothing reads any more.
	ErrRetired = errors.New("record has a version that this release no longer reads")
	// ErrCorrupt: no encoder writes these bytes.
	ErrCorrupt = errors.New("record is corrupt")
	// ErrLimit: the record is larger than any that nines writes.
	ErrLimit = errors.New("record exceeds a limit")
)

// Error says where and on what a decoder gave up.
type Error struct {
	// Record is the kind of record: "frame", "tick", ...
	Record string
	// Offset is the byte at which the faulty element begins.
	Offset int
	// Element is what was being read: "agent", "column 12", ...
	Element string
	// Err is one of the sentinel errors.
	Err error
}

// Error returns e.g. "decode frame: agent at byte 27: record is truncated".
func (e *Error) Error() string {
	return fmt.Sprintf("decode %s: %s at byte %d: %v", e.Record, e.Element, e.Offset, e.Err)
}

// Unwrap returns the sentinel error.
func (e *Error) Unwrap() error { return e.Err }

// TypeOf returns the type of a record, one of the Type constants: what its
// header nines-type says or, without one, what its first byte shows. It is ""
// for foreign records.
func TypeOf(value []byte, headers []Header) string {
	for i := range headers {
		if h := &headers[i]; h.Key == HeaderType {
			return TypeNamed(h.Value)
		}
	}
	if len(value) == 0 {
		return ""
	}
	switch value[0] {
	case MagicFrame:
		return TypeFrame
	case MagicTick:
		return TypeTick
	case MagicPartial:
		return TypePartial
	case MagicCheckpoint:
		return TypeCheckpoint
	}
	return ""
}

// TypeNamed returns the type that a header names, without an allocation for the types of which there are
// many records.
func TypeNamed(name []byte) string {
	switch string(name) {
	case TypeFrame:
		return TypeFrame
	case TypeTick:
		return TypeTick
	case TypePartial:
		return TypePartial
	}
	return string(name)
}
