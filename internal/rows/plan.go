package rows

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"nines/internal/telemetry"
)

// Series is a series that rows have made.
type Series struct {
	telemetry.Series
	// HoldEvery and HoldFor say that a value is repeated until the next one, in
	// milliseconds; 0 for series that are not held.
	HoldEvery, HoldFor int64
}

// Table holds the series of all files.
type Table struct {
	Series []Series
	byKey  map[string]int
	key    []byte
}

// plan is a mapping as it applies to records: columns by their place.
type plan struct {
	m       *Mapping
	columns []string
	time    int
	makers  []maker
	outcome int // column; -1 where there is none
	table   *Table
}

// maker makes the points of one series name.
type maker struct {
	id     string // tells makers apart in the table, over all files
	column int
	name   int    // column of the series' name; -1 where it is series
	series string // its name
	kind   telemetry.Kind
	values *ValueSpec // nil for requests
	scale  float64
	labels []labelFrom
	fixed  map[string]string
}

type labelFrom struct {
	name   string
	column int
}

func newPlan(m *Mapping, table *Table) *plan {
	p := &plan{m: m, table: table, outcome: -1}
	p.time = p.column(m.Spec.Time.Column)
	for i := range m.Spec.Values {
		v := &m.Spec.Values[i]
		mk := maker{id: strconv.Itoa(i), column: p.column(v.Column), name: -1, series: v.Series, kind: v.kind(), values: v, scale: v.Scale}
		if v.SeriesColumn != "" {
			mk.name = p.column(v.SeriesColumn)
		}
		p.add(mk, v.Labels)
	}
	if r := m.Spec.Requests; r != nil {
		if r.Outcome != nil {
			p.outcome = p.column(r.Outcome.Column)
			p.add(maker{id: "outcome", column: p.outcome, name: -1, series: r.Series + successSuffix, kind: telemetry.Gauge}, r.Labels)
		}
		if r.Latency != nil {
			unit, _ := unitOf(r.Latency.Unit)
			p.add(maker{id: "latency", column: p.column(r.Latency.Column), name: -1, series: r.Series + durationSuffix,
				kind: telemetry.Gauge, scale: unit}, r.Labels)
		}
	}
	return p
}

// column returns the place of a column.
func (p *plan) column(name string) int {
	if i := slices.Index(p.columns, name); i >= 0 {
		return i
	}
	p.columns = append(p.columns, name)
	return len(p.columns) - 1
}

func (p *plan) add(mk maker, labels map[string]string) {
	mk.fixed = p.m.Spec.Constants
	all := maps.Clone(p.m.Spec.Labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, labels)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		mk.labels = append(mk.labels, labelFrom{name, p.column(all[name])})
	}
	p.makers = append(p.makers, mk)
}

// points appends the points of a row, or says why it is refused. A row is used
// as a whole or not at all.
func (p *plan) points(row records, out []Point) ([]Point, *Problem) {
	text, ok := row.get(p.time)
	if !ok {
		return out, problem(row, p.time, reasonTime, "has no time")
	}
	at, err := parseTime(text, p.m.Spec.Time.Format, p.m.Spec.zone)
	if err != nil {
		return out, problem(row, p.time, reasonTime, quote(text)+" "+err.Error())
	}
	said := good
	if p.outcome >= 0 {
		if said, err = p.judge(row); err != nil {
			return out, problem(row, p.outcome, reasonOutcome, err.Error())
		}
	}
	for i := range p.makers {
		mk := &p.makers[i]
		v, ok, refused := p.value(row, mk, said)
		if refused != nil {
			return out, refused
		}
		if !ok {
			continue
		}
		s, refused := p.series(row, mk)
		if refused != nil {
			return out, refused
		}
		out = append(out, Point{at, s, v})
	}
	return out, nil
}

// verdict is what a row says of its request.
type verdict int

const (
	good    verdict = iota
	bad             // it failed
	ignored         // it does not count
)

// judge tells whether the row's request succeeded.
func (p *plan) judge(row records) (verdict, error) {
	o := p.m.Spec.Requests.Outcome
	text, _ := row.get(p.outcome)
	for said, list := range [][]string{good: o.Good, bad: o.Bad, ignored: o.Ignore} {
		if matches(list, text) {
			return verdict(said), nil
		}
	}
	return ignored, fmt.Errorf("%s is in none of the lists of spec.requests.outcome", quote(text))
}

// value returns the value that the maker finds in the row, if there is one.
func (p *plan) value(row records, mk *maker, said verdict) (v float64, ok bool, refused *Problem) {
	text, ok := row.get(mk.column)
	if mk.values == nil {
		switch {
		case said == ignored:
			return 0, false, nil
		case mk.column == p.outcome && said == bad:
			return 0, true, nil
		case mk.column == p.outcome:
			return 1, true, nil
		case said == bad:
			return math.Inf(1), true, nil // slower than every threshold
		}
	}
	if !ok {
		return 0, false, nil
	}
	if mk.values != nil {
		if v, ok := mk.values.Map[text]; ok {
			return v, true, nil
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil && !math.IsInf(v, 0) || v != v {
		return 0, false, problem(row, mk.column, reasonValue, quote(text)+mk.wanted())
	}
	if v < 0 && (mk.values == nil || mk.values.Kind != kindGauge) {
		return 0, false, problem(row, mk.column, reasonValue, quote(text)+" is below zero")
	}
	return v * mk.scale, true, nil
}

// wanted says what a value would have to be.
func (mk *maker) wanted() string {
	if mk.values == nil || len(mk.values.Map) == 0 {
		return " is no number"
	}
	return " is no number, and not among the texts of map: " + strings.Join(slices.Sorted(maps.Keys(mk.values.Map)), ", ")
}

// series returns the place of the series that the row's labels name.
func (p *plan) series(row records, mk *maker) (int, *Problem) {
	t := p.table
	t.key = append(t.key[:0], mk.id...)
	name := mk.series
	if mk.name >= 0 {
		name, _ = row.get(mk.name)
		t.key = append(append(t.key, 0), name...)
	}
	for _, l := range mk.labels {
		text, _ := row.get(l.column)
		t.key = append(append(t.key, 0), text...)
	}
	if i, ok := t.byKey[string(t.key)]; ok {
		return i, nil
	}
	if !metricName.MatchString(name) {
		return 0, problem(row, mk.name, reasonSeries, quote(name)+" is no name of a metric")
	}
	labels := maps.Clone(mk.fixed)
	if labels == nil {
		labels = map[string]string{}
	}
	for _, l := range mk.labels {
		labels[l.name], _ = row.get(l.column)
	}
	s := Series{Series: telemetry.Series{Name: strings.Clone(name), Labels: telemetry.NewLabels(labels), Kind: mk.kind}}
	for i := range s.Labels {
		s.Labels[i].Value = strings.Clone(s.Labels[i].Value) // not the whole row
	}
	if mk.values != nil && mk.values.Hold != nil {
		s.HoldEvery, s.HoldFor = mk.values.Hold.Every.Milliseconds(), mk.values.Hold.For.Milliseconds()
	}
	if t.byKey == nil {
		t.byKey = map[string]int{}
	}
	t.byKey[string(t.key)] = len(t.Series)
	t.Series = append(t.Series, s)
	return len(t.Series) - 1, nil
}

func problem(row records, column int, reason, detail string) *Problem {
	line, col := row.at(column)
	return &Problem{Line: line, Col: col, Reason: reason, Detail: detail}
}

// quote quotes a text for people, the beginning of long ones.
func quote(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}
