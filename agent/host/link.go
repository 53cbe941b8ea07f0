package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nines/agent/apart"
	"nines/internal/telemetry"
)

// LinkOptions choose interfaces.
type LinkOptions struct {
	// Match chooses by name; nil takes network cards and bonds, and leaves out
	// what containers and tunnels add (those below devices/virtual).
	Match func(name string) bool
	// Limit is how long the questions to drivers may take; 0 means 2 s.
	Limit time.Duration
}

// Link reads the state of network interfaces below /sys/class/net:
//
//	link_admin_up               1 where the interface is to be up
//	link_operstate              RFC 2863: 1 up, 2 down, 3 testing, 4 unknown, 5 dormant, 6 not present, 7 lower layer down
//	link_up                     1 where operstate is up, or unknown with a carrier
//	link_carrier                1 where the other end is heard
//	link_carrier_changes_total  how often that changed since the interface was made
//	link_carrier_up_total       how often it came, and
//	link_carrier_down_total     how often it went: the link's flaps
//	link_speed_bits_per_second  absent where it has none, such as without a carrier
//	link_full_duplex            0 is half duplex; absent where it is unknown
//	link_mtu_bytes
//
// and of bonds, by the label master:
//
//	link_bond_slaves, link_bond_slaves_up  how many there are, and have a link
//	link_bond_slave_up{interface}          1 where the bond's monitor sees a link
//	link_bond_slave_failures_total         how often it did not
//
// Carrier, speed and duplex are asked of the driver, under the kernel's lock for
// network configuration: every ten seconds, and when the link changed. While
// that hangs, link_poll_stuck is 1 and those are absent; the others go on.
type Link struct {
	opt     LinkOptions
	dir     string
	nics    []*nic
	bonds   []*bond
	drivers *apart.Call
	calls   []*apart.Call
	group   apart.Group
	due     time.Time
	table   table
	scanned time.Time
	buf     [attrSize]byte
}

// stuckLimit is how long a driver that hung is waited for in later rounds.
const stuckLimit = 100 * time.Millisecond

// NewLink returns the reader, or a MissingError where it finds no interface.
func NewLink(r Roots, opt LinkOptions) (*Link, error) {
	if opt.Limit <= 0 {
		opt.Limit = 2 * time.Second
	}
	l := &Link{opt: opt, dir: r.fill().Sys + "/class/net"}
	if len(l.names()) == 0 {
		return nil, MissingError("no network card or bond in " + l.dir)
	}
	return l, nil
}

// Close closes the files; those that a driver holds up stay open.
func (l *Link) Close() error {
	stuck := l.stuck()
	if l.drivers != nil {
		l.drivers.Close()
	}
	for _, n := range l.nics {
		n.close()
		if !stuck {
			n.driver.close()
		}
	}
	for _, b := range l.bonds {
		b.close()
	}
	l.nics, l.bonds, l.drivers, l.calls = nil, nil, nil, nil
	l.table.series, l.due = nil, time.Time{}
	return nil
}

func (l *Link) stuck() bool { return l.drivers != nil && l.drivers.Stuck(time.Now()) > 0 }

// names lists the interfaces that are wanted.
func (l *Link) names() []string {
	return slices.DeleteFunc(entries(l.dir), func(name string) bool { return !l.wants(name) })
}

func (l *Link) wants(name string) bool {
	if !exists(l.dir, name, "operstate") {
		return false // such as bonding_masters
	}
	if l.opt.Match != nil {
		return l.opt.Match(name)
	}
	target, _ := os.Readlink(filepath.Join(l.dir, name))
	return !strings.Contains(target, "/virtual/") || exists(l.dir, name, "bonding")
}

// Read measures once.
func (l *Link) Read() ([]telemetry.Series, []float64, error) {
	now := time.Now()
	if now.Sub(l.scanned) >= rescanEvery {
		l.scanned = now
		l.rescan()
	}
	if l.table.series == nil {
		l.layOut()
	}
	v := l.table.values
	at, changed := 0, false
	for _, n := range l.nics {
		changed = n.read(v[at:], &l.buf) || changed
		at += nicSeries
	}
	for _, b := range l.bonds {
		at += b.read(v[at:], &l.buf)
	}
	stuck := l.ask(now, changed)
	v[at] = truth(stuck)
	for i, n := range l.nics {
		n.finish(v[i*nicSeries:], stuck)
	}
	return l.table.result()
}

// ask asks the drivers where it is time to, and returns whether one hangs.
func (l *Link) ask(now time.Time, changed bool) bool {
	limit := l.opt.Limit
	switch {
	case l.stuck():
		limit = min(limit, stuckLimit)
	case !changed && now.Before(l.due):
		return false
	}
	l.group.Do(l.calls, limit)
	l.due = now.Add(linkEvery)
	return l.stuck()
}

// rescan looks for interfaces. While a driver hangs the old ones stay.
func (l *Link) rescan() {
	if l.stuck() {
		return
	}
	var nics []*nic
	var bonds []*bond
	for _, name := range l.names() {
		nics = append(nics, newNIC(l.dir, name))
		if exists(l.dir, name, "bonding") {
			bonds = append(bonds, newBond(l.dir, name))
		}
	}
	same := func(a, b *nic) bool { return a.name == b.name }
	if l.table.series != nil && slices.EqualFunc(nics, l.nics, same) && slices.EqualFunc(bonds, l.bonds, (*bond).sameAs) {
		return
	}
	_ = l.Close()
	l.nics, l.bonds = nics, bonds
	l.drivers = apart.New(func() error {
		for _, n := range nics {
			n.driver.ask()
		}
		return nil
	})
	l.calls = []*apart.Call{l.drivers}
}

func (l *Link) layOut() {
	l.table.reset()
	for _, n := range l.nics {
		ls := label("interface", n.name)
		for _, s := range nicNames() {
			kind := telemetry.Gauge
			if strings.HasSuffix(s, "_total") {
				kind = telemetry.Counter
			}
			l.table.add(s, kind, ls)
		}
	}
	for _, b := range l.bonds {
		b.layOut(&l.table)
	}
	l.table.add("link_poll_stuck", telemetry.Gauge, nil)
}
