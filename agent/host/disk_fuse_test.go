package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const fuseChild = "NINES_TEST_DEAD_MOUNT"

// A real mount whose file system never answers statfs, in namespaces of a
// process of its own, so that nothing else on the machine meets it.
func TestARealMountThatNeverAnswers(t *testing.T) {
	if os.Getenv(fuseChild) != "" {
		deadMount(t)
		return
	}
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		t.Skipf("no FUSE on this machine: %v", err)
	} else {
		f.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestARealMountThatNeverAnswers$", "-test.timeout=30s", "-test.v")
	cmd.Env = append(os.Environ(), fuseChild+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig: syscall.SIGKILL,
	}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		t.Skipf("no namespaces for this user: %v", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func deadMount(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(err)
	dir := filepath.Join(t.TempDir(), "dead")
	must(os.Mkdir(dir, 0o755))
	must(unix.Mount("filer:/export", dir, "fuse.dead", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)))
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	// Nobody reads fd. The kernel waits for its greeting to be answered in a way
	// that ends with the process; a call that a server has read does not.

	// The table of this process's mounts, not of process 1's.
	proc := t.TempDir()
	must(os.Symlink("/proc/self", filepath.Join(proc, "1")))
	d := NewDisk(Roots{Proc: proc}, DiskOptions{MountPoints: []string{"/", dir}, Limit: 200 * time.Millisecond})
	defer d.Close()
	asked := atomic.Int32{}
	statfs := d.statfs
	d.statfs = func(path string, st *unix.Statfs_t) error {
		if path == dir {
			asked.Add(1)
		}
		return statfs(path, st)
	}
	at := func(name, path string) (found float64, ok bool) {
		series, vs, err := d.Read()
		must(err)
		for i, x := range series {
			if x.Name == name && x.Labels.Get("path") == path && vs[i] == vs[i] {
				return vs[i], true
			}
		}
		return 0, false
	}
	for range 3 {
		began := time.Now()
		if total, ok := at("disk_total", "/"); !ok || total <= 0 {
			t.Errorf("the healthy mount has no figures: %v", total)
		}
		if took := time.Since(began); took < 200*time.Millisecond || took > 5*time.Second {
			t.Errorf("a round took %s", took)
		}
	}
	if v, ok := at("disk_stuck", dir); !ok || v != 1 {
		t.Errorf("disk_stuck of the dead mount is %v, %v", v, ok)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the dead mount was asked %d times", n)
	}
	// The server ends: the call returns with an error.
	must(unix.Close(fd))
	for deadline := time.Now().Add(10 * time.Second); ; {
		if v, ok := at("disk_failing", dir); ok && v == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the mount stays stuck although its call has returned")
		}
	}
}
