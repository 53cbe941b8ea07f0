package sim

import (
	"math"
	"math/rand/v2"

	"nines/agent/mesh"
	"nines/internal/telemetry"
)

// MeshConfig is the agents' mesh: each host sends packets to peers in all zones,
// planned as agents plan them. There is none without PacketsPerSecond.
type MeshConfig struct {
	// PacketsPerSecond is what each host sends, whatever the fleet's size.
	PacketsPerSecond int `yaml:"packetsPerSecond"`
	// Pairs is by how many pairs of hosts each ordered pair of zones is covered;
	// 3.
	Pairs int `yaml:"pairs"`
	// MaxPeers bounds whom one host asks; 64.
	MaxPeers int `yaml:"maxPeers"`
	// Slots is how many hosts of a zone take part; 32. The others stand by.
	Slots int `yaml:"slots"`
}

// defaults are those of the agents.
func (c *MeshConfig) defaults() {
	agents := mesh.Config{}.WithDefaults()
	orDefault(&c.Pairs, agents.K)
	orDefault(&c.MaxPeers, agents.MaxPeers)
	orDefault(&c.Slots, agents.Slots)
}

// WithMesh returns the simulation with a mesh, as agents make one where nothing
// is said; one that has a mesh is as it was.
func (c Config) WithMesh() Config {
	orDefault(&c.Mesh.PacketsPerSecond, int(mesh.Config{}.WithDefaults().PacketsPerSecond))
	c.Mesh.defaults()
	return c
}

func (c *MeshConfig) check(e *complaints) {
	within := func(path string, v, low, high int) {
		if v < low || v > high {
			e.add("spec.mesh."+path, v, "want from %d to %d", low, high)
		}
	}
	within("packetsPerSecond", c.PacketsPerSecond, 0, 100)
	if c.PacketsPerSecond > 0 {
		within("pairs", c.Pairs, 1, 32)
		within("maxPeers", c.MaxPeers, 1, 1024)
		within("slots", c.Slots, 1, 1024)
	}
}

// meshPeers plans the mesh: the first hosts of each zone take part, in the order
// of the configuration.
func (f *Fleet) meshPeers() {
	c := f.cfg.Mesh
	if c.PacketsPerSecond == 0 || f.bare {
		return
	}
	var zones []string
	members := map[string][]*host{}
	var all []mesh.Host
	for _, h := range f.hosts {
		if h.outside || len(members[h.zone]) >= c.Slots {
			continue
		}
		if members[h.zone] == nil {
			zones = append(zones, h.zone)
		}
		members[h.zone] = append(members[h.zone], h)
		all = append(all, mesh.Host{Name: h.name, Region: h.region, Zone: h.zone})
	}
	plan := mesh.NewPlan(all, c.Pairs, c.MaxPeers)
	for _, zone := range zones {
		row := plan.Zone(zone)
		for _, h := range members[zone] {
			h.peers = row.Peers(h.name)
		}
	}
}

// meshMeter sends packets to the peers of one host in turn.
type meshMeter struct {
	dice  *rand.Rand // its own: a mesh changes nothing else that is measured
	peers []meshPeer
	next  int // whose turn it is
	count int // packets in an interval
	phase int64
}

// meshPeer is one of them.
type meshPeer struct {
	mesh.Host
	path     float64 // seconds there and back
	forward  float64 // share of it
	previous float64 // round trip; negative before the first
	success  *telemetry.Schema
	// delays are those of an answered packet: with one-way delays or without, with
	// jitter or without.
	delays map[delays]*telemetry.Schema
}

type delays struct{ oneWay, jitter bool }

func (f *Fleet) newMeshMeter(h *host) *meshMeter {
	m := &meshMeter{dice: rand.New(rand.NewPCG(h.seed, 2+uint64(h.boots))), count: int(int64(f.cfg.Mesh.PacketsPerSecond) * f.interval / 1000),
		phase: int64(mix(h.seed, "mesh") % uint64(f.interval))}
	m.count = max(1, m.count)
	for _, to := range h.peers {
		labels := to.PeerLabels()
		p := meshPeer{Host: to, path: f.path(h, to.Zone), previous: -1, success: gauge("mesh_success", labels), delays: map[delays]*telemetry.Schema{},
			forward: 0.45 + 0.1*float64(mix(h.seed, to.Zone)%1000)/1000}
		for _, d := range []delays{{false, false}, {false, true}, {true, false}, {true, true}} {
			names := []string{"mesh_rtt_seconds"}
			if d.oneWay {
				names = append(names, "mesh_forward_seconds", "mesh_backward_seconds")
			}
			if d.jitter {
				names = append(names, "mesh_jitter_seconds")
			}
			var series []telemetry.Series
			for _, n := range names {
				series = append(series, telemetry.Series{Name: n, Labels: labels, Kind: telemetry.Gauge})
			}
			p.delays[d] = telemetry.NewSchema(series)
		}
		m.peers = append(m.peers, p)
	}
	return m
}

func (m *meshMeter) measure(t *moment) {
	for k := range m.count {
		p := &m.peers[m.next]
		m.next = (m.next + 1) % len(m.peers)
		at := t.start + (int64(k)*t.fleet.interval+m.phase)/int64(m.count)
		trip, ok := m.send(t, p)
		if !ok {
			t.emit(p.success, at, []float64{0})
			continue
		}
		t.emit(p.success, at, []float64{1})
		d := delays{oneWay: t.host.skew == 0 && t.weather.skew[p.Name] == 0, jitter: p.previous >= 0}
		values := []float64{trip}
		if d.oneWay {
			values = append(values, round6(trip*p.forward), round6(trip*(1-p.forward)))
		}
		if d.jitter {
			values = append(values, round6(math.Abs(trip-p.previous)))
		}
		p.previous = trip
		t.emit(p.delays[d], at, values)
	}
}

// send draws the round trip of a packet, in seconds; ok is false for one that is
// lost on either way, or that nobody answers.
func (m *meshMeter) send(t *moment, p *meshPeer) (trip float64, ok bool) {
	w, n := t.weather, &t.fleet.cfg.Network
	trip = n.trip(m.dice, p.path, t.load) * max(w.slower(t.host.region), w.slower(p.Region))
	loss := max(w.loss(t.host, p.Zone, n.Loss), w.lossy[[2]string{p.Name, t.host.zone}], w.lossy[[2]string{p.Zone, t.host.zone}])
	lost := m.dice.Float64() < loss
	if _, dark := w.dark[p.Zone]; dark || t.offline || w.silent[p.Name] {
		return 0, false
	}
	return round6(trip), !lost && trip <= mesh.Timeout.Seconds()
}
