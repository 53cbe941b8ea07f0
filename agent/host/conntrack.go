package host

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// conntrackSize are the files that Telegraf's conntrack input reads, newest
// kernels first.
var conntrackSize = [...]struct{ count, max string }{
	{"/sys/net/netfilter/nf_conntrack_count", "/sys/net/netfilter/nf_conntrack_max"},
	{"/sys/net/ipv4/netfilter/ip_conntrack_count", "/sys/net/ipv4/netfilter/ip_conntrack_max"},
}

// conntrackEntries is the column that is a state, and the same on every CPU's
// line.
const conntrackEntries = "entries"

// Conntrack reads the size of the table of tracked connections and, where asked,
// /proc/net/stat/nf_conntrack, as Telegraf's conntrack input does. Columns have
// the names of the kernel's own header line, which change between releases, and
// are found by them. conntrack_entries of cpu="all" is the table's size, where
// Telegraf adds up every CPU's copy of it. Counters are those of 32 bits
// continued past their wrap.
type Conntrack struct {
	opt        PerCPUOptions
	count, max attr
	stat       file
	buf        [attrSize]byte
	head       []byte // the header line that names belongs to
	names      []string
	cpus       perCPU
	table      table
}

// NewConntrack returns the reader. Without Total and PerCPU it reads the table's
// size and limit only.
func NewConntrack(r Roots, opt PerCPUOptions) *Conntrack {
	r = r.fill()
	c := &Conntrack{opt: opt, stat: file{path: r.Proc + "/net/stat/nf_conntrack"}}
	for _, s := range conntrackSize {
		c.count, c.max = attr{path: r.Proc + s.count}, attr{path: r.Proc + s.max}
		if _, err := c.count.read(&c.buf); err == nil {
			break
		}
	}
	return c
}

// Close closes the files.
func (c *Conntrack) Close() error {
	c.count.close()
	c.max.close()
	c.stat.close()
	return nil
}

// Read measures once.
func (c *Conntrack) Read() ([]telemetry.Series, []float64, error) {
	if _, err := c.count.read(&c.buf); err != nil {
		return nil, nil, fmt.Errorf("read conntrack: %w", err)
	}
	fits := c.table.series != nil
	if c.opt.Total || c.opt.PerCPU {
		data, err := c.stat.read()
		switch {
		case errors.Is(err, unix.ENOENT):
			// A kernel without CONFIG_NF_CONNTRACK_PROCFS.
		case err != nil:
			return nil, nil, fmt.Errorf("read conntrack: %w", err)
		default:
			fits = c.take(data) && fits
		}
	}
	if !fits {
		c.layOut()
	}
	c.fill()
	return c.table.result()
}

// take counts every line and returns whether the layout still fits.
func (c *Conntrack) take(data []byte) bool {
	head, data := cutLine(data)
	fits := bytes.Equal(head, c.head)
	if !fits {
		c.learn(head)
	}
	c.cpus.begin(len(c.names))
	for cpu := 0; len(data) > 0; {
		var line []byte
		line, data = cutLine(data)
		if f, _ := cutField(line); len(f) == 0 {
			continue
		}
		row := c.cpus.row(cpu)
		cpu++
		for i := range c.names {
			var f []byte
			f, line = cutField(line)
			if v, ok := parseHex32(f); ok {
				c.cpus.count(row, i, v)
			}
		}
	}
	return c.cpus.done() && fits
}

func (c *Conntrack) learn(head []byte) {
	c.head, c.names = bytes.Clone(head), nil
	for {
		var f []byte
		if f, head = cutField(head); len(f) == 0 {
			break
		}
		c.names = append(c.names, string(f))
	}
	c.cpus.forget()
}

func (c *Conntrack) layOut() {
	c.table.reset()
	c.table.add("conntrack_ip_conntrack_count", telemetry.Gauge, nil)
	c.table.add("conntrack_ip_conntrack_max", telemetry.Gauge, nil)
	add := func(ls telemetry.Labels) {
		for _, name := range c.names {
			kind := telemetry.Counter
			if name == conntrackEntries {
				kind = telemetry.Gauge
			}
			c.table.add("conntrack_"+name, kind, ls)
		}
	}
	if c.opt.Total && len(c.cpus.rows) > 0 {
		add(label("cpu", "all"))
	}
	if c.opt.PerCPU {
		for _, r := range c.cpus.rows {
			add(cpuLabels(r.cpu))
		}
	}
}

func (c *Conntrack) fill() {
	v := c.table.values
	v[0], v[1] = c.count.number(&c.buf), c.max.number(&c.buf)
	at := 2
	if c.opt.Total && len(c.cpus.rows) > 0 {
		for i, name := range c.names {
			v[at] = float64(c.cpus.sum[i])
			if name == conntrackEntries {
				v[at] = float64(c.cpus.rows[0].last[i])
			}
			at++
		}
	}
	if !c.opt.PerCPU {
		return
	}
	for _, r := range c.cpus.rows {
		for i, name := range c.names {
			v[at] = float64(r.total[i])
			if name == conntrackEntries {
				v[at] = float64(r.last[i])
			}
			at++
		}
	}
}
