package torture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// The model reads nines.telemetry and says what its records are worth by the
// documented rules (docs/objectives.md, docs/wire.md), with maps and strings,
// one record at a time. It shares the decoder and nothing else with aggregate.

type bootID struct {
	agent string
	boot  uint64
}

type groupID struct {
	stream string
	labels uint64
}

type slotID struct {
	groupID
	start int64
}

// tally is what a slot must hold. Where bad events are counted, good ones are
// all that were not taken back.
type tally struct {
	good, total int64
	bins        map[string]map[int64]*[2]int64 // vantage, bin: successes, failures
}

type model struct {
	sets  *rulelog.Log
	parts []*part
	// What the ledger must hold.
	slots    map[slotID]*tally
	unplaced map[groupID][2]int64
	gaps     map[wire.Gap]int
	streams  map[string]*slo.Stream
	labels   map[groupID]telemetry.Labels
	// rounds are the delivered rounds, by number: their values.
	rounds  map[bootID]map[int]map[string]float64
	frames  int
	repeats int
	// wide are the gaps between what was read of a log that is gone and the one
	// after it; lives is how many such logs there were.
	wide  []wideGap
	lives int
	// ticked is when owners wrote ticks, by partition.
	ticked map[int][]int64
}

// wideGap may begin before what was read: at the checkpoint from which the next
// owner starts. Where all was read it may be missing.
type wideGap struct {
	wire.Gap
	must, seen bool
}

// part is one partition of nines.telemetry.
type part struct {
	*model
	number  int
	offset  int64
	log     int64 // log time
	set     string
	spans   []span
	boots   map[bootID]*bootState
	newest  map[string]bootID
	numbers map[string]*number
	dec     wire.Decoder
	known   map[uint64]*telemetry.Schema
}

type span struct {
	id          string
	from, until int64
}

type bootState struct {
	seq    uint64
	newest int64
	past   bool            // its last frame was in a log that is gone
	sent   map[uint64]bool // schemas
	stale  map[uint64]bool // schemas that new rules have to look at again
}

// number is a counter as one stream sees it.
type number struct {
	value float64
	time  int64
	fresh bool
}

func newModel(sets *rulelog.Log) *model {
	return &model{sets: sets, slots: map[slotID]*tally{}, unplaced: map[groupID][2]int64{}, gaps: map[wire.Gap]int{},
		streams: map[string]*slo.Stream{}, labels: map[groupID]telemetry.Labels{}, rounds: map[bootID]map[int]map[string]float64{},
		ticked: map[int][]int64{}}
}

// read goes on to the end of every partition.
func (m *model) read(ctx context.Context, c *bus.Client) error { return m.readTo(ctx, c, nil) }

// begunAnew says that the topic was recreated, of which all that counts was read.
func (m *model) begunAnew() {
	m.lives++
	for _, p := range m.parts {
		p.offset = 0
		for _, n := range p.numbers {
			*n = number{}
		}
		for _, b := range p.boots {
			b.past = true
		}
	}
}

// readTo reads no further than to the given offsets, if any.
func (m *model) readTo(ctx context.Context, c *bus.Client, limits []int64) error {
	if err := m.sets.Load(ctx); err != nil {
		return err
	}
	n, err := c.Partitions(ctx, wire.TopicTelemetry)
	if err != nil {
		return err
	}
	for len(m.parts) < n {
		m.parts = append(m.parts, &part{model: m, number: len(m.parts), boots: map[bootID]*bootState{}, newest: map[string]bootID{},
			numbers: map[string]*number{}, known: map[uint64]*telemetry.Schema{}})
	}
	for i, p := range m.parts {
		first, next, err := c.Offsets(ctx, wire.TopicTelemetry, int32(i))
		if err != nil {
			return err
		}
		if first > p.offset {
			return fmt.Errorf("partition %d begins at %d", i, first)
		}
		if limits != nil {
			next = min(next, limits[i])
		}
		for r := c.Reader(wire.TopicTelemetry, int32(i), p.offset); p.offset < next; {
			recs, err := r.Fetch(ctx, time.Second)
			if err != nil {
				return err
			}
			for j := range recs {
				if recs[j].Offset >= next {
					break
				}
				if err := p.record(&recs[j]); err != nil {
					return fmt.Errorf("partition %d, offset %d: %w", i, recs[j].Offset, err)
				}
			}
			p.offset = min(r.Offset(), next)
		}
	}
	return nil
}

func (p *part) record(rec *bus.Record) error {
	if len(rec.Headers) == 1 && string(rec.Headers[0].Value) == wire.TypeTick {
		var t wire.Tick
		if err := wire.DecodeTick(rec.Value, &t); err != nil {
			return err
		}
		if t.Owner != harness {
			p.ticked[p.number] = append(p.ticked[p.number], t.Clock)
		}
		return p.tick(&t)
	}
	var f telemetry.Frame
	if err := p.dec.DecodeFrame(rec.Value, &f, p); err != nil {
		return err
	}
	p.frame(&f)
	return nil
}

// Lookup and Add implement wire.Schemas.
func (p *part) Lookup(fp uint64) *telemetry.Schema { return p.known[fp] }
func (p *part) Add(s *telemetry.Schema)            { p.known[s.Fingerprint] = s }

// tick passes time, and takes the rule set that it names from the next slot
// boundary on.
func (p *part) tick(t *wire.Tick) error {
	p.log = max(p.log, t.Clock)
	if t.RuleSet == "" || t.RuleSet == p.set {
		return nil
	}
	set, ok := p.sets.Get(t.RuleSet)
	if !ok {
		return errors.New("rule set is not on its topic: " + t.RuleSet)
	}
	live := map[string]bool{}
	for i := range p.spans {
		sp := &p.spans[i]
		if sp.until != 0 {
			continue
		}
		if set.Streams[sp.id] != nil {
			live[sp.id] = true
		} else {
			sp.until = next(p.log, p.streams[sp.id])
		}
	}
	for id, def := range set.Streams {
		p.streams[id] = def
		if live[id] {
			continue
		}
		sp := span{id: id, from: next(p.log, def)}
		if p.set == "" {
			sp.from = 0
		}
		p.spans = append(p.spans, sp)
	}
	p.set = t.RuleSet
	for _, b := range p.boots {
		for fp := range b.sent {
			b.stale[fp] = true
		}
	}
	return nil
}

func next(now int64, def *slo.Stream) int64 { return (now/def.Rule.Length + 1) * def.Rule.Length }

func (p *part) frame(f *telemetry.Frame) {
	id := bootID{f.Agent, f.Boot}
	b := p.boots[id]
	if b != nil && f.Seq <= b.seq {
		p.repeats++
		return
	}
	p.frames++
	oldest, newest := f.SendTime, f.SendTime
	for i := range f.Blocks {
		for j, t := range f.Blocks[i].Times {
			if i == 0 && j == 0 {
				oldest, newest = t, t
			}
			oldest, newest = min(oldest, t), max(newest, t)
		}
	}
	var seq uint64
	var before int64
	if b == nil {
		b = &bootState{sent: map[uint64]bool{}, stale: map[uint64]bool{}}
		p.boots[id] = b
		if old, had := p.newest[f.Agent]; had {
			before = p.boots[old].newest
			p.gaps[wire.Gap{Agent: f.Agent, Boot: f.Boot, From: min(before, oldest), To: max(before, oldest), Reason: wire.ReasonRestart}]++
		}
		p.newest[f.Agent] = id
	} else {
		seq, before = b.seq, b.newest
	}
	gap := wire.Gap{Agent: f.Agent, Boot: f.Boot, FirstSeq: seq + 1, LastSeq: f.Seq - 1, From: min(before, oldest), To: max(before, oldest), Reason: wire.ReasonSequence}
	switch {
	case b.past:
		p.wide = append(p.wide, wideGap{Gap: gap, must: f.Seq > seq+1})
		b.past = false
	case f.Seq > seq+1:
		p.gaps[gap]++
	}
	fr := &frame{part: p, id: id, b: b, host: f.Host, before: b.newest, missed: b.seq == 0 && f.Seq > 1}
	b.seq, b.newest = f.Seq, newest
	for i := range f.Blocks {
		fr.block(&f.Blocks[i])
	}
}

// frame is the frame being read.
type frame struct {
	*part
	id     bootID
	b      *bootState
	host   telemetry.Labels
	before int64
	missed bool
}

func (f *frame) block(blk *telemetry.Block) {
	if blk.Schema == nil {
		f.gaps[wire.Gap{Agent: f.id.agent, Boot: f.id.boot, FirstSeq: f.b.seq, LastSeq: f.b.seq,
			From: blk.Times[0], To: blk.Times[len(blk.Times)-1], Reason: wire.ReasonSchema}]++
		return
	}
	f.meet(blk.Schema)
	n := len(blk.Times)
	for r, t := range blk.Times {
		values := map[string]float64{}
		for i := range blk.Schema.Series {
			s := &blk.Schema.Series[i]
			if s.Name == "bulk" || blk.IsAbsent(i*n+r) {
				continue
			}
			v := blk.Values[i*n+r]
			values[s.Name+s.Labels.String()] = v
			f.sample(s, t, v)
		}
		if no := values[metricRound+"{}"]; no > 0 {
			if f.rounds[f.id] == nil {
				f.rounds[f.id] = map[int]map[string]float64{}
			}
			f.rounds[f.id][int(no)] = values
		}
	}
}

// meet makes the counters of a schema that the boot sends for the first time,
// or the first time under new rules.
func (f *frame) meet(def *telemetry.Schema) {
	known := f.b.sent[def.Fingerprint]
	if known && !f.b.stale[def.Fingerprint] {
		return
	}
	f.b.sent[def.Fingerprint] = true
	delete(f.b.stale, def.Fingerprint)
	for i := range def.Series {
		s := &def.Series[i]
		for _, sp := range f.spans {
			role := roleOf(f.streams[sp.id], s)
			if role == "" || s.Kind != telemetry.Counter {
				continue
			}
			if k := f.key(sp, s, role); f.numbers[k] == nil {
				f.numbers[k] = &number{fresh: s.Fresh && !known}
			}
		}
	}
}

func (f *frame) key(sp span, s *telemetry.Series, role string) string {
	boot := uint64(0)
	if s.Fresh {
		boot = f.id.boot
	}
	return fmt.Sprint(f.id.agent, boot, s.Name, s.Labels, sp.id, sp.from, role)
}

// roleOf says what a series is to a stream. The objectives here name metrics
// alone.
func roleOf(def *slo.Stream, s *telemetry.Series) string {
	switch {
	case def.Sample != nil && def.Sample.Metric == s.Name:
		return "sample"
	case def.Bad != nil && def.Bad.Metric == s.Name:
		return "bad"
	case def.Total != nil && def.Total.Metric == s.Name:
		return "total"
	}
	return ""
}

func (f *frame) sample(s *telemetry.Series, t int64, v float64) {
	for _, sp := range f.spans {
		def := f.streams[sp.id]
		role := roleOf(def, s)
		if role == "" {
			continue
		}
		in := func(t int64) bool { return t >= sp.from && (sp.until == 0 || t < sp.until) }
		g := f.group(sp.id, def, s)
		if role == "sample" {
			if in(t) {
				good := int64(0)
				if v >= def.Threshold {
					good = 1
				}
				f.count(g, def, t, f.host.Get("host"), good, 1)
			}
			continue
		}
		inc, since, ok := f.numbers[f.key(sp, s, role)].step(f, t, v)
		if !ok || !in(t-1) {
			continue
		}
		good, total := inc, inc // until bad ones are taken back
		if role == "bad" {
			good, total = -inc, 0
		}
		if since == 0 && f.missed || since != 0 && t-since > def.Rule.Length {
			u := f.unplaced[g]
			f.unplaced[g] = [2]int64{u[0] + good, u[1] + total}
			continue
		}
		f.count(g, def, t-1, "", good, total)
	}
}

// step returns the increment and the time since which it happened.
func (n *number) step(f *frame, t int64, v float64) (inc, since int64, ok bool) {
	was, at := n.value, n.time
	if at != 0 && t <= at {
		return 0, 0, false
	}
	n.value, n.time = v, t
	switch {
	case at == 0 && !n.fresh:
		return 0, 0, false
	case at == 0:
		return int64(v), f.before, true
	case v < was:
		return int64(v), at, true
	}
	return int64(v - was), at, true
}

func (f *frame) group(id string, def *slo.Stream, s *telemetry.Series) groupID {
	m := map[string]string{}
	for _, name := range def.GroupBy {
		if m[name] = s.Labels.Get(name); m[name] == "" {
			m[name] = f.host.Get(name)
		}
	}
	labels := telemetry.NewLabels(m)
	g := groupID{id, labels.Hash()}
	f.labels[g] = labels
	return g
}

func (m *model) count(g groupID, def *slo.Stream, t int64, vantage string, good, total int64) {
	id := slotID{g, t - t%def.Rule.Length}
	sl := m.slots[id]
	if sl == nil {
		sl = &tally{bins: map[string]map[int64]*[2]int64{}}
		m.slots[id] = sl
	}
	sl.good += good
	sl.total += total
	if vantage == "" {
		return
	}
	if sl.bins[vantage] == nil {
		sl.bins[vantage] = map[int64]*[2]int64{}
	}
	bin := t - t%def.Bin
	if sl.bins[vantage][bin] == nil {
		sl.bins[vantage][bin] = &[2]int64{}
	}
	sl.bins[vantage][bin][0] += good
	sl.bins[vantage][bin][1] += total - good
}
