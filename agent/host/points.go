package host

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nines/agent/apart"
	"nines/internal/telemetry"
)

// MissingError says what this host lacks for a reader to have anything to read.
type MissingError string

func (e MissingError) Error() string { return string(e) }

// rescanEvery is how often readers of sysfs look for new devices.
const rescanEvery = time.Minute

// point is one number that a file of sysfs holds, and the series that it is.
type point struct {
	name   string
	kind   telemetry.Kind
	labels telemetry.Labels
	path   string
	// parse reads the file's text; nil reads a decimal number, of which per are
	// one of the series' unit. Division keeps 37950 mV at 37.95.
	parse func(text []byte) (float64, bool)
	per   float64
}

// device is what answers for its points: if it hangs, the others do not.
type device struct {
	labels telemetry.Labels
	points []point
}

// points reads numbers, one to a file, of devices that a scan finds. Files stay
// open. Files that cannot be read are absent.
type points struct {
	scan func() []device
	// limit is how long a device may take; 0 reads all of them in place, for
	// files behind which there is no hardware.
	limit time.Duration
	// stuck names the series that is 1 while a device does not answer.
	stuck   string
	known   []device
	files   [][]file
	found   [][]float64 // by device; its call's while that is under way
	calls   []*apart.Call
	group   apart.Group
	table   table
	scanned time.Time
}

// Read reads every point.
func (p *points) Read() ([]telemetry.Series, []float64, error) {
	if now := time.Now(); now.Sub(p.scanned) >= rescanEvery {
		p.scanned = now
		p.rescan()
	}
	if p.limit > 0 {
		p.group.Do(p.calls, p.limit)
	}
	at, now := 0, time.Now()
	for d := range p.known {
		stuck := p.limit > 0 && p.calls[d].Stuck(now) > 0
		if p.limit == 0 {
			p.readDevice(p.known[d].points, p.files[d], p.found[d])
		}
		for i := range p.known[d].points {
			p.table.values[at] = absent
			if !stuck {
				p.table.values[at] = p.found[d][i]
			}
			at++
		}
		if p.limit > 0 {
			p.table.values[at] = truth(stuck)
			at++
		}
	}
	return p.table.result()
}

// readDevice fills found. It touches nothing else: its caller may have given up
// on it.
func (p *points) readDevice(points []point, files []file, found []float64) {
	for i := range points {
		found[i] = absent
		text, err := files[i].read()
		if err != nil {
			continue
		}
		text = bytes.TrimSpace(text)
		if parse := points[i].parse; parse != nil {
			if v, ok := parse(text); ok {
				found[i] = v
			}
		} else if v, ok := parseInt(text); ok {
			found[i] = v / points[i].per
		}
	}
}

// rescan looks for devices and keeps the layout where they are the same.
func (p *points) rescan() {
	list := p.scan()
	if p.table.series != nil && sameDevices(list, p.known) {
		return
	}
	hanging := p.hanging()
	p.drop(hanging)
	p.table.series = []telemetry.Series{}
	p.table.values = p.table.values[:0]
	for _, d := range list {
		if _, ok := hanging[d.labels.String()]; ok {
			continue
		}
		p.known = append(p.known, d)
		files, found := make([]file, len(d.points)), make([]float64, len(d.points))
		// The buffer is the device's own: its call may run beside others.
		buf := make([]byte, 512)
		for i, pt := range d.points {
			files[i] = file{path: pt.path, whole: true, buf: buf}
			p.table.add(pt.name, pt.kind, pt.labels)
		}
		p.files, p.found = append(p.files, files), append(p.found, found)
		if p.limit > 0 {
			p.table.add(p.stuck, telemetry.Gauge, d.labels)
			p.calls = append(p.calls, apart.New(func() error { p.readDevice(d.points, files, found); return nil }))
		}
	}
	// A device that was taken out while it hangs is listed until it answers.
	for _, h := range hanging {
		p.keep(h)
	}
}

// held is a device that hangs while the layout changes around it: it is not
// asked again as another.
type held struct {
	device device
	files  []file
	found  []float64
	call   *apart.Call
}

// hanging returns the devices that do not answer, by their labels.
func (p *points) hanging() map[string]held {
	out, now := map[string]held{}, time.Now()
	for i, c := range p.calls {
		if c.Stuck(now) > 0 {
			out[p.known[i].labels.String()] = held{p.known[i], p.files[i], p.found[i], c}
		}
	}
	return out
}

func (p *points) keep(h held) {
	for _, pt := range h.device.points {
		p.table.add(pt.name, pt.kind, pt.labels)
	}
	p.table.add(p.stuck, telemetry.Gauge, h.device.labels)
	p.known, p.files, p.found, p.calls = append(p.known, h.device), append(p.files, h.files), append(p.found, h.found), append(p.calls, h.call)
}

// drop lets go of all devices, and closes those that do not hang.
func (p *points) drop(hanging map[string]held) {
	for i, files := range p.files {
		if _, ok := hanging[p.known[i].labels.String()]; ok && p.limit > 0 {
			continue
		}
		if p.limit > 0 {
			p.calls[i].Close()
		}
		for f := range files {
			files[f].close()
		}
	}
	p.known, p.files, p.found, p.calls = nil, nil, nil, nil
}

// Close closes the files. Those of a device that hangs stay open, and its
// goroutine ends when it answers.
func (p *points) Close() error {
	hanging := p.hanging()
	for _, h := range hanging {
		h.call.Close()
	}
	p.drop(hanging)
	p.table.series = nil
	return nil
}

func sameDevices(a, b []device) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i].points) != len(b[i].points) || a[i].labels.String() != b[i].labels.String() {
			return false
		}
		for j := range a[i].points {
			x, y := &a[i].points[j], &b[i].points[j]
			if x.path != y.path || x.name != y.name || x.labels.String() != y.labels.String() {
				return false
			}
		}
	}
	return true
}

func truth(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// text returns a small file's words, "" where it cannot be read.
func text(path ...string) string {
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(b), ""))
}

func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR)
}

// entries lists a folder in the order of its names, nothing where it cannot be
// read.
func entries(path ...string) []string {
	list, _ := os.ReadDir(filepath.Join(path...))
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name()
	}
	return names
}
