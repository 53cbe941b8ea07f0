package bus

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// Layout of a record batch, message format 2
// (https://kafka.apache.org/documentation/#recordbatch), big endian:
//
//	 0 base offset int64      21 attributes int16         43 producer id int64
//	 8 length int32           23 last offset delta int32  51 producer epoch int16
//	12 leader epoch int32     27 first timestamp int64    53 base sequence int32
//	16 magic int8             35 max timestamp int64      57 records int32
//	17 crc uint32                                         61 records...
const (
	batchLengthAt = 8
	batchMagicAt  = 16
	batchCRCAt    = 17
	batchAttrAt   = 21
	batchHeader   = 61
	// batchPrefix is what precedes the part that the length counts.
	batchPrefix = 12

	attrCodec   = 0x07
	attrAppend  = 0x08 // all records carry the time at which they were appended
	attrControl = 0x20
	codecZstd   = 4
	// minCompressed is the smallest batch that is worth compressing: a second of
	// a host, packed already, would shrink by less than half a per cent, and each
	// reader would pay more to inflate it than to decode it.
	minCompressed = 1024
)

// appendRecordSet appends the size-prefixed record set of a produce request:
// one batch, compressed if that makes it smaller. Records without a time get
// now (Unix milliseconds).
func appendRecordSet(dst []byte, recs []Record, now int64, enc *zstd.Encoder) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, 4+batchHeader)...)
	timeOf := func(r *Record) int64 {
		if r.Time != 0 {
			return r.Time
		}
		return now
	}
	first := timeOf(&recs[0])
	last := first
	body := len(dst)
	for i := range recs {
		t := timeOf(&recs[i])
		last = max(last, t)
		dst = appendRecord(dst, &recs[i], t-first, int64(i))
	}
	var attr uint16
	if raw := dst[body:]; len(raw) >= minCompressed {
		// The compressed bytes are built behind the raw ones, then moved.
		end := len(dst)
		dst = enc.EncodeAll(raw, dst)
		if packed := dst[end:]; len(packed) < end-body {
			attr = codecZstd
			n := copy(dst[body:], packed)
			dst = dst[:body+n]
		} else {
			dst = dst[:end]
		}
	}
	be := binary.BigEndian
	be.PutUint32(dst[start:], uint32(len(dst)-start-4))
	b := dst[start+4:]
	be.PutUint32(b[batchLengthAt:], uint32(len(b)-batchPrefix))
	be.PutUint32(b[12:], ^uint32(0)) // leader epoch: unknown
	b[batchMagicAt] = 2
	be.PutUint16(b[batchAttrAt:], attr)
	be.PutUint32(b[23:], uint32(len(recs)-1))
	be.PutUint64(b[27:], uint64(first))
	be.PutUint64(b[35:], uint64(last))
	be.PutUint64(b[43:], ^uint64(0)) // no producer id: not idempotent
	be.PutUint16(b[51:], ^uint16(0))
	be.PutUint32(b[53:], ^uint32(0))
	be.PutUint32(b[57:], uint32(len(recs)))
	be.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttrAt:], crc32.MakeTable(crc32.Castagnoli)))
	return dst
}

func appendRecord(dst []byte, r *Record, timeDelta, offsetDelta int64) []byte {
	n := 1 + varintLen(timeDelta) + varintLen(offsetDelta) + bytesLen(r.Key) + bytesLen(r.Value) +
		varintLen(int64(len(r.Headers)))
	for _, h := range r.Headers {
		n += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	dst = binary.AppendVarint(dst, int64(n))
	dst = append(dst, 0) // attributes, unused
	dst = binary.AppendVarint(dst, timeDelta)
	dst = binary.AppendVarint(dst, offsetDelta)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

func bytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func varintLen(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
