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

// NICOptions choose interfaces and statistics.
type NICOptions struct {
	// Match chooses interfaces by name; nil takes those with a device behind them.
	Match func(name string) bool
	// Stats chooses statistics of drivers that are given under their own names
	// besides, at most 64 of an interface; nil chooses none.
	Stats func(name string) bool
	// Limit is how long one driver may take; 0 means 2 s.
	Limit time.Duration
}

// NICStats asks the drivers of network cards, as `ethtool -S` does, for what
// was dropped and paused. Drivers have up to some thousand statistics under
// names of their own; of these come, by the label interface and as far as the
// driver has them:
//
//	nic_receive_drops_total{reason}     no_buffer: the host did not make room in time; port: the card had none
//	nic_transmit_drops_total{reason}    port, link_down, queue
//	nic_receive_errors_total{reason}    crc, symbol, fec, length
//	nic_pause_frames_total{direction}   receive, transmit; with priority where they are of one (PFC)
//	nic_pause_seconds_total{direction}  likewise
//	nic_pause_storms_total, nic_link_down_total
//	nic_allowance_exceeded_total{allowance}  what the cloud's limits of the instance held back
//	nic_speed_bits_per_second           absent without a link
//	nic_speed_max_bits_per_second       the fastest that port and medium could be
//	nic_info{driver,firmware,bus}       1
//	nic_poll_stuck                      1: the driver does not answer; the others go on
//	nic_stat_total{stat}                those that Stats chooses
type NICStats struct {
	opt     NICOptions
	dir     string
	list    []*nicDevice
	calls   []*apart.Call
	group   apart.Group
	table   table
	layout  []*nicAnswer
	scanned time.Time
	device  func(name string) *nicDevice
}

// NewNICStats returns the reader, or a MissingError where it finds no card.
func NewNICStats(r Roots, opt NICOptions) (*NICStats, error) {
	if opt.Limit <= 0 {
		opt.Limit = 2 * time.Second
	}
	n := &NICStats{opt: opt, dir: r.fill().Sys + "/class/net"}
	n.device = func(name string) *nicDevice { return newNICDevice(name, opt.Stats) }
	if len(n.names()) == 0 {
		return nil, MissingError("no network card in " + n.dir)
	}
	return n, nil
}

func (n *NICStats) names() []string {
	return slices.DeleteFunc(entries(n.dir), func(name string) bool {
		if !exists(n.dir, name, "operstate") {
			return true
		}
		if n.opt.Match != nil {
			return !n.opt.Match(name)
		}
		target, _ := os.Readlink(filepath.Join(n.dir, name))
		return strings.Contains(target, "/virtual/")
	})
}

// Close ends the goroutines but of those that hang.
func (n *NICStats) Close() error {
	for _, d := range n.list {
		d.close(time.Now())
	}
	n.list, n.calls, n.layout, n.table.series = nil, nil, nil, nil
	return nil
}

// Read measures once.
func (n *NICStats) Read() ([]telemetry.Series, []float64, error) {
	if now := time.Now(); now.Sub(n.scanned) >= rescanEvery {
		n.scanned = now
		n.rescan(now)
	}
	n.group.Do(n.calls, n.opt.Limit)
	now, same := time.Now(), n.table.series != nil && len(n.layout) == len(n.list)
	for i, d := range n.list {
		if d.call.Stuck(now) == 0 {
			d.known = d.answer
		}
		same = same && n.layout[i] == d.known
	}
	if !same {
		n.layOut()
	}
	at := 0
	for _, d := range n.list {
		at += d.fill(n.table.values[at:], d.call.Stuck(now) > 0)
	}
	return n.table.result()
}

// rescan looks for cards; one that hangs is kept until it answers.
func (n *NICStats) rescan(now time.Time) {
	old := map[string]*nicDevice{}
	for _, d := range n.list {
		old[d.name] = d
	}
	n.list, n.calls = nil, nil
	for _, name := range n.names() {
		d := old[name]
		if d == nil {
			d = n.device(name)
		}
		delete(old, name)
		n.list, n.calls = append(n.list, d), append(n.calls, d.call)
	}
	for _, d := range old {
		d.close(now)
	}
}

func (n *NICStats) layOut() {
	n.table.reset()
	n.table.series = []telemetry.Series{}
	n.layout = nil
	for _, d := range n.list {
		n.layout = append(n.layout, d.known)
		ls := label("interface", d.name)
		n.table.add("nic_poll_stuck", telemetry.Gauge, ls)
		if d.known == nil {
			continue
		}
		info := map[string]string{"interface": d.name}
		put(info, "driver", d.known.info.driver)
		put(info, "firmware", d.known.info.firmware)
		put(info, "bus", d.known.info.bus)
		n.table.add("nic_info", telemetry.Gauge, telemetry.NewLabels(info))
		n.table.add("nic_speed_bits_per_second", telemetry.Gauge, ls)
		n.table.add("nic_speed_max_bits_per_second", telemetry.Gauge, ls)
		for _, s := range d.known.plan {
			n.table.add(s.name, telemetry.Counter, s.telemetryLabels(d.name))
		}
	}
}

// nicDevice is one card. Its call owns all but known.
type nicDevice struct {
	name    string
	call    *apart.Call
	tool    ethtool
	chosen  func(string) bool
	answer  *nicAnswer
	known   *nicAnswer // the last one that the reader may look at
	learned time.Time
	names   []string
	buf     []byte
}

// nicAnswer is what a driver said. It is made anew when the driver's statistics
// are others, and its values are the call's while that is under way.
type nicAnswer struct {
	info      driverInfo
	plan      []nicSeriesOf
	now, most float64 // bits a second
	values    []float64
}

func newNICDevice(name string, chosen func(string) bool) *nicDevice {
	d := &nicDevice{name: name, tool: ethtool{name: name}, chosen: chosen}
	d.call = apart.New(d.ask)
	return d
}

func (d *nicDevice) close(now time.Time) {
	if d.call.Stuck(now) == 0 {
		d.tool.close()
	}
	d.call.Close()
}

// ask asks the driver. What it does not say is absent.
func (d *nicDevice) ask() error {
	d.forget()
	info, err := d.tool.info()
	if err != nil {
		d.tool.close()
		return err
	}
	if err := d.learn(info); err != nil {
		return err
	}
	a := d.answer
	a.now, a.most, _ = d.tool.speeds() // tunnels and some virtual cards have none
	if len(a.plan) == 0 {
		return nil
	}
	n, err := d.tool.stats(d.buf, len(d.names))
	if err != nil {
		return err
	}
	if n != len(d.names) { // queues came or went since we asked for the names
		d.learned = time.Time{}
		return nil
	}
	for i, s := range a.plan {
		a.values[i] = s.sum(d.buf)
	}
	return nil
}

// forget makes every value absent.
func (d *nicDevice) forget() {
	if d.answer == nil {
		return
	}
	d.answer.now, d.answer.most = absent, absent
	for i := range d.answer.values {
		d.answer.values[i] = absent
	}
}

// learn asks for the names of statistics where they may be others than before.
func (d *nicDevice) learn(info driverInfo) error {
	now := time.Now()
	if d.answer != nil && info == d.answer.info && now.Sub(d.learned) < rescanEvery {
		return nil
	}
	var names []string
	if info.stats > 0 {
		var err error
		if names, err = d.tool.names(info.stats); err != nil {
			return err
		}
	}
	d.learned = now
	if d.answer != nil && info == d.answer.info && slices.Equal(names, d.names) {
		return nil
	}
	d.names, d.buf = names, statBuffer(len(names))
	plan := nicPlan(names, d.chosen)
	d.answer = &nicAnswer{info: info, plan: plan, values: make([]float64, len(plan))}
	d.forget()
	return nil
}

// sum adds up a series' statistics.
func (s nicSeriesOf) sum(buf []byte) float64 {
	total := uint64(0)
	for _, i := range s.at {
		total += stat(buf, i)
	}
	return float64(total) / s.per
}

// fill writes the card's values and returns how many there are.
func (d *nicDevice) fill(v []float64, stuck bool) int {
	v[0] = truth(stuck)
	a := d.known
	if a == nil {
		return 1
	}
	v = v[:4+len(a.plan)]
	if stuck {
		for i := range v[1:] {
			v[1+i] = absent
		}
		return len(v)
	}
	v[1], v[2], v[3] = 1, a.now, a.most
	copy(v[4:], a.values)
	return len(v)
}
