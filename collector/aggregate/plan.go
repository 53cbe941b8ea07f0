package aggregate

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// class is what hosts are to the rules: the values of the labels that any
// matcher, grouping or vantage point reads. Hosts of a class share plans.
type class struct {
	kin   *kin
	plans []*plan
	fed   int64 // the last sweep that found it in use
}

// plan says which columns of a schema feed what, for hosts of a class: ids are
// resolved once, so that a sample costs no map look-up and no string.
type plan struct {
	fingerprint uint64
	schema      *schema
	steps       []ladderFeed
	gains       []gainColumn // of cumulative series
	feeds       []feed
	parts       []part
	pairs       []pairFeed
	tallies     []tally
	fed         int64
	idles       bool // nothing of it feeds anything
}

// ladderFeed ties a column to a ladder.
type ladderFeed struct {
	col    int
	ladder *ladder
}

// feed ties a column to a cell.
type feed struct {
	col     int
	role    role
	counted bool // it is of a cumulative series
	series  *telemetry.Series
	stream  *stream
	cell    *cell
}

// resolved is a schema as one boot sends it. Without a plan, it has to be
// resolved anew, as rules or host labels have changed since; that the boot has
// sent the schema is of use then: its counters did not begin just now.
type resolved struct {
	fingerprint uint64
	plan        *plan
	cumulated   *cumulated // nil where the plan counts nothing
	// judged says that what is refused of its histograms has been said.
	judged bool
}

// reader is the feed's among those of its series.
func (fd *feed) reader() reader { return reader{fd.stream.id, fd.stream.From, fd.role} }

// cumulated is what a boot's cumulative series showed last: by plan.gains and by
// plan.pairs.
type cumulated struct {
	gains []*cumulative
	pairs []*pair
}

// counterKey identifies a cumulative series as one stream's role sees it; see
// seriesKey.
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

// classify finds the boot's class and has its schemas resolved again with their
// next frame.
func (s *State) classify(b *boot) {
	b.outdate()
	var room [256]byte
	key := appendValues(room[:0], s.rules.labels, b.host)
	if b.class = s.classes[string(key)]; b.class != nil {
		return
	}
	b.class = &class{fed: s.swept}
	s.classes[string(key)] = b.class
	key = appendValues(room[:0], s.rules.matched, b.host)
	if b.class.kin = s.kin[string(key)]; b.class.kin == nil {
		b.class.kin = &kin{outlines: map[uint64]*outline{}}
		s.kin[string(key)] = b.class.kin
	}
}

// appendValues appends the host's values of the labels.
func appendValues(dst []byte, names []string, host telemetry.Labels) []byte {
	for _, name := range names {
		dst = appendText(dst, host.Get(name))
	}
	return dst
}

// resolved returns what the boot knows of the schema, nil where it has not sent
// it. An agent's frames have their blocks in the same order, so that i, the
// block's place, is mostly its place here too.
func (b *boot) resolved(fp uint64, i int) *resolved {
	if i < len(b.schemas) && b.schemas[i].fingerprint == fp {
		return &b.schemas[i]
	}
	for i := range b.schemas {
		if b.schemas[i].fingerprint == fp {
			return &b.schemas[i]
		}
	}
	return nil
}

// resolve gives the boot the plan of the schema, and the counters that it
// needs. Res is not nil where the boot sent the schema before: counters that are
// new here are not new there.
func (s *State) resolve(b *boot, res *resolved, def *telemetry.Schema) *resolved {
	known := res != nil
	if !known {
		b.schemas = append(b.schemas, resolved{fingerprint: def.Fingerprint})
		res = &b.schemas[len(b.schemas)-1]
	}
	res.plan = s.plan(b, def)
	if p := res.plan; len(p.gains)+len(p.pairs) > 0 {
		res.cumulated = s.cumulatedOf(b.key, p, known || s.doubtful(b))
	}
	s.unjudged = s.unjudged || !res.judged && len(res.plan.tallies) > 0
	return res
}

func (s *State) cumulatedOf(key bootKey, p *plan, known bool) *cumulated {
	c := &cumulated{gains: make([]*cumulative, 0, len(p.gains)), pairs: make([]*pair, 0, len(p.pairs))}
	for i := range p.gains {
		c.gains = append(c.gains, s.cumulativeOf(key, &p.gains[i], known))
	}
	for i := range p.pairs {
		c.pairs = append(c.pairs, s.pairOf(key, &p.pairs[i], known))
	}
	return c
}

// plan returns the plan of the schema for the boot's class.
func (s *State) plan(b *boot, def *telemetry.Schema) *plan {
	for _, p := range b.class.plans {
		if p.fingerprint == def.Fingerprint {
			p.schema = s.schemas[def.Fingerprint] // it may have been forgotten, and come again
			return p
		}
	}
	o := s.outlineOf(b, def)
	p := o.idle
	if p == nil {
		p = &plan{fingerprint: def.Fingerprint, fed: s.swept}
		s.fill(p, o, b.host)
		for _, col := range o.sampled {
			s.addColumn(p, col, &def.Series[col], b.host)
		}
		s.addHistograms(p, o.histories, b.host)
		p.feeds = slices.Clone(p.feeds) // as many as there are: plans stay
		p.idles = len(p.steps)+len(p.gains)+len(p.feeds)+len(p.parts) == 0
	}
	p.schema = s.schemas[def.Fingerprint]
	b.class.plans = append(b.class.plans, p)
	return p
}

// addColumn adds to the plan what the column feeds.
func (s *State) addColumn(p *plan, col int, series *telemetry.Series, host telemetry.Labels) {
	feeds, ladders := s.ladders(s.feeds(col, series, host))
	for _, l := range ladders {
		p.steps = append(p.steps, ladderFeed{col, l})
	}
	for _, fd := range feeds {
		s.feedBy(fd.cell, nil, ladderRung{})
		p.feeds = append(p.feeds, fd)
	}
}

// feeds returns what the column feeds.
func (s *State) feeds(col int, series *telemetry.Series, host telemetry.Labels) (out []feed) {
	var by []string // the grouping that labels and hash are of
	var labels telemetry.Labels
	var hash uint64
	for _, st := range s.rules.byMetric[series.Name] {
		role, ok := st.match(series, host)
		if !ok {
			continue
		}
		if by == nil || !slices.Equal(by, st.def.GroupBy) {
			by = st.def.GroupBy
			labels = st.group(series.Labels, host)
			hash = labels.Hash()
		}
		vantage := ""
		if st.def.Vantage != "" {
			vantage = get(series.Labels, host, st.def.Vantage)
		}
		out = append(out, feed{col: col, role: role, counted: st.takes(role, telemetry.Counter), series: series, stream: st,
			cell: s.cell(wire.GroupKey{Stream: st.id, Labels: hash}, labels, vantage)})
	}
	return out
}

func seriesHash(s *telemetry.Series) uint64 {
	return xxhash.Sum64String(s.Name) ^ s.Labels.Hash()*31
}

// outdatePlans has all boots' schemas resolved again: the rules have changed.
func (s *State) outdatePlans() {
	s.spreadFans()
	s.sumLadders(true)
	s.resetLadders()
	s.keepDirty()
	s.classes, s.laddersBy, s.scales = map[string]*class{}, map[string]*ladder{}, map[string]*scale{}
	s.kin, s.fans, s.readers = map[string]*kin{}, map[fanKey]*fan{}, map[string]*readers{}
	for _, b := range s.boots {
		b.outdate()
		b.unjudge()
		b.class = nil
	}
	s.foreign.outdate(s.rules)
}
