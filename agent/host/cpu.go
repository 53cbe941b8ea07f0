package host

import (
	"bytes"
	"fmt"

	"nines/internal/telemetry"
)

// cpuFields are the columns of a cpu line of /proc/stat, in its order.
var cpuFields = [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"}

const (
	cpuUser, cpuNice, cpuIdle, cpuGuest, cpuGuestNice = 0, 1, 3, 8, 9
	// userHz is the unit of /proc/stat for user space, on every architecture
	// that Linux runs on.
	userHz = 100
)

// CPUOptions are those of Telegraf's cpu input.
type CPUOptions struct {
	PerCPU, TotalCPU, CollectCPUTime, ReportActive bool
}

// CPU reads /proc/stat as Telegraf's cpu input does: shares of time since the
// previous round in percent, and on demand the times themselves.
type CPU struct {
	opt    CPUOptions
	shared *Shared
	table  table
	cpus   names
	last   [][len(cpuFields)]uint64 // by position in cpus
	fresh  bool                     // last is not yet of this layout
}

// NewCPU returns the reader. It takes a first measurement, so that the first
// round has shares already.
func NewCPU(s *Shared, opt CPUOptions) *CPU {
	c := &CPU{opt: opt, shared: s, fresh: true}
	_, _, _ = c.Read()
	return c
}

// Close implements the reader's interface; the shared files stay open.
func (c *CPU) Close() error { return nil }

// Read measures once.
func (c *CPU) Read() ([]telemetry.Series, []float64, error) {
	if err := c.shared.stat.with(c.parse); err != nil {
		return nil, nil, fmt.Errorf("read CPU times: %w", err)
	}
	return c.table.result()
}

func (c *CPU) parse(data []byte) error {
	lines := data
	c.cpus.begin()
	for c.next(&lines, func(name, _ []byte) { c.cpus.next(name) }) {
	}
	if !c.cpus.done() || c.table.series == nil {
		c.layOut()
	}
	i, at := 0, 0
	for c.next(&data, func(_, times []byte) {
		at = c.round(i, at, times)
		i++
	}) {
	}
	c.fresh = false
	return nil
}

// next hands over the next cpu line; false after the last one.
func (c *CPU) next(data *[]byte, f func(name, times []byte)) bool {
	line, rest := cutLine(*data)
	if !bytes.HasPrefix(line, []byte("cpu")) {
		return false
	}
	*data = rest
	name, times := cutField(line)
	total := len(name) == 3
	if total && c.opt.TotalCPU || !total && c.opt.PerCPU {
		f(name, times)
	}
	return true
}

func (c *CPU) layOut() {
	c.table.reset()
	c.last = make([][len(cpuFields)]uint64, len(c.cpus.known))
	c.fresh = true
	for _, name := range c.cpus.known {
		if name == "cpu" {
			name = "cpu-total"
		}
		ls := label("cpu", name)
		if c.opt.CollectCPUTime {
			for _, f := range cpuFields {
				c.table.add("cpu_time_"+f, telemetry.Counter, ls)
			}
			if c.opt.ReportActive {
				c.table.add("cpu_time_active", telemetry.Counter, ls)
			}
		}
		for _, f := range cpuFields {
			c.table.add("cpu_usage_"+f, telemetry.Gauge, ls)
		}
		if c.opt.ReportActive {
			c.table.add("cpu_usage_active", telemetry.Gauge, ls)
		}
	}
}

// round fills the values of CPU i from position at on and returns the next.
func (c *CPU) round(i, at int, times []byte) int {
	var now [len(cpuFields)]uint64
	for f := range now {
		v, rest, ok := uintField(times)
		if !ok {
			break
		}
		now[f], times = v, rest
	}
	if c.opt.CollectCPUTime {
		for _, v := range now {
			at = c.put(at, float64(v)/userHz)
		}
		if c.opt.ReportActive {
			at = c.put(at, float64(sumTimes(&now)-now[cpuIdle])/userHz)
		}
	}
	last := &c.last[i]
	total := float64(int64(sumTimes(&now) - sumTimes(last)))
	for f := range now {
		at = c.put(at, c.share(float64(delta(&now, last, f)), total))
	}
	if c.opt.ReportActive {
		at = c.put(at, c.share(total-float64(delta(&now, last, cpuIdle)), total))
	}
	*last = now
	return at
}

func (c *CPU) put(at int, v float64) int {
	c.table.values[at] = v
	return at + 1
}

func (c *CPU) share(part, total float64) float64 {
	if c.fresh || total <= 0 {
		return absent
	}
	return percent(part, total)
}

// sumTimes leaves guest times out: user and nice contain them.
func sumTimes(t *[len(cpuFields)]uint64) uint64 {
	var sum uint64
	for _, v := range t[:cpuGuest] {
		sum += v
	}
	return sum
}

// delta is the growth of a field. Guests are shown apart from user and nice.
func delta(now, last *[len(cpuFields)]uint64, f int) int64 {
	d := int64(now[f] - last[f])
	switch f {
	case cpuUser:
		d -= int64(now[cpuGuest] - last[cpuGuest])
	case cpuNice:
		d -= int64(now[cpuGuestNice] - last[cpuGuestNice])
	}
	return d
}
