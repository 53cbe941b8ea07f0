package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

var (
	errTruncated = errors.New("ends in the middle of a record")
	errVarint    = errors.New("a number is malformed")
)

// decoder turns the record sets of fetch responses into records without an
// allocation per record. What it returns points into the set and into its own
// arenas, and is valid until the next reset.
type decoder struct {
	zdec    *zstd.Decoder
	table   *crc32.Table
	records []Record
	headers []Header
	arena   []byte            // decompressed batches
	used    int               // bytes of batches decoded since the reset
	budget  int               // see decodeBudget
	keys    map[string]string // header keys seen, so that they cost one string each
}

const (
	// maxKeys bounds the header keys remembered; foreign producers choose them.
	maxKeys = 256
	// decodeBudget bounds what one decode unpacks beyond its first batch, so
	// that a reader's memory does not depend on how well telemetry compresses, and
	// that what is unpacked is read while it lies in the processor's own cache.
	decodeBudget = 256 << 10
)

func newDecoder(zdec *zstd.Decoder) *decoder {
	return &decoder{zdec: zdec, budget: decodeBudget, table: crc32.MakeTable(crc32.Castagnoli), keys: map[string]string{}}
}

func (d *decoder) reset() {
	d.records, d.headers, d.arena, d.used = d.records[:0], d.headers[:0], d.arena[:0], 0
}

// damage is a batch that cannot be decoded; next is the offset after it.
type damage struct {
	offset, next int64
	err          error
}

// decode appends the records of set at or after offset from. next is the offset
// at which to go on: it lies beyond control batches and beyond what compaction
// removed. It stops before a damaged batch, which is reported only if nothing
// precedes it. A batch cut off at the end of the set is left for the next fetch.
// rest is what the budget left over: decode it after the next reset.
func (d *decoder) decode(set []byte, from int64) (next int64, rest []byte, bad *damage) {
	be := binary.BigEndian
	next = from
	for len(set) >= batchHeader {
		if d.used >= d.budget {
			return next, set, nil
		}
		base := int64(be.Uint64(set))
		length := int(int32(be.Uint32(set[batchLengthAt:])))
		if length < batchHeader-batchPrefix {
			return d.stop(from, next, &damage{offset: base, next: base + 1, err: fmt.Errorf("length %d is impossible", length)})
		}
		if length > len(set)-batchPrefix {
			break
		}
		batch := set[:batchPrefix+length]
		set = set[batchPrefix+length:]
		if magic := batch[batchMagicAt]; magic != 2 {
			return d.stop(from, next, &damage{offset: base, next: base + 1,
				err: fmt.Errorf("message format %d is older than Kafka 0.11 and not read", magic)})
		}
		after := base + int64(int32(be.Uint32(batch[23:]))) + 1
		if after <= next {
			continue // a batch that ends before the offset asked for
		}
		if err := d.batch(batch, base, next); err != nil {
			return d.stop(from, next, &damage{offset: base, next: after, err: err})
		}
		next = after
	}
	return next, nil, nil
}

func (d *decoder) stop(from, next int64, bad *damage) (int64, []byte, *damage) {
	bad.next = max(bad.next, next+1)
	if next > from {
		return next, nil, nil // first deliver what is good
	}
	return next, nil, bad
}

// batch appends the records of one batch at or after offset from, or nothing.
func (d *decoder) batch(b []byte, base, from int64) error {
	be := binary.BigEndian
	if got, want := crc32.Checksum(b[batchAttrAt:], d.table), be.Uint32(b[batchCRCAt:]); got != want {
		return fmt.Errorf("checksum %08x, want %08x", got, want)
	}
	attr := be.Uint16(b[batchAttrAt:])
	if attr&attrControl != 0 {
		return nil // transaction markers
	}
	body, err := d.unpack(attr&attrCodec, b[batchHeader:])
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	first, maxTime := int64(be.Uint64(b[27:])), int64(be.Uint64(b[35:]))
	count := int(int32(be.Uint32(b[57:])))
	nrec, nhead := len(d.records), len(d.headers)
	for range count {
		var r Record
		if body, err = d.record(body, &r); err != nil {
			d.records, d.headers = d.records[:nrec], d.headers[:nhead]
			return err
		}
		r.Offset += base
		if r.Time += first; attr&attrAppend != 0 {
			r.Time = maxTime
		}
		if r.Offset >= from {
			d.records = append(d.records, r)
		}
	}
	return nil
}

// unpack returns the body of a batch, which lies in b or in the arena.
func (d *decoder) unpack(codec uint16, b []byte) (body []byte, err error) {
	defer func() { d.used += len(body) }()
	if codec == 0 {
		return b, nil
	}
	if codec == codecZstd {
		body, err = d.zdec.DecodeAll(b, d.room(zstdSize(b)))
	} else {
		body, err = inflate(compress.Compression(codec), b, d.room(8*len(b)))
	}
	if err != nil {
		return nil, err
	}
	// Where the room did not suffice, the body lies elsewhere and costs nothing
	// of the arena.
	if n := len(d.arena); len(body) > 0 && n < cap(d.arena) && &body[0] == &d.arena[:n+1][n] {
		d.arena = d.arena[:n+len(body)]
	}
	return body, nil
}

// room returns an empty slice in the arena with capacity for n bytes. A full
// arena is replaced by one of twice the size; what lies in the old one stays.
func (d *decoder) room(n int) []byte {
	n = min(max(n, 1024), maxBatchBytes)
	if cap(d.arena)-len(d.arena) < n {
		d.arena = make([]byte, 0, max(n, 2*cap(d.arena)))
	}
	return d.arena[len(d.arena):]
}

// zstdSize is what a frame says about its size, or a guess.
func zstdSize(b []byte) int {
	var h zstd.Header
	if h.Decode(b) == nil && h.HasFCS && h.FrameContentSize < maxBatchBytes {
		return int(h.FrameContentSize)
	}
	return 8 * len(b)
}

func inflate(codec compress.Compression, b, dst []byte) ([]byte, error) {
	c := codec.Codec()
	if c == nil {
		return nil, fmt.Errorf("unknown codec %d", codec)
	}
	r := c.NewReader(bytes.NewReader(b))
	defer r.Close()
	buf := bytes.NewBuffer(dst)
	n, err := io.Copy(buf, io.LimitReader(r, maxBatchBytes+1))
	if err != nil {
		return nil, err
	}
	if n > maxBatchBytes {
		return nil, fmt.Errorf("grows beyond %d bytes", maxBatchBytes)
	}
	return buf.Bytes(), nil
}

// record decodes one record and returns what follows it. Offset and Time are
// still relative to the batch.
func (d *decoder) record(b []byte, r *Record) (rest []byte, err error) {
	n, b, err := varint(b)
	if err != nil {
		return nil, err
	}
	if n < 1 || n > int64(len(b)) {
		return nil, errTruncated
	}
	b, rest = b[1:n], b[n:] // the first byte holds unused attributes
	if r.Time, b, err = varint(b); err != nil {
		return nil, err
	}
	if r.Offset, b, err = varint(b); err != nil {
		return nil, err
	}
	if r.Key, b, err = varbytes(b); err != nil {
		return nil, err
	}
	if r.Value, b, err = varbytes(b); err != nil {
		return nil, err
	}
	count, b, err := varint(b)
	if err != nil {
		return nil, err
	}
	if count > int64(len(b)) { // a header has at least two bytes
		return nil, errTruncated
	}
	start := len(d.headers)
	for range count {
		var key, value []byte
		if key, b, err = varbytes(b); err != nil {
			return nil, err
		}
		if value, b, err = varbytes(b); err != nil {
			return nil, err
		}
		d.headers = append(d.headers, Header{Key: d.key(key), Value: value})
	}
	if count > 0 {
		r.Headers = d.headers[start:len(d.headers):len(d.headers)]
	}
	return rest, nil
}

func (d *decoder) key(b []byte) string {
	if s, ok := d.keys[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(d.keys) < maxKeys {
		d.keys[s] = s
	}
	return s
}

func varint(b []byte) (int64, []byte, error) {
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, errVarint
	}
	return v, b[n:], nil
}

func varbytes(b []byte) (v, rest []byte, err error) {
	n, b, err := varint(b)
	if err != nil {
		return nil, nil, err
	}
	if n < 0 {
		return nil, b, nil
	}
	if n > int64(len(b)) {
		return nil, nil, errTruncated
	}
	return b[:n:n], b[n:], nil
}
