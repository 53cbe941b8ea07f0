package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
)

// A segment is a file: eight bytes that say what it is, then records, one a
// frame, little-endian:
//
//	marker u32 · length u32 · boot u64 · sequence u64 · from i64 · to i64 ·
//	CRC of the frame u32 · CRC of all before it u32 · the frame
//
// Both CRCs are CRC-32C. The header has its own, so that a damaged frame costs
// that frame alone, and a damaged header what lies before the next one.
const (
	segmentMagic  = "nspool\x00\x01"
	segmentHeader = len(segmentMagic)
	recordHeader  = 48
	// maxFrame bounds what a length is believed to be: a frame stays below
	// Kafka's 1 MB.
	maxFrame = 4 << 20
)

// marker begins a record. Its bytes are in no UTF-8 text.
const marker = "\xf6\xffSR"

// appendRecord appends a frame as a record.
func appendRecord(dst []byte, it *Item, table *crc32.Table) []byte {
	at := len(dst)
	dst = append(dst, marker...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(it.Bytes)))
	dst = binary.LittleEndian.AppendUint64(dst, it.Boot)
	dst = binary.LittleEndian.AppendUint64(dst, it.Seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(it.From))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(it.To))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(it.Bytes, table))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], table))
	return append(dst, it.Bytes...)
}

// recordSize is what a frame takes in a segment.
func recordSize(it *Item) int64 { return int64(recordHeader + len(it.Bytes)) }

// readHeader returns the frame that a record announces, without its bytes, their
// length and CRC. It is not ok where no record begins.
func readHeader(b []byte, table *crc32.Table) (it Item, length int, crc uint32, ok bool) {
	if len(b) < recordHeader || string(b[:len(marker)]) != marker {
		return Item{}, 0, 0, false
	}
	if crc32.Checksum(b[:recordHeader-4], table) != binary.LittleEndian.Uint32(b[recordHeader-4:]) {
		return Item{}, 0, 0, false
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n > maxFrame {
		return Item{}, 0, 0, false
	}
	it = Item{
		Boot: binary.LittleEndian.Uint64(b[8:]), Seq: binary.LittleEndian.Uint64(b[16:]),
		From: int64(binary.LittleEndian.Uint64(b[24:])), To: int64(binary.LittleEndian.Uint64(b[32:])),
	}
	return it, int(n), binary.LittleEndian.Uint32(b[40:]), true
}

// records reads the records in b one after the other. The frames share b's
// memory.
type records struct {
	b     []byte
	at    int
	table *crc32.Table
	// damaged are frames whose bytes do not fit their CRC, without these;
	// skipped are the bytes between two records in which none begins, and cut
	// those behind the last: of a record that was not written to its end.
	damaged []Item
	skipped int
	cut     int
}

// next returns the next whole record's frame, and false at the end.
func (r *records) next() (Item, bool) {
	for r.at < len(r.b) {
		it, length, crc, ok := readHeader(r.b[r.at:], r.table)
		if !ok {
			r.resync()
			continue
		}
		body := r.at + recordHeader
		if body+length > len(r.b) {
			r.resync()
			continue
		}
		r.at = body + length
		it.Bytes = r.b[body:r.at:r.at]
		if crc32.Checksum(it.Bytes, r.table) == crc {
			return it, true
		}
		it.Bytes = nil
		r.damaged = append(r.damaged, it)
	}
	return Item{}, false
}

// resync goes to where the next record begins, or to the end.
func (r *records) resync() {
	for at := r.at + 1; ; at++ {
		i := bytes.Index(r.b[at:], []byte(marker))
		if i < 0 {
			r.cut, r.at = len(r.b)-r.at, len(r.b)
			return
		}
		at += i
		if _, length, _, ok := readHeader(r.b[at:], r.table); ok && at+recordHeader+length <= len(r.b) {
			r.skipped += at - r.at
			r.at = at
			return
		}
	}
}

// account is what is known of a segment's frames without keeping them.
type account struct {
	frames, bytes     int
	boot              uint64
	firstSeq, lastSeq uint64
	from, to          int64
}

func newAccount() account { return account{from: math.MaxInt64, to: math.MinInt64} }

func (a *account) add(it *Item) {
	if a.frames == 0 {
		a.boot, a.firstSeq = it.Boot, it.Seq
	}
	a.lastSeq = it.Seq
	a.frames++
	a.bytes += len(it.Bytes)
	a.from, a.to = min(a.from, it.From), max(a.to, it.To)
}
