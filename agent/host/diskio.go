package host

import (
	"bytes"
	"fmt"
	"time"

	"nines/internal/telemetry"
)

// diskFields are the columns of /proc/diskstats after the name, with their unit
// in Telegraf's; iops_in_progress is the only state among them.
var diskFields = [...]struct {
	field string
	unit  float64
}{
	{"reads", 1}, {"merged_reads", 1}, {"read_bytes", 512}, {"read_time", 1},
	{"writes", 1}, {"merged_writes", 1}, {"write_bytes", 512}, {"write_time", 1},
	{"iops_in_progress", 1}, {"io_time", 1}, {"weighted_io_time", 1},
}

const (
	diskReads, diskReadTime, diskWrites, diskWriteTime = 0, 3, 4, 7
	diskInProgress, diskIOTime                         = 8, 9
)

type diskCounts [len(diskFields)]uint64

// DiskIO reads /proc/diskstats as Telegraf's diskio input does with its default
// settings. Devices that never did anything are left out, as there.
type DiskIO struct {
	roots Roots
	file  file
	table table
	disks names
	last  []diskCounts // by position in disks
	now   diskCounts   // of the disk at hand
	fresh bool
	at    time.Time
	clock func() time.Time
}

// NewDiskIO returns the reader.
func NewDiskIO(r Roots) *DiskIO {
	r = r.fill()
	return &DiskIO{roots: r, file: file{path: r.Proc + "/diskstats"}, clock: time.Now}
}

// Close closes the file.
func (d *DiskIO) Close() error { d.file.close(); return nil }

// Read measures once.
func (d *DiskIO) Read() ([]telemetry.Series, []float64, error) {
	data, err := d.file.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read disk I/O: %w", err)
	}
	now := d.clock()
	d.disks.begin()
	d.eachDisk(data, func(name []byte) { d.disks.next(name) })
	if !d.disks.done() || d.table.series == nil {
		d.layOut()
	}
	at, i, elapsed := 0, 0, float64(now.Sub(d.at).Milliseconds())
	d.eachDisk(data, func([]byte) {
		at = d.round(at, i, &d.now, elapsed)
		i++
	})
	d.fresh, d.at = false, now
	return d.table.result()
}

// eachDisk calls f for each disk that ever did anything, its counts in d.now.
func (d *DiskIO) eachDisk(data []byte, f func(name []byte)) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		_, line = cutField(line)
		_, line = cutField(line)
		name, line := cutField(line)
		if len(name) > 0 && d.now.parse(line) && d.now != (diskCounts{}) {
			f(name)
		}
	}
}

func (c *diskCounts) parse(line []byte) bool {
	for i := range c {
		v, rest, ok := uintField(line)
		if !ok {
			return false
		}
		c[i], line = v, rest
	}
	return true
}

func (d *DiskIO) layOut() {
	d.table.reset()
	d.last = make([]diskCounts, len(d.disks.known))
	d.fresh = true
	for _, name := range d.disks.known {
		ls := telemetry.NewLabels(map[string]string{"name": name, "wwid": d.wwid(name)})
		for i, f := range diskFields {
			kind := telemetry.Counter
			if i == diskInProgress {
				kind = telemetry.Gauge
			}
			d.table.add("diskio_"+f.field, kind, ls)
		}
		for _, f := range []string{"io_await", "io_svctm", "io_util"} {
			d.table.add("diskio_"+f, telemetry.Gauge, ls)
		}
	}
}

// wwid is the disk's world-wide identifier, "" where it has none.
func (d *DiskIO) wwid(name string) string {
	f := file{path: d.roots.Sys + "/block/" + name + "/wwid", whole: true}
	defer f.close()
	data, err := f.read()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSuffix(data, []byte{'\n'}))
}

// round fills a disk's values from position at on and returns the next.
func (d *DiskIO) round(at, i int, c *diskCounts, elapsed float64) int {
	v := d.table.values
	for f := range c {
		v[at+f] = float64(c[f]) * diskFields[f].unit
	}
	at += len(c)
	last := d.last[i]
	d.last[i] = *c
	v[at], v[at+1], v[at+2] = absent, absent, absent
	if d.fresh || wrapped(c, &last) {
		return at + 3
	}
	ops := float64(c[diskReads] - last[diskReads] + c[diskWrites] - last[diskWrites])
	opTime := float64(c[diskReadTime] - last[diskReadTime] + c[diskWriteTime] - last[diskWriteTime])
	busy := float64(c[diskIOTime] - last[diskIOTime])
	if ops > 0 {
		v[at] = round4(opTime / ops)
		v[at+1] = round4(busy / ops)
	}
	if elapsed > 0 {
		v[at+2] = percent(busy, elapsed)
	}
	return at + 3
}

func wrapped(c, last *diskCounts) bool {
	for _, f := range []int{diskReads, diskWrites, diskReadTime, diskWriteTime, diskIOTime} {
		if c[f] < last[f] {
			return true
		}
	}
	return false
}
