package sim

import (
	"fmt"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

// moment is what a meter needs to know about one interval.
type moment struct {
	fleet   *Fleet
	host    *host
	weather *weather
	start   int64   // of the interval, true time
	load    float64 // share of the day's peak
	offline bool    // the host reaches nothing
}

// meter measures one thing of one service from one vantage point.
type meter interface{ measure(m *moment) }

// metersOf makes the meters of a vantage point, all at the begin of their
// counters.
func (f *Fleet) metersOf(h *host) []meter {
	var out []meter
	for i := range f.cfg.Services {
		s := &f.cfg.Services[i]
		line := f.lineOf(h, s)
		for j, mc := range s.Measures {
			l := line
			l.phase = int64(mix(h.seed, fmt.Sprintf("%s/%d", s.Name, j)) % uint64(f.interval))
			switch {
			case mc.Probe != nil:
				for _, z := range own(line.zones, h.zone, s.Paths, h.seed) {
					out = append(out, newProbeMeter(l, mc.Probe, z))
				}
			case mc.Timing != nil:
				out = append(out, newTimingMeter(l, mc.Timing))
			case mc.Requests != nil:
				out = append(out, newRequestsMeter(l, mc.Requests))
			case mc.Packets != nil:
				out = append(out, newPacketsMeter(l, mc.Packets))
			}
		}
	}
	return out
}

// line is the way from a vantage point to a service.
type line struct {
	service *ServiceConfig
	zones   []string
	regions map[string]string
	path    map[string]float64 // seconds there and back, by zone
	gpus    map[string]int     // by zone
	phase   int64              // of the first measurement within an interval
}

func (f *Fleet) lineOf(h *host, s *ServiceConfig) line {
	l := line{service: s, zones: f.zonesOf(s), regions: map[string]string{}, path: map[string]float64{}, gpus: f.gpus}
	for _, id := range l.zones {
		if z, ok := f.top.Zone(id); ok { // others are told of by checkPlaces
			l.regions[id] = z.Region
			l.path[id] = f.path(h, id)
		}
	}
	return l
}

// route returns the zone that serves a user of the given one: itself, or the
// next that is not lost once the failover has passed. ok is false where the
// user gets no answer.
func (l *line) route(m *moment, first int) (zone string, ok bool) {
	since, dark := m.weather.dark[l.zones[first]]
	if !dark {
		return l.zones[first], true
	}
	if m.start-since >= l.service.Failover.Milliseconds() {
		for k := 1; k < len(l.zones); k++ {
			z := l.zones[(first+k)%len(l.zones)]
			if _, dark := m.weather.dark[z]; !dark {
				return z, true
			}
		}
	}
	return l.zones[first], false
}

// any returns one of the zones, all alike.
func (l *line) any(m *moment) int { return m.host.dice.IntN(len(l.zones)) }

// rtt draws a round trip to a zone, in seconds.
func (l *line) rtt(m *moment, zone string) float64 {
	return m.fleet.cfg.Network.trip(m.host.dice, l.path[zone], m.load) * m.weather.slower(l.regions[zone])
}

// serve draws how long a zone takes to answer, in seconds.
func (l *line) serve(m *moment, zone string, s Spread, underLoad float64) float64 {
	v := s.draw(m.host.dice) * m.weather.slower(l.regions[zone]) * (1 + (underLoad-1)*m.load*m.load)
	if l.service.GPU {
		v /= m.weather.working(zone, l.gpus[zone])
	}
	return v
}

// lost tells whether a packet to the zone, or its answer, gets lost.
func (l *line) lost(m *moment, zone string) bool {
	return m.host.dice.Float64() < m.weather.loss(m.host, zone, m.fleet.cfg.Network.Loss)
}

// at returns the time of the k-th of n measurements of the interval.
func (l *line) at(m *moment, k, n int) int64 {
	return m.start + (int64(k)*m.fleet.interval+l.phase)/int64(n)
}

// emit hands a round to the framer and tells the truth about its gauges. at is
// true time; the sample carries what the host's clock shows.
func (m *moment) emit(s *telemetry.Schema, at int64, values []float64, hists ...*hist.Histogram) {
	at += m.host.skew
	for i := range s.Series {
		if s.Series[i].Kind == telemetry.Gauge {
			m.fleet.truth(Outcome{Time: at, Host: m.host.name, Labels: m.host.labels, Series: &s.Series[i], Value: values[i]})
		}
	}
	m.fleet.samples += uint64(len(values))
	m.host.framer.Sink(telemetry.Round{Schema: s, Time: at, Values: values, Hists: hists})
}

// counters is a pair of cumulative counters that began with the boot.
type counters struct {
	schema *telemetry.Schema
	values [2]float64
}

func newCounters(first, second string, labels telemetry.Labels) counters {
	return counters{schema: telemetry.NewSchema([]telemetry.Series{
		{Name: first, Labels: labels, Kind: telemetry.Counter, Fresh: true},
		{Name: second, Labels: labels, Kind: telemetry.Counter, Fresh: true},
	})}
}

// count adds to both and reports them.
func (c *counters) count(m *moment, at int64, first, second uint64) {
	for i, n := range [2]uint64{first, second} {
		c.values[i] += float64(n)
		m.fleet.truth(Outcome{Time: at + m.host.skew, Host: m.host.name, Labels: m.host.labels, Series: &c.schema.Series[i], Value: float64(n)})
	}
	m.emit(c.schema, at, []float64{c.values[0], c.values[1]})
}
