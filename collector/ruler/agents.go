package ruler

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"nines/internal/telemetry"
)

// series is one series of one agent.
type series struct {
	ref    storage.SeriesRef
	labels labels.Labels
	// last is the time of the newest sample, Unix milliseconds; 0 before it.
	last int64
	// every is the distance of the last two samples in milliseconds; 0 while
	// unknown.
	every uint32
	// stale is set when a staleness marker stands after the newest sample.
	stale bool
	hist  *cumulative // of histograms only
}

// seen notes a sample.
func (s *series) seen(t int64) {
	if s.last > 0 && t > s.last {
		s.every = uint32(min(t-s.last, 1<<31))
	}
	s.last, s.stale = max(s.last, t), false
}

// agent is what a partition knows of one sender. Blocks hold positions in
// series, so that a sample of a known schema costs no look-up.
type agent struct {
	host   telemetry.Labels
	boots  []bootSeq
	heard  int64 // log time of its last frame, Unix milliseconds
	newest int64 // its newest sample time, Unix milliseconds
	silent bool
	series []series
	byHash map[uint64][]int32
	blocks map[uint64][]int32 // by schema; -1 marks a series that is not kept
}

// bootSeq is the last sequence number seen of one boot.
type bootSeq struct{ boot, seq uint64 }

// keptBoots is how many boots of an agent are remembered to drop repeats.
const keptBoots = 4

func newAgent() *agent {
	return &agent{byHash: map[uint64][]int32{}, blocks: map[uint64][]int32{}}
}

// repeated tells whether the frame was seen before, and notes it.
func (a *agent) repeated(boot, seq uint64) bool {
	i := slices.IndexFunc(a.boots, func(b bootSeq) bool { return b.boot == boot })
	if i < 0 {
		if len(a.boots) == keptBoots {
			a.boots = slices.Delete(a.boots, 0, 1)
		}
		a.boots = append(a.boots, bootSeq{boot, seq})
		return false
	}
	if seq <= a.boots[i].seq {
		return true
	}
	a.boots[i].seq = seq
	return false
}

// columns returns the position in a.series of each column of the schema. Host
// labels that changed make other series; the old ones run out.
func (a *agent) columns(host telemetry.Labels, sc *telemetry.Schema, keep selectors, note func(name string, k telemetry.Kind)) []int32 {
	if !slices.Equal(a.host, host) {
		a.host = cloneLabels(host)
		clear(a.blocks)
	}
	if cols, ok := a.blocks[sc.Fingerprint]; ok {
		return cols
	}
	cols := make([]int32, len(sc.Series))
	b := labels.NewScratchBuilder(16)
	for i := range sc.Series {
		s := &sc.Series[i]
		note(s.Name, s.Kind)
		ls := seriesLabels(&b, a.host, s)
		if !keep.keep(ls) {
			cols[i] = -1
			continue
		}
		cols[i] = a.position(ls, s.Kind == telemetry.Histogram)
	}
	a.blocks[sc.Fingerprint] = cols
	return cols
}

func (a *agent) position(ls labels.Labels, histogram bool) int32 {
	h := ls.Hash()
	for _, i := range a.byHash[h] {
		if labels.Equal(a.series[i].labels, ls) && (a.series[i].hist != nil) == histogram {
			return i
		}
	}
	s := series{labels: ls}
	if histogram {
		s.hist = &cumulative{}
	}
	i := int32(len(a.series))
	a.series = append(a.series, s)
	a.byHash[h] = append(a.byHash[h], i)
	return i
}

// forgetSeries drops what is known of the series; the next frame of each schema
// finds the live ones again.
func (a *agent) forgetSeries() {
	a.series = nil
	clear(a.byHash)
	clear(a.blocks)
}

// seriesLabels joins name, host labels and the series' own, which win.
func seriesLabels(b *labels.ScratchBuilder, host telemetry.Labels, s *telemetry.Series) labels.Labels {
	b.Reset()
	b.Add(model.MetricNameLabel, valid(s.Name))
	for _, l := range host {
		if s.Labels.Get(l.Name) == "" && l.Name != model.MetricNameLabel {
			b.Add(valid(l.Name), valid(l.Value))
		}
	}
	for _, l := range s.Labels {
		if l.Name != model.MetricNameLabel {
			b.Add(valid(l.Name), valid(l.Value))
		}
	}
	b.Sort()
	return b.Labels()
}

// valid copies s, out of the record's buffer, as the UTF-8 that the TSDB needs.
func valid(s string) string { return strings.ToValidUTF8(strings.Clone(s), "\uFFFD") }

func cloneLabels(ls telemetry.Labels) telemetry.Labels {
	out := make(telemetry.Labels, len(ls))
	for i, l := range ls {
		out[i] = telemetry.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)}
	}
	return out
}
