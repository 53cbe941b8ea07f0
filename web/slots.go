package web

import (
	"math"
	"net/http"
	"slices"
	"strconv"

	"nines/internal/hist"
	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/wire"
)

// asked is what a request about one group names.
type asked struct {
	key    wire.GroupKey
	group  ledger.Group
	slotMs int64
	from   int64
	to     int64
}

// ask reads group, from and to, and looks the group up.
func (s *Server) ask(r *http.Request) (asked, error) {
	var a asked
	key, err := parseGroupID(r.URL.Query().Get("group"))
	if err != nil {
		return a, err
	}
	if a.from, a.to, err = s.timeRange(r); err != nil {
		return a, err
	}
	groups, err := s.o.Ledger.Groups(r.Context(), s.who, ledger.GroupFilter{Streams: []string{key.Stream}, IncludeRetired: true})
	if err != nil {
		return a, err
	}
	i := slices.IndexFunc(groups, func(g ledger.Group) bool { return g.Key == key })
	if i < 0 {
		return a, notFound("there is no group %s; GET /api/nines/v1/objectives lists them", groupID(key))
	}
	rs, err := s.rules(r.Context())
	if err != nil {
		return a, err
	}
	a.key, a.group, a.slotMs = key, groups[i], slotLength(rs, key.Stream)
	return a, nil
}

// slotLength is the stream's slot length; a minute where the rule set in force
// no longer has the stream.
func slotLength(rs *slo.RuleSet, stream string) int64 {
	if st := rs.Streams[stream]; st != nil && st.Rule.Length > 0 {
		return st.Rule.Length
	}
	return minuteMs
}

func (s *Server) getSlots(r *http.Request) (any, error) {
	a, err := s.ask(r)
	if err != nil {
		return nil, err
	}
	if n := (a.to - a.from) / a.slotMs; n > maxItems {
		return nil, badRequest("the range holds %d slots: ask for at most %d at once", n, maxItems)
	}
	slots, err := s.o.Ledger.GroupSlots(r.Context(), s.who, a.key, floorTo(a.from, a.slotMs), a.to)
	if err != nil {
		return nil, err
	}
	v := slotsView{Group: groupID(a.key), Labels: a.group.Labels.Map(), SlotMs: a.slotMs, Slots: make([]slotView, 0, len(slots))}
	for i := range slots {
		sl := &slots[i]
		v.Slots = append(v.Slots, slotView{T: sl.Start, S: sl.State.String(), Good: sl.Good, Total: sl.Total, Version: sl.Version, Reason: sl.Reason})
	}
	return v, nil
}

// quantiles are those of the percentiles plot.
var quantiles = []float64{0.5, 0.95, 0.99}

func (s *Server) getPercentiles(r *http.Request) (any, error) {
	a, err := s.ask(r)
	if err != nil {
		return nil, err
	}
	step := stepFor(a.to-a.from, a.slotMs)
	if text := r.URL.Query().Get("step"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > maxSpan {
			return nil, badRequest("step=%s is no step: give milliseconds", quoteShort(text))
		}
		step = ceilTo(n, a.slotMs) // a distribution is kept per slot
	}
	if n := (a.to - a.from) / step; n > maxItems {
		return nil, badRequest("the range holds %d points: ask for at most %d at once, with a longer step", n, maxItems)
	}
	sketches, err := s.o.Ledger.Sketches(r.Context(), s.who, a.key, floorTo(a.from, step), a.to)
	if err != nil {
		return nil, err
	}
	return percentilesView{Q: quantiles, StepMs: step, Points: mergePoints(sketches, step)}, nil
}

// mergePoints merges the slots' histograms by step. Sketches ascend by slot.
func mergePoints(sketches []ledger.Sketch, step int64) []percentilePoint {
	points := []percentilePoint{}
	var sum hist.Histogram
	var at int64
	flush := func() {
		if sum.Count > 0 {
			points = append(points, pointOf(at, &sum))
		}
		sum.Reset()
	}
	for i := range sketches {
		if t := floorTo(sketches[i].Slot, step); i == 0 || t != at {
			flush()
			at = t
		}
		sum.Merge(&sketches[i].Hist)
	}
	flush()
	return points
}

func pointOf(t int64, h *hist.Histogram) percentilePoint {
	p := percentilePoint{T: t, Count: h.Count, Inf: h.Inf, V: make([]*float64, len(quantiles))}
	for i, q := range quantiles {
		if v := h.Quantile(q); !math.IsInf(v, 0) && !math.IsNaN(v) {
			p.V[i] = &v
		}
	}
	return p
}
