package host

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"nines/agent/apart"
	"nines/internal/telemetry"
)

// DiskOptions are the settings of Telegraf's disk input.
type DiskOptions struct {
	MountPoints, IgnoreFS, IgnoreMountOpts []string
	// Prefix is where the host's mounts lie for an agent in a container.
	Prefix string
	// Limit is how long one mount may take to answer; 0 means 2 s.
	Limit time.Duration
}

// Disk gives the figures of Telegraf's disk input. Each mount is asked on a
// goroutine of its own, because statfs of a dead NFS mount never returns: then
// disk_stuck of that mount is 1, its figures are absent, the other mounts' are
// not, and it is not asked again before it has answered. disk_failing is 1 where
// the kernel answers with an error other than refused permission. What has no
// size has no figures. disk_mounts_dropped counts mounts beyond the thousandth.
type Disk struct {
	mounts mountTable
	limit  time.Duration
	statfs func(path string, st *unix.Statfs_t) error
	asked  map[string]*asked // by path, those that hang although unmounted too
	order  []*asked          // by position in the layout
	calls  []*apart.Call
	group  apart.Group
	table  table
	lost   float64
}

// asked is one mount point; its call fills st.
type asked struct {
	call *apart.Call
	st   unix.Statfs_t
}

var diskSpace = [...]string{"total", "free", "used", "used_percent", "inodes_total", "inodes_free", "inodes_used", "inodes_used_percent", "stuck", "failing"}

const diskStuck, diskFailing = 8, 9

// NewDisk returns the reader.
func NewDisk(r Roots, opt DiskOptions) *Disk {
	r = r.fill()
	if opt.Limit <= 0 {
		opt.Limit = 2 * time.Second
	}
	return &Disk{
		mounts: mountTable{opt: opt, roots: r, file: file{path: r.Proc + "/1/mountinfo"}},
		limit:  opt.Limit, asked: map[string]*asked{},
		statfs: func(path string, st *unix.Statfs_t) error {
			for {
				if err := unix.Statfs(path, st); !errors.Is(err, unix.EINTR) {
					return err
				}
			}
		},
	}
}

// Close closes the table of mounts and ends the goroutines but of those that hang.
func (d *Disk) Close() error {
	d.mounts.file.close()
	for _, a := range d.asked {
		a.call.Close()
	}
	clear(d.asked)
	return nil
}

// Read measures once.
func (d *Disk) Read() ([]telemetry.Series, []float64, error) {
	changed, err := d.mounts.changed()
	if err != nil {
		return nil, nil, err
	}
	if changed || d.table.series == nil {
		if err := d.layOut(); err != nil {
			return nil, nil, err
		}
	}
	d.group.Do(d.calls, d.limit)
	now := time.Now()
	for i, a := range d.order {
		space(d.table.values[i*len(diskSpace):][:len(diskSpace)], a, now)
	}
	d.table.values[len(d.table.values)-1] = d.lost
	return d.table.result()
}

func (d *Disk) layOut() error {
	mounts, dropped, err := d.mounts.list()
	if err != nil {
		return err
	}
	d.table.reset()
	d.order, d.calls, d.lost = d.order[:0], d.calls[:0], float64(dropped)
	used := map[string]bool{}
	for _, m := range mounts {
		for _, f := range diskSpace {
			d.table.add("disk_"+f, telemetry.Gauge, m.labels)
		}
		a := d.ask(m.path)
		d.order = append(d.order, a)
		if !used[m.path] {
			used[m.path] = true
			d.calls = append(d.calls, a.call)
		}
	}
	d.table.add("disk_mounts_dropped", telemetry.Gauge, nil)
	// A mount that is gone is forgotten when it has answered: what is mounted
	// there anew waits until then.
	now := time.Now()
	for path, a := range d.asked {
		if !used[path] && a.call.Stuck(now) == 0 {
			a.call.Close()
			delete(d.asked, path)
		}
	}
	return nil
}

func (d *Disk) ask(path string) *asked {
	a := d.asked[path]
	if a == nil {
		a = &asked{}
		a.call = apart.New(func() error { return d.statfs(path, &a.st) })
		d.asked[path] = a
	}
	return a
}

// space fills the values of one mount, as Telegraf computes them.
func space(v []float64, a *asked, now time.Time) {
	for i := range v {
		v[i] = absent
	}
	if a.call.Stuck(now) > 0 {
		v[diskStuck] = 1
		return
	}
	if err := a.call.Err(); err != nil {
		v[diskStuck] = 0
		v[diskFailing] = truth(!errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM))
		return
	}
	if a.st.Blocks == 0 {
		return
	}
	size := uint64(a.st.Bsize)
	total, free, used := a.st.Blocks*size, a.st.Bavail*size, (a.st.Blocks-a.st.Bfree)*size
	v[0], v[1], v[2], v[3] = float64(total), float64(free), float64(used), share(used, free)
	inodes, inodesFree := a.st.Files, a.st.Ffree
	inodesUsed := uint64(0)
	if inodes >= inodesFree {
		inodesUsed = inodes - inodesFree
	}
	v[4], v[5], v[6], v[7] = float64(inodes), float64(inodesFree), float64(inodesUsed), share(inodesUsed, inodesFree)
	v[diskStuck], v[diskFailing] = 0, 0
}

func share(used, free uint64) float64 {
	if used+free == 0 {
		return 0
	}
	return percent(float64(used), float64(used)+float64(free))
}
