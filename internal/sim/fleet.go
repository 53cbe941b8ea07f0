// Package sim plays a fleet: hosts, vantage points and services of a topology,
// with the load of a day, the latencies of a map and faults by a script. It
// yields the frames that real agents would send, made by the agents' own framer
// and spool, so that everything behind Kafka sees no difference but the labels
// that the configuration adds. It promises that the same configuration, seed and
// start give the same frames, however its time is cut, and that it tells what it
// measured as it measures it: the truth, by which an oracle judges the judges.
//
// A Fleet reads no clock; a Player plays it to Kafka.
package sim

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"nines/agent/framing"
	"nines/agent/spool"
	"nines/internal/telemetry"
	"nines/internal/topology"
)

// spoolBytes bounds what a host keeps while its zone is dark.
const spoolBytes = 8 << 20

// leastSpool is what a host of the largest fleet keeps: a minute of its frames.
const leastSpool = 64 << 10

// Options configure a Fleet.
type Options struct {
	Config   Config
	Topology *topology.Topology
	// Start is the time of the first measurement, Unix milliseconds. Faults are
	// counted from it.
	Start int64
	// Salt makes the boots of this run its own: two runs of one simulation
	// against one log need different ones. 0 leaves them to the seed.
	Salt uint64
	// Truth, where given, is told everything that is measured of services, in
	// the order of time per host, before its frame is made.
	Truth func(Outcome)
	// Fates, where given, is told what becomes of the frames of hosts that measure
	// services: it tells which of the truth can have reached a collector.
	Fates func(Fate)
	// Flush is how often frames leave, in milliseconds and a multiple of the
	// interval; 0 is each interval.
	Flush int64
	// ServicesOnly leaves out what hosts measure of themselves.
	ServicesOnly bool
	// Shard of Shards, counted from 0, plays every Shards-th host alone: the
	// parts together are what one fleet would be, whatever plays each. Shards 0 is
	// one for all.
	Shard, Shards int
	// SpoolBytes bounds what all hosts together keep while their zones are dark; 0
	// is 8 MiB for each.
	SpoolBytes int
}

// Outcome is one thing measured at one time.
type Outcome struct {
	// Time is the sample time as the host's clock gives it, Unix milliseconds.
	Time int64
	// Host is the agent's name.
	Host string
	// Labels of the host, which its series have too where they have none of that
	// name. They are shared: do not change them.
	Labels telemetry.Labels
	// Series is name, labels and kind. It is shared: do not change it.
	Series *telemetry.Series
	// Value is the sample of a gauge, or by how much a counter grew.
	Value float64
}

// Step is what happens to a frame.
type Step uint8

// Steps of a frame: it is made of all that its host has measured since the frame
// before, leaves for Kafka, or is lost because the host could keep no more or its
// agent was killed.
const (
	Made Step = iota
	Sent
	Lost
)

// Fate is what became of a frame.
type Fate struct {
	Host      string
	Boot, Seq uint64
	Step      Step
}

// Frame is one frame of one simulated agent. Frames of an agent leave in order,
// each after the one before is acknowledged.
type Frame struct {
	Agent string
	// Region is where it stands, which may have a topic of its own.
	Region string
	// Zone and Host choose the partition, see framing.Partition.
	Zone, Host string
	Item       spool.Item
}

// Fleet is the state of a simulation. It belongs to one goroutine.
type Fleet struct {
	cfg      Config
	top      *topology.Topology
	bare     bool // services only
	truth    func(Outcome)
	fates    func(Fate)
	salt     uint64
	interval int64
	flush    int64
	origin   int64
	next     int64 // begin of the next interval

	hosts   []*host
	names   map[string]*host
	gpus    map[string]int // zone → how many it has
	schemas map[[3]int]*telemetry.Schema
	samples uint64
	spool   int // bytes that a host keeps at most
}

// New prepares a simulation and plays nothing. What is wrong with the
// configuration is told as file:line:col, all at once.
func New(opt Options) (*Fleet, error) {
	if opt.Topology == nil {
		return nil, errors.New("create simulation: it needs a topology")
	}
	if err := opt.Config.check().Sorted().Err(); err != nil {
		return nil, err
	}
	c := opt.Config
	f := &Fleet{cfg: c, top: opt.Topology, bare: opt.ServicesOnly, truth: opt.Truth, fates: opt.Fates, salt: opt.Salt, interval: c.Interval.Milliseconds(), flush: opt.Flush,
		origin: opt.Start, next: opt.Start, names: map[string]*host{}, gpus: map[string]int{}, schemas: map[[3]int]*telemetry.Schema{}, spool: spoolBytes}
	if f.flush == 0 {
		f.flush = f.interval
	}
	if f.flush < f.interval || f.flush%f.interval != 0 {
		return nil, fmt.Errorf("create simulation: frames must leave at a multiple of the interval, %d ms, got %d ms", f.interval, f.flush)
	}
	if f.truth == nil {
		f.truth = func(Outcome) {}
	}
	if err := f.settle(); err != nil {
		return nil, err
	}
	if err := c.checkPlaces(f.top, f.names).Sorted().Err(); err != nil {
		return nil, err
	}
	f.meshPeers()
	if err := f.part(opt); err != nil {
		return nil, err
	}
	for _, h := range f.hosts {
		if err := h.reboot(f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// part keeps the hosts of one shard. Faults were checked on all of them before,
// and GPUs are counted on all of them.
func (f *Fleet) part(opt Options) error {
	if shards := max(1, opt.Shards); opt.Shard < 0 || opt.Shard >= shards {
		return fmt.Errorf("create simulation: want a shard from 0 to %d, got %d", shards-1, opt.Shard)
	}
	if opt.Shards > 1 {
		var mine []*host
		for i := opt.Shard; i < len(f.hosts); i += opt.Shards {
			mine = append(mine, f.hosts[i])
		}
		f.hosts = mine
	}
	if opt.SpoolBytes > 0 {
		f.spool = min(spoolBytes, max(leastSpool, opt.SpoolBytes/max(1, len(f.hosts))))
	}
	return nil
}

// settle puts the hosts where the configuration wants them.
func (f *Fleet) settle() error {
	var all []string
	for _, r := range f.top.Regions {
		for _, z := range r.Zones {
			all = append(all, z.ID)
		}
	}
	for _, hc := range f.cfg.Hosts {
		zones := hc.Zones
		if len(zones) == 0 {
			zones = all
		}
		for i, id := range zones {
			n := hc.Count
			if hc.Total > 0 { // spread evenly, the first zones take the rest
				n = hc.Total / len(zones)
				if i < hc.Total%len(zones) {
					n++
				}
			}
			for k := range n {
				h := &host{name: fmt.Sprintf("%s-%s-%04d", hc.Prefix, id, k+1), zone: id, cores: hc.Cores, gpus: hc.GPUs, series: hc.Series, prober: k < hc.Probers}
				if z, ok := f.top.Zone(id); ok {
					r, _ := f.top.Region(z.Region)
					h.region, h.place = r.ID, r.Location
				}
				if err := f.add(h, hc.Labels); err != nil {
					return err
				}
			}
			f.gpus[id] += n * hc.GPUs
		}
	}
	for _, v := range f.cfg.Vantage {
		h := &host{name: v.Name, zone: v.Zone, region: v.Region, cores: 2, prober: true, outside: true,
			place: topology.Location{Latitude: v.Latitude, Longitude: v.Longitude}}
		if err := f.add(h, v.Labels); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) add(h *host, labels map[string]string) error {
	if h.name == "" || f.names[h.name] != nil {
		return fmt.Errorf("create simulation: want hosts with names of their own, got %q twice or empty; give them different prefixes", h.name)
	}
	m := map[string]string{}
	for _, set := range []map[string]string{f.cfg.Labels, labels} {
		for k, v := range set {
			m[k] = v
		}
	}
	m["agent"], m["host"], m["zone"], m["region"] = h.name, h.name, h.zone, h.region
	h.labels = telemetry.NewLabels(m)
	h.seed = mix(f.cfg.Seed, h.name)
	h.dice = rand.New(rand.NewPCG(h.seed, 1))
	f.hosts = append(f.hosts, h)
	f.names[h.name] = h
	return nil
}

// mix makes one number of a seed and a name.
func mix(seed uint64, name string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s", seed, name)
	return h.Sum64()
}

// Hosts returns how many hosts there are, vantage points included.
func (f *Fleet) Hosts() int { return len(f.hosts) }

// Regions returns where the hosts of a configuration stand, in order.
func (c Config) Regions(t *topology.Topology) []string {
	seen := map[string]bool{}
	for _, h := range c.Hosts {
		for _, r := range t.Regions {
			if slices.ContainsFunc(r.Zones, func(z topology.Zone) bool { return len(h.Zones) == 0 || slices.Contains(h.Zones, z.ID) }) {
				seen[r.ID] = true
			}
		}
	}
	for _, v := range c.Vantage {
		seen[v.Region] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// Vantage returns the names of the hosts that measure services.
func (f *Fleet) Vantage() []string {
	var out []string
	for _, h := range f.hosts {
		if h.prober {
			out = append(out, h.name)
		}
	}
	return out
}

// Services returns the names of the services, and their zones.
func (f *Fleet) Services() map[string][]string {
	out := map[string][]string{}
	for i := range f.cfg.Services {
		out[f.cfg.Services[i].Name] = f.zonesOf(&f.cfg.Services[i])
	}
	return out
}

func (f *Fleet) zonesOf(s *ServiceConfig) []string {
	if len(s.Zones) > 0 {
		return s.Zones
	}
	var out []string
	for _, r := range f.top.Regions {
		for _, z := range r.Zones {
			out = append(out, z.ID)
		}
	}
	return out
}

// Samples returns how many samples were measured so far.
func (f *Fleet) Samples() uint64 { return f.samples }

// Now returns up to where the fleet was played, Unix milliseconds.
func (f *Fleet) Now() int64 { return f.next }

// Advance plays all intervals that have passed entirely at now, Unix
// milliseconds, and returns the frames that leave meanwhile, in the order in
// which each agent sends them.
func (f *Fleet) Advance(now int64) ([]Frame, error) {
	var out []Frame
	for f.next+f.interval <= now {
		w := f.at(f.next)
		for _, h := range f.hosts {
			if err := h.step(f, w, f.next); err != nil {
				return nil, err
			}
		}
		f.next += f.interval
		if (f.next-f.origin)%f.flush == 0 {
			for _, h := range f.hosts {
				out = h.send(f, out, w)
			}
		}
	}
	return out, nil
}

// Scale returns the simulation with so many hosts in its first entry, together,
// and so many series of each host of its own; 0 leaves either as it is.
func (c Config) Scale(hosts, series int) Config {
	c.Hosts = slices.Clone(c.Hosts)
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if hosts > 0 && i == 0 {
			h.Count, h.Total = 0, hosts
		}
		if series > 0 {
			h.Series, h.Cores = series, coresFor(series, h.GPUs)
		}
	}
	return c
}

// Waiting returns how many frames hosts hold back because their zone is dark.
func (f *Fleet) Waiting() (n int) {
	for _, h := range f.hosts {
		n += h.spool.Stats().Frames
	}
	return n
}

// boot returns the number of a host's next boot.
func (f *Fleet) boot(h *host) uint64 {
	h.boots++
	if b := mix(h.seed^f.salt, fmt.Sprintf("boot %d", h.boots)); b != 0 {
		return b
	}
	return 1
}

// framerOf begins a boot: frames are numbered from 1 again, and what was not
// sent is lost.
func (f *Fleet) framerOf(h *host) (err error) {
	for h.spool != nil {
		it, ok := h.spool.Peek()
		if !ok {
			break
		}
		f.tell(h, it.Seq, it.Seq, Lost)
		_ = h.spool.Ack(it.Seq) // the item just peeked
	}
	h.boot = f.boot(h)
	h.framer = framing.New(h.name, h.boot, h.labels)
	h.spool, err = spool.New(spool.Options{MemoryBytes: f.spool})
	return err
}

// tell tells what became of frames of a host that measures services.
func (f *Fleet) tell(h *host, first, last uint64, step Step) {
	if f.fates == nil || len(h.meters) == 0 {
		return
	}
	for seq := first; seq <= last; seq++ {
		f.fates(Fate{h.name, h.boot, seq, step})
	}
}

// label makes the labels of a series of a service.
func label(s *ServiceConfig, more ...string) telemetry.Labels {
	m := map[string]string{"service": s.Name}
	for k, v := range s.Labels {
		m[k] = v
	}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return telemetry.NewLabels(m)
}

// address is where a service answers in a zone: fictional, as RFC 2606 wants.
func address(protocol, service, zone string) string {
	name := strings.ToLower(service + "." + zone + ".example")
	if protocol == "http" {
		return "https://" + name + "/"
	}
	return name
}

// own returns the zones that a vantage point probes: its own first, then those
// that follow in the list, n of them together; all where n is 0.
func own(zones []string, zone string, n int, seed uint64) []string {
	if n <= 0 || n >= len(zones) {
		return zones
	}
	first := slices.Index(zones, zone)
	if first < 0 {
		first = int(seed % uint64(len(zones)))
	}
	out := []string{zones[first]}
	// The rest are spread by a stride, so that all pairs of zones are covered
	// by vantage points together.
	stride := max(1, len(zones)/n)
	offset := int(seed/7) % stride
	for k := 1; len(out) < n && k < 2*len(zones); k++ {
		if z := zones[(first+offset+k*stride)%len(zones)]; !slices.Contains(out, z) {
			out = append(out, z)
		} else if z := zones[(first+k)%len(zones)]; !slices.Contains(out, z) {
			out = append(out, z)
		}
	}
	return out
}
