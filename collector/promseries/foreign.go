package promseries

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"nines/collector/decode"
	"nines/internal/telemetry"
)

// Foreign turns other fleets' records into samples. S is what its user keeps of
// a series. It is for one goroutine.
//
// Differences, of which Prometheus knows nothing, become running sums. A sample
// whose series had one of that time is a repeat and dropped.
type Foreign[S any] struct {
	open   func(labels.Labels, decode.Kind) (S, bool)
	sets   decode.Sets[*foreignSeries[S]]
	series map[uint64]*foreignSeries[S] // by the labels' hash
	labels labels.ScratchBuilder
	now    int64
	host   string
}

// NewForeign returns a Foreign that asks open what to keep of a series that is
// new, and whether it is wanted at all.
func NewForeign[S any](open func(labels.Labels, decode.Kind) (S, bool)) *Foreign[S] {
	f := &Foreign[S]{open: open, series: map[uint64]*foreignSeries[S]{}, labels: labels.NewScratchBuilder(16)}
	f.sets.Make = f.column
	f.sets.Unneeded = func(sr **foreignSeries[S]) bool { return !(*sr).wanted }
	return f
}

// foreignSeries is one series, known by its labels and how its values are to be
// read.
type foreignSeries[S any] struct {
	labels labels.Labels
	kind   decode.Kind
	is     S
	wanted bool
	used   int64
	times  decode.Times
	next   *foreignSeries[S] // of the same hash

	// Of differences: the running sum, and whether it was handed on.
	sum   float64
	hist  *histogram.FloatHistogram
	began bool
}

// Sample is one value of a series.
type Sample struct {
	// Time is in Unix milliseconds.
	Time int64
	// Start is since when a cumulative value counts, Unix milliseconds, 0 where
	// that is not known.
	Start int64
	// Quiet says that an earlier life took the sample; it has a time only.
	Quiet bool
	// First says that a running sum of differences begins: it was 0 at Start.
	First bool
	// Number is the value where Hist and FloatHist are nil. FloatHist holds counts
	// that are no whole numbers.
	Number    float64
	Hist      *histogram.Histogram
	FloatHist *histogram.FloatHistogram
}

// Bounds say what of a record is used.
type Bounds struct {
	// Now is the log's time, Unix milliseconds; samples after Latest are dropped.
	Now, Latest int64
	// Quiet marks the record's samples as quiet: an earlier life took them. So are
	// differences until Floor, after which their sums begin.
	Quiet bool
	Floor int64
}

// Taken counts what a record held.
type Taken struct {
	Samples, Repeats int
	// Late are differences too old to be told from repeats, Future samples after
	// Bounds.Latest, and Unfit histograms that Prometheus has no form for.
	Late, Future, Unfit int
	// Err is the first part that could not be read, of Bad.
	Bad int
	Err error
}

func (t *Taken) refuse(err error) {
	if t.Bad++; t.Err == nil {
		t.Err = err
	}
}

// Read hands the record's samples to emit, which keeps none of them but their
// histograms.
func (f *Foreign[S]) Read(rec *decode.Record, b Bounds, emit func(S, *Sample)) (t Taken) {
	if rec.Unknown != nil {
		t.refuse(rec.Unknown)
		return t
	}
	f.now, f.host = b.Now, rec.Host()
	for f.sets.Open(rec); ; {
		p, err := f.sets.Next()
		if err != nil {
			t.refuse(err)
		} else if p == nil {
			return t
		} else if err := f.point(p, &b, &t, emit); err != nil {
			t.refuse(err)
		}
	}
}

func (f *Foreign[S]) point(p *decode.Point, b *Bounds, t *Taken, emit func(S, *Sample)) error {
	if !p.Timed {
		p.Time = f.sets.Record().Time * 1_000_000
	}
	set, err := f.sets.Find(p)
	if err != nil {
		return err
	}
	set.Used = b.Now
	at := 0
	for i := range p.Values {
		v := &p.Values[i]
		if !v.Sample() {
			continue
		}
		if at, err = f.sets.Column(set, v, at); err != nil || at < 0 {
			return err
		}
		if sr := set.Columns[at].Is; sr.wanted {
			sr.used = b.Now
			sr.take(p, v, b, t, emit)
		}
		at++
	}
	return nil
}

// take hands one value on.
func (sr *foreignSeries[S]) take(p *decode.Point, v *decode.Value, b *Bounds, t *Taken, emit func(S, *Sample)) {
	s := Sample{Time: floorMilliseconds(p.Time), Number: v.Num}
	if s.Time > b.Latest {
		t.Future++
		return
	}
	if p.Start > 0 && p.Start < p.Time {
		s.Start = floorMilliseconds(p.Start)
	}
	delta := sr.kind == decode.Delta || sr.kind == decode.NativeDelta
	at := s.Time // Prometheus keeps one value a millisecond
	if delta {
		at = p.Time
	}
	switch is := sr.times.Add(at); {
	case is == decode.TimeRepeated:
		t.Repeats++
		return
	case is == decode.TimeForgotten && delta:
		t.Late++
		return
	case b.Quiet || delta && !sr.began && s.Time <= b.Floor:
		s.Quiet = true
		emit(sr.is, &s)
		return
	}
	var hist *histogram.FloatHistogram
	if v.Form == decode.Histogram {
		if hist = native(v.Hist); hist == nil {
			t.Unfit++
			return
		}
	}
	if delta {
		if hist = sr.add(&s, hist); v.Form == decode.Histogram && hist == nil {
			t.Unfit++
			return
		}
		if len(sr.times.Runs) > 0 && p.Time < sr.times.Runs[len(sr.times.Runs)-1].Last {
			t.Samples++ // it came late, and shows in the next sum
			return
		}
		sr.began = true
	}
	if hist != nil {
		if sr.kind == decode.Gauge {
			hist.CounterResetHint = histogram.GaugeType
		}
		s.Hist, s.FloatHist = whole(hist)
	}
	t.Samples++
	emit(sr.is, &s)
}

// add adds a difference to the running sum, and puts that into the sample.
func (sr *foreignSeries[S]) add(s *Sample, hist *histogram.FloatHistogram) *histogram.FloatHistogram {
	s.First = !sr.began
	if hist == nil {
		sr.sum += s.Number
		s.Number = sr.sum
		return nil
	}
	if sr.hist == nil {
		sr.hist = hist
	} else if sum, _, _, err := sr.hist.Add(hist); err == nil {
		sr.hist = sum
	} else {
		return nil
	}
	out := sr.hist.Copy()
	if s.First {
		out.CounterResetHint = histogram.CounterReset
	}
	return out
}

// column finds the series of a column.
func (f *Foreign[S]) column(c *decode.Column) *foreignSeries[S] {
	ls := Labels(&f.labels, nil, &telemetry.Series{Name: c.Name, Labels: decode.WithHost(c.Labels, f.host)})
	h := ls.Hash()
	for sr := f.series[h]; sr != nil; sr = sr.next {
		if sr.kind == c.Kind && labels.Equal(sr.labels, ls) {
			return sr
		}
	}
	sr := &foreignSeries[S]{labels: ls, kind: c.Kind, used: f.now, next: f.series[h]}
	if c.Name != "" {
		sr.is, sr.wanted = f.open(ls, c.Kind)
	}
	f.series[h] = sr
	return sr
}

// Each calls f for every series that is wanted.
func (f *Foreign[S]) Each(do func(S)) {
	for _, sr := range f.series {
		for ; sr != nil; sr = sr.next {
			if sr.wanted {
				do(sr.is)
			}
		}
	}
}

// Forget drops series that had no sample since then, in the log's time.
func (f *Foreign[S]) Forget(before int64) {
	dropped := false
	for h, sr := range f.series {
		var kept *foreignSeries[S]
		for next := sr; sr != nil; sr = next {
			next = sr.next
			if sr.used < before {
				dropped = true
				continue
			}
			sr.next, kept = kept, sr
		}
		if kept == nil {
			delete(f.series, h)
		} else {
			f.series[h] = kept
		}
	}
	if dropped {
		f.sets.Clear() // they may hold what is gone
	}
}

func floorMilliseconds(ns int64) int64 {
	ms := ns / 1_000_000
	if ns%1_000_000 < 0 {
		ms--
	}
	return ms
}

// The schemas that Prometheus has.
const (
	minSchema = -4
	maxSchema = 8
)

// native returns a histogram with exponential buckets in Prometheus' form, which
// has coarser buckets where the sender's are finer than any of Prometheus'; nil
// where they are too coarse, or do not ascend.
func native(h *decode.NativeHistogram) *histogram.FloatHistogram {
	if h.Schema < minSchema || h.Schema > 32 {
		return nil
	}
	out := &histogram.FloatHistogram{Schema: min(h.Schema, maxSchema), ZeroThreshold: h.ZeroThreshold, ZeroCount: h.Zero, Count: h.Count, Sum: h.Sum}
	shift := h.Schema - out.Schema
	out.PositiveSpans, out.PositiveBuckets = spans(h.Positive, shift)
	out.NegativeSpans, out.NegativeBuckets = spans(h.Negative, shift)
	if out.Validate() != nil {
		return nil
	}
	return out
}

// spans joins 2^shift buckets to one, and writes down where they lie.
func spans(in []decode.NativeBucket, shift int32) (spans []histogram.Span, counts []float64) {
	next := int32(0) // the index after the last bucket
	for _, b := range in {
		at := (b.Index-1)>>shift + 1
		n := len(counts)
		switch {
		case n > 0 && at == next-1:
			counts[n-1] += b.Count
			continue
		case n > 0 && at == next:
			spans[len(spans)-1].Length++
		default:
			spans = append(spans, histogram.Span{Offset: at - next, Length: 1})
		}
		counts = append(counts, b.Count)
		next = at + 1
	}
	return spans, counts
}

// whole returns the histogram with whole counts, if they are.
func whole(h *histogram.FloatHistogram) (*histogram.Histogram, *histogram.FloatHistogram) {
	isWhole := func(v float64) bool { return v == math.Trunc(v) && v >= 0 && v < 1<<53 }
	out := &histogram.Histogram{CounterResetHint: h.CounterResetHint, Schema: h.Schema, ZeroThreshold: h.ZeroThreshold,
		ZeroCount: uint64(h.ZeroCount), Count: uint64(h.Count), Sum: h.Sum, PositiveSpans: h.PositiveSpans, NegativeSpans: h.NegativeSpans}
	ok := isWhole(h.ZeroCount) && isWhole(h.Count)
	differences := func(counts []float64) (out []int64) {
		last := int64(0)
		for _, n := range counts {
			ok = ok && isWhole(n)
			out = append(out, int64(n)-last)
			last = int64(n)
		}
		return out
	}
	out.PositiveBuckets, out.NegativeBuckets = differences(h.PositiveBuckets), differences(h.NegativeBuckets)
	if !ok || out.Validate() != nil {
		return nil, h
	}
	return out, nil
}
