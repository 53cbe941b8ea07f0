package aggregate

import (
	"slices"
	"strings"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// A classic histogram M is the cumulative counters M_bucket{le}, M_count and
// M_sum. Where one bucket's bound equals the threshold of a stream that samples
// M, the bucket counts exactly what is at most the threshold, and le="+Inf" (or
// M_count) counts all.
const (
	bucketSuffix = "_bucket"
	countSuffix  = "_count"
	boundLabel   = "le"
)

// tally is what a schema says of one classic histogram to one stream that its
// buckets could feed.
type tally struct {
	stream *stream
	set    uint64 // hash of the metric and of the labels without le
	metric string
	// bucket and total say that the bucket of the threshold is there, and what
	// counts everything.
	bucket, total bool
	// native and gauges say of what kind it is where it cannot be counted.
	native, gauges bool
	bounds         []string // of the buckets, as they are written
}

// part ties a column to one of the two readings of a pair.
type part struct {
	col   int
	pair  int // its place in plan.pairs and cumulated.pairs
	total bool
}

// pairFeed ties a classic histogram to a cell.
type pairFeed struct {
	set    uint64
	fresh  bool
	stream *stream
	cell   *cell
}

// histogramColumns are the columns of one histogram in a schema.
type histogramColumns struct {
	metric  string
	labels  telemetry.Labels
	set     uint64
	buckets []bucketColumn
	tops    []int // le="+Inf"
	counts  []int
	native  bool
	gauges  bool
	fresh   bool // all began at zero within their boot
}

type bucketColumn struct {
	col   int
	text  string
	bound bound
	ok    bool // the text is a number
}

// histograms adds to the plan what the schema's histograms feed.
func (s *State) histograms(p *plan, def *telemetry.Schema, host telemetry.Labels) {
	s.addHistograms(p, s.rules.histogramsOf(def), host)
}

func (s *State) addHistograms(p *plan, all []*histogramColumns, host telemetry.Labels) {
	for _, h := range all {
		for _, st := range s.rules.byHistogram[h.metric] {
			if st.selectors[0].matches(h.labels, host) {
				p.tallies = append(p.tallies, s.tally(p, h, st, host))
			}
		}
	}
}

// histogramsOf returns the schema's histograms that some stream reads, in the
// order of their first columns.
func (r *ruleSet) histogramsOf(def *telemetry.Schema) []*histogramColumns {
	if len(r.byHistogram) == 0 {
		return nil
	}
	var out []*histogramColumns
	bySet := map[uint64]*histogramColumns{}
	for col := range def.Series {
		series := &def.Series[col]
		metric, le, ok := histogramName(series)
		if !ok || r.byHistogram[metric] == nil {
			continue
		}
		labels := withoutBound(series.Labels)
		set := seriesHash(&telemetry.Series{Name: metric, Labels: labels})
		h := bySet[set]
		if h == nil {
			h = &histogramColumns{metric: metric, labels: labels, set: set, fresh: true}
			bySet[set] = h
			out = append(out, h)
		}
		h.add(col, series, le)
	}
	return out
}

// histogramName returns the histogram that the series may belong to, and the
// bound where it is a bucket.
func histogramName(series *telemetry.Series) (metric, le string, ok bool) {
	if series.Kind == telemetry.Histogram {
		return series.Name, "", true
	}
	le = series.Labels.Get(boundLabel)
	if metric, ok = strings.CutSuffix(series.Name, bucketSuffix); ok && le != "" {
		return metric, le, true
	}
	metric, ok = strings.CutSuffix(series.Name, countSuffix)
	return metric, "", ok && le == "" && series.Kind == telemetry.Counter
}

func withoutBound(ls telemetry.Labels) telemetry.Labels {
	at := slices.IndexFunc(ls, func(l telemetry.Label) bool { return l.Name == boundLabel })
	if at < 0 {
		return ls
	}
	return slices.Delete(slices.Clone(ls), at, at+1)
}

func (h *histogramColumns) add(col int, series *telemetry.Series, le string) {
	switch series.Kind {
	case telemetry.Histogram:
		h.native = true
		return
	case telemetry.Gauge:
		h.gauges = true
		return
	}
	h.fresh = h.fresh && series.Fresh
	if le == "" {
		h.counts = append(h.counts, col)
		return
	}
	b, ok := parseBound(le)
	if ok && b.top() {
		h.tops = append(h.tops, col)
		return
	}
	h.buckets = append(h.buckets, bucketColumn{col, le, b, ok})
}

// tally finds the columns that count for the stream, and adds them to the plan.
// Those of one histogram may lie in several schemas: its readings meet in the
// pair.
func (s *State) tally(p *plan, h *histogramColumns, st *stream, host telemetry.Labels) tally {
	out := tally{stream: st, set: h.set, metric: h.metric, native: h.native, gauges: h.gauges}
	totals := h.tops
	if len(totals) == 0 {
		totals = h.counts
	}
	out.total = len(totals) > 0
	var buckets []int
	for _, b := range h.buckets {
		out.bounds = append(out.bounds, b.text)
		if b.ok && b.bound == st.bound {
			buckets = append(buckets, b.col)
		}
	}
	if st.op != opLTE && st.op != opGT || len(buckets)+len(totals) == 0 {
		return out
	}
	out.bucket = len(buckets) > 0
	for _, col := range buckets {
		p.parts = append(p.parts, part{col: col, pair: len(p.pairs)})
	}
	for _, col := range totals {
		p.parts = append(p.parts, part{col: col, pair: len(p.pairs), total: true})
	}
	p.pairs = append(p.pairs, pairFeed{set: h.set, fresh: h.fresh, stream: st, cell: s.cellOf(st, h.labels, host)})
	return out
}

func (s *State) cellOf(st *stream, labels, host telemetry.Labels) *cell {
	by := st.group(labels, host)
	vantage := ""
	if st.def.Vantage != "" {
		vantage = get(labels, host, st.def.Vantage)
	}
	c := s.cell(wire.GroupKey{Stream: st.id, Labels: by.Hash()}, by, vantage)
	s.feedBy(c, nil, ladderRung{})
	return c
}
