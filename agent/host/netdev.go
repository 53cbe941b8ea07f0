package host

import (
	"bytes"
	"fmt"
	"net"
	"time"

	"nines/internal/telemetry"
)

// netFields are the columns of /proc/net/dev that Telegraf's net input gives.
var netFields = [...]struct {
	column int
	field  string
}{
	{0, "bytes_recv"}, {1, "packets_recv"}, {2, "err_in"}, {3, "drop_in"},
	{8, "bytes_sent"}, {9, "packets_sent"}, {10, "err_out"}, {11, "drop_out"},
}

// linkEvery is how often the slow facts about interfaces (up, speed) are read.
const linkEvery = 10 * time.Second

// NetOptions choose interfaces.
type NetOptions struct {
	// Match chooses by name; nil takes those that are up and no loopback, as
	// Telegraf does.
	Match func(name string) bool
}

// Net reads /proc/net/dev as Telegraf's net input does. Whether an interface is
// up, and its speed, may be ten seconds old.
type Net struct {
	opt    NetOptions
	roots  Roots
	file   file
	table  table
	wanted names
	up     map[string]bool
	speed  []float64 // by position in wanted
	linked time.Time
}

// NewNet returns the reader.
func NewNet(r Roots, opt NetOptions) *Net {
	r = r.fill()
	return &Net{opt: opt, roots: r, file: file{path: r.Proc + "/net/dev"}}
}

// Close closes the file.
func (n *Net) Close() error { n.file.close(); return nil }

// Read measures once.
func (n *Net) Read() ([]telemetry.Series, []float64, error) {
	data, err := n.file.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read interfaces: %w", err)
	}
	now := time.Now()
	links := now.Sub(n.linked) >= linkEvery
	if links {
		if err := n.readFlags(); err != nil {
			return nil, nil, err
		}
		n.linked = now
	}
	n.wanted.begin()
	n.each(data, func(name, _ []byte) { n.wanted.next(name) })
	if !n.wanted.done() || n.table.series == nil {
		n.layOut()
		links = true
	}
	if links {
		n.readSpeeds()
	}
	at, i := 0, 0
	n.each(data, func(_, counts []byte) {
		at = n.round(at, counts)
		n.table.values[at] = n.speed[i]
		at++
		i++
	})
	return n.table.result()
}

// each hands over the wanted interfaces' lines.
func (n *Net) each(data []byte, f func(name, counts []byte)) {
	_, data = cutLine(data)
	_, data = cutLine(data)
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		colon := bytes.LastIndexByte(line, ':')
		if colon < 0 {
			continue
		}
		name, _ := cutField(line[:colon])
		if n.wants(name) {
			f(name, line[colon+1:])
		}
	}
}

func (n *Net) wants(name []byte) bool {
	switch {
	case len(name) == 0:
		return false
	case n.opt.Match != nil:
		return n.opt.Match(string(name))
	case n.roots.Proc != "/proc":
		return true // another host's interfaces: this namespace's flags say nothing
	}
	return n.up[string(name)]
}

func (n *Net) readFlags() error {
	if n.opt.Match != nil || n.roots.Proc != "/proc" {
		return nil
	}
	ifs, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	n.up = make(map[string]bool, len(ifs))
	for _, i := range ifs {
		n.up[i.Name] = i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0
	}
	return nil
}

// readSpeeds reads the links' speeds in Mbit/s, -1 where there is none.
func (n *Net) readSpeeds() {
	n.speed = n.speed[:0]
	for _, name := range n.wanted.known {
		f := file{path: n.roots.Sys + "/class/net/" + name + "/speed", whole: true}
		speed := -1.0
		if data, err := f.read(); err == nil {
			if v, ok := parseInt(bytes.TrimSpace(data)); ok {
				speed = v
			}
		}
		f.close()
		n.speed = append(n.speed, speed)
	}
}

func (n *Net) layOut() {
	n.table.reset()
	for _, name := range n.wanted.known {
		ls := label("interface", name)
		for _, f := range netFields {
			n.table.add("net_"+f.field, telemetry.Counter, ls)
		}
		n.table.add("net_speed", telemetry.Gauge, ls)
	}
}

func (n *Net) round(at int, counts []byte) int {
	column := 0
	for _, f := range netFields {
		for ; column < f.column; column++ {
			_, counts = cutField(counts)
		}
		v, rest, ok := uintField(counts)
		counts, column = rest, column+1
		n.table.values[at] = float64(v)
		if !ok {
			n.table.values[at] = absent
		}
		at++
	}
	return at
}
