// Package framing makes an agent's rounds into numbered frames, and says which
// partition they go to. It promises numbers from 1 without holes, blocks of one
// schema each with ascending times, and schemas with the first frame that needs
// them and every minute. The agent and the fleet simulator send what it makes.
package framing

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"nines/agent/spool"
	"nines/internal/hist"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	// maxFrame is the most bytes of a frame: below Kafka's usual limit of
	// 1 MB with room for the record's own fields.
	maxFrame = 900_000
	// schemaEvery is how often each schema is repeated, milliseconds. A
	// collector that comes late waits no longer than that.
	schemaEvery = 60_000
)

var errTooLarge = errors.New("one round is larger than a frame may be")

// Framer collects rounds and makes frames of them. Sink, Schema, Host and
// SetHost are safe for concurrent use; everything else belongs to one goroutine.
type Framer struct {
	agent string
	boot  uint64
	limit int
	// urgent receives after a round that should leave at once.
	urgent chan struct{}
	first  func() // see OnFirst

	mu      sync.Mutex
	host    telemetry.Labels
	pending []telemetry.Round
	defs    map[uint64]*telemetry.Schema // those in schema

	spare  []telemetry.Round
	seq    uint64 // of the last frame made
	enc    wire.Encoder
	schema map[uint64]int64 // fingerprint → when it was last sent, Unix ms
	size   int              // of the last frame: a guess at the next

	tooLarge uint64 // rounds given up since the boot began
}

// New returns the framer of one boot of an agent. boot is random for each
// process and not zero; host are the labels of every frame.
func New(agent string, boot uint64, host telemetry.Labels) *Framer {
	return &Framer{
		agent: agent, boot: boot, host: host, limit: maxFrame,
		urgent: make(chan struct{}, 1), schema: map[uint64]int64{}, defs: map[uint64]*telemetry.Schema{},
	}
}

// Sink is the telemetry.Sink of every source.
func (f *Framer) Sink(r telemetry.Round) {
	f.mu.Lock()
	first := len(f.pending) == 0
	f.pending = append(f.pending, r)
	f.mu.Unlock()
	if first && f.first != nil {
		f.first()
	}
	if r.Urgent {
		select {
		case f.urgent <- struct{}{}:
		default:
		}
	}
}

// OnFirst has a function called when a round comes and none waited before it, by
// the goroutine that brings the round. It is set before the first Sink.
func (f *Framer) OnFirst(first func()) { f.first = first }

// Flush makes frames of the rounds collected so far; none where there are none.
// now is the send time they carry, Unix milliseconds.
func (f *Framer) Flush(now int64) []spool.Item {
	f.mu.Lock()
	rounds := f.pending
	f.pending = f.spare[:0]
	f.mu.Unlock()
	var items []spool.Item
	if len(rounds) > 0 {
		items = f.frames(items, blocks(rounds), now)
	}
	clear(rounds)
	f.spare = rounds
	return items
}

// Urgent receives after a round that should leave at once.
func (f *Framer) Urgent() <-chan struct{} { return f.urgent }

// Host returns the labels of every frame from now on.
func (f *Framer) Host() telemetry.Labels {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.host
}

// SetHost changes the labels of the frames to come; host is not changed after.
func (f *Framer) SetHost(host telemetry.Labels) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.host = host
}

// Seq returns the number of the last frame made, 0 before the first.
func (f *Framer) Seq() uint64 { return f.seq }

// Schema returns the schema of a fingerprint in frames made lately, nil where
// none had it.
func (f *Framer) Schema(fingerprint uint64) *telemetry.Schema {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.defs[fingerprint]
}

// RepeatSchemas makes the next frame carry every schema again: frames that
// carried them were lost.
func (f *Framer) RepeatSchemas() { clear(f.schema) }

// frames appends the blocks as one frame, or as several where one would be too
// large.
func (f *Framer) frames(items []spool.Item, bs []telemetry.Block, now int64) []spool.Item {
	it, err := f.frame(bs, now)
	if err == nil {
		return append(items, it)
	}
	left, right := split(bs)
	if left == nil {
		f.tooLarge++
		return items
	}
	return f.frames(f.frames(items, left, now), right, now)
}

// frame encodes the blocks under the next sequence number, which it takes only
// if the frame is small enough.
func (f *Framer) frame(bs []telemetry.Block, now int64) (spool.Item, error) {
	fr := telemetry.Frame{Agent: f.agent, Boot: f.boot, Seq: f.seq + 1, SendTime: now, Host: f.Host(), Blocks: bs}
	var carried []uint64
	b := f.enc.AppendFrame(make([]byte, 0, f.size+f.size/4+256), &fr, func(fp uint64) bool {
		if last, ok := f.schema[fp]; ok && now-last < schemaEvery && now >= last {
			return false
		}
		carried = append(carried, fp)
		return true
	})
	if len(b) > f.limit {
		return spool.Item{}, errTooLarge
	}
	if len(carried) > 0 {
		f.carry(carried, bs, now)
		f.expireSchemas(now)
	}
	f.seq++
	f.size = len(b)
	it := spool.Item{Boot: f.boot, Seq: f.seq, Bytes: b, From: bs[0].Times[0], To: bs[0].Times[0]}
	for i := range bs {
		it.From = min(it.From, bs[i].Times[0])
		it.To = max(it.To, bs[i].Times[len(bs[i].Times)-1])
	}
	return it, nil
}

// carry notes that a frame of these blocks carried schemas.
func (f *Framer) carry(carried []uint64, bs []telemetry.Block, now int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fp := range carried {
		f.schema[fp] = now
	}
	for i := range bs {
		f.defs[bs[i].Fingerprint] = bs[i].Schema
	}
}

// expireSchemas forgets schemas that no source uses any more.
func (f *Framer) expireSchemas(now int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.defs) < 256 {
		return
	}
	for fp := range f.defs {
		if _, used := f.schema[fp]; !used {
			delete(f.defs, fp)
		}
	}
	for fp, last := range f.schema {
		if now-last >= 2*schemaEvery {
			delete(f.schema, fp)
			delete(f.defs, fp)
		}
	}
}

// blocks merges rounds of one schema, in the order in which the schemas first
// came. Times within a block ascend strictly; a round that would break that
// begins another block.
func blocks(rounds []telemetry.Round) []telemetry.Block {
	if len(rounds) == 1 { // most frames of a host without probes
		return []telemetry.Block{block([]*telemetry.Round{&rounds[0]})}
	}
	var order []uint64
	by := make(map[uint64][]*telemetry.Round, 16)
	for i := range rounds {
		fp := rounds[i].Schema.Fingerprint
		if by[fp] == nil {
			order = append(order, fp)
		}
		by[fp] = append(by[fp], &rounds[i])
	}
	var out []telemetry.Block
	for _, fp := range order {
		rs := by[fp]
		slices.SortStableFunc(rs, func(a, b *telemetry.Round) int { return cmp.Compare(a.Time, b.Time) })
		for len(rs) > 0 {
			var again []*telemetry.Round
			run := rs[:1]
			for _, r := range rs[1:] {
				if r.Time > run[len(run)-1].Time {
					run = append(run, r)
				} else {
					again = append(again, r)
				}
			}
			out = append(out, block(run))
			rs = again
		}
	}
	return out
}

// block lays rounds of one schema out in columns.
func block(rs []*telemetry.Round) telemetry.Block {
	first := rs[0]
	n := len(rs)
	b := telemetry.Block{Fingerprint: first.Schema.Fingerprint, Schema: first.Schema, Columns: len(first.Schema.Series), Times: make([]int64, n)}
	for r := range rs {
		b.Times[r] = rs[r].Time
	}
	if n == 1 {
		b.Values, b.Absent, b.Hists = first.Values, first.Absent, first.Hists
		return b
	}
	b.Values = make([]float64, n*len(first.Values))
	for r, round := range rs {
		for i, v := range round.Values {
			b.Values[i*n+r] = v
		}
		for i := range round.Values {
			if w := i >> 6; w < len(round.Absent) && round.Absent[w]&(1<<(i&63)) != 0 {
				b.SetAbsent(i*n + r)
			}
		}
		if round.Hists != nil && b.Hists == nil {
			b.Hists = make([]*hist.Histogram, len(b.Values))
		}
		for i, h := range round.Hists {
			b.Hists[i*n+r] = h
		}
	}
	return b
}

// split halves blocks: between blocks, or between the rounds of a single one.
// It returns nil where there is one round.
func split(bs []telemetry.Block) (left, right []telemetry.Block) {
	if n := len(bs); n > 1 {
		return bs[:n/2], bs[n/2:]
	}
	n := len(bs[0].Times)
	if n == 1 {
		return nil, nil
	}
	return []telemetry.Block{rowsOf(&bs[0], 0, n/2)}, []telemetry.Block{rowsOf(&bs[0], n/2, n)}
}

// rowsOf copies the rounds from up to to, exclusive, of a block.
func rowsOf(b *telemetry.Block, from, to int) telemetry.Block {
	n, m := len(b.Times), to-from
	columns := len(b.Values) / n
	out := telemetry.Block{Fingerprint: b.Fingerprint, Schema: b.Schema, Columns: b.Columns, Times: b.Times[from:to], Values: make([]float64, columns*m)}
	if b.Hists != nil {
		out.Hists = make([]*hist.Histogram, columns*m)
	}
	for c := range columns {
		for r := range m {
			at := c*n + from + r
			out.Values[c*m+r] = b.Values[at]
			if b.IsAbsent(at) {
				out.SetAbsent(c*m + r)
			}
			if b.Hists != nil {
				out.Hists[c*m+r] = b.Hists[at]
			}
		}
	}
	return out
}
