package host

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"nines/internal/telemetry"
)

// counterBits is how wide the InfiniBand Architecture makes the counters of
// PortCounters, which do not wrap but stand still at their largest value
// (volume 1, 16.1.3.5). Data and packets are 64 bits wide where the device has
// PortCountersExtended; then no value of theirs is the largest of 32.
func counterBits(name string) uint {
	switch name {
	case "local_link_integrity_errors", "excessive_buffer_overrun_errors":
		return 4
	case "link_error_recovery", "link_downed", "port_xmit_constraint_errors", "port_rcv_constraint_errors":
		return 8
	case "symbol_error", "port_rcv_errors", "port_rcv_remote_physical_errors", "port_rcv_switch_relay_errors",
		"port_xmit_discards", "VL15_dropped":
		return 16
	case "port_xmit_data", "port_rcv_data", "port_xmit_packets", "port_rcv_packets", "port_xmit_wait":
		return 32
	}
	return 0
}

// octetsPerWord is what port_rcv_data and port_xmit_data count in.
const octetsPerWord = 4

// rdmaStates are the series of a port that come before its counters.
var rdmaStates = [...]struct {
	name string
	kind telemetry.Kind
}{
	{"rdma_port_state", telemetry.Gauge},
	{"rdma_port_physical_state", telemetry.Gauge},
	{"rdma_port_up", telemetry.Gauge},
	{"rdma_port_rate_bits_per_second", telemetry.Gauge},
	{"rdma_port_flaps_total", telemetry.Counter},
	{"rdma_port_receive_bytes_total", telemetry.Counter},
	{"rdma_port_transmit_bytes_total", telemetry.Counter},
	{"rdma_port_saturated_counters", telemetry.Gauge},
	{"rdma_port_info", telemetry.Gauge},
}

// rdmaPort is one port of a device.
type rdmaPort struct {
	device, number    string
	info              telemetry.Labels
	state, phys, rate attr
	names             []string // of counters
	counters          []attr
	largest           []float64 // at which a counter is saturated; 0: none
	// Positions in counters, -1 where there is none.
	downed, received, sent int
	// Wider copies of the data counters, of old drivers.
	wide               bool
	received64, sent64 attr
	flaps              flaps
}

// newRDMAPort looks at a port's files and reads the facts that do not change.
func newRDMAPort(d *rdmaDevice, number string) *rdmaPort {
	dir := filepath.Join(d.dir, "ports", number)
	p := &rdmaPort{
		device: d.name, number: number,
		state: attr{path: dir + "/state"}, phys: attr{path: dir + "/phys_state"}, rate: attr{path: dir + "/rate"},
		received64: attr{path: dir + "/counters_ext/port_rcv_data_64"}, sent64: attr{path: dir + "/counters_ext/port_xmit_data_64"},
	}
	p.wide = exists(p.received64.path)
	p.addCounters(dir+"/counters", true)
	if d.hw {
		p.addCounters(dir+"/hw_counters", false)
	}
	p.downed, p.received, p.sent = slices.Index(p.names, "link_downed"), slices.Index(p.names, "port_rcv_data"), slices.Index(p.names, "port_xmit_data")
	p.info = telemetry.NewLabels(map[string]string{
		"device": d.name, "port": number, "link_layer": text(dir, "link_layer"), "netdev": text(dir, "gid_attrs/ndevs/0"),
		"firmware": text(d.dir, "fw_ver"), "board": text(d.dir, "board_id"), "hca": text(d.dir, "hca_type"),
	})
	return p
}

func (p *rdmaPort) addCounters(dir string, bounded bool) {
	for _, name := range entries(dir) {
		// Where both folders have a counter, hw_counters' is the one, as in
		// Telegraf.
		if at := slices.Index(p.names, name); at >= 0 {
			p.counters[at], p.largest[at] = attr{path: dir + "/" + name}, 0
			continue
		}
		limit := 0.0
		if bits := counterBits(name); bounded && bits > 0 {
			limit = math.Exp2(float64(bits)) - 1
		}
		p.names = append(p.names, name)
		p.counters = append(p.counters, attr{path: dir + "/" + name})
		p.largest = append(p.largest, limit)
	}
}

func (p *rdmaPort) width() int { return len(rdmaStates) + len(p.counters) }

func (p *rdmaPort) sameAs(o *rdmaPort) bool {
	return slices.Equal(p.names, o.names) && p.wide == o.wide && p.info.String() == o.info.String()
}

func (p *rdmaPort) series() []telemetry.Series {
	ls := telemetry.NewLabels(map[string]string{"device": p.device, "port": p.number})
	var out []telemetry.Series
	for _, s := range rdmaStates {
		out = append(out, telemetry.Series{Name: s.name, Kind: s.kind, Labels: ls})
	}
	out[len(out)-1].Labels = p.info
	for _, name := range p.names {
		kind := telemetry.Counter
		if name == "lifespan" {
			kind = telemetry.Gauge // of the driver's copy, milliseconds
		}
		out = append(out, telemetry.Series{Name: "infiniband_" + strings.ToValidUTF8(name, "_"), Kind: kind, Labels: ls})
	}
	return out
}

// read fills v and returns its length. Counters come before the state, see
// flaps.
func (p *rdmaPort) read(v []float64, buf *[attrSize]byte) int {
	counts := v[len(rdmaStates):]
	saturated := 0.0
	for i := range p.counters {
		counts[i] = p.counters[i].number(buf)
		if p.largest[i] > 0 && counts[i] == p.largest[i] {
			saturated++
		}
	}
	at := func(i int) float64 {
		if i < 0 {
			return absent
		}
		return counts[i]
	}
	state := p.readState(&p.state, buf)
	v[0], v[1], v[2] = state, p.readState(&p.phys, buf), absent
	if !math.IsNaN(state) {
		up := state == 4 || state == 5
		v[2] = truth(up)
		p.flaps.add(up, at(p.downed))
	}
	v[3], v[4] = p.readRate(buf), float64(p.flaps.total)
	v[5], v[6] = octetsPerWord*at(p.received), octetsPerWord*at(p.sent)
	if p.wide {
		v[5], v[6] = octetsPerWord*p.received64.number(buf), octetsPerWord*p.sent64.number(buf)
	}
	v[7], v[8] = saturated, 1
	return len(v)
}

// lost counts the port as down, because its device is no more.
func (p *rdmaPort) lost() {
	p.flaps.add(false, absent)
	p.close()
}

// readLost fills v for a port that is no more, and returns its length.
func (p *rdmaPort) readLost(v []float64) int {
	for i := range v {
		v[i] = absent
	}
	v[2], v[4] = 0, float64(p.flaps.total)
	return len(v)
}

func (p *rdmaPort) readState(a *attr, buf *[attrSize]byte) float64 {
	if text, err := a.read(buf); err == nil {
		if v, ok := parseUint(beforeColon(text)); ok {
			return float64(v)
		}
	}
	return absent
}

// readRate reads "100 Gb/sec (4X EDR)" in bits a second.
func (p *rdmaPort) readRate(buf *[attrSize]byte) float64 {
	text, err := p.rate.read(buf)
	if err != nil {
		return absent
	}
	number, unit := cutField(text)
	v, ok := parseFixed(number)
	if !ok || !bytes.HasPrefix(bytes.TrimSpace(unit), []byte("Gb/sec")) {
		return absent
	}
	return math.Round(v * 1e9)
}

func (p *rdmaPort) close() {
	for _, a := range []*attr{&p.state, &p.phys, &p.rate, &p.received64, &p.sent64} {
		a.close()
	}
	for i := range p.counters {
		p.counters[i].close()
	}
}
