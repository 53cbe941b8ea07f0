package forward

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"nines/collector/decode"
	"nines/collector/promseries"
	"nines/internal/telemetry"
)

// translator turns the records of one partition into samples for one target. One
// goroutine owns it.
type translator struct {
	keep   promseries.Selectors
	rules  []*relabel.Config
	agents map[string]*agent
	others *promseries.Foreign[*series]
	m      *meters
}

// agent is what is known of one sender. Blocks hold positions in columns, so that
// a sample of a known schema costs no look-up.
type agent struct {
	host   telemetry.Labels
	boots  promseries.Boots
	blocks map[uint64][]*column
	sums   map[string]*column // histograms by their labels, across schemas
	heard  int64              // time of its last record, Unix milliseconds
}

// column is a series of a schema; nil where it is not sent.
type column struct {
	series *series
	sum    *promseries.Cumulative
	start  int64 // since when sum counts, Unix milliseconds; 0 while it has nothing
	last   int64
}

// maxSchemas bounds what is kept of an agent whose series come and go.
const maxSchemas = 1024

// maxAhead is how far, in milliseconds, a sample of another fleet may be ahead of
// the log, as Prometheus has it.
const maxAhead = 600_000

// silentFor is after how long, in milliseconds of the log, an agent is forgotten.
const silentFor = 3_600_000

func newTranslator(t *Target, m *meters) (*translator, error) {
	keep, err := promseries.ParseSelectors("match", t.Match)
	if err != nil {
		return nil, err
	}
	tr := &translator{keep: keep, agents: map[string]*agent{}, m: m}
	for i := range t.WriteRelabelConfigs {
		rule := t.WriteRelabelConfigs[i]
		if err := rule.Validate(model.UTF8Validation); err != nil {
			return nil, err
		}
		tr.rules = append(tr.rules, &rule)
	}
	tr.others = promseries.NewForeign(func(ls labels.Labels, kind decode.Kind) (*series, bool) {
		one := tr.chosen(ls, foreignType(kind))
		return one, one != nil
	})
	return tr, nil
}

// foreign appends the samples of a record of another fleet; quiet as of frame.
func (t *translator) foreign(dst []sample, rec *decode.Record, at int64, quiet bool) []sample {
	took := t.others.Read(rec, promseries.Bounds{Now: at, Latest: at + maxAhead, Quiet: quiet}, func(s *series, x *promseries.Sample) {
		if x.Quiet {
			return
		}
		if x.First && x.Hist == nil && x.FloatHist == nil {
			// A sum that begins is zero just before, or increments lack what it begins with.
			dst = append(dst, sample{series: s, time: x.Time - 1, start: x.Start})
		}
		dst = append(dst, sample{series: s, time: x.Time, start: x.Start, value: x.Number, hist: x.Hist, float: x.FloatHist})
	})
	if !quiet {
		t.m.repeatedSamples.Add(took.Repeats)
		t.m.late.Add(took.Late)
		t.m.future.Add(took.Future)
		t.m.unfit.Add(took.Unfit)
		t.m.undecoded.Add(min(took.Bad, 1))
	}
	return dst
}

// frame appends the frame's samples. Where quiet, the frame went out before: it
// is only learned from, and what it adds to histograms is in no sum.
func (t *translator) frame(dst []sample, f *telemetry.Frame, at int64, quiet bool) []sample {
	a := t.agents[f.Agent]
	if a == nil {
		a = &agent{blocks: map[uint64][]*column{}, sums: map[string]*column{}}
		t.agents[string(append([]byte(nil), f.Agent...))] = a
	}
	a.heard = at
	if a.boots.Repeated(f.Boot, f.Seq) {
		t.m.repeats.Inc()
		return dst
	}
	if !slices.Equal(a.host, f.Host) {
		a.host = promseries.Clone(f.Host)
		clear(a.blocks)
		clear(a.sums)
	}
	for i := range f.Blocks {
		b := &f.Blocks[i]
		if b.Schema == nil {
			if !quiet {
				t.m.noSchema.Add(b.Samples())
			}
			continue
		}
		cols := t.columns(a, b.Schema)
		if quiet {
			passOver(cols, b)
			continue
		}
		dst = block(dst, cols, b)
	}
	return dst
}

// passOver notes what an earlier life has sent of histograms.
func passOver(cols []*column, b *telemetry.Block) {
	for _, c := range cols {
		if c != nil && c.sum != nil && len(b.Times) > 0 {
			c.last = max(c.last, b.Times[len(b.Times)-1])
		}
	}
}

func block(dst []sample, cols []*column, b *telemetry.Block) []sample {
	n := len(b.Times)
	for i, c := range cols {
		if c == nil {
			continue
		}
		for r, at := range b.Times {
			k := i*n + r
			switch {
			case b.IsAbsent(k):
			case c.sum == nil:
				dst = append(dst, sample{series: c.series, time: at, value: b.Values[k]})
			case k < len(b.Hists) && b.Hists[k] != nil:
				c.sum.Add(b.Hists[k])
				if c.start == 0 {
					c.start = at - 1 // nothing nearer is known of when it began
				}
				if at > c.last { // a late delta is in the next sum
					dst = append(dst, sample{series: c.series, time: at, start: c.start, hist: c.sum.Native()})
					c.last, c.sum.Written = at, true
				}
			}
		}
	}
	return dst
}

func (t *translator) columns(a *agent, sc *telemetry.Schema) []*column {
	if cols, ok := a.blocks[sc.Fingerprint]; ok {
		return cols
	}
	if len(a.blocks) >= maxSchemas {
		clear(a.blocks) // the next frame of each finds its columns again
	}
	cols := make([]*column, len(sc.Series))
	b := labels.NewScratchBuilder(16)
	for i := range sc.Series {
		s := &sc.Series[i]
		if one := t.chosen(promseries.Labels(&b, a.host, s), metricType(s.Kind)); one != nil {
			cols[i] = a.column(one, s.Kind)
		}
	}
	a.blocks[sc.Fingerprint] = cols
	return cols
}

// column returns the series of the labels; a histogram goes on with its sum,
// whichever schema it comes in.
func (a *agent) column(one *series, kind telemetry.Kind) *column {
	c := &column{series: one}
	if kind != telemetry.Histogram {
		return c
	}
	key := one.labels.String()
	if old := a.sums[key]; old != nil {
		return old
	}
	c.sum = &promseries.Cumulative{}
	a.sums[key] = c
	return c
}

// chosen returns the series as it is sent, nil where it is not.
func (t *translator) chosen(ls labels.Labels, kind model.MetricType) *series {
	if !t.keep.Keep(ls) {
		return nil
	}
	if len(t.rules) > 0 {
		b := labels.NewBuilder(ls)
		if !relabel.ProcessBuilder(b, t.rules...) {
			return nil
		}
		ls = b.Labels()
	}
	if ls.IsEmpty() {
		return nil
	}
	return &series{labels: ls, kind: kind}
}

// forget drops agents and series that are silent.
func (t *translator) forget(now int64) {
	t.others.Forget(now - silentFor)
	for name, a := range t.agents {
		if now-a.heard > silentFor {
			delete(t.agents, name)
		}
	}
}
