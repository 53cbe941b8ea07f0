package host

import (
	"bytes"
	"path/filepath"
)

// nicSeries is how many series an interface has.
const nicSeries = 10

// nicNames lists them; the last three are asked of the driver.
func nicNames() [nicSeries]string {
	return [...]string{
		"link_admin_up", "link_operstate", "link_up", "link_carrier_changes_total", "link_carrier_up_total", "link_carrier_down_total",
		"link_mtu_bytes", "link_carrier", "link_speed_bits_per_second", "link_full_duplex",
	}
}

// nic is one interface, as far as the kernel itself knows it.
type nic struct {
	name                                  string
	flags, oper, changed, ups, downs, mtu attr
	state                                 [3]float64 // of the round before: to be up, operstate, changes of the carrier
	driver                                nicDriver
}

func newNIC(dir, name string) *nic {
	at := func(file string) attr { return attr{path: filepath.Join(dir, name, file)} }
	return &nic{
		name: name, flags: at("flags"), oper: at("operstate"), changed: at("carrier_changes"), ups: at("carrier_up_count"),
		downs: at("carrier_down_count"), mtu: at("mtu"),
		driver: nicDriver{carrier: at("carrier"), speed: at("speed"), duplex: at("duplex"), said: [3]float64{absent, absent, absent}},
	}
}

// read fills what the kernel knows, and returns whether the link changed.
func (n *nic) read(v []float64, buf *[attrSize]byte) bool {
	v[0], v[1] = absent, absent
	if text, err := n.flags.read(buf); err == nil {
		if flags, ok := parseHex32(bytes.TrimPrefix(text, []byte("0x"))); ok {
			v[0] = float64(flags & 1) // IFF_UP
		}
	}
	if text, err := n.oper.read(buf); err == nil {
		v[1] = operstate(text)
	}
	v[3], v[4], v[5], v[6] = n.changed.number(buf), n.ups.number(buf), n.downs.number(buf), n.mtu.number(buf)
	state := [3]float64{v[0], v[1], v[3]}
	for i := range state {
		if state[i] != state[i] {
			state[i] = -1 // NaN, which equals nothing
		}
	}
	changed := state != n.state
	n.state = state
	return changed
}

// finish adds what the driver said, and what follows from both.
func (n *nic) finish(v []float64, stuck bool) {
	v[7], v[8], v[9] = absent, absent, absent
	if !stuck {
		copy(v[7:nicSeries], n.driver.said[:])
	}
	switch v[1] {
	case operUp:
		v[2] = 1
	case operUnknown:
		v[2] = v[7] // drivers that say nothing, such as those of tunnels
	default:
		v[2] = v[1] * 0 // 0, or absent with the operstate
	}
}

func (n *nic) close() {
	for _, a := range []*attr{&n.flags, &n.oper, &n.changed, &n.ups, &n.downs, &n.mtu} {
		a.close()
	}
}

// nicDriver is what only an interface's driver knows. ask is called apart.
type nicDriver struct {
	carrier, speed, duplex attr
	said                   [3]float64
	buf                    [attrSize]byte
}

func (d *nicDriver) ask() {
	// An interface that is not to be up has no carrier: the read is refused.
	d.said = [3]float64{d.carrier.number(&d.buf), absent, absent}
	if v := d.speed.number(&d.buf); v > 0 {
		d.said[1] = v * 1e6 // Mbit/s
	}
	if text, err := d.duplex.read(&d.buf); err == nil {
		switch string(text) {
		case "full":
			d.said[2] = 1
		case "half":
			d.said[2] = 0
		}
	}
}

func (d *nicDriver) close() {
	for _, a := range []*attr{&d.carrier, &d.speed, &d.duplex} {
		a.close()
	}
}

// ifOperStatus of RFC 2863.
const (
	operUp      = 1
	operUnknown = 4
)

func operstate(text []byte) float64 {
	switch string(text) {
	case "up":
		return operUp
	case "down":
		return 2
	case "testing":
		return 3
	case "unknown":
		return operUnknown
	case "dormant":
		return 5
	case "notpresent":
		return 6
	case "lowerlayerdown":
		return 7
	}
	return absent
}
