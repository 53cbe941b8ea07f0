package ruler

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"nines/collector/promseries"
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
	// native says that its samples are histograms.
	native bool
	hist   *promseries.Cumulative // of our own histograms only
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
	boots  promseries.Boots
	heard  int64 // log time of its last frame, Unix milliseconds
	newest int64 // its newest sample time, Unix milliseconds
	silent bool
	series []series
	byHash map[uint64][]int32
	blocks map[uint64][]int32 // by schema; -1 marks a series that is not kept
}

func newAgent() *agent {
	return &agent{byHash: map[uint64][]int32{}, blocks: map[uint64][]int32{}}
}

// columns returns the position in a.series of each column of the schema. Host
// labels that changed make other series; the old ones run out.
func (a *agent) columns(host telemetry.Labels, sc *telemetry.Schema, keep promseries.Selectors, note func(name string, k telemetry.Kind)) []int32 {
	if !slices.Equal(a.host, host) {
		a.host = promseries.Clone(host)
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
		ls := promseries.Labels(&b, a.host, s)
		if !keep.Keep(ls) {
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
		s.hist, s.native = &promseries.Cumulative{}, true
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
