package aggregate

import (
	"nines/internal/slo"
	"nines/internal/wire"
)

// sample adds one value to the stretch.
func (s *State) sample(fd *feed, t int64, v float64) {
	st := fd.stream
	if t < st.From || t >= st.Until || v != v {
		return
	}
	good, total, ok := st.worth(fd.role, v)
	if !ok {
		return
	}
	c := s.bin(fd.cell, s.binStart(t, st.def.Bin))
	c.newest = max(c.newest, t)
	c.good += good
	c.total += total
	if fd.role == roleBlind {
		if v >= 1 {
			c.blind++
		}
		return
	}
	if fd.cell.vantage != "" && fd.role == roleSample {
		s.struck(fd.cell, good < total)
	}
	if st.def.Histogram {
		s.sketchOf(fd.cell, t-mod(t, st.def.Rule.Length)).Observe(v)
	}
}

// place adds what happened after a reading at prevTime, 0 where there was none,
// and until t. Across more than a slot it belongs to none.
func (s *State) place(st *stream, c *cell, prevTime, t int64, good, total uint64, some bool) {
	at := t - 1
	if at < st.From || at >= st.Until {
		return
	}
	if prevTime != 0 && t-prevTime > st.def.Rule.Length || prevTime == 0 && s.missed {
		if some {
			s.unplaced = append(s.unplaced, wire.Unplaced{Group: c.group.key, From: prevTime, To: t, Good: good, Total: total})
		}
		return
	}
	b := s.bin(c, s.binStart(at, st.def.Bin))
	b.good += good
	b.total += total
	b.newest = max(b.newest, t)
}

// counts returns what an increment adds to good and total. Where bad events are
// counted, all are good until taken back: sums are modulo 2^64 and come out
// right once both counters of the same time have arrived.
func (st *stream) counts(r role, inc uint64) (good, total uint64) {
	switch {
	case r == roleGood:
		return inc, 0
	case r == roleBad:
		return -inc, 0
	case st.def.Bad != nil:
		return inc, inc
	}
	return 0, inc
}

// worth returns what a sample adds to good and total; it is not ok where the
// value says nothing, such as a ratio above one.
func (st *stream) worth(r role, v float64) (good, total uint64, ok bool) {
	switch {
	case st.op >= opLTE && r == roleSample:
		if st.op.holds(v, st.def.Threshold) {
			return 1, 1, true
		}
		return 0, 1, true
	case r == roleBlind:
		return 0, 0, true
	case r != roleSample:
		n, ok := slo.GaugeCount(v)
		good, total = st.counts(r, n)
		return good, total, ok
	case st.op == opRatio:
		good, ok = slo.RawRatio(v, st.def.Op)
		return good, slo.RatioUnit, ok
	}
	return 0, 1, true
}

// op is a stream's comparison as a number.
type op uint8

const (
	opNone op = iota // an unknown one, which nothing meets
	opRatio
	opLTE
	opLT
	opGTE
	opGT
)

func opOf(o slo.Op) op {
	switch o {
	case slo.Success, slo.Failure:
		return opRatio
	case slo.LTE:
		return opLTE
	case slo.LT:
		return opLT
	case slo.GTE:
		return opGTE
	case slo.GT:
		return opGT
	}
	return opNone
}

func (o op) holds(v, threshold float64) bool {
	switch o {
	case opLTE:
		return v <= threshold
	case opLT:
		return v < threshold
	case opGTE:
		return v >= threshold
	case opGT:
		return v > threshold
	}
	return false
}

// mod is the remainder that is never negative, so that times before 1970 fall
// into bins like all others.
func mod(t, n int64) int64 {
	m := t % n
	if m < 0 {
		m += n
	}
	return m
}
