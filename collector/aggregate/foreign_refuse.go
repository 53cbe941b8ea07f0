package aggregate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"nines/collector/decode"
	"nines/internal/wire"
)

const (
	// tallyAfter is the log time after which a foreign histogram is judged: its
	// buckets come in records of their own.
	tallyAfter = 60_000
	// maxTallies bounds the foreign histograms that are judged, and maxSaid what is
	// said of those that cannot be counted.
	maxTallies = 1 << 16
	maxSaid    = 10_000
)

type tallyKey struct {
	stream string
	from   int64
	set    uint64
}

// foreignTally is what the series of a foreign histogram have said so far.
type foreignTally struct {
	tally
	host   string
	since  int64 // log time of what was said last
	judged bool  // that it cannot be counted was said since, if so it is
}

// awaitTallies notes what the series says of histograms that objectives read.
func (f *foreignState) awaitTallies(sr *foreignSeries, now int64) {
	for i := range sr.plan.tallies {
		t := &sr.plan.tallies[i]
		if slices.ContainsFunc(sr.natives, func(at int) bool { return sr.plan.pairs[at].stream == t.stream }) {
			continue // it is counted
		}
		k := tallyKey{t.stream.id, t.stream.From, t.set}
		have := f.tallies[k]
		if have == nil {
			if len(f.tallies) >= maxTallies {
				continue
			}
			have = &foreignTally{tally: tally{stream: t.stream, set: t.set, metric: t.metric}, host: sr.labels.Get(decode.LabelHost), since: now}
			f.tallies[k] = have
		}
		if have.hear(t) {
			have.since, have.judged = now, false
		}
	}
}

// hear adds what a series says, and tells whether it is news.
func (t *foreignTally) hear(o *tally) bool {
	was := t.tally
	t.join(o)
	t.bounds = was.bounds
	if t.bucket && t.total {
		t.bounds = nil // they are only told of what is refused
	} else {
		for _, b := range o.bounds {
			if !slices.Contains(t.bounds, b) {
				t.bounds = append(t.bounds, b)
			}
		}
	}
	return t.bucket != was.bucket || t.total != was.total || t.native != was.native || t.gauges != was.gauges || len(t.bounds) > len(was.bounds)
}

// judgeForeign records, as gaps without missing records, why foreign histograms
// cannot be counted: those of which all series had time to come.
func (s *State) judgeForeign() {
	f := s.foreign
	var keys []tallyKey
	for k, t := range f.tallies {
		if !t.judged && s.logTime >= t.since+tallyAfter {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b tallyKey) int {
		return cmp.Or(strings.Compare(a.stream, b.stream), cmp.Compare(a.from, b.from), cmp.Compare(a.set, b.set))
	})
	for _, k := range keys {
		t := f.tallies[k]
		t.judged = true
		why := t.refused()
		r := refusal{bootKey{Agent: t.host}, xxhash.Sum64String(why)}
		if why == "" || f.said[r] || len(f.said) >= maxSaid {
			continue
		}
		f.said[r] = true
		s.gaps = append(s.gaps, wire.Gap{Agent: t.host, From: t.since, To: t.since, Reason: wire.ReasonRefused + " " + why})
	}
}

// begin dates what was read before the log's first tick.
func (f *foreignState) begin(now int64) {
	f.began = now
	for _, sr := range f.series {
		sr.used = now
	}
	for _, p := range f.pairs {
		p.used = now
	}
	for _, t := range f.tallies {
		t.since = now
	}
}

// outdate has all sets described again: the rules have changed.
func (f *foreignState) outdate(rules *ruleSet) {
	f.sets.Clear()
	clear(f.plans)
	clear(f.outlines)
	for k, t := range f.tallies {
		if t.stream = rules.find(k.stream, k.from); t.stream == nil {
			delete(f.tallies, k)
		}
	}
}

// find returns the stream that counts from then on, nil where there is none.
func (r *ruleSet) find(id string, from int64) *stream {
	for _, st := range r.streams {
		if st.id == id && st.From == from {
			return st
		}
	}
	return nil
}

// forget drops the series that have been silent for so long that nothing can
// come after.
func (f *foreignState) forget(now int64) {
	dropped := false
	for id, sr := range f.series {
		if sr.used < now-agentLife {
			delete(f.series, id)
			dropped = true
		}
	}
	for k, p := range f.pairs {
		if p.used < now-agentLife {
			delete(f.pairs, k)
			dropped = true
		}
	}
	if dropped { // sets and series point to what is gone
		f.sets.Clear()
		for _, sr := range f.series {
			sr.rules = nil
		}
	}
}

// setLife is how long a set that nobody sends any more is remembered.
const setLife = 2 * 3600_000

// sweep marks what the series feed as in use, and forgets silent sets and plans
// that no series has.
func (f *foreignState) sweep(now int64) {
	for _, sr := range f.series {
		sr.plan.feedUntil(now)
	}
	maps.DeleteFunc(f.plans, func(_ string, p *plan) bool { return p.fed != now })
	f.sets.Forget(now - setLife)
}
