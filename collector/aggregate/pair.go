package aggregate

import (
	"slices"

	"nines/internal/slo"
)

// rolePair is the role of what counterKey names a pair by.
const rolePair role = 255

// pair holds two counters of a classic histogram, the bucket of a threshold and
// the total, and counts them together: what one gained belongs to the same bin
// as what the other gained, and nothing is counted of a time at which either is
// missing. A total without its bucket would make good events bad.
type pair struct {
	bucket, total uint64
	time          int64 // of the last whole reading, 0: none yet
	used          int64
	fresh         bool
	// pending are readings that wait for their other half, by ascending time: it
	// may come in another block or frame.
	pending []reading
}

// reading is what a histogram showed at one time, as far as it has arrived.
type reading struct {
	Time                int64
	Bucket, Total       uint64
	HasBucket, HasTotal bool
}

// maxPending bounds the readings that wait; what is dropped is in later ones.
const maxPending = 8

func (s *State) pairOf(key bootKey, pf *pairFeed, known bool) *pair {
	ck := counterKey{agent: key.Agent, series: pf.set, stream: pf.stream.id, from: pf.stream.From, role: rolePair}
	if pf.fresh {
		ck.boot = key.Boot
	}
	p := s.pairs[ck]
	if p == nil {
		p = &pair{fresh: pf.fresh && !known, used: s.logTime}
		s.pairs[ck] = p
	}
	return p
}

// read takes one of a pair's two counters at time t, and counts what happened
// since the last whole reading once both are there.
func (s *State) read(pf *pairFeed, p *pair, total bool, t int64, v float64) {
	if !(v >= 0) || v >= 1<<63 || p.time != 0 && t <= p.time {
		return
	}
	p.used = s.logTime
	r := p.at(t)
	switch {
	case total && !r.HasTotal:
		r.Total, r.HasTotal = uint64(v), true
	case !total && !r.HasBucket:
		r.Bucket, r.HasBucket = uint64(v), true
	}
	if r.HasBucket && r.HasTotal {
		whole := *r
		p.passed(t)
		s.countPair(pf, p, whole)
	}
}

// at returns the reading of time t.
func (p *pair) at(t int64) *reading {
	i := len(p.pending)
	for i > 0 && p.pending[i-1].Time >= t {
		i--
	}
	if i < len(p.pending) && p.pending[i].Time == t {
		return &p.pending[i]
	}
	if len(p.pending) == maxPending {
		p.pending = slices.Delete(p.pending, 0, 1)
		i = max(i-1, 0)
	}
	p.pending = slices.Insert(p.pending, i, reading{Time: t})
	return &p.pending[i]
}

// passed drops the readings up to time t: what is whole at t holds all of them.
func (p *pair) passed(t int64) {
	n := 0
	for n < len(p.pending) && p.pending[n].Time <= t {
		n++
	}
	p.pending = append(p.pending[:0], p.pending[n:]...)
}

// countPair counts what a histogram gained by the rule of counters: a first
// value is the base unless it is fresh, and a fall of either is a reset of both.
func (s *State) countPair(pf *pairFeed, p *pair, r reading) {
	if r.Bucket > r.Total {
		return // read while it was written: the next reading has what is missing
	}
	bucket, total, prevTime := r.Bucket, r.Total, p.time
	switch {
	case prevTime == 0 && !p.fresh:
		p.bucket, p.total, p.time = r.Bucket, r.Total, r.Time
		return
	case prevTime == 0:
		prevTime = s.before
	case r.Bucket >= p.bucket && r.Total >= p.total:
		if r.Bucket-p.bucket <= r.Total-p.total {
			bucket, total = r.Bucket-p.bucket, r.Total-p.total
		} else if r.Time-p.time <= pf.stream.def.Rule.Length {
			return // likewise; if it stays so for a slot, both were reset
		}
	}
	p.bucket, p.total, p.time = r.Bucket, r.Total, r.Time
	good := bucket
	if pf.stream.def.Op == slo.GT {
		good = total - bucket
	}
	s.place(pf.stream, pf.cell, prevTime, r.Time, good, total, total > 0)
}
