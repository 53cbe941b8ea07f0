package wire

import (
	"encoding/binary"
	"slices"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

// Places of the fixed part of a frame.
const (
	sendTimeAt = 2
	bootAt     = 10
	fixedSize  = 18
)

// Bits of a block's flags.
const (
	blockDefinition = 0x01 // the schema's definition follows
	blockRounds     = 0x02 // more or fewer rounds than one
	blockHists      = 0x04 // the schema has histograms
	blockKnown      = 0x07
)

// Encoder writes frames. The zero value is ready. It keeps memory between
// frames and is for one goroutine.
type Encoder struct {
	body     []byte
	integers []int64
	column   []float64
}

// AppendFrame appends the frame's bytes to dst. withSchemas tells for which
// schemas the frame shall carry the definition; nil is for none. Labels must be
// canonical; what a block lacks of Columns × Times values is written as absent.
// A block without Schema is written with Columns columns.
func (e *Encoder) AppendFrame(dst []byte, f *telemetry.Frame, withSchemas func(fp uint64) bool) []byte {
	dst = append(dst, MagicFrame, versionFrame)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.SendTime))
	dst = binary.LittleEndian.AppendUint64(dst, f.Boot)
	dst = appendUvarint(dst, f.Seq)
	e.body = appendIdentity(e.body[:0], f.Agent, f.Host)
	dst = appendBytes(dst, e.body)
	dst = appendUvarint(dst, uint64(len(f.Blocks)))
	last := int64(0)
	for i := range f.Blocks {
		b := &f.Blocks[i]
		define := b.Schema != nil && withSchemas != nil && withSchemas(b.Fingerprint) && !definedBefore(f.Blocks[:i], b.Fingerprint)
		dst = e.appendBlock(dst, b, define, &last)
	}
	return dst
}

// definedBefore tells whether an earlier block of the frame has the schema.
func definedBefore(blocks []telemetry.Block, fp uint64) bool {
	for i := range blocks {
		if blocks[i].Fingerprint == fp {
			return true
		}
	}
	return false
}

// appendIdentity appends who sends: the agent's name, and the host's labels, in
// which a value equal to the agent's name is written as length 0.
func appendIdentity(dst []byte, agent string, host telemetry.Labels) []byte {
	dst = appendString(dst, agent)
	dst = appendUvarint(dst, uint64(len(host)))
	for i := range host {
		dst = appendLabelName(dst, host[i].Name)
		if host[i].Value == agent {
			dst = append(dst, 0)
		} else {
			dst = appendString(dst, host[i].Value)
		}
	}
	return dst
}

// appendBlock appends one block. *last is the time that the block's first time
// is written relative to, and becomes the block's first time.
func (e *Encoder) appendBlock(dst []byte, b *telemetry.Block, define bool, last *int64) []byte {
	columns, hists := b.Columns, false
	if b.Schema != nil {
		columns = len(b.Schema.Series)
		hists = b.Schema.Histograms() > 0
	}
	flags := byte(0)
	if define {
		flags |= blockDefinition
	}
	if len(b.Times) != 1 {
		flags |= blockRounds
	}
	if hists {
		flags |= blockHists
	}
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint64(dst, b.Fingerprint)
	if define {
		e.body = appendSchema(e.body[:0], b.Schema)
		dst = appendBytes(dst, e.body)
	}
	dst = appendTimes(dst, b.Times, last)
	dst = appendUvarint(dst, uint64(columns))

	values, absent := e.complete(b, columns*len(b.Times))
	e.body = e.body[:0]
	if len(b.Times) == 1 {
		e.body = appendVector(e.body, values, absent, 0)
	} else {
		e.body = e.appendColumns(e.body, values, absent, len(b.Times))
	}
	if hists {
		e.body = appendHists(e.body, b, len(b.Times))
	}
	return appendBytes(dst, e.body)
}

// complete returns the block's values and which of them are absent, with n
// values whatever the block has.
func (e *Encoder) complete(b *telemetry.Block, n int) ([]float64, []uint64) {
	if len(b.Values) == n {
		if len(b.Absent) == 0 {
			return b.Values, nil
		}
		return b.Values, b.Absent
	}
	e.column = append(e.column[:0], b.Values[:min(n, len(b.Values))]...)
	absent := slices.Clone(b.Absent)
	for i := len(e.column); i < n; i++ {
		e.column = append(e.column, 0)
		setBit(&absent, i)
	}
	return e.column, absent
}

// appendTimes appends the times. One time is written relative to *last. Other
// numbers of times are written as their number, the first time, and each
// further interval as its difference from the one before: 0 on a steady beat.
func appendTimes(dst []byte, times []int64, last *int64) []byte {
	if len(times) != 1 {
		dst = appendUvarint(dst, uint64(len(times)))
	}
	if len(times) == 0 {
		return dst
	}
	dst = appendVarint(dst, times[0]-*last)
	*last = times[0]
	interval := int64(0)
	for i := 1; i < len(times); i++ {
		d := times[i] - times[i-1]
		dst = appendVarint(dst, d-interval)
		interval = d
	}
	return dst
}

// appendHists appends, for the schema's histogram columns in their order, the
// bit set of those present, and their bytes.
func appendHists(dst []byte, b *telemetry.Block, rounds int) []byte {
	at, n := len(dst), 0
	for c := range b.Schema.Series {
		if b.Schema.Series[c].Kind != telemetry.Histogram {
			continue
		}
		for r := range rounds {
			if n&7 == 0 {
				dst = append(dst, 0)
			}
			if h := histAt(b, c*rounds+r); h != nil {
				dst[at+n>>3] |= 1 << (n & 7)
			}
			n++
		}
	}
	for c := range b.Schema.Series {
		if b.Schema.Series[c].Kind != telemetry.Histogram {
			continue
		}
		for r := range rounds {
			if h := histAt(b, c*rounds+r); h != nil {
				dst = h.AppendBinary(dst)
			}
		}
	}
	return dst
}

func histAt(b *telemetry.Block, i int) *hist.Histogram {
	if i < len(b.Hists) {
		return b.Hists[i]
	}
	return nil
}
