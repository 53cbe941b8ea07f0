package host

import (
	"path/filepath"
	"time"

	"nines/agent/apart"
	"nines/internal/telemetry"
)

// NVMe reads the controllers below /sys/class/nvme and asks each for its SMART
// log, which needs CAP_SYS_ADMIN and the device file: without them nvme_smart is
// 0 and the log's figures are absent; those of sysfs are not. nvme_live is 1
// while the controller works, nvme_stuck 1 while it does not answer. Labels:
// device, model, serial, firmware.
type NVMe struct {
	dir, dev string
	limit    time.Duration
	ask      func(device string, log *smartLog) error
	list     []*controller
	calls    []*apart.Call
	group    apart.Group
	table    table
	scanned  time.Time
}

type controller struct {
	name   string
	labels telemetry.Labels
	state  file
	live   float64
	log    smartLog
	err    error
	call   *apart.Call
}

// nvmeOwn are the series before those of the log.
var nvmeOwn = [...]string{"nvme_stuck", "nvme_live", "nvme_smart"}

// NewNVMe returns the reader, or a MissingError where no controller is. A
// controller may take limit to answer; 0 means 2 s.
func NewNVMe(r Roots, limit time.Duration) (*NVMe, error) {
	if limit <= 0 {
		limit = 2 * time.Second
	}
	n := &NVMe{dir: r.fill().Sys + "/class/nvme", dev: "/dev", limit: limit, ask: askSmart}
	if len(n.names()) == 0 {
		return nil, MissingError("no controller below " + n.dir)
	}
	return n, nil
}

func (n *NVMe) names() (found []string) {
	for _, name := range entries(n.dir) {
		if numbered(name, "nvme") {
			found = append(found, name)
		}
	}
	return found
}

// Close ends the goroutines but of those that hang.
func (n *NVMe) Close() error {
	now := time.Now()
	for _, c := range n.list {
		if c.call.Stuck(now) == 0 {
			c.state.close()
		}
		c.call.Close()
	}
	n.list, n.calls, n.table.series = nil, nil, nil
	return nil
}

// Read measures once.
func (n *NVMe) Read() ([]telemetry.Series, []float64, error) {
	if now := time.Now(); now.Sub(n.scanned) >= rescanEvery {
		n.scanned = now
		n.rescan(now)
	}
	n.group.Do(n.calls, n.limit)
	now, wide := time.Now(), len(nvmeOwn)+len(smartFields)
	for i, c := range n.list {
		c.fill(n.table.values[i*wide:][:wide], now)
	}
	return n.table.result()
}

// fill writes a controller's values.
func (c *controller) fill(v []float64, now time.Time) {
	for i := range v {
		v[i] = absent
	}
	stuck := c.call.Stuck(now) > 0
	if v[0] = truth(stuck); stuck {
		return
	}
	v[1], v[2] = c.live, truth(c.err == nil && c.call.Err() == nil)
	if v[2] == 1 {
		for i, f := range smartFields {
			v[len(nvmeOwn)+i] = f.read(&c.log)
		}
	}
}

// rescan looks for controllers; one that hangs is kept until it answers.
func (n *NVMe) rescan(now time.Time) {
	old, list := map[string]*controller{}, []*controller(nil)
	for _, c := range n.list {
		old[c.name] = c
	}
	same := n.table.series != nil
	for _, name := range n.names() {
		labels := n.labels(name)
		c := old[name]
		if c == nil || c.call.Stuck(now) == 0 && c.labels.String() != labels.String() {
			same = false
			c = n.controller(name, labels)
		} else {
			delete(old, name)
		}
		list = append(list, c)
	}
	for _, c := range old {
		same = false
		if c.call.Stuck(now) == 0 {
			c.state.close()
		}
		c.call.Close()
	}
	if !same {
		n.layOut(list)
	}
}

// labels are what sysfs says from memory, without asking the device.
func (n *NVMe) labels(name string) telemetry.Labels {
	labels := map[string]string{"device": name}
	for label, f := range map[string]string{"model": "model", "serial": "serial", "firmware": "firmware_rev"} {
		put(labels, label, text(n.dir, name, f))
	}
	return telemetry.NewLabels(labels)
}

func (n *NVMe) controller(name string, labels telemetry.Labels) *controller {
	c := &controller{name: name, labels: labels}
	c.state = file{path: filepath.Join(n.dir, name, "state"), whole: true, buf: make([]byte, 64)}
	dev := filepath.Join(n.dev, name)
	c.call = apart.New(func() error {
		c.live = absent
		if b, err := c.state.read(); err == nil {
			c.live = truth(string(b) == "live\n" || string(b) == "live")
		}
		c.err = n.ask(dev, &c.log)
		return nil
	})
	return c
}

func (n *NVMe) layOut(list []*controller) {
	n.list, n.calls = list, nil
	n.table.reset()
	n.table.series = []telemetry.Series{}
	for _, c := range list {
		n.calls = append(n.calls, c.call)
		for _, name := range nvmeOwn {
			n.table.add(name, telemetry.Gauge, c.labels)
		}
		for _, f := range smartFields {
			n.table.add(f.name, f.kind, c.labels)
		}
	}
}
