package sim

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"nines/internal/topology"
	"nines/internal/yamlconf"
)

// Kind and Version name the documents that this package reads.
const (
	Kind    = "Simulation"
	Version = "nines/v1"
)

// Config is the spec of a simulation: which hosts there are, what they measure,
// and what goes wrong when. Parse fills in the defaults.
type Config struct {
	// Seed makes the same simulation twice.
	Seed uint64 `yaml:"seed"`
	// Interval between measurements of everything; 1s.
	Interval time.Duration `yaml:"interval"`
	// Labels are added to every host.
	Labels  map[string]string `yaml:"labels"`
	Load    LoadConfig        `yaml:"load"`
	Network NetworkConfig     `yaml:"network"`
	Hosts   []HostsConfig     `yaml:"hosts"`
	Vantage []VantageConfig   `yaml:"vantage"`
	// Services are what customers use.
	Services []ServiceConfig `yaml:"services"`
	Mesh     MeshConfig      `yaml:"mesh"`
	Faults   []FaultConfig   `yaml:"faults"`
	History  HistoryConfig   `yaml:"history"`

	doc *yamlconf.Doc
}

// HistoryConfig is how much of the past is made up for an empty ledger, so that
// there is something to look back on.
type HistoryConfig struct {
	// Lasts is how long before the start it begins; 0 for none.
	Lasts time.Duration `yaml:"lasts"`
	// FaultsEvery is how often the faults of the script happen in it, counted from
	// its begin; 0 for never.
	FaultsEvery time.Duration `yaml:"faultsEvery"`
}

// Past returns the simulation of the history: services alone, and the faults as
// often as it wants them.
func (c Config) Past() Config {
	faults := slices.Clone(c.Faults)
	for i := range faults {
		faults[i].Every = c.History.FaultsEvery
	}
	if c.Faults = faults; c.History.FaultsEvery == 0 {
		c.Faults = nil
	}
	return c
}

// LoadConfig is the course of a day, by the sun's time at each place.
type LoadConfig struct {
	// Peak is the time of day of the most load; 20h.
	Peak time.Duration `yaml:"peak"`
	// Low is the least load of a day, a share of the most; 0.35.
	Low float64 `yaml:"low"`
}

// NetworkConfig says how long packets take. The defaults are of the order of
// public measurements between clouds and countries: below a millisecond within a
// zone, one to two between zones of a region, 4 ms from a home to a data centre
// of its country, 135 ms from the Gulf to Singapore.
type NetworkConfig struct {
	SameZone   time.Duration `yaml:"sameZone"`
	SameRegion time.Duration `yaml:"sameRegion"`
	// Access is what the last mile adds for a vantage point outside of zones.
	Access time.Duration `yaml:"access"`
	// Speed is how far light gets in a fibre, kilometres per millisecond; 200.
	Speed float64 `yaml:"speed"`
	// Stretch is how much longer a path is than the great circle; 2.2.
	Stretch float64 `yaml:"stretch"`
	// Detours is how much paths differ in their stretch: the deviation of its
	// logarithm from one pair of places to another, whose median is Stretch.
	Detours float64 `yaml:"detours"`
	// Jitter is the spread of a round trip, a share of it; 0.04.
	Jitter float64 `yaml:"jitter"`
	// Evening is how much longer a round trip takes at the peak of the day where
	// it begins, a share of it; it grows with the square of the load.
	Evening float64 `yaml:"evening"`
	// Spikes are round trips that wait in a queue on their way.
	Spikes SpikesConfig `yaml:"spikes"`
	// Loss is the share of packets that get lost on any path.
	Loss float64 `yaml:"loss"`
}

// SpikesConfig is which share of round trips waits, and for how long: a delay
// that does not depend on the distance.
type SpikesConfig struct {
	Spread `yaml:",inline"`
	Share  float64 `yaml:"share"`
}

// HostsConfig are alike hosts in zones.
type HostsConfig struct {
	// Zones where they stand; all zones of the topology where empty.
	Zones []string `yaml:"zones"`
	// Count is how many stand in each zone; Total, instead, how many there are
	// together, spread evenly.
	Count int `yaml:"count"`
	Total int `yaml:"total"`
	// Prefix begins their names: PREFIX-ZONE-0001; host.
	Prefix string `yaml:"prefix"`
	Cores  int    `yaml:"cores"` // 4; each adds ten series
	GPUs   int    `yaml:"gpus"`
	// Series, instead of Cores, is how many series each has of itself, from 27
	// and 4 for each GPU: it gets as many cores as that takes.
	Series int `yaml:"series"`
	// Probers is how many of each zone's hosts are vantage points.
	Probers int               `yaml:"probers"`
	Labels  map[string]string `yaml:"labels"`
}

// VantageConfig is a host outside of the zones from which services are
// measured, such as an access network of their users.
type VantageConfig struct {
	Name   string `yaml:"name"`
	Region string `yaml:"region"`
	// Zone is the label zone that it carries; its name where empty.
	Zone      string            `yaml:"zone"`
	Latitude  float64           `yaml:"latitude"`
	Longitude float64           `yaml:"longitude"`
	Labels    map[string]string `yaml:"labels"`
}

// ServiceConfig is a service as its users find it: every vantage point measures
// it at Interval.
type ServiceConfig struct {
	Name string `yaml:"name"`
	// Zones where it runs; all zones of the topology where empty.
	Zones []string `yaml:"zones"`
	// Labels of all its series, such as its customer.
	Labels map[string]string `yaml:"labels"`
	// Failover is how long users of a lost zone fail before another serves them;
	// without one they fail throughout. 20s.
	Failover time.Duration `yaml:"failover"`
	// Paths bounds how many zones each vantage point probes; 0 is all.
	Paths int `yaml:"paths"`
	// GPU says that it slows down as GPUs of its zone fail.
	GPU      bool            `yaml:"gpu"`
	Measures []MeasureConfig `yaml:"measures"`
}

// MeasureConfig is one thing that is measured; one of the fields is set.
type MeasureConfig struct {
	Probe    *ProbeConfig    `yaml:"probe"`
	Timing   *TimingConfig   `yaml:"timing"`
	Requests *RequestsConfig `yaml:"requests"`
	Packets  *PacketsConfig  `yaml:"packets"`
}

// Spread is a log-normal distribution by its median and its 99th percentile.
type Spread struct {
	Median time.Duration `yaml:"median"`
	P99    time.Duration `yaml:"p99"`
}

// ProbeConfig probes each zone's end point as an agent does: probe_success,
// probe_latency_seconds, probe_rtt_seconds. The spread is the server's part.
type ProbeConfig struct {
	Spread `yaml:",inline"`
	// Protocol is icmp, tcp, http or dns; http.
	Protocol string `yaml:"protocol"`
	// Failures is the share of attempts that fail without a fault.
	Failures float64 `yaml:"failures"`
}

// TimingConfig times interactions of users: each is a sample in seconds, +Inf
// for one that failed.
type TimingConfig struct {
	Spread    `yaml:",inline"`
	Metric    string `yaml:"metric"`
	PerSecond int    `yaml:"perSecond"` // of each vantage point; 1
	// UnderLoad multiplies the spread at the day's peak; 1.2.
	UnderLoad float64 `yaml:"underLoad"`
	Failures  float64 `yaml:"failures"`
}

// RequestsConfig counts requests in two cumulative counters.
type RequestsConfig struct {
	Total     string  `yaml:"total"`
	Bad       string  `yaml:"bad"`
	PerSecond float64 `yaml:"perSecond"` // of each vantage point at the peak
	Errors    float64 `yaml:"errors"`    // share that fails without a fault
}

// PacketsConfig plays a stream of packets there and back: PREFIX_rtt_seconds
// and PREFIX_jitter_seconds are samples, PREFIX_packets_sent_total and
// PREFIX_packets_lost_total counters. The spread is the server's part.
type PacketsConfig struct {
	Spread    `yaml:",inline"`
	Prefix    string  `yaml:"prefix"`
	PerSecond int     `yaml:"perSecond"` // packets of each vantage point; 30
	Samples   int     `yaml:"samples"`   // round trips reported in a second; 4
	Loss      float64 `yaml:"loss"`
}

// FaultConfig is something that goes wrong, once or again and again.
type FaultConfig struct {
	Name string    `yaml:"name"`
	Kind FaultKind `yaml:"kind"`
	// At is when it begins, counted from the start of the simulation.
	At    time.Duration `yaml:"at"`
	Lasts time.Duration `yaml:"lasts"`
	// Every is when it begins again, counted from its begin; 0 is never.
	Every time.Duration `yaml:"every"`

	Zone   string        `yaml:"zone"`   // zone_dark
	Region string        `yaml:"region"` // region_slow
	Factor float64       `yaml:"factor"` // region_slow: times as slow
	From   string        `yaml:"from"`   // path_lossy: a vantage point, or the zone it stands in
	To     string        `yaml:"to"`     // path_lossy: a zone
	Loss   float64       `yaml:"loss"`   // path_lossy: share of packets
	Host   string        `yaml:"host"`   // gpu_failing, agent_silent, clock_step
	GPU    int           `yaml:"gpu"`    // gpu_failing: its index
	By     time.Duration `yaml:"by"`     // clock_step: fast, or slow where negative
}

// Load reads a simulation from a file.
func Load(file string) (Config, error) {
	return LoadOver(base(), file)
}

// LoadOver reads a simulation from a file that says only what differs from
// another one: what it leaves out is as there, and lists are replaced entirely.
func LoadOver(over Config, file string) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("read simulation: %w", err)
	}
	return parse(over, file, data)
}

// base is what a simulation is where nothing is said.
func base() Config {
	return Config{
		Interval: time.Second,
		Load:     LoadConfig{Peak: 20 * time.Hour, Low: 0.35},
		Network: NetworkConfig{SameZone: 300 * time.Microsecond, SameRegion: 1200 * time.Microsecond, Access: 4 * time.Millisecond,
			Speed: 200, Stretch: 2.2, Jitter: 0.04},
	}
}

// Parse reads one document of kind Simulation and fills in the defaults. Errors
// are file:line:col, all at once. What refers to a topology is checked by New.
func Parse(name string, data []byte) (Config, error) { return parse(base(), name, data) }

func parse(over Config, name string, data []byte) (Config, error) {
	var in struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name        string `yaml:"name"`
			DisplayName string `yaml:"displayName"`
		} `yaml:"metadata"`
		Spec Config `yaml:"spec"`
	}
	in.Spec = over
	doc, err := yamlconf.One(name, data)
	if err != nil {
		return Config{}, err
	}
	if doc == nil {
		return Config{}, yamlconf.Errors{{File: name, Line: 1, Col: 1, Reason: "the file is empty, want a document of kind " + Kind}}
	}
	if err := doc.Decode(&in); err != nil {
		return Config{}, err
	}
	if in.APIVersion != Version || in.Kind != Kind {
		return Config{}, yamlconf.Errors{doc.Errorf("kind", in.APIVersion+" "+in.Kind, "want %s %s", Version, Kind)}
	}
	c := in.Spec
	c.doc = doc
	c.defaults()
	return c, c.check().Sorted().Err()
}

// Check tells whether the simulation can be played on the topology.
func Check(c Config, t *topology.Topology) error {
	_, err := New(Options{Config: c, Topology: t})
	return err
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// defaults fills in what was left out within lists.
func (c *Config) defaults() {
	c.Mesh.defaults()
	for i := range c.Hosts {
		orDefault(&c.Hosts[i].Prefix, "host")
		orDefault(&c.Hosts[i].Cores, coresFor(c.Hosts[i].Series, c.Hosts[i].GPUs))
	}
	for i := range c.Vantage {
		orDefault(&c.Vantage[i].Zone, c.Vantage[i].Name)
	}
	for i := range c.Services {
		s := &c.Services[i]
		orDefault(&s.Failover, 20*time.Second)
		for j := range s.Measures {
			s.Measures[j].defaults()
		}
	}
	for i := range c.Faults {
		f := &c.Faults[i]
		orDefault(&f.Name, strings.ReplaceAll(string(f.Kind), "_", "-"))
		if f.Kind == RegionSlow {
			orDefault(&f.Factor, 4)
		}
		if f.Kind == PathLossy {
			orDefault(&f.Loss, 0.2)
		}
	}
}

func (m *MeasureConfig) defaults() {
	if p := m.Probe; p != nil {
		orDefault(&p.Protocol, "http")
		orDefault(&p.Median, 3*time.Millisecond)
		orDefault(&p.P99, 4*p.Median)
	}
	if t := m.Timing; t != nil {
		orDefault(&t.PerSecond, 1)
		orDefault(&t.UnderLoad, 1.2)
		orDefault(&t.P99, 3*t.Median)
	}
	if p := m.Packets; p != nil {
		orDefault(&p.PerSecond, 30)
		orDefault(&p.Samples, 4)
		orDefault(&p.Median, 2*time.Millisecond)
		orDefault(&p.P99, 3*p.Median)
	}
}
