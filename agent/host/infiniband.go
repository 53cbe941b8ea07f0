package host

import (
	"bytes"
	"path/filepath"
	"slices"
	"time"

	"nines/agent/apart"
	"nines/internal/telemetry"
)

// InfinibandOptions are those of Telegraf's infiniband input.
type InfinibandOptions struct {
	// HW adds the counters of hw_counters: RoCE and transport.
	HW bool
	// Limit is how long a device may take; 0 means 2 s.
	Limit time.Duration
}

// Infiniband reads InfiniBand, RoCE, iWARP and Omni-Path ports below
// /sys/class/infiniband: every counter as the kernel has it, named as Telegraf's
// infiniband input does, and rdma_* series that say what they mean:
//
//	rdma_port_state                 1 down, 2 init, 3 armed, 4 active, 5 active deferred
//	rdma_port_physical_state        1 sleep, 2 polling, 3 disabled, 4 training, 5 link up, 6 recovery, 7 test
//	rdma_port_up                    1 where the state is 4 or 5
//	rdma_port_rate_bits_per_second  of the link as it is now
//	rdma_port_flaps_total           how often it went down, see flaps
//	rdma_port_receive_bytes_total   port_rcv_data, which counts units of 4 octets
//	rdma_port_transmit_bytes_total  port_xmit_data likewise
//	rdma_port_saturated_counters    counters that stand at their width's largest value and count no more
//	rdma_port_info                  1; link layer, firmware, board and network device as labels
//	rdma_device_present             0 for a device that was there since the agent began and is not
//	rdma_device_poll_stuck          1 while the device's firmware does not answer
//
// What is no number ("N/A (no PMA)") is absent, where Telegraf says 0. Each
// device is read on its own: one that hangs is stuck, and the others go on.
type Infiniband struct {
	opt     InfinibandOptions
	dir     string
	devices []*rdmaDevice
	calls   []*apart.Call
	group   apart.Group
	table   table
	scanned time.Time
}

// NewInfiniband returns the reader.
func NewInfiniband(r Roots, opt InfinibandOptions) *Infiniband {
	if opt.Limit <= 0 {
		opt.Limit = 2 * time.Second
	}
	return &Infiniband{opt: opt, dir: r.fill().Sys + "/class/infiniband"}
}

// Close closes the files. Those of a device that hangs stay open.
func (b *Infiniband) Close() error {
	for i, d := range b.devices {
		stuck := b.stuck(i)
		b.calls[i].Close()
		if !stuck {
			d.close()
		}
	}
	b.devices, b.calls, b.table.series = nil, nil, nil
	return nil
}

func (b *Infiniband) stuck(i int) bool { return b.calls[i].Stuck(time.Now()) > 0 }

// Read measures once.
func (b *Infiniband) Read() ([]telemetry.Series, []float64, error) {
	if now := time.Now(); now.Sub(b.scanned) >= rescanEvery {
		b.scanned = now
		b.rescan()
	}
	b.group.Do(b.calls, b.opt.Limit)
	for i, d := range b.devices {
		// What a scan found out about a device becomes the layout here, where
		// nothing else reads it.
		if !b.stuck(i) && d.changed {
			d.changed = false
			b.table.series = nil
		}
	}
	if b.table.series == nil {
		b.layOut()
	}
	b.fill()
	return b.table.result()
}

// rescan looks for devices. One that is gone stays, as not present.
func (b *Infiniband) rescan() {
	found := entries(b.dir)
	for i, d := range b.devices {
		if b.stuck(i) {
			continue
		}
		d.there = slices.Contains(found, d.name)
		d.learn = true
	}
	for _, name := range found {
		if slices.ContainsFunc(b.devices, func(d *rdmaDevice) bool { return d.name == name }) {
			continue
		}
		d := &rdmaDevice{name: name, dir: filepath.Join(b.dir, name), hw: b.opt.HW, there: true, learn: true}
		b.devices = append(b.devices, d)
		b.calls = append(b.calls, apart.New(d.read))
		b.table.series = nil
	}
}

func (b *Infiniband) layOut() {
	b.table.reset()
	b.table.series = []telemetry.Series{}
	for i, d := range b.devices {
		ls := label("device", d.name)
		b.table.add("rdma_device_present", telemetry.Gauge, ls)
		b.table.add("rdma_device_poll_stuck", telemetry.Gauge, ls)
		if !b.stuck(i) {
			d.shown = append(d.shown[:0], d.series...)
		}
		for _, s := range d.shown {
			b.table.add(s.Name, s.Kind, s.Labels)
		}
	}
}

func (b *Infiniband) fill() {
	at := 0
	put := func(v float64) { b.table.values[at] = v; at++ }
	for i, d := range b.devices {
		stuck := b.stuck(i)
		put(truth(d.there))
		put(truth(stuck))
		for k := range d.shown {
			if stuck {
				put(absent)
			} else {
				put(d.values[k])
			}
		}
	}
}

// rdmaDevice is one device. read is called apart; the rest is read and written
// while it is not under way.
type rdmaDevice struct {
	name, dir string
	hw        bool
	there     bool // of the last scan
	learn     bool // asks the next read to look for ports and counters
	changed   bool // says that it found others
	ports     []*rdmaPort
	series    []telemetry.Series // of all ports
	values    []float64
	shown     []telemetry.Series // what the reader's layout has of them
	buf       [attrSize]byte
}

// read fills values.
func (d *rdmaDevice) read() error {
	if d.learn {
		d.learn = false
		d.scan()
	}
	at := 0
	for _, p := range d.ports {
		v := d.values[at : at+p.width()]
		if d.there {
			at += p.read(v, &d.buf)
		} else {
			at += p.readLost(v)
		}
	}
	return nil
}

// scan looks for ports and their counters. A port's flaps outlive its files.
func (d *rdmaDevice) scan() {
	known := d.ports
	if !d.there {
		for _, p := range known {
			p.lost()
		}
		return
	}
	var ports []*rdmaPort
	for _, number := range entries(d.dir, "ports") {
		ports = append(ports, newRDMAPort(d, number))
	}
	same := len(ports) == len(known)
	for i, p := range ports {
		at := slices.IndexFunc(known, func(k *rdmaPort) bool { return k.number == p.number })
		if at < 0 {
			same = false
			continue
		}
		if known[at].sameAs(p) {
			ports[i] = known[at]
			continue
		}
		p.flaps, same = known[at].flaps, false
		known[at].close()
	}
	if same && d.series != nil {
		return
	}
	d.ports, d.series, d.changed = ports, []telemetry.Series{}, true
	for _, p := range ports {
		d.series = append(d.series, p.series()...)
	}
	d.values = make([]float64, len(d.series))
}

func (d *rdmaDevice) close() {
	for _, p := range d.ports {
		p.close()
	}
}

// beforeColon cuts "4: ACTIVE" to "4".
func beforeColon(text []byte) []byte {
	number, _, _ := bytes.Cut(text, []byte{':'})
	return number
}
