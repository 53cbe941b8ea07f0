package aggregate

import (
	"math"
	"slices"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

func (s *State) applyFrame(value []byte) *wire.DeadLetter {
	f := &s.frame
	s.looked = 0
	if err := s.decoder.DecodeFrame(value, f, s); err != nil {
		return &wire.DeadLetter{Reason: "frame", Detail: err.Error()}
	}
	if f.Agent == "" || f.Boot == 0 || f.Seq == 0 {
		return &wire.DeadLetter{Reason: "identity", Detail: "the frame names no agent, boot or sequence number"}
	}
	key := bootKey{f.Agent, f.Boot}
	b, _ := s.decoder.Sender().Tie.(*boot)
	if b == nil || b.gone {
		b = s.boots[key]
	}
	if b != nil && f.Seq <= b.lastSeq {
		s.see(b, f).repeats++
		return nil
	}
	oldest, newest := s.frameTimes(f)
	b = s.inOrder(key, b, f, oldest)
	s.tie(b)
	s.before, s.missed = b.newest, b.lastSeq == 0 && f.Seq > 1
	b.lastSeq, b.used = f.Seq, s.logTime
	b.newest = newest
	if same := sameLabels(b.host, f.Host); b.class == nil || !same {
		if !same {
			b.unjudge()
		}
		b.host = f.Host
		s.classify(b)
	}
	seen := s.see(b, f)
	seen.frames++
	seen.newest = max(seen.newest, newest)
	s.hear(b, newest)
	for i := range f.Blocks {
		seen.samples += s.applyBlock(b, &f.Blocks[i], i)
	}
	if s.unjudged {
		s.refuseHistograms(b, f, oldest, newest)
	}
	return nil
}

// sameLabels compares labels, which are mostly the very same: the decoder
// shares those of an agent.
func sameLabels(a, b telemetry.Labels) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b)
}

// see returns the boot's entry in the next list of agents.
func (s *State) see(b *boot, f *telemetry.Frame) *sighting {
	skew := s.logTime - f.SendTime
	if !b.heard {
		b.heard, b.seen = true, sighting{skew: skew}
		s.heard = append(s.heard, b)
	}
	b.seen.skew = min(b.seen.skew, skew)
	return &b.seen
}

// inOrder enforces the order of frames per agent and boot: what is missing
// between the last frame and this one is a gap. Where the clock was set back
// between them, its times are the other way round.
func (s *State) inOrder(key bootKey, b *boot, f *telemetry.Frame, oldest int64) *boot {
	last, from := uint64(0), int64(0)
	if b == nil {
		b = &boot{key: key, whole: f.Seq == 1}
		s.boots[key] = b
		prev, had := s.newest[key.Agent]
		s.newest[key.Agent] = key
		if had {
			from = s.boots[prev].newest
			s.gaps = append(s.gaps, wire.Gap{Agent: key.Agent, Boot: key.Boot, From: min(from, oldest), To: max(from, oldest), Reason: wire.ReasonRestart})
		}
	} else {
		last, from = b.lastSeq, b.newest
	}
	if f.Seq > last+1 {
		s.gaps = append(s.gaps, wire.Gap{Agent: key.Agent, Boot: key.Boot,
			FirstSeq: last + 1, LastSeq: f.Seq - 1, From: min(from, oldest), To: max(from, oldest), Reason: wire.ReasonSequence})
	}
	return b
}

// hear notes that the boot's region was heard.
func (s *State) hear(b *boot, newest int64) {
	if b.region == nil {
		b.region = s.region(b.host.Get("region"))
	}
	r := b.region
	if r.seen.Frames == 0 {
		s.heardRegions = append(s.heardRegions, r)
	}
	r.seen.Frames++
	r.seen.Newest = max(r.seen.Newest, newest)
}

// region returns the region of the name, mostly that of the record before.
func (s *State) region(name string) *region {
	if r := s.lastRegion; r != nil && r.seen.Region == name {
		return r
	}
	r := s.regions[name]
	if r == nil {
		r = &region{wire.RegionSeen{Region: name}}
		s.regions[name] = r
	}
	s.lastRegion = r
	return r
}

// frameTimes returns the oldest and newest sample time of those that are
// believed; in a frame without any, both are the send time as far as that is.
func (s *State) frameTimes(f *telemetry.Frame) (oldest, newest int64) {
	oldest, newest = math.MaxInt64, math.MinInt64
	for i := range f.Blocks {
		for _, t := range f.Blocks[i].Times {
			if s.credible(t) {
				oldest, newest = min(oldest, t), max(newest, t)
			}
		}
	}
	if newest != math.MinInt64 {
		return oldest, newest
	}
	if !s.credible(f.SendTime) {
		return s.logTime, s.logTime
	}
	return f.SendTime, f.SendTime
}

// refused returns why a sample time is not believed, "" if it is: it lies so
// far from log time that the clock which gave it is wrong.
func (s *State) refused(t int64) string {
	switch {
	case s.logTime == 0:
		return ""
	case t > s.logTime+futureBound:
		return wire.ReasonFuture
	case t < s.logTime-pastBound:
		return wire.ReasonPast
	}
	return ""
}

// credible tells whether a sample time is believed.
func (s *State) credible(t int64) bool {
	return t <= s.logTime+futureBound && t >= s.logTime-pastBound || s.logTime == 0
}

// refuse records the block's rounds [first, end) as a gap.
func (s *State) refuse(b *boot, blk *telemetry.Block, first, end int, reason string) {
	if first < end {
		s.gaps = append(s.gaps, wire.Gap{Agent: b.key.Agent, Boot: b.key.Boot, FirstSeq: b.lastSeq, LastSeq: b.lastSeq,
			From: blk.Times[first], To: blk.Times[end-1], Reason: reason})
	}
}

// believed returns the block's rounds [first, end) whose times are believed;
// the others, which are those before and those behind, are refused.
func (s *State) believed(b *boot, blk *telemetry.Block) (first, end int) {
	end = len(blk.Times)
	if s.credible(blk.Times[0]) && s.credible(blk.Times[end-1]) {
		return 0, end // times ascend
	}
	for first < end && s.refused(blk.Times[first]) == wire.ReasonPast {
		first++
	}
	for end > first && s.refused(blk.Times[end-1]) != "" {
		end--
	}
	s.refuse(b, blk, 0, first, wire.ReasonPast)
	s.refuse(b, blk, end, len(blk.Times), wire.ReasonFuture)
	return first, end
}

// applyBlock adds the block's samples to the stretch and returns how many there
// were. I is the block's place in the frame.
func (s *State) applyBlock(b *boot, blk *telemetry.Block, i int) uint64 {
	if len(blk.Times) == 0 {
		return 0
	}
	if blk.Schema == nil {
		s.gaps = append(s.gaps, wire.Gap{Agent: b.key.Agent, Boot: b.key.Boot, FirstSeq: b.lastSeq, LastSeq: b.lastSeq,
			From: blk.Times[0], To: blk.Times[len(blk.Times)-1], Reason: wire.ReasonSchema})
		return 0
	}
	res := b.resolved(blk.Fingerprint, i)
	if res == nil || res.plan == nil {
		res = s.resolve(b, res, blk.Schema)
	}
	rounds := len(blk.Times)
	first, end := s.believed(b, blk)
	if !res.plan.idles {
		for r := first; r < end; r++ {
			s.applyRound(res, blk, r)
		}
	}
	if end-first == rounds {
		return uint64(blk.Samples())
	}
	return present(blk, first, end)
}

// applyRound adds the samples of one round.
func (s *State) applyRound(res *resolved, blk *telemetry.Block, r int) {
	t, rounds := blk.Times[r], len(blk.Times)
	some := len(blk.Absent) > 0
	for i := range res.plan.steps {
		st := &res.plan.steps[i]
		if at := st.col*rounds + r; !some || !blk.IsAbsent(at) {
			s.count(st.ladder, t, blk.Values[at])
		}
	}
	for i := range res.plan.gains {
		gc := &res.plan.gains[i]
		if at := gc.col*rounds + r; !some || !blk.IsAbsent(at) {
			s.gain(gc, res.cumulated.gains[i], t, blk.Values[at])
		}
	}
	for i := range res.plan.feeds {
		fd := &res.plan.feeds[i]
		if at := fd.col*rounds + r; !some || !blk.IsAbsent(at) {
			s.sample(fd, t, blk.Values[at])
		}
	}
	for i := range res.plan.parts {
		pt := &res.plan.parts[i]
		if at := pt.col*rounds + r; !some || !blk.IsAbsent(at) {
			s.read(&res.plan.pairs[pt.pair], res.cumulated.pairs[pt.pair], pt.total, t, blk.Values[at])
		}
	}
}

// present counts the samples of the block's rounds [first, end).
func present(blk *telemetry.Block, first, end int) (n uint64) {
	rounds := len(blk.Times)
	if len(blk.Values) == 0 && first < end {
		return uint64(blk.Unread) // of one round
	}
	for at := range blk.Values {
		if at%rounds >= first && at%rounds < end && !blk.IsAbsent(at) {
			n++
		}
	}
	return n
}
