package host

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// nstatGauges are states among the kernel's network counters.
var nstatGauges = map[string]bool{
	"IpForwarding": true, "IpDefaultTTL": true, "TcpRtoAlgorithm": true, "TcpRtoMin": true,
	"TcpRtoMax": true, "TcpMaxConn": true, "TcpCurrEstab": true,
}

// NstatOptions are those of Telegraf's nstat input.
type NstatOptions struct{ DumpZeros bool }

// Nstat reads /proc/net/netstat, snmp and snmp6 as Telegraf's nstat input does:
// counters that never left zero are left out unless DumpZeros. A counter that
// was seen stays, where Telegraf drops it at zero.
type Nstat struct {
	opt   NstatOptions
	files [3]nstatFile
	table table
}

// nstatFile remembers where the values of a file go.
type nstatFile struct {
	file  file
	name  string // of the label
	pairs bool   // one "name value" a line, as in snmp6
	// head is the header text that cells belongs to; for pairs it is not used.
	head  []byte
	cells []nstatCell
	data  []byte // of this round; nil where the host has no such file
}

type nstatCell struct {
	series string
	at     int // in the table; -1 while it is left out
}

// NewNstat returns the reader.
func NewNstat(r Roots, opt NstatOptions) *Nstat {
	dir := r.fill().Proc + "/net/"
	n := &Nstat{opt: opt}
	for i, name := range []string{"netstat", "snmp", "snmp6"} {
		n.files[i] = nstatFile{file: file{path: dir + name, whole: true}, name: name, pairs: name == "snmp6"}
	}
	return n
}

// Close closes the files.
func (n *Nstat) Close() error {
	for i := range n.files {
		n.files[i].file.close()
	}
	return nil
}

// Read measures once.
func (n *Nstat) Read() ([]telemetry.Series, []float64, error) {
	fits := n.table.series != nil
	for i := range n.files {
		f := &n.files[i]
		data, err := f.file.read()
		if f.pairs && errors.Is(err, unix.ENOENT) {
			data, err = nil, nil // no IPv6
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read network counters: %w", err)
		}
		f.data = data
		fits = f.sameNames() && fits
	}
	if fits {
		fits = n.fill()
	}
	if !fits {
		n.layOut()
		n.fill()
	}
	return n.table.result()
}

// fill stores this round's values. It returns false where a counter that the
// layout leaves out is no longer zero.
func (n *Nstat) fill() bool {
	fits := true
	for i := range n.files {
		f := &n.files[i]
		cell := 0
		f.each(func(value []byte) {
			c := &f.cells[cell]
			cell++
			switch v, ok := parseInt(value); {
			case c.at >= 0 && ok:
				n.table.values[c.at] = v
			case c.at >= 0:
				n.table.values[c.at] = absent
			case ok && v != 0:
				fits = false
			}
		})
	}
	return fits
}

func (n *Nstat) layOut() {
	known := map[string]bool{}
	for _, s := range n.table.series {
		known[s.Name+s.Labels.Get("name")] = true
	}
	n.table.reset()
	for i := range n.files {
		f := &n.files[i]
		ls := label("name", f.name)
		cell := 0
		f.each(func(value []byte) {
			c := &f.cells[cell]
			cell++
			name := "nstat_" + c.series
			v, ok := parseInt(value)
			c.at = -1
			if !ok || v == 0 && !n.opt.DumpZeros && !known[name+f.name] {
				return
			}
			kind := telemetry.Counter
			if nstatGauges[c.series] {
				kind = telemetry.Gauge
			}
			c.at = len(n.table.series)
			n.table.add(name, kind, ls)
		})
	}
}

// sameNames tells whether the file's names are those of cells; if not it makes
// cells anew.
func (f *nstatFile) sameNames() bool {
	same, rest, cell, head := true, f.data, 0, 0
	for len(rest) > 0 {
		var names []byte
		names, rest = cutLine(rest)
		if f.pairs {
			name, _ := cutField(names)
			if cell >= len(f.cells) || f.cells[cell].series != string(name) {
				same = false
			}
			cell++
			continue
		}
		_, rest = cutLine(rest) // the values
		if head+len(names) > len(f.head) || !bytes.Equal(f.head[head:head+len(names)], names) {
			same = false
			break
		}
		head += len(names)
	}
	if same && (f.pairs && cell == len(f.cells) || !f.pairs && head == len(f.head)) {
		return true
	}
	f.learn()
	return false
}

func (f *nstatFile) learn() {
	f.head, f.cells = nil, nil
	for rest := f.data; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		if f.pairs {
			name, _ := cutField(line)
			f.cells = append(f.cells, nstatCell{series: string(name)})
			continue
		}
		_, rest = cutLine(rest)
		f.head = append(f.head, line...)
		group, line := cutField(line)
		group = bytes.TrimSuffix(group, []byte{':'})
		for {
			var name []byte
			if name, line = cutField(line); len(name) == 0 {
				break
			}
			f.cells = append(f.cells, nstatCell{series: string(group) + string(name)})
		}
	}
}

// each hands over one value per cell, nil where a line is short.
func (f *nstatFile) each(put func(value []byte)) {
	for rest := f.data; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		if f.pairs {
			_, value := cutField(line)
			value, _ = cutField(value)
			put(value)
			continue
		}
		var values []byte
		values, rest = cutLine(rest)
		_, line = cutField(line)
		_, values = cutField(values)
		for {
			var name, value []byte
			if name, line = cutField(line); len(name) == 0 {
				break
			}
			value, values = cutField(values)
			put(value)
		}
	}
}
