package forward

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"nines/collector/promseries"
	"nines/internal/telemetry"
)

// translator turns the frames of one partition into samples for one target. One
// goroutine owns it.
type translator struct {
	keep   promseries.Selectors
	rules  []*relabel.Config
	agents map[string]*agent
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
	last   int64
}

// maxSchemas bounds what is kept of an agent whose series come and go.
const maxSchemas = 1024

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
	return tr, nil
}

// frame appends the frame's samples. Where quiet, the frame went out before: it
// is only learned from.
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
		n := len(dst)
		dst = t.block(dst, t.columns(a, b.Schema), b)
		if quiet {
			dst = dst[:n]
		}
	}
	return dst
}

func (t *translator) block(dst []sample, cols []*column, b *telemetry.Block) []sample {
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
				if c.series.start == 0 {
					c.series.start = at - 1 // nothing nearer is known of when it began
				}
				if at > c.last { // a late delta is in the next sum
					dst = append(dst, sample{series: c.series, time: at, hist: c.sum.Native()})
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
		ls := promseries.Labels(&b, a.host, s)
		if !t.keep.Keep(ls) {
			continue
		}
		if ls = t.relabel(ls); !ls.IsEmpty() {
			cols[i] = a.column(ls, s.Kind)
		}
	}
	a.blocks[sc.Fingerprint] = cols
	return cols
}

// column returns the series of the labels; a histogram goes on with its sum,
// whichever schema it comes in.
func (a *agent) column(ls labels.Labels, kind telemetry.Kind) *column {
	c := &column{series: &series{labels: ls, kind: kind}}
	if kind != telemetry.Histogram {
		return c
	}
	key := ls.String()
	if old := a.sums[key]; old != nil {
		return old
	}
	c.sum = &promseries.Cumulative{}
	a.sums[key] = c
	return c
}

// relabel returns no labels where the rules drop the series.
func (t *translator) relabel(ls labels.Labels) labels.Labels {
	if len(t.rules) == 0 {
		return ls
	}
	b := labels.NewBuilder(ls)
	if !relabel.ProcessBuilder(b, t.rules...) {
		return labels.EmptyLabels()
	}
	return b.Labels()
}

// forget drops agents that are silent, and with them their series.
func (t *translator) forget(now int64) {
	for name, a := range t.agents {
		if now-a.heard > silentFor {
			delete(t.agents, name)
		}
	}
}
