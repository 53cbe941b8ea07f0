package aggregate

import (
	"encoding/binary"

	"nines/collector/decode"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

// maxForeignSeries bounds the series of a partition that objectives read.
const maxForeignSeries = 1 << 20

// foreignColumn is what a column of a set feeds.
type foreignColumn struct {
	name string
	// series is nil where it feeds nothing. Unkeyed then says that it is a
	// cumulative counter, and that this was not said yet.
	series  *foreignSeries
	unkeyed bool
}

// idle tells whether nothing is to be done with the column's samples.
func (c *foreignColumn) idle() bool { return c.series == nil && !c.unkeyed }

// foreignSeries is a series that feeds something. It is known by its name and
// labels, however it was written.
type foreignSeries struct {
	id     string
	name   string
	labels telemetry.Labels
	kind   decode.Kind
	// key is the hash of the key under which its records come.
	key     uint64
	times   decode.Times
	rest    float64 // of a Delta: what is less than one event
	counted cumulative
	used    int64
	rules   *ruleSet // that what follows was resolved by
	plan    *plan
	pairs   []*foreignPair // by part.pair
	natives []int          // of pairs: those that a histogram with exponential buckets feeds
	// single says that each value stands alone, so that repeats must be known, and
	// running that values are cumulative. Of untyped series, objectives may read
	// either.
	single, running bool
}

type foreignPairKey struct {
	set    uint64
	stream string
	from   int64
}

type foreignPair struct{ pair }

// taken drops the reading of time t.
func (p *pair) taken(t int64) {
	for i := range p.pending {
		if p.pending[i].Time == t {
			p.pending = append(p.pending[:i], p.pending[i+1:]...)
			return
		}
	}
}

// idleColumn tells whether the column feeds nothing by its name alone, and need
// not be spoken of.
func (s *State) idleColumn(c *decode.Column) (foreignColumn, bool) {
	return foreignColumn{name: c.Name}, !running(c.Kind) && !s.rules.reads(c.Name)
}

func running(k decode.Kind) bool { return k == decode.Counter || k == decode.Native }

// foreignColumn finds what a column feeds.
func (s *State) foreignColumn(c *decode.Column) foreignColumn {
	f := s.foreign
	out := foreignColumn{name: c.Name, unkeyed: running(c.Kind)}
	if !s.rules.reads(c.Name) {
		return out
	}
	labels := decode.WithHost(c.Labels, f.record.Host())
	id := foreignID(c, labels)
	if labels.Get(decode.LabelHost) == "" {
		id += string(binary.LittleEndian.AppendUint64(nil, f.record.key))
	}
	sr := f.series[id]
	if sr == nil {
		sr = &foreignSeries{id: id, name: c.Name, labels: labels, kind: c.Kind}
	}
	sr.used = s.logTime
	if sr.rules != s.rules {
		s.resolveForeign(sr)
	}
	switch {
	case !sr.single && !sr.running:
		return out
	case f.series[id] == nil && len(f.series) >= maxForeignSeries:
		f.record.full, out.unkeyed = true, false
		return out
	}
	f.series[id], out.series, out.unkeyed = sr, sr, false
	return out
}

// foreignID is the identity of a series: its name, its labels, and how its values
// are to be read.
func foreignID(c *decode.Column, labels telemetry.Labels) string {
	b := appendText([]byte{byte(c.Kind)}, c.Name)
	for _, l := range labels {
		b = appendText(appendText(b, l.Name), l.Value)
	}
	return string(b)
}

// resolveForeign finds what the series feeds by the rules in force.
func (s *State) resolveForeign(sr *foreignSeries) {
	p := s.foreignPlan(sr)
	sr.rules, sr.plan, sr.pairs, sr.natives = s.rules, p, nil, nil
	switch {
	case len(p.gains) == 0:
		sr.counted = cumulative{}
	case sr.counted.who == nil && len(sr.counted.apart) == 0:
		sr.counted.who = p.gains[0].who
	default:
		s.align(&sr.counted, p.gains[0].who, false)
	}
	for i := range p.pairs {
		sr.pairs = append(sr.pairs, s.foreign.pairOf(sr, &p.pairs[i], s.logTime))
	}
	if sr.kind == decode.Native || sr.kind == decode.NativeDelta {
		s.resolveNative(sr)
	}
	cumulative := len(p.gains) > 0 || len(p.parts) > 0 || len(sr.natives) > 0
	delta := sr.kind == decode.Delta || sr.kind == decode.NativeDelta
	sr.running = cumulative && !delta
	sr.single = cumulative && delta || len(p.steps) > 0 || len(p.feeds) > 0
	s.foreign.awaitTallies(sr, s.logTime)
}

// foreignPlan returns the plan of the series. Series of one name of which the
// labels that any objective reads are equal share theirs, so that a new host's
// cost a look-up each; not where histograms are told apart by all their labels.
func (s *State) foreignPlan(sr *foreignSeries) *plan {
	if sr.kind == decode.Native || sr.kind == decode.NativeDelta || s.rules.readsClassic(sr.name) {
		return s.newForeignPlan(sr)
	}
	key := appendText([]byte{byte(sr.kind)}, sr.name)
	for _, name := range s.rules.labelsBy[sr.name] {
		key = appendText(key, sr.labels.Get(name))
	}
	plans := s.foreign.plans
	p := plans[string(key)]
	if p == nil {
		if len(plans) >= maxForeignSeries {
			clear(plans) // series keep theirs
		}
		p = s.newForeignPlan(sr)
		plans[string(key)] = p
	}
	return p
}

func (s *State) newForeignPlan(sr *foreignSeries) *plan {
	p := &plan{fed: s.swept}
	for _, kind := range kindsOf(sr.kind) {
		def := &telemetry.Schema{Series: []telemetry.Series{{Name: sr.name, Labels: sr.labels, Kind: kind}}}
		if kind == telemetry.Counter {
			s.addForeignGain(p, &def.Series[0])
		} else {
			s.addColumn(p, 0, &def.Series[0], nil)
		}
		if kind != telemetry.Gauge || sr.kind == decode.Gauge {
			s.histograms(p, def, nil)
		}
	}
	return p
}

// kindsOf returns as what a series may be read: if nobody says what it is, as
// what the objective needs.
func kindsOf(k decode.Kind) []telemetry.Kind {
	switch k {
	case decode.Untyped:
		return []telemetry.Kind{telemetry.Gauge, telemetry.Counter}
	case decode.Counter, decode.Delta:
		return []telemetry.Kind{telemetry.Counter}
	case decode.Native, decode.NativeDelta:
		return []telemetry.Kind{telemetry.Histogram}
	}
	return []telemetry.Kind{telemetry.Gauge}
}

func (f *foreignState) pairOf(sr *foreignSeries, pf *pairFeed, now int64) *foreignPair {
	k := foreignPairKey{pf.set ^ uint64(sr.kind)<<56, pf.stream.id, pf.stream.From}
	if sr.labels.Get(decode.LabelHost) == "" {
		k.set ^= f.record.key
	}
	p := f.pairs[k]
	if p == nil {
		p = &foreignPair{pair{used: now}}
		f.pairs[k] = p
	}
	return p
}

// forgetValues makes the next values of the series those from which is counted.
func (sr *foreignSeries) forgetValues() {
	for c := range sr.counted.counters() {
		c.time = 0
	}
	for _, p := range sr.pairs {
		p.pair = pair{used: p.used}
	}
}

// resolveNative ties a histogram with exponential buckets to the streams whose
// threshold is a bucket's bound.
func (s *State) resolveNative(sr *foreignSeries) {
	var probe decode.NativeHistogram
	for _, t := range sr.plan.tallies {
		st := t.stream
		if _, exact := probe.AtMost(st.def.Threshold); !exact || st.op != opLTE && st.op != opGT {
			continue
		}
		pf := pairFeed{set: t.set, stream: st, cell: s.cellOf(st, sr.labels, nil)}
		sr.natives = append(sr.natives, len(sr.pairs))
		sr.plan.pairs, sr.pairs = append(sr.plan.pairs, pf), append(sr.pairs, s.foreign.pairOf(sr, &pf, s.logTime))
	}
}

// good returns how many of total values are good, of which bucket are at most
// the threshold.
func (pf *pairFeed) good(bucket, total uint64) uint64 {
	if pf.stream.def.Op == slo.GT {
		return total - bucket
	}
	return bucket
}
