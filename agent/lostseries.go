package agent

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"nines/internal/telemetry"
)

const (
	// lossSeries bounds the series that losses are counted by. Of those beyond,
	// the samples are counted by metric, and how many series they are of; of
	// metrics beyond lossNames, together as otherMetrics.
	lossSeries   = 500
	lossNames    = 500
	otherMetrics = "(other)"
	// lossKnown bounds the series beyond lossSeries that are told apart.
	lossKnown = 1 << 16
	// unknownMetric counts samples of frames whose schema is not known any more.
	unknownMetric = "(unknown)"

	droppedSamples = "nines_agent_dropped_samples_total"
	droppedSeries  = "nines_agent_dropped_series"
	droppedFrom    = "nines_agent_dropped_from_seconds"
	droppedTo      = "nines_agent_dropped_to_seconds"
)

// lostSeries counts lost samples by series. The zero value counts none.
type lostSeries struct {
	list   []*lost
	exact  map[string]*lost // by name and labels
	byName map[string]*lost // the others, by name
	known  map[uint64]bool  // hashes of the others
	seed   maphash.Seed
	key    []byte
}

// lost is what one series lost, or all others of a metric.
type lost struct {
	name     string
	labels   telemetry.Labels
	others   bool
	series   int // of others: how many at least
	samples  uint64
	from, to int64 // Unix milliseconds, of the loss under way or the latest
	ended    bool
}

// pause says that what is lost from now on is another loss, with times of its
// own.
func (s *lostSeries) pause() {
	for _, l := range s.list {
		l.ended = true
	}
}

// count counts the samples of a block.
func (s *lostSeries) count(b *telemetry.Block) {
	if len(b.Times) == 0 {
		return
	}
	if b.Schema == nil {
		s.of(unknownMetric, nil).add(uint64(b.Columns*len(b.Times)), b.Times[0], b.Times[len(b.Times)-1])
		return
	}
	for i := range b.Schema.Series {
		n, from, to := uint64(0), int64(0), int64(0)
		for r, at := range b.Times {
			if b.IsAbsent(i*len(b.Times) + r) {
				continue
			}
			if n == 0 {
				from, to = at, at
			}
			n, from, to = n+1, min(from, at), max(to, at)
		}
		if n > 0 {
			s.of(b.Schema.Series[i].Name, b.Schema.Series[i].Labels).add(n, from, to)
		}
	}
}

func (l *lost) add(n uint64, from, to int64) {
	if l.samples == 0 || l.ended {
		l.from, l.to, l.ended = from, to, false
	}
	l.samples += n
	l.from, l.to = min(l.from, from), max(l.to, to)
}

// of returns what a series is counted by.
func (s *lostSeries) of(name string, labels telemetry.Labels) *lost {
	if s.exact == nil {
		s.exact, s.byName, s.known, s.seed = map[string]*lost{}, map[string]*lost{}, map[uint64]bool{}, maphash.MakeSeed()
	}
	s.key = append(s.key[:0], name...)
	for _, l := range labels {
		s.key = append(append(append(append(s.key, 0), l.Name...), 0), l.Value...)
	}
	if l := s.exact[string(s.key)]; l != nil {
		return l
	}
	if len(s.exact) < lossSeries && !aboutLosses(name) {
		l := &lost{name: name, labels: labels}
		s.exact[string(s.key)] = l
		s.list = append(s.list, l)
		return l
	}
	return s.other(name)
}

// aboutLosses tells whether a series is one of those made here: what they lose
// would make as many anew, with every loss.
func aboutLosses(name string) bool {
	switch name {
	case droppedSamples, droppedSeries, droppedFrom, droppedTo:
		return true
	}
	return false
}

// other returns what the series of s.key is counted by, which has none of its
// own.
func (s *lostSeries) other(name string) *lost {
	l := s.byName[name]
	if l == nil && len(s.byName) >= lossNames {
		name = otherMetrics
		l = s.byName[name]
	}
	if l == nil {
		l = &lost{name: name, others: true}
		s.byName[name] = l
		s.list = append(s.list, l)
	}
	if h := maphash.Bytes(s.seed, s.key); !s.known[h] && len(s.known) < lossKnown {
		s.known[h] = true
		l.series++
	}
	return l
}

// samples returns how many were lost.
func (s *lostSeries) samples() (n uint64) {
	for _, l := range s.list {
		n += l.samples
	}
	return n
}

// most names the series that lost most, and how many others did.
func (s *lostSeries) most() string {
	list := slices.SortedFunc(slices.Values(s.list), func(a, b *lost) int {
		return cmp.Or(cmp.Compare(b.samples, a.samples), strings.Compare(a.String(), b.String()))
	})
	var out []string
	for i, l := range list {
		if i == 8 {
			rest := 0
			for _, l := range list[i:] {
				rest += max(l.series, 1)
			}
			out = append(out, fmt.Sprintf("and %d more", rest))
			break
		}
		out = append(out, fmt.Sprintf("%s %d", l, l.samples))
	}
	return strings.Join(out, ", ")
}

func (l *lost) String() string {
	if l.others {
		return fmt.Sprintf("%s (%d series)", l.name, l.series)
	}
	if len(l.labels) == 0 {
		return l.name
	}
	return l.name + l.labels.String()
}

// width is how many series layOut gives.
func (s *lostSeries) width() int { return 3*len(s.list) + len(s.byName) }

// layOut returns the series that show the counts: with the lost series' own
// labels, and metric, its name; with series="others" where it is all others of
// that name. Labels that it has of these names are exported_metric and
// exported_series, as Prometheus has it.
func (s *lostSeries) layOut() []telemetry.Series {
	out := make([]telemetry.Series, 0, s.width())
	for _, l := range s.list {
		m := l.labels.Map()
		rename(m, "metric")
		rename(m, "series")
		m["metric"] = l.name
		if l.others {
			m["series"] = "others"
		}
		ls := telemetry.NewLabels(m)
		out = append(out, telemetry.Series{Name: droppedSamples, Kind: telemetry.Counter, Fresh: true, Labels: ls},
			telemetry.Series{Name: droppedFrom, Kind: telemetry.Gauge, Labels: ls}, telemetry.Series{Name: droppedTo, Kind: telemetry.Gauge, Labels: ls})
		if l.others {
			out = append(out, telemetry.Series{Name: droppedSeries, Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"metric": l.name})})
		}
	}
	return out
}

// rename makes room for a label of ours.
func rename(m map[string]string, label string) {
	v, ok := m[label]
	if !ok {
		return
	}
	delete(m, label)
	for label = "exported_" + label; m[label] != ""; label = "exported_" + label {
	}
	m[label] = v
}

// append appends their values.
func (s *lostSeries) append(values []float64) []float64 {
	for _, l := range s.list {
		values = append(values, float64(l.samples), float64(l.from)/1000, float64(l.to)/1000)
		if l.others {
			values = append(values, float64(l.series))
		}
	}
	return values
}
