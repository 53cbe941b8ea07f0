package aggregate

import (
	"encoding/binary"
	"maps"
	"slices"

	"nines/internal/telemetry"
)

// kin are hosts that are alike to all matchers: what a schema feeds differs among
// them by groups and vantage points alone.
type kin struct{ outlines map[uint64]*outline }

// outline says which columns of a schema feed what, for kin.
type outline struct {
	gains     []gainOutline
	sampled   []int // columns of values that some stream may judge
	histories []*histogramColumns
	groupings [][]string // lists of labels that groups are told apart by
	// idle is the plan of all kin where the schema feeds nothing, else nil.
	idle *plan
}

// gainOutline is a column of a cumulative series that feeds something.
type gainOutline struct {
	col    int
	series *telemetry.Series
	hash   uint64
	who    *readers
	fans   []*fanOutline
	totals int
}

// fanOutline is a fan of which the group is not known yet: its feeds have no
// cells.
type fanOutline struct {
	span
	bin, slot int64
	grouping  int // of outline.groupings
	own       bool
	vantage   string // the label that tells vantage points apart, "" for none
	feeds     []feed
	totals    int
}

// grouped are the labels of a group.
type grouped struct {
	labels telemetry.Labels
	hash   uint64
}

// outlineOf returns the outline of the schema for the boot's host and those alike.
func (s *State) outlineOf(b *boot, def *telemetry.Schema) *outline {
	o := b.class.kin.outlines[def.Fingerprint]
	if o == nil {
		o = s.outline(def, b.host)
		b.class.kin.outlines[def.Fingerprint] = o
	}
	return o
}

func (s *State) outline(def *telemetry.Schema, host telemetry.Labels) *outline {
	o := &outline{histories: s.rules.histogramsOf(def)}
	for col := range def.Series {
		series := &def.Series[col]
		switch {
		case s.rules.byMetric[series.Name] == nil:
		case series.Kind == telemetry.Counter:
			s.outlineGain(o, col, series, host)
		default:
			o.sampled = append(o.sampled, col)
		}
	}
	if len(o.gains)+len(o.sampled)+len(o.histories) == 0 {
		o.idle = &plan{fingerprint: def.Fingerprint, fed: s.swept, idles: true}
	}
	return o
}

// outlineGain adds what a column of a cumulative series feeds.
func (s *State) outlineGain(o *outline, col int, series *telemetry.Series, host telemetry.Labels) {
	g := gainOutline{col: col, series: series, hash: seriesHash(series)}
	var who []reader
	for _, st := range s.rules.byMetric[series.Name] {
		role, ok := st.match(series, host)
		if !ok {
			continue
		}
		fd := feed{col: col, role: role, counted: true, series: series, stream: st}
		f := g.fan(o, st)
		f.feeds = append(f.feeds, fd)
		if role == roleTotal {
			f.totals++
			g.totals++
		}
	}
	if len(g.fans) == 0 {
		return
	}
	for _, f := range g.fans {
		for i := range f.feeds {
			who = append(who, f.feeds[i].reader())
		}
	}
	g.who = s.readersOf(who)
	o.gains = append(o.gains, g)
}

// fan returns the column's fan that the stream belongs to.
func (g *gainOutline) fan(o *outline, st *stream) *fanOutline {
	f := fanOutline{span: st.span, bin: st.def.Bin, slot: st.def.Rule.Length, grouping: o.grouping(st.def.GroupBy), vantage: st.def.Vantage}
	for _, have := range g.fans {
		if have.span == f.span && have.bin == f.bin && have.slot == f.slot && have.grouping == f.grouping && have.vantage == f.vantage {
			return have
		}
	}
	f.own = slices.ContainsFunc(st.def.GroupBy, func(name string) bool { return g.series.Labels.Get(name) != "" })
	g.fans = append(g.fans, &f)
	return &f
}

func (o *outline) grouping(by []string) int {
	for i := range o.groupings {
		if slices.Equal(o.groupings[i], by) {
			return i
		}
	}
	o.groupings = append(o.groupings, by)
	return len(o.groupings) - 1
}

// fill adds to the plan what the outline says, for a host.
func (s *State) fill(p *plan, o *outline, host telemetry.Labels) {
	byHost := make([]grouped, len(o.groupings)) // the groups of series that have none of the labels themselves
	p.gains = make([]gainColumn, 0, len(o.gains))
	for i := range o.gains {
		g := &o.gains[i]
		gc := gainColumn{col: g.col, series: g.hash, fresh: g.series.Fresh, who: g.who, totals: g.totals, fans: make([]*fan, 0, len(g.fans))}
		for _, of := range g.fans {
			gc.fans = append(gc.fans, s.fanOf(of, of.group(o, byHost, g.series, host), of.vantageOf(g.series, host)))
		}
		p.gains = append(p.gains, gc)
	}
}

// group returns the group that the series of a host belongs to.
func (of *fanOutline) group(o *outline, byHost []grouped, series *telemetry.Series, host telemetry.Labels) *grouped {
	by := &byHost[of.grouping]
	if of.own {
		by = &grouped{}
	}
	by.find(o.groupings[of.grouping], series.Labels, host)
	return by
}

// find fills it in, once.
func (g *grouped) find(names []string, series, host telemetry.Labels) {
	if g.labels == nil {
		g.labels = groupLabels(names, series, host)
		g.hash = g.labels.Hash()
	}
}

func (of *fanOutline) vantageOf(series *telemetry.Series, host telemetry.Labels) string {
	if of.vantage == "" {
		return ""
	}
	return get(series.Labels, host, of.vantage)
}

// appendReader appends what tells the reader from others.
func appendReader(dst []byte, r reader) []byte {
	return append(binary.AppendVarint(appendText(dst, r.stream), r.from), byte(r.role))
}

// matchedBy returns the labels that matchers read; some may be there twice.
func (s *stream) matchedBy() (out []string) {
	for i := range s.selectors {
		for j := range s.selectors[i].matchers {
			out = append(out, s.selectors[i].matchers[j].label)
		}
	}
	return out
}

// sweepKin forgets the outlines of hosts that are gone, and of schemas that are
// forgotten.
func (s *State) sweepKin() {
	used := map[*kin]bool{}
	for _, c := range s.classes {
		used[c.kin] = true
	}
	for key, k := range s.kin {
		if !used[k] {
			delete(s.kin, key)
			continue
		}
		maps.DeleteFunc(k.outlines, func(fp uint64, _ *outline) bool { return s.schemas[fp] == nil })
	}
}
