package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/disk"

	"nines/internal/telemetry"
)

// maxMounts bounds how many mounts are measured; each has a goroutine.
const maxMounts = 1000

// noBlocks are the file systems that never have a size.
var noBlocks = []string{
	"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "fusectl", "mqueue", "nsfs", "proc",
	"pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs",
}

// mount is a line of the mount table that is measured.
type mount struct {
	path   string // where statfs is asked
	labels telemetry.Labels
}

// mountTable reads which mounts there are.
type mountTable struct {
	opt   DiskOptions
	roots Roots
	file  file
	text  []byte // as of the last change
	read  bool
}

// changed tells whether the table is another than at the last call.
func (m *mountTable) changed() (bool, error) {
	text, err := m.file.read()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		// gopsutil falls back likewise, where another's table may not be read.
		m.file = file{path: m.roots.Proc + "/self/mountinfo"}
		text, err = m.file.read()
	}
	if err != nil {
		return false, fmt.Errorf("read mounts: %w", err)
	}
	if m.read && bytes.Equal(text, m.text) {
		return false, nil
	}
	m.text, m.read = append(m.text[:0], text...), true
	return true, nil
}

// list returns the mounts that Telegraf's disk input would measure, at most
// maxMounts, and how many there are beyond.
func (m *mountTable) list() (mounts []mount, dropped int, err error) {
	ctx := context.WithValue(context.Background(), common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: m.roots.Proc, common.HostSysEnvKey: m.roots.Sys,
	})
	parts, err := disk.PartitionsWithContext(ctx, true)
	if err != nil {
		m.read = false
		return nil, 0, fmt.Errorf("read mounts: %w", err)
	}
	for _, p := range parts {
		path, ok := m.wanted(p, parts)
		switch {
		case !ok:
		case len(mounts) == maxMounts:
			dropped++
		default:
			mounts = append(mounts, mount{path: path, labels: m.labels(ctx, p)})
		}
	}
	return mounts, dropped, nil
}

// wanted applies the input's settings; path is where the agent sees the mount.
func (m *mountTable) wanted(p disk.PartitionStat, all []disk.PartitionStat) (path string, ok bool) {
	ignored := func(opt string) bool { return slices.Contains(m.opt.IgnoreMountOpts, opt) }
	if slices.ContainsFunc(p.Opts, ignored) || slices.Contains(m.opt.IgnoreFS, p.Fstype) || slices.Contains(noBlocks, p.Fstype) {
		return "", false
	}
	if len(m.opt.MountPoints) > 0 && !slices.Contains(m.opt.MountPoints, p.Mountpoint) {
		return "", false
	}
	prefix := m.opt.Prefix
	if prefix == "" || strings.HasPrefix(p.Mountpoint, prefix) {
		return p.Mountpoint, true
	}
	path = filepath.Join(prefix, p.Mountpoint)
	twice := slices.ContainsFunc(all, func(o disk.PartitionStat) bool { return o.Mountpoint == path })
	return path, !twice
}

func (m *mountTable) labels(ctx context.Context, p disk.PartitionStat) telemetry.Labels {
	labels := map[string]string{
		"path":   filepath.Join(string(os.PathSeparator), strings.TrimPrefix(p.Mountpoint, m.opt.Prefix)),
		"device": strings.ReplaceAll(p.Device, "/dev/", ""), "fstype": p.Fstype, "mode": "unknown",
	}
	if slices.Contains(p.Opts, "rw") {
		labels["mode"] = "rw"
	} else if slices.Contains(p.Opts, "ro") {
		labels["mode"] = "ro"
	}
	if l, err := disk.LabelWithContext(ctx, strings.TrimPrefix(p.Device, "/dev/")); err == nil && l != "" {
		labels["label"] = l
	}
	return telemetry.NewLabels(labels)
}
