package sim

import (
	"math"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

// timeoutShare is how much of an interval a probe waits, as agents do.
const timeoutShare = 0.9

// rttEvery is how often a probe's histogram travels, milliseconds.
const rttEvery = 10_000

// retransmit is what a lost packet costs an interaction: TCP's least time
// before it sends again, seconds (Linux).
const retransmit = 0.2

// gauge makes a schema of one gauge.
func gauge(name string, labels telemetry.Labels) *telemetry.Schema {
	return telemetry.NewSchema([]telemetry.Series{{Name: name, Labels: labels, Kind: telemetry.Gauge}})
}

// probeMeter probes one zone's end point.
type probeMeter struct {
	line
	cfg                *ProbeConfig
	zone               string
	result, blind, rtt *telemetry.Schema
	seen               *hist.Histogram
}

func newProbeMeter(l line, c *ProbeConfig, zone string) *probeMeter {
	labels := label(l.service, "probe", c.Protocol, "job", "services", "zone", zone, "region", l.regions[zone],
		"target", address(c.Protocol, l.service.Name, zone))
	p := &probeMeter{line: l, cfg: c, zone: zone, seen: &hist.Histogram{}}
	p.result = telemetry.NewSchema([]telemetry.Series{
		{Name: "probe_success", Labels: labels, Kind: telemetry.Gauge},
		{Name: "probe_latency_seconds", Labels: labels, Kind: telemetry.Gauge},
		{Name: "probe_duration_seconds", Labels: labels, Kind: telemetry.Gauge},
	})
	p.blind = gauge("probe_blind", labels)
	p.rtt = telemetry.NewSchema([]telemetry.Series{{Name: "probe_rtt_seconds", Labels: labels, Kind: telemetry.Histogram}})
	return p
}

func (p *probeMeter) measure(m *moment) {
	at := p.at(m, 0, 1)
	if m.offline { // its control targets fail too: it blames nobody
		m.emit(p.blind, at, []float64{1})
		return
	}
	timeout := timeoutShare * float64(m.fleet.interval) / 1000
	took := round6(p.answer(m))
	_, dark := m.weather.dark[p.zone]
	if dark || took > timeout || p.lost(m, p.zone) || m.host.dice.Float64() < p.cfg.Failures {
		m.emit(p.result, at, []float64{0, math.Inf(1), timeout})
	} else {
		m.emit(p.result, at, []float64{1, took, took})
		p.seen.Observe(took)
	}
	if (m.start+m.fleet.interval)%rttEvery < m.fleet.interval && p.seen.Count > 0 {
		m.emit(p.rtt, at, []float64{0}, p.seen)
		p.seen = &hist.Histogram{}
	}
}

func (p *probeMeter) answer(m *moment) float64 {
	return p.line.rtt(m, p.zone) + p.serve(m, p.zone, p.cfg.Spread, 1)
}

// timingMeter times interactions of users.
type timingMeter struct {
	line
	cfg    *TimingConfig
	schema *telemetry.Schema
}

func newTimingMeter(l line, c *TimingConfig) *timingMeter {
	return &timingMeter{line: l, cfg: c, schema: gauge(c.Metric, label(l.service))}
}

func (t *timingMeter) measure(m *moment) {
	if m.offline {
		return
	}
	n := max(1, int(float64(t.cfg.PerSecond)*float64(m.fleet.interval)/1000))
	for k := range n {
		v := math.Inf(1) // what is not answered is slower than every threshold
		zone, ok := t.route(m, t.any(m))
		if took := t.took(m, zone); ok && m.host.dice.Float64() >= t.cfg.Failures {
			v = round6(took)
		}
		m.emit(t.schema, t.at(m, k, n), []float64{v})
	}
}

func (t *timingMeter) took(m *moment, zone string) float64 {
	v := t.rtt(m, zone) + t.serve(m, zone, t.cfg.Spread, t.cfg.UnderLoad)
	if t.lost(m, zone) {
		v += retransmit
	}
	return v
}

// requestsMeter counts requests as a gateway at the vantage point does.
type requestsMeter struct {
	line
	cfg   *RequestsConfig
	count counters
}

func newRequestsMeter(l line, c *RequestsConfig) *requestsMeter {
	return &requestsMeter{line: l, cfg: c, count: newCounters(c.Total, c.Bad, label(l.service))}
}

func (r *requestsMeter) measure(m *moment) {
	if m.offline {
		return
	}
	total := poisson(m.host.dice, r.cfg.PerSecond*m.load*float64(m.fleet.interval)/1000)
	bad, n := uint64(0), uint64(len(r.zones))
	for i := range r.zones { // users of all zones are alike
		share := total / n
		if uint64(i) < total%n {
			share++
		}
		if _, ok := r.route(m, i); ok {
			bad += binomial(m.host.dice, share, r.cfg.Errors)
		} else {
			bad += share
		}
	}
	r.count.count(m, r.at(m, 0, 1), total, bad)
}

// packetsMeter plays one session: it stays with its zone while that is there.
type packetsMeter struct {
	line
	cfg         *PacketsConfig
	rtt, jitter *telemetry.Schema
	count       counters
}

func newPacketsMeter(l line, c *PacketsConfig) *packetsMeter {
	labels := label(l.service)
	return &packetsMeter{line: l, cfg: c, rtt: gauge(c.Prefix+"_rtt_seconds", labels), jitter: gauge(c.Prefix+"_jitter_seconds", labels),
		count: newCounters(c.Prefix+"_packets_sent_total", c.Prefix+"_packets_lost_total", labels)}
}

func (p *packetsMeter) measure(m *moment) {
	if m.offline {
		return
	}
	zone, ok := p.route(m, int(m.host.seed%uint64(len(p.zones))))
	sent := uint64(max(1, float64(p.cfg.PerSecond)*float64(m.fleet.interval)/1000))
	loss := 1.0
	if ok {
		loss = max(p.cfg.Loss, m.weather.loss(m.host, zone, m.fleet.cfg.Network.Loss))
	}
	lost := binomial(m.host.dice, sent, loss)
	before, sum := -1.0, 0.0
	for k := range p.cfg.Samples {
		v := p.line.rtt(m, zone) + p.serve(m, zone, p.cfg.Spread, 1)
		if before >= 0 {
			sum += math.Abs(v - before)
		}
		before = v
		if m.host.dice.Float64() < loss {
			v = math.Inf(1)
		}
		m.emit(p.rtt, p.at(m, k, p.cfg.Samples), []float64{round6(v)})
	}
	at := p.at(m, 0, 1)
	if p.cfg.Samples > 1 && lost < sent {
		// The mean difference of round trips that follow each other, as RFC 3550
		// takes its jitter from.
		m.emit(p.jitter, at, []float64{round6(sum / float64(p.cfg.Samples-1))})
	}
	p.count.count(m, at, sent, lost)
}
