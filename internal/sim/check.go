package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"nines/internal/topology"
	"nines/internal/yamlconf"
)

// complaints collects what is wrong with a configuration.
type complaints struct {
	doc  *yamlconf.Doc
	errs yamlconf.Errors
}

func (c *complaints) add(path string, got any, format string, args ...any) {
	if c.doc == nil { // a configuration that was made, not read
		c.errs = append(c.errs, yamlconf.Error{File: "simulation", Path: path, Reason: fmt.Sprintf(format, args...)})
		return
	}
	c.errs = append(c.errs, c.doc.Errorf(path, got, format, args...))
}

func (c *complaints) share(path string, v float64) {
	if !(v >= 0 && v <= 1) {
		c.add(path, v, "want a share from 0 to 1")
	}
}

func (c *complaints) within(path string, v, low, high time.Duration) {
	if v < low || v > high {
		c.add(path, v, "want from %s to %s", low, high)
	}
}

// check judges what needs no topology.
func (c *Config) check() yamlconf.Errors {
	e := &complaints{doc: c.doc}
	e.within("spec.interval", c.Interval, 100*time.Millisecond, time.Minute)
	if c.Interval > 0 && c.Interval%(100*time.Millisecond) != 0 {
		e.add("spec.interval", c.Interval, "want a multiple of 100ms")
	}
	e.within("spec.load.peak", c.Load.Peak, 0, 24*time.Hour)
	e.share("spec.load.low", c.Load.Low)
	c.checkHistory(e)
	c.checkNetwork(e)
	c.Mesh.check(e)
	for i, h := range c.Hosts {
		at := fmt.Sprintf("spec.hosts[%d]", i)
		if (h.Count > 0) == (h.Total > 0) || h.Count < 0 || h.Total < 0 {
			e.add(at, nil, "want either count, hosts in each zone, or total, hosts together")
		}
		if h.Cores < 1 || h.Cores > 1024 {
			e.add(at+".cores", h.Cores, "want from 1 to 1024")
		}
		if least := hostSeries + 10 + gpuSeries*h.GPUs; h.Series != 0 && (h.Series < least || h.Series > 10_000) {
			e.add(at+".series", h.Series, "want from %d to 10000", least)
		}
		if h.GPUs < 0 || h.GPUs > 64 {
			e.add(at+".gpus", h.GPUs, "want from 0 to 64")
		}
		if h.Probers < 0 {
			e.add(at+".probers", h.Probers, "must not be negative")
		}
	}
	for i, s := range c.Services {
		c.checkService(e, fmt.Sprintf("spec.services[%d]", i), s)
	}
	for i, f := range c.Faults {
		checkFault(e, fmt.Sprintf("spec.faults[%d]", i), f)
	}
	return e.errs
}

// longestHistory is as far back as collectors believe a sample's time.
const longestHistory = 7 * 24 * time.Hour

func (c *Config) checkHistory(e *complaints) {
	e.within("spec.history.lasts", c.History.Lasts, 0, longestHistory)
	for _, f := range c.Faults {
		if every := c.History.FaultsEvery; every != 0 && every <= f.Lasts {
			e.add("spec.history.faultsEvery", every, "must be longer than any fault lasts: %s lasts %s", f.Name, f.Lasts)
			return
		}
	}
}

func (c *Config) checkNetwork(e *complaints) {
	n := c.Network
	for path, d := range map[string]time.Duration{"sameZone": n.SameZone, "sameRegion": n.SameRegion, "access": n.Access} {
		e.within("spec.network."+path, d, 0, 10*time.Second)
	}
	if !(n.Speed > 0 && n.Speed <= 300) {
		e.add("spec.network.speed", n.Speed, "want above 0 and at most 300, the speed of light in kilometres per millisecond")
	}
	if !(n.Stretch >= 1 && n.Stretch <= 100) {
		e.add("spec.network.stretch", n.Stretch, "want from 1 to 100")
	}
	if !(n.Detours >= 0 && n.Detours <= 2) {
		e.add("spec.network.detours", n.Detours, "want from 0 to 2")
	}
	if !(n.Evening >= 0 && n.Evening <= 10) {
		e.add("spec.network.evening", n.Evening, "want from 0 to 10")
	}
	if e.share("spec.network.spikes.share", n.Spikes.Share); n.Spikes.Share > 0 {
		e.spread("spec.network.spikes", n.Spikes.Spread)
	}
	e.share("spec.network.jitter", n.Jitter)
	e.share("spec.network.loss", n.Loss)
}

var metricRE = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

func (c *complaints) metric(path, name string) {
	if !metricRE.MatchString(name) {
		c.add(path, name, "want the name of a metric")
	}
}

func (c *complaints) spread(path string, s Spread) {
	if s.Median <= 0 || s.P99 < s.Median {
		c.add(path, nil, "want a median above 0 and a p99 that is not below it")
	}
}

func (c *Config) checkService(e *complaints, at string, s ServiceConfig) {
	if s.Name == "" {
		e.add(at+".name", nil, "is required")
	}
	if s.Paths < 0 {
		e.add(at+".paths", s.Paths, "must not be negative")
	}
	if len(s.Measures) == 0 {
		e.add(at+".measures", nil, "is required: probe, timing, requests or packets")
	}
	for i, m := range s.Measures {
		path := fmt.Sprintf("%s.measures[%d]", at, i)
		n := 0
		if m.Probe != nil {
			n++
			if !slices.Contains([]string{"icmp", "tcp", "http", "dns"}, m.Probe.Protocol) {
				e.add(path+".probe.protocol", m.Probe.Protocol, "want icmp, tcp, http or dns")
			}
			e.spread(path+".probe", m.Probe.Spread)
			e.share(path+".probe.failures", m.Probe.Failures)
		}
		if m.Timing != nil {
			n++
			m.Timing.check(e, path+".timing")
		}
		if m.Requests != nil {
			n++
			m.Requests.check(e, path+".requests")
		}
		if m.Packets != nil {
			n++
			m.Packets.check(e, path+".packets", c.Interval)
		}
		if n != 1 {
			e.add(path, nil, "want one of probe, timing, requests and packets")
		}
	}
}

func (t *TimingConfig) check(e *complaints, at string) {
	e.metric(at+".metric", t.Metric)
	e.spread(at, t.Spread)
	e.share(at+".failures", t.Failures)
	if t.PerSecond < 1 || t.PerSecond > 1000 {
		e.add(at+".perSecond", t.PerSecond, "want from 1 to 1000")
	}
	if !(t.UnderLoad >= 1 && t.UnderLoad <= 100) {
		e.add(at+".underLoad", t.UnderLoad, "want from 1 to 100")
	}
}

func (r *RequestsConfig) check(e *complaints, at string) {
	e.metric(at+".total", r.Total)
	e.metric(at+".bad", r.Bad)
	e.share(at+".errors", r.Errors)
	if !(r.PerSecond > 0 && r.PerSecond <= 1e6) {
		e.add(at+".perSecond", r.PerSecond, "want above 0 and at most 1000000")
	}
}

func (p *PacketsConfig) check(e *complaints, at string, interval time.Duration) {
	e.metric(at+".prefix", p.Prefix)
	e.spread(at, p.Spread)
	e.share(at+".loss", p.Loss)
	if p.PerSecond < 1 || p.PerSecond > 1e6 {
		e.add(at+".perSecond", p.PerSecond, "want from 1 to 1000000")
	}
	if p.Samples < 1 || p.Samples > int(interval.Milliseconds()) {
		e.add(at+".samples", p.Samples, "want from 1 to one a millisecond")
	}
}

func checkFault(e *complaints, at string, f FaultConfig) {
	if !slices.Contains(faultKinds, f.Kind) {
		var names []string
		for _, k := range faultKinds {
			names = append(names, string(k))
		}
		e.add(at+".kind", string(f.Kind), "want %s", strings.Join(names, ", "))
	}
	if f.At < 0 {
		e.add(at+".at", f.At, "must not be negative")
	}
	if f.Lasts <= 0 {
		e.add(at+".lasts", f.Lasts, "is required: how long it lasts")
	}
	if f.Every != 0 && f.Every <= f.Lasts {
		e.add(at+".every", f.Every, "must be longer than it lasts, %s", f.Lasts)
	}
	e.share(at+".loss", f.Loss)
	if f.Kind == RegionSlow && !(f.Factor >= 1) {
		e.add(at+".factor", f.Factor, "want 1 or more")
	}
	if f.Kind == ClockStep && f.By == 0 {
		e.add(at+".by", nil, "is required: by how much the clock is wrong")
	}
}

// checkPlaces judges what refers to the topology, after the hosts are known.
func (c *Config) checkPlaces(t *topology.Topology, hosts map[string]*host) yamlconf.Errors {
	e := &complaints{doc: c.doc}
	zone := func(path, id string) {
		if _, ok := t.Zone(id); !ok {
			e.add(path, id, "the topology has no zone of this name")
		}
	}
	region := func(path, id string) {
		if _, ok := t.Region(id); !ok {
			e.add(path, id, "the topology has no region of this name")
		}
	}
	zones := func(at string, ids []string) {
		for i, id := range ids {
			zone(fmt.Sprintf("%s.zones[%d]", at, i), id)
		}
	}
	for i, h := range c.Hosts {
		zones(fmt.Sprintf("spec.hosts[%d]", i), h.Zones)
	}
	for i, v := range c.Vantage {
		region(fmt.Sprintf("spec.vantage[%d].region", i), v.Region)
	}
	for i, s := range c.Services {
		zones(fmt.Sprintf("spec.services[%d]", i), s.Zones)
	}
	for i, f := range c.Faults {
		at := fmt.Sprintf("spec.faults[%d]", i)
		switch f.Kind {
		case ZoneDark:
			zone(at+".zone", f.Zone)
		case RegionSlow:
			region(at+".region", f.Region)
		case PathLossy:
			zone(at+".to", f.To)
			if _, ok := t.Zone(f.From); !ok && hosts[f.From] == nil {
				e.add(at+".from", f.From, "want a zone or a vantage point")
			}
		case GPUFailing, AgentSilent, ClockStep:
			h := hosts[f.Host]
			if h == nil {
				e.add(at+".host", f.Host, "no host of this name is simulated")
			} else if f.Kind == GPUFailing && (f.GPU < 0 || f.GPU >= h.gpus) {
				e.add(at+".gpu", f.GPU, "the host has %d GPUs, counted from 0", h.gpus)
			}
		}
	}
	return e.errs
}
