package host

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

const mountLines = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /run rw - tmpfs tmpfs rw
30 22 0:40 / /mnt/nfs rw,relatime - nfs4 filer:/export rw,vers=4.2,hard
31 22 8:2 / /var ro,relatime - xfs /dev/sda2 ro
`

func full(st *unix.Statfs_t) {
	*st = unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bfree: 400, Bavail: 300, Files: 50, Ffree: 40}
}

const nfs, root = `{device="filer:/export",fstype="nfs4",mode="rw",path="/mnt/nfs"}`, `{device="sda1",fstype="ext4",mode="rw",path="/"}`

func TestSpaceOfMounts(t *testing.T) {
	r := tree(t, map[string]string{"proc/1/mountinfo": mountLines})
	d := NewDisk(r, DiskOptions{IgnoreFS: []string{"tmpfs"}})
	defer d.Close()
	d.statfs = func(path string, st *unix.Statfs_t) error {
		if path == "/var" {
			return unix.EIO
		}
		if path != "/" && path != "/mnt/nfs" {
			t.Errorf("asked %s", path)
		}
		full(st)
		return nil
	}
	got := values(t, d)
	expect(t, got, map[string]float64{
		"disk_total" + root: 4096000, "disk_free" + root: 1228800, "disk_used" + root: 2457600, "disk_used_percent" + root: 66.6667,
		"disk_inodes_total" + root: 50, "disk_inodes_free" + root: 40, "disk_inodes_used" + root: 10, "disk_inodes_used_percent" + root: 20,
		"disk_stuck" + root: 0, "disk_failing" + root: 0, "disk_total" + nfs: 4096000, "disk_mounts_dropped": 0,
		`disk_failing{device="sda2",fstype="xfs",mode="ro",path="/var"}`: 1,
	})
	if len(got) != 10+10+2+1 {
		t.Errorf("%d values: %v", len(got), got)
	}
}

// The NFS server dies, the mount table changes, the mount is taken out and put
// back, the server returns: one statfs hangs all the while, the others answer.
func TestOneDeadMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := tree(t, map[string]string{"proc/1/mountinfo": mountLines})
		d := NewDisk(r, DiskOptions{IgnoreFS: []string{"tmpfs"}})
		back, asked := make(chan struct{}), 0
		d.statfs = func(path string, st *unix.Statfs_t) error {
			if path == "/mnt/nfs" {
				asked++
				<-back
			}
			full(st)
			return nil
		}
		began := time.Now()
		f := func(what, mounts string, stuck bool) {
			t.Helper()
			rewrite(t, r, "proc/1/mountinfo", mounts)
			got := values(t, d)
			if got["disk_total"+root] != 4096000 || got["disk_stuck"+root] != 0 {
				t.Errorf("%s: the healthy mount is blank: %v", what, got)
			}
			if v := got["disk_stuck"+nfs]; (v == 1) != stuck {
				t.Errorf("%s: disk_stuck = %v", what, v)
			}
			if _, ok := got["disk_total"+nfs]; ok {
				t.Errorf("%s: figures of a mount that did not answer", what)
			}
		}
		const nfsLine = "30 22 0:40 / /mnt/nfs rw,relatime - nfs4 filer:/export rw,vers=4.2,hard\n"
		without := "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
		f("dead", mountLines, true)
		f("still dead", mountLines, true)
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("two rounds took %s, want two limits", took)
		}
		f("table changed", without+nfsLine, true)
		f("unmounted lazily", without, false)
		f("mounted again", without+nfsLine, true)
		if asked != 1 {
			t.Errorf("a mount that hangs was asked %d times", asked)
		}
		close(back)
		synctest.Wait()
		got := values(t, d)
		if got["disk_stuck"+nfs] != 0 || got["disk_total"+nfs] != 4096000 || asked != 2 {
			t.Errorf("after it came back, asked %d times: %v", asked, got)
		}
		_ = d.Close()
	})
}

func TestManyMountsAreBounded(t *testing.T) {
	lines := ""
	for i := range maxMounts + 7 {
		lines += fmt.Sprintf("%d 1 8:%d / /data/%d rw - ext4 /dev/sd%d rw\n", i+20, i, i, i)
	}
	d := NewDisk(tree(t, map[string]string{"proc/1/mountinfo": lines}), DiskOptions{})
	defer d.Close()
	d.statfs = func(_ string, st *unix.Statfs_t) error { full(st); return nil }
	got := values(t, d)
	if got["disk_mounts_dropped"] != 7 || len(got) != 10*maxMounts+1 {
		t.Errorf("%v dropped, %d values", got["disk_mounts_dropped"], len(got))
	}
}

func TestMountsSettings(t *testing.T) {
	r := tree(t, map[string]string{"proc/1/mountinfo": mountLines})
	f := func(opt DiskOptions, want ...string) {
		t.Helper()
		d := NewDisk(r, opt)
		defer d.Close()
		var asked []string
		d.statfs = func(string, *unix.Statfs_t) error { return errors.New("not asked here") }
		mounts, _, err := d.mounts.list()
		for _, m := range mounts {
			asked = append(asked, m.path)
		}
		if err != nil || fmt.Sprint(asked) != fmt.Sprint(want) {
			t.Errorf("%+v: %v, %v, want %v", opt, asked, err, want)
		}
	}
	f(DiskOptions{}, "/", "/run", "/mnt/nfs", "/var")
	f(DiskOptions{MountPoints: []string{"/var"}}, "/var")
	f(DiskOptions{IgnoreMountOpts: []string{"ro"}}, "/", "/run", "/mnt/nfs")
	f(DiskOptions{Prefix: "/host", IgnoreFS: []string{"tmpfs", "nfs4"}}, "/host", "/host/var")
}
