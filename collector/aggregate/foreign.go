package aggregate

import (
	"fmt"

	"nines/collector/decode"
	"nines/internal/wire"
)

// Reasons of dead letters that foreign records become.
const (
	deadUnkeyed = "unkeyed" // cumulative counters whose order is lost
	deadFormat  = "format"  // a content-type that is not known
	deadSeries  = "series"  // more series than a partition may have
)

// foreignState is what is known of other fleets' series.
type foreignState struct {
	// sets are a cache: all that counts is in series and pairs.
	sets   decode.Sets[foreignColumn]
	series map[string]*foreignSeries // those that feed something, by identity
	pairs  map[foreignPairKey]*foreignPair
	// plans are those that series share, by what they are made from.
	plans map[string]*plan
	// outlines are what cumulative series feed, by name and the labels that
	// matchers read.
	outlines map[string]*outline
	// began is the log time from which on all that was sent has been read: a
	// counter that started later is counted from its first value on.
	began   int64
	tallies map[tallyKey]*foreignTally
	said    map[refusal]bool
	seen    ForeignSeen
	record  foreignRecord
}

// foreignRecord is the record being applied.
type foreignRecord struct {
	*decode.Record
	key    uint64 // hash of its key, 0 without one
	heard  *region
	region string // the name of heard
	// What is wrong with it.
	bad     int    // parts that cannot be decoded
	first   error  // of the first
	unkeyed string // a cumulative series that was not counted, as it has no key
	notice  string // one that nothing would have counted
	full    bool
	// gaps are times that are not believed or too old, by reason.
	gaps []wire.Gap
}

// ForeignSeen counts what foreign records brought since it was asked for last.
type ForeignSeen struct {
	Records, Samples uint64
	// Repeats were dropped: their series had a value of that time.
	Repeats uint64
	// Late were dropped because they are older than what is remembered of their
	// series; they are recorded as gaps.
	Late uint64
}

func newForeign() *foreignState {
	return &foreignState{series: map[string]*foreignSeries{}, pairs: map[foreignPairKey]*foreignPair{}, plans: map[string]*plan{}, outlines: map[string]*outline{},
		tallies: map[tallyKey]*foreignTally{}, said: map[refusal]bool{}}
}

// TakeForeign returns what foreign records brought since the last call.
func (s *State) TakeForeign() ForeignSeen {
	seen := s.foreign.seen
	s.foreign.seen = ForeignSeen{}
	return seen
}

// ApplyForeign takes the record at offset, of another fleet. What of it can be
// used is used even where the outcome is a dead letter.
func (s *State) ApplyForeign(offset int64, rec *decode.Record) Outcome {
	var out Outcome
	if offset < s.pos {
		return out
	}
	f := s.foreign
	f.sets.Open(rec)
	f.record = foreignRecord{Record: rec, key: f.sets.Key(), gaps: f.record.gaps[:0]}
	f.seen.Records++
	if rec.Unknown != nil {
		out.Dead = &wire.DeadLetter{Reason: deadFormat, Detail: rec.Unknown.Error()}
		s.lose(offset)
		s.settle(offset, &out)
		return out
	}
	for {
		p, err := f.sets.Next()
		if err != nil {
			f.record.refuse(err)
		} else if p == nil {
			break
		} else {
			s.applyPoint(p)
		}
	}
	for _, g := range f.record.gaps {
		g.FirstSeq, g.LastSeq = uint64(offset), uint64(offset)
		s.gaps = append(s.gaps, g)
	}
	if out.Dead = f.record.dead(); out.Dead != nil {
		s.lose(offset)
	} else if f.record.notice != "" {
		out.Dead = f.record.orderLost(f.record.notice) // nothing is missing
	}
	s.settle(offset, &out)
	return out
}

func (r *foreignRecord) refuse(err error) {
	if r.bad++; r.first == nil {
		r.first = err
	}
}

// dead returns why the record goes to the dead letters, nil if it does not.
func (r *foreignRecord) dead() *wire.DeadLetter {
	switch {
	case r.bad > 1:
		return &wire.DeadLetter{Reason: r.Format.String(), Detail: fmt.Sprintf("%v (and %d more)", r.first, r.bad-1)}
	case r.bad == 1:
		return &wire.DeadLetter{Reason: r.Format.String(), Detail: r.first.Error()}
	case r.full:
		return &wire.DeadLetter{Reason: deadSeries, Detail: fmt.Sprintf("objectives read more than %d foreign series of this partition", maxForeignSeries)}
	case r.unkeyed != "":
		return r.orderLost(r.unkeyed)
	}
	return nil
}

func (r *foreignRecord) orderLost(name string) *wire.DeadLetter {
	why := "came under another key before"
	if r.key == 0 {
		why = "the record has no key"
	}
	return &wire.DeadLetter{Reason: deadUnkeyed, Detail: fmt.Sprintf("%s is cumulative and %s: have the producer use the host's name as key, or its values are read in no order", name, why)}
}

// applyPoint adds the values of one set of series at one time to the stretch.
func (s *State) applyPoint(p *decode.Point) {
	f := s.foreign
	if !p.Timed {
		p.Time = nanoseconds(f.record.Time)
	}
	set, err := f.sets.Find(p)
	if err != nil {
		f.record.refuse(err)
		return
	}
	set.Used = s.logTime
	t := floorMilliseconds(p.Time)
	if why := s.refused(t); why != "" {
		f.record.gap(why, t)
		return
	}
	s.hearForeign(set.Region, t)
	f.seen.Samples += uint64(p.Unread)
	at := 0
	for i := range p.Values {
		v := &p.Values[i]
		if v.Form == decode.Text {
			continue
		}
		f.seen.Samples++
		if at, err = f.sets.Column(set, v, at); err != nil {
			f.record.refuse(err)
			return
		} else if at < 0 {
			return
		}
		if c := &set.Columns[at].Is; c.series != nil {
			s.applyValue(c.series, p, v, t)
		} else if c.unkeyed && f.record.key == 0 {
			// Nothing counts it, but somebody should know: once, as long as it is known.
			f.record.notice, c.unkeyed = c.name, false
		}
		at++
	}
}

// gap notes a time that is not used.
func (r *foreignRecord) gap(reason string, t int64) {
	for i := range r.gaps {
		if g := &r.gaps[i]; g.Reason == reason {
			g.From, g.To = min(g.From, t), max(g.To, t)
			return
		}
	}
	r.gaps = append(r.gaps, wire.Gap{Agent: r.Host(), From: t, To: t, Reason: reason})
}

// hearForeign notes that a region was heard, once per record and region in it.
func (s *State) hearForeign(name string, newest int64) {
	rec := &s.foreign.record
	if rec.heard == nil || rec.region != name {
		rec.heard, rec.region = s.region(name), name
		if rec.heard.seen.Frames == 0 {
			s.heardRegions = append(s.heardRegions, rec.heard)
		}
		rec.heard.seen.Frames++
	}
	rec.heard.seen.Newest = max(rec.heard.seen.Newest, newest)
}

// nanoseconds turns milliseconds into nanoseconds, as far as these go.
func nanoseconds(ms int64) int64 {
	const most = (1<<63 - 1) / 1_000_000
	return min(max(ms, -most), most) * 1_000_000
}

func floorMilliseconds(ns int64) int64 { return (ns - mod(ns, 1_000_000)) / 1_000_000 }

// applyValue counts one value of a series that feeds something.
func (s *State) applyValue(sr *foreignSeries, p *decode.Point, v *decode.Value, t int64) {
	sr.used = s.logTime
	if sr.rules != s.rules {
		s.resolveForeign(sr)
	}
	start := int64(0)
	if p.Start > 0 && p.Start < p.Time {
		start = floorMilliseconds(p.Start)
	}
	if sr.single {
		if !s.foreign.news(sr, p.Time, t) {
			if !sr.running {
				return
			}
		} else if sr.kind == decode.Delta || sr.kind == decode.NativeDelta {
			s.addDelta(sr, v, start, t)
		} else {
			s.addSamples(sr, v.Num, t)
		}
	}
	if sr.running && s.foreign.inOrder(sr) {
		s.addCumulative(sr, v, start, t)
	}
}

// news tells whether the series has no value of that time yet.
func (f *foreignState) news(sr *foreignSeries, ns, t int64) bool {
	switch sr.times.Add(ns) {
	case decode.TimeRepeated:
		f.seen.Repeats++
		return false
	case decode.TimeForgotten:
		f.seen.Late++
		f.record.gap(wire.ReasonLate, t)
		return false
	}
	return true
}

// inOrder tells whether the values of a cumulative series come in the order in
// which they were sent: all of them under one key.
func (f *foreignState) inOrder(sr *foreignSeries) bool {
	if f.record.key != 0 && (sr.key == f.record.key || sr.key == 0) {
		sr.key = f.record.key
		return true
	}
	f.record.unkeyed = sr.name
	if f.record.key != 0 {
		sr.key = f.record.key
		sr.forgetValues()
	}
	return false
}

func (s *State) addSamples(sr *foreignSeries, v float64, t int64) {
	for i := range sr.plan.steps {
		s.count(sr.plan.steps[i].ladder, t, v)
	}
	for i := range sr.plan.feeds {
		s.sample(&sr.plan.feeds[i], t, v)
	}
}

// addDelta counts what happened between start, 0 where that is not known, and t.
func (s *State) addDelta(sr *foreignSeries, v *decode.Value, start, t int64) {
	s.before, s.missed = start, false
	if v.Hist != nil {
		for _, at := range sr.natives {
			pf := &sr.plan.pairs[at]
			if atMost, ok := v.Hist.AtMost(pf.stream.def.Threshold); ok {
				s.placePair(pf, start, t, uint64(atMost), uint64(v.Hist.Count))
			}
		}
		return
	}
	n, ok := v.Count()
	if !ok {
		return
	}
	if v.Form == decode.Float { // parts of events wait for the rest of them
		sr.rest += v.Num - float64(n)
		if sr.rest >= 1 {
			sr.rest--
			n++
		}
	}
	for i := range sr.plan.gains {
		for _, fan := range sr.plan.gains[i].fans {
			s.credit(fan, start, t, n)
		}
	}
	for _, pt := range sr.plan.parts {
		pf, fp := &sr.plan.pairs[pt.pair], sr.pairs[pt.pair]
		fp.used = s.logTime
		r := fp.at(t)
		if pt.total {
			r.Total, r.HasTotal = n, true
		} else {
			r.Bucket, r.HasBucket = n, true
		}
		if r.HasBucket && r.HasTotal {
			whole := *r
			fp.taken(t)
			s.placePair(pf, start, t, whole.Bucket, whole.Total)
		}
	}
}

// placePair counts what a histogram gained: bucket values of the threshold or
// less, among total.
func (s *State) placePair(pf *pairFeed, start, t int64, bucket, total uint64) {
	if bucket <= total {
		s.place(pf.stream, pf.cell, start, t, pf.good(bucket, total), total, total > 0)
	}
}

// addCumulative counts what happened since the values before.
func (s *State) addCumulative(sr *foreignSeries, v *decode.Value, start, t int64) {
	s.missed = false
	if v.Hist != nil {
		for _, at := range sr.natives {
			pf := &sr.plan.pairs[at]
			if atMost, ok := v.Hist.AtMost(pf.stream.def.Threshold); ok {
				s.readForeign(pf, sr.pairs[at], false, start, t, atMost)
				s.readForeign(pf, sr.pairs[at], true, start, t, v.Hist.Count)
			}
		}
		return
	}
	if n, ok := v.Count(); ok {
		for i := range sr.plan.gains {
			s.gainForeign(&sr.plan.gains[i], &sr.counted, start, t, n)
		}
	}
	for _, pt := range sr.plan.parts {
		s.readForeign(&sr.plan.pairs[pt.pair], sr.pairs[pt.pair], pt.total, start, t, v.Num)
	}
}

// readForeign takes one of a pair's two cumulative counters.
func (s *State) readForeign(pf *pairFeed, p *foreignPair, total bool, start, t int64, v float64) {
	if p.time != 0 && start > p.time {
		p.pair = pair{}
	}
	if p.time == 0 {
		p.fresh = s.foreign.heardFrom(start)
	}
	s.before = start
	s.read(pf, &p.pair, total, t, v)
}
