package sim

import (
	"fmt"
	"slices"
)

// FaultKind is what goes wrong.
type FaultKind string

// The kinds of faults.
const (
	// ZoneDark cuts a zone off: its end points answer nobody, its probers reach
	// nothing and its agents keep their frames until it ends.
	ZoneDark FaultKind = "zone_dark"
	// RegionSlow multiplies every latency of a region.
	RegionSlow FaultKind = "region_slow"
	// PathLossy loses packets between one vantage point, or those of a zone, and
	// one zone.
	PathLossy FaultKind = "path_lossy"
	// GPUFailing takes a GPU off the bus: XID 79, and no figures of it.
	GPUFailing FaultKind = "gpu_failing"
	// AgentSilent kills an agent, and starts it anew when it ends.
	AgentSilent FaultKind = "agent_silent"
	// ClockStep sets a host's clock wrong.
	ClockStep FaultKind = "clock_step"
)

var faultKinds = []FaultKind{ZoneDark, RegionSlow, PathLossy, GPUFailing, AgentSilent, ClockStep}

// Occurrence is one time that a fault happens, [Start, End) in Unix
// milliseconds.
type Occurrence struct {
	Fault      FaultConfig
	Start, End int64
}

// occurs returns the occurrence that the fault is in at t.
func (f *FaultConfig) occurs(origin, t int64) (Occurrence, bool) {
	start := origin + f.At.Milliseconds()
	if t < start {
		return Occurrence{}, false
	}
	if every := f.Every.Milliseconds(); every > 0 {
		start = t - (t-start)%every
	}
	end := start + f.Lasts.Milliseconds()
	return Occurrence{*f, start, end}, t < end
}

// Occurrences returns when faults happen that touch [from, until), in order:
// what an oracle compares incidents with.
func (f *Fleet) Occurrences(from, until int64) []Occurrence {
	var out []Occurrence
	for i := range f.cfg.Faults {
		c := &f.cfg.Faults[i]
		at, every := f.origin+c.At.Milliseconds(), c.Every.Milliseconds()
		if every > 0 && from > at {
			at += (from - at) / every * every
		}
		for ; at < until; at += every {
			if end := at + c.Lasts.Milliseconds(); end > from {
				out = append(out, Occurrence{*c, at, end})
			}
			if every == 0 {
				break
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Occurrence) int { return int(a.Start - b.Start) })
	return out
}

// weather is what is wrong at one moment.
type weather struct {
	dark   map[string]int64 // zone → since when
	slow   map[string]float64
	lossy  map[[2]string]float64 // from (host or zone), to (zone)
	lost   map[string][]int      // host → GPUs off the bus
	silent map[string]bool       // host
	skew   map[string]int64      // host → milliseconds
	broken map[string]int        // zone → GPUs off the bus
}

// at returns the weather of one moment.
func (f *Fleet) at(t int64) *weather {
	w := &weather{}
	for i := range f.cfg.Faults {
		o, ok := f.cfg.Faults[i].occurs(f.origin, t)
		if !ok {
			continue
		}
		switch c := o.Fault; c.Kind {
		case ZoneDark:
			set(&w.dark, c.Zone, o.Start)
		case RegionSlow:
			set(&w.slow, c.Region, max(c.Factor, w.slow[c.Region]))
		case PathLossy:
			set(&w.lossy, [2]string{c.From, c.To}, c.Loss)
		case GPUFailing:
			set(&w.lost, c.Host, append(w.lost[c.Host], c.GPU))
		case AgentSilent:
			set(&w.silent, c.Host, true)
		case ClockStep:
			set(&w.skew, c.Host, w.skew[c.Host]+c.By.Milliseconds())
		}
	}
	for name, gpus := range w.lost {
		zone := f.names[name].zone
		set(&w.broken, zone, w.broken[zone]+len(gpus))
	}
	return w
}

func set[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

// loss returns the share of packets lost between a host and a zone.
func (w *weather) loss(h *host, zone string, usual float64) float64 {
	return max(usual, w.lossy[[2]string{h.name, zone}], w.lossy[[2]string{h.zone, zone}])
}

// slower returns by how much latencies of a region are multiplied.
func (w *weather) slower(region string) float64 { return max(1, w.slow[region]) }

// working returns the share of a zone's GPUs that work, of all that it has; at
// least a hundredth.
func (w *weather) working(zone string, all int) float64 {
	if n := w.broken[zone]; n > 0 && all > 0 {
		return max(0.01, 1-float64(n)/float64(all))
	}
	return 1
}

// Strikes returns the zone, region, path or host that the fault is on.
func (c *FaultConfig) Strikes() string {
	switch c.Kind {
	case ZoneDark:
		return c.Zone
	case RegionSlow:
		return c.Region
	case PathLossy:
		return c.From + " → " + c.To
	case GPUFailing:
		return fmt.Sprintf("GPU %d of %s", c.GPU, c.Host)
	}
	return c.Host
}
