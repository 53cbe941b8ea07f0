package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

// Bounds of one frame: Kafka's records are about 1 MB, and these keep what
// hostile ones unfold to within 10 MB.
const (
	// MaxSamples is the greatest number of values in a frame.
	MaxSamples = 1 << 20
)

func floatBits(v float64) uint64 { return math.Float64bits(v) }

// Decoder reads frames. The zero value is ready. It remembers senders, so that
// the strings of a frame cost nothing after the first. It is for one goroutine.
type Decoder struct {
	// Unneeded, where set, says of a block's schema that nobody will look at the
	// block's values. Of one round without histograms they are then checked and
	// counted, but not read: the block has Unread and no Values. What is refused
	// does not depend on it.
	Unneeded func(*telemetry.Schema) bool

	senders senders
	last    *Sender
	hists   []*hist.Histogram
	padded  []byte
}

// DecodeFrame reads the frame b into f, and the definitions that it carries
// into schemas. It takes over all slices and histograms of f for reuse: what f
// held before is invalid, and the caller may keep f's Blocks only until it
// hands f to DecodeFrame again. Strings, Host, and schemas may be kept and are
// shared: they must not be changed. f keeps nothing of b.
//
// A block whose schema is not known has Schema nil and no Values; Fingerprint,
// Columns and Times are set. After an error f's content is undefined, but
// definitions read before it remain in schemas.
func (d *Decoder) DecodeFrame(b []byte, f *telemetry.Frame, schemas Schemas) error {
	// Vectors are read some bytes at a time; a padded copy is cheaper than to
	// look at each value whether the record ends there.
	d.padded = append(append(d.padded[:0], b...), make([]byte, vectorPad)...)
	r := reader{b: d.padded[:len(b)], record: "frame", padded: d.padded}
	d.header(&r, f)
	// A block takes at least its flags, fingerprint, time, and two lengths.
	n := r.count("blocks", 12)
	if cap(f.Blocks) < n {
		f.Blocks = slices.Grow(f.Blocks[:cap(f.Blocks)], n-cap(f.Blocks))
	}
	f.Blocks = f.Blocks[:n]
	d.reclaim(f)
	samples, last := 0, int64(0)
	for i := range f.Blocks {
		d.block(&r, &f.Blocks[i], schemas, &samples, &last)
		if r.err != nil {
			return r.err
		}
	}
	r.end()
	return r.err
}

// DecodeFrameHeader reads the frame's header only: Agent, Boot, Seq, SendTime
// and Host. It costs some ten nanoseconds. f's Blocks are emptied.
func (d *Decoder) DecodeFrameHeader(b []byte, f *telemetry.Frame) error {
	r := reader{b: b, record: "frame"}
	d.header(&r, f)
	f.Blocks = f.Blocks[:0]
	return r.err
}

// RestampFrame writes the time of sending, Unix milliseconds, into an encoded
// frame.
func RestampFrame(b []byte, sendTime int64) error {
	r := reader{b: b, record: "frame"}
	r.begin(MagicFrame, versionFrame)
	r.fixed64("send time")
	if r.err != nil {
		return r.err
	}
	binary.LittleEndian.PutUint64(b[sendTimeAt:], uint64(sendTime))
	return nil
}

func (d *Decoder) header(r *reader, f *telemetry.Frame) {
	d.last = nil
	r.begin(MagicFrame, versionFrame)
	if r.err == nil && len(r.b) < fixedSize {
		r.fail(r.p, "header", ErrTruncated)
	}
	if r.err != nil {
		return
	}
	f.SendTime = int64(binary.LittleEndian.Uint64(r.b[sendTimeAt:]))
	f.Boot = binary.LittleEndian.Uint64(r.b[bootAt:])
	r.p = fixedSize
	f.Seq = r.uvarint("sequence")
	at := r.p
	if d.last = d.senders.find(r, f.Boot, r.bytes("identity")); d.last != nil {
		f.Agent, f.Host = d.last.Agent, d.last.Host
	} else {
		r.fail(at, "identity", ErrCorrupt)
	}
}

// Sender returns who sent the frame that was read last, nil where its header
// could not be read. It is the same for all frames of a boot as long as it is
// remembered.
func (d *Decoder) Sender() *Sender { return d.last }

// reclaim collects the histograms that f held, to be filled again.
func (d *Decoder) reclaim(f *telemetry.Frame) {
	d.hists = d.hists[:0]
	for i := range f.Blocks {
		b := &f.Blocks[i]
		for _, h := range b.Hists {
			if h != nil {
				d.hists = append(d.hists, h)
			}
		}
		b.Hists = b.Hists[:0]
	}
}

func (d *Decoder) block(r *reader, b *telemetry.Block, schemas Schemas, samples *int, last *int64) {
	at := r.p
	flags := r.byte("block flags")
	if flags&^blockKnown != 0 {
		r.fail(at, "block flags", ErrVersion)
	}
	b.Fingerprint = r.fixed64("fingerprint")
	if r.err != nil {
		return
	}
	b.Schema = schemas.Lookup(b.Fingerprint)
	if flags&blockDefinition != 0 {
		at = r.p
		definition := r.bytes("definition")
		if b.Schema == nil && r.err == nil {
			b.Schema = r.define(definition, at, b.Fingerprint)
			if r.err != nil {
				return
			}
			schemas.Add(b.Schema)
		}
	}
	r.times(b, flags&blockRounds != 0, last)
	at = r.p
	columns, ok := r.short()
	if !ok {
		columns = r.longUvarint("columns")
	}
	if columns > MaxColumns || *samples+int(columns)*len(b.Times) > MaxSamples {
		r.fail(at, "columns", ErrLimit)
		return
	}
	b.Columns = int(columns)
	*samples += b.Columns * len(b.Times)
	at = r.p
	length, ok := r.short()
	if !ok {
		length = r.longUvarint("values")
	}
	if length > uint64(r.left()) {
		r.fail(at, "values", ErrTruncated)
	}
	if r.err != nil {
		return
	}
	size := int(length)
	b.Values, b.Absent, b.Unread = b.Values[:0], b.Absent[:0], 0
	if b.Schema == nil {
		r.p += size
		return
	}
	if len(b.Schema.Series) != b.Columns || (flags&blockHists != 0) != (b.Schema.Histograms() > 0) {
		r.fail(at, "columns", ErrCorrupt)
		return
	}
	record := r.b
	r.b = record[:r.p+size]
	d.body(r, b, flags)
	r.b = record
}

// define reads a definition and checks it against the block's fingerprint, so
// that no agent can spoil another's schema.
func (r *reader) define(definition []byte, at int, fp uint64) *telemetry.Schema {
	inner := reader{b: r.b[:r.p], p: r.p - len(definition), record: r.record}
	s := inner.schema()
	inner.end()
	if inner.err != nil {
		r.err = inner.err
		return nil
	}
	if s.Fingerprint != fp {
		r.fail(at, "definition", ErrCorrupt)
		return nil
	}
	return s
}

func (r *reader) times(b *telemetry.Block, several bool, last *int64) {
	b.Times = b.Times[:0]
	if !several {
		delta, ok := r.short()
		if !ok {
			delta = r.longUvarint("times")
		}
		*last += unzigzag(delta)
		b.Times = append(b.Times, *last)
		return
	}
	n := r.count("times", 1)
	if n == 0 {
		return
	}
	t := *last + r.varint("times")
	*last = t
	b.Times = append(slices.Grow(b.Times, n), t)
	interval := int64(0)
	for range n - 1 {
		interval += r.varint("times")
		t += interval
		b.Times = append(b.Times, t)
	}
}

func (d *Decoder) body(r *reader, b *telemetry.Block, flags byte) {
	n := b.Columns * len(b.Times)
	// Each column takes half a byte or more, so that the values allocated here
	// are in proportion to the record, but for repeated rounds; these are
	// bounded by MaxSamples.
	if n > 0 && b.Columns > 2*r.left() {
		r.fail(r.p, "values", ErrTruncated)
		return
	}
	if cap(b.Values) < n {
		b.Values = make([]float64, n)
	}
	b.Values = b.Values[:n]
	if len(b.Times) == 1 && flags&blockHists == 0 && d.Unneeded != nil && d.Unneeded(b.Schema) {
		b.Values, b.Unread = b.Values[:0], r.pass(n)
	} else if len(b.Times) == 1 {
		r.vector(b.Values, &b.Absent, 0)
	} else if n > 0 {
		r.columns(b.Values, len(b.Times), &b.Absent)
	}
	if flags&blockHists != 0 && r.err == nil {
		d.blockHists(r, b)
	}
	r.end()
}

func (d *Decoder) blockHists(r *reader, b *telemetry.Block) {
	n := len(b.Values)
	if cap(b.Hists) < n {
		b.Hists = make([]*hist.Histogram, n)
	}
	b.Hists = b.Hists[:n]
	clear(b.Hists)
	rounds := len(b.Times)
	cells := rounds * b.Schema.Histograms()
	at := r.p
	if (cells+7)/8 > r.left() {
		r.fail(at, "histograms", ErrTruncated)
		return
	}
	r.p += (cells + 7) / 8
	cell := 0
	for c := range b.Schema.Series {
		if b.Schema.Series[c].Kind != telemetry.Histogram {
			continue
		}
		for i := c * rounds; i < (c+1)*rounds; i++ {
			if r.b[at+cell>>3]&(1<<(cell&7)) != 0 {
				if b.Hists[i] = d.hist(r); r.err != nil {
					return
				}
			}
			cell++
		}
	}
}

// hist reads one histogram into memory that the frame held before, if any.
func (d *Decoder) hist(r *reader) *hist.Histogram {
	var h *hist.Histogram
	if n := len(d.hists); n > 0 {
		h, d.hists = d.hists[n-1], d.hists[:n-1]
	} else {
		h = &hist.Histogram{}
	}
	rest, err := h.Decode(r.b[r.p:])
	if err != nil {
		r.fail(r.p, "histogram", ErrCorrupt)
		return nil
	}
	r.p = len(r.b) - len(rest)
	return h
}
