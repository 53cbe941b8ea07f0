package aggregate

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// resolved is a schema as one boot sends it: which columns feed which groups.
type resolved struct {
	feeds []feed
	// stale says that rules or host labels have changed since. That the boot
	// has sent the schema is still of use: its counters did not begin just now.
	stale bool
}

// feed ties a column to a cell: ids are resolved once per schema, so that a
// sample costs no map lookup and no string.
type feed struct {
	col     int
	role    role
	stream  *stream
	cell    *cell
	counter *counter
}

// counterKey identifies a cumulative series as one stream's role sees it. Boot
// is zero for counters that outlive their agent's process.
type counterKey struct {
	agent  string
	boot   uint64
	series uint64
	stream string
	from   int64
	role   role
}

type counter struct {
	value uint64
	time  int64 // 0: no value yet
	used  int64
	fresh bool
}

func (s *State) applyFrame(value []byte) *wire.DeadLetter {
	f := &s.frame
	if err := s.decoder.DecodeFrame(value, f, s); err != nil {
		return &wire.DeadLetter{Reason: "frame", Detail: err.Error()}
	}
	if f.Agent == "" || f.Boot == 0 || f.Seq == 0 {
		return &wire.DeadLetter{Reason: "identity", Detail: "the frame names no agent, boot or sequence number"}
	}
	key := bootKey{f.Agent, f.Boot}
	seen := s.see(key, f)
	b := s.boots[key]
	if b != nil && f.Seq <= b.lastSeq {
		seen.Repeats++
		return nil
	}
	oldest, newest := s.frameTimes(f)
	b = s.order(key, b, f, oldest)
	s.before, s.missed = b.newest, b.lastSeq == 0 && f.Seq > 1
	b.lastSeq, b.used = f.Seq, s.logTime
	b.newest = max(b.newest, newest)
	if !slices.Equal(b.host, f.Host) {
		b.host = slices.Clone(f.Host)
		b.outdate()
	}
	seen.Frames++
	seen.LastSeq = f.Seq
	seen.Host = b.host
	seen.Newest = max(seen.Newest, newest)
	r := s.region(b.host.Get("region"))
	r.Frames++
	r.Newest = max(r.Newest, newest)
	for i := range f.Blocks {
		seen.Samples += s.applyBlock(key, b, &f.Blocks[i])
	}
	return nil
}

// see returns the agent's entry in the next list of agents.
func (s *State) see(key bootKey, f *telemetry.Frame) *wire.AgentSeen {
	skew := s.logTime - f.SendTime
	a := s.seen[key]
	if a == nil {
		a = &wire.AgentSeen{Agent: f.Agent, Boot: f.Boot, Host: slices.Clone(f.Host), Skew: skew}
		s.seen[key] = a
	}
	a.Skew = min(a.Skew, skew)
	return a
}

// order enforces the order of frames per agent and boot: what is missing
// between the last frame and this one is a gap.
func (s *State) order(key bootKey, b *boot, f *telemetry.Frame, oldest int64) *boot {
	last, from := uint64(0), int64(0)
	if b == nil {
		b = &boot{}
		s.boots[key] = b
		prev, had := s.newest[key.Agent]
		s.newest[key.Agent] = key
		if had {
			from = s.boots[prev].newest
			s.gaps = append(s.gaps, wire.Gap{Agent: key.Agent, Boot: key.Boot, From: from, To: oldest, Reason: wire.ReasonRestart})
		}
	} else {
		last, from = b.lastSeq, b.newest
	}
	if f.Seq > last+1 {
		s.gaps = append(s.gaps, wire.Gap{Agent: key.Agent, Boot: key.Boot,
			FirstSeq: last + 1, LastSeq: f.Seq - 1, From: from, To: oldest, Reason: wire.ReasonSequence})
	}
	return b
}

func (s *State) region(name string) *wire.RegionSeen {
	r := s.regions[name]
	if r == nil {
		r = &wire.RegionSeen{Region: name}
		s.regions[name] = r
	}
	return r
}

// outdate has the boot's schemas resolved again with their next frame.
func (b *boot) outdate() {
	for _, res := range b.resolved {
		*res = resolved{stale: true}
	}
}

// frameTimes returns the oldest and newest sample time of those that are
// believed; in a frame without any, both are the send time as far as that is.
func (s *State) frameTimes(f *telemetry.Frame) (oldest, newest int64) {
	oldest, newest = math.MaxInt64, math.MinInt64
	for i := range f.Blocks {
		for _, t := range f.Blocks[i].Times {
			if s.refused(t) == "" {
				oldest, newest = min(oldest, t), max(newest, t)
			}
		}
	}
	if newest != math.MinInt64 {
		return oldest, newest
	}
	if s.refused(f.SendTime) != "" {
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

// refuse records the block's rounds [first, end) as a gap.
func (s *State) refuse(key bootKey, b *boot, blk *telemetry.Block, first, end int, reason string) {
	if first < end {
		s.gaps = append(s.gaps, wire.Gap{Agent: key.Agent, Boot: key.Boot, FirstSeq: b.lastSeq, LastSeq: b.lastSeq,
			From: blk.Times[first], To: blk.Times[end-1], Reason: reason})
	}
}

// believed returns the block's rounds [first, end) whose times are believed;
// the others, which are those before and those behind, are refused.
func (s *State) believed(key bootKey, b *boot, blk *telemetry.Block) (first, end int) {
	end = len(blk.Times)
	for first < end && s.refused(blk.Times[first]) == wire.ReasonPast {
		first++
	}
	for end > first && s.refused(blk.Times[end-1]) != "" {
		end--
	}
	s.refuse(key, b, blk, 0, first, wire.ReasonPast)
	s.refuse(key, b, blk, end, len(blk.Times), wire.ReasonFuture)
	return first, end
}

// applyBlock adds the block's samples to the stretch and returns how many there
// were.
func (s *State) applyBlock(key bootKey, b *boot, blk *telemetry.Block) uint64 {
	if len(blk.Times) == 0 {
		return 0
	}
	if blk.Schema == nil {
		s.gaps = append(s.gaps, wire.Gap{Agent: key.Agent, Boot: key.Boot, FirstSeq: b.lastSeq, LastSeq: b.lastSeq,
			From: blk.Times[0], To: blk.Times[len(blk.Times)-1], Reason: wire.ReasonSchema})
		return 0
	}
	res := b.resolved[blk.Fingerprint]
	if res == nil || res.stale {
		known := res != nil
		res = s.resolve(key, b, blk.Schema, known)
		if b.resolved == nil {
			b.resolved = map[uint64]*resolved{}
		}
		b.resolved[blk.Fingerprint] = res
	}
	rounds := len(blk.Times)
	first, end := s.believed(key, b, blk)
	for r := first; r < end; r++ {
		t := blk.Times[r]
		for i := range res.feeds {
			fd := &res.feeds[i]
			at := fd.col*rounds + r
			if blk.Absent != nil && blk.IsAbsent(at) {
				continue
			}
			s.sample(fd, t, blk.Values[at])
		}
	}
	if end-first == rounds {
		return uint64(blk.Samples())
	}
	return present(blk, first, end)
}

// present counts the samples of the block's rounds [first, end).
func present(blk *telemetry.Block, first, end int) (n uint64) {
	rounds := len(blk.Times)
	for at := range blk.Values {
		if at%rounds >= first && at%rounds < end && !blk.IsAbsent(at) {
			n++
		}
	}
	return n
}

// resolve finds the streams that the schema's columns feed. Known says that the
// boot sent the schema before: counters that are new here are not new there.
func (s *State) resolve(key bootKey, b *boot, def *telemetry.Schema, known bool) *resolved {
	res := &resolved{}
	for col := range def.Series {
		series := &def.Series[col]
		for _, st := range s.rules.byMetric[series.Name] {
			role, ok := st.match(series, b.host)
			if !ok {
				continue
			}
			gk, labels := st.group(series, b.host)
			if s.announced[gk] == nil {
				s.announced[gk] = &group{labels: labels}
			}
			vantage := ""
			if st.def.Vantage != "" {
				vantage = get(series.Labels, b.host, st.def.Vantage)
			}
			fd := feed{col: col, role: role, stream: st, cell: s.cell(gk, vantage)}
			if st.takes(role, telemetry.Counter) {
				fd.counter = s.counterOf(key, series, st, role, known)
			}
			res.feeds = append(res.feeds, fd)
		}
	}
	return res
}

func (s *State) cell(gk wire.GroupKey, vantage string) *cell {
	k := cellKey{gk, vantage}
	c := s.cells[k]
	if c == nil {
		c = &cell{cellKey: k}
		s.cells[k] = c
	}
	return c
}

func (s *State) counterOf(key bootKey, series *telemetry.Series, st *stream, r role, known bool) *counter {
	ck := counterKey{agent: key.Agent, series: seriesHash(series), stream: st.id, from: st.From, role: r}
	if series.Fresh {
		ck.boot = key.Boot
	}
	c := s.counters[ck]
	if c == nil {
		c = &counter{fresh: series.Fresh && !known, used: s.logTime}
		s.counters[ck] = c
	}
	return c
}

func seriesHash(s *telemetry.Series) uint64 {
	return xxhash.Sum64String(s.Name) ^ s.Labels.Hash()*31
}
