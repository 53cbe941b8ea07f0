package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	tg "github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/filter"
	"github.com/influxdata/telegraf/plugins/inputs/conntrack"
	"github.com/influxdata/telegraf/plugins/inputs/cpu"
	"github.com/influxdata/telegraf/plugins/inputs/disk"
	"github.com/influxdata/telegraf/plugins/inputs/diskio"
	"github.com/influxdata/telegraf/plugins/inputs/infiniband"
	"github.com/influxdata/telegraf/plugins/inputs/kernel"
	sysctlfs "github.com/influxdata/telegraf/plugins/inputs/linux_sysctl_fs"
	"github.com/influxdata/telegraf/plugins/inputs/mem"
	netin "github.com/influxdata/telegraf/plugins/inputs/net"
	"github.com/influxdata/telegraf/plugins/inputs/netstat"
	"github.com/influxdata/telegraf/plugins/inputs/nstat"
	"github.com/influxdata/telegraf/plugins/inputs/processes"
	"github.com/influxdata/telegraf/plugins/inputs/swap"
	"github.com/influxdata/telegraf/plugins/inputs/system"

	"nines/agent/gpu"
	"nines/agent/host"
	"nines/agent/telegraf"
	"nines/internal/telemetry"
)

// newInputs prepares the inputs of the configuration.
func newInputs(cfg Config, clock func() int64, sink telemetry.Sink, log *slog.Logger) (*telegraf.Inputs, error) {
	opt, sec, err := inputOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	opt.Clock, opt.Sink, opt.Log = clock, sink, log
	inputs, err := telegraf.New(opt)
	if err != nil {
		return nil, fmt.Errorf("configure inputs:\n%w", hideIn(err, sec))
	}
	return inputs, nil
}

// inputOptions are what a configuration decides about inputs, and the secrets
// in it.
func inputOptions(cfg Config, log *slog.Logger) (telegraf.Options, []string, error) {
	files, sec, err := cfg.inputFiles()
	opt := telegraf.Options{Files: files, Interval: cfg.Interval, Variant: cfg.Readers, MaxSeries: cfg.Limits.SeriesPerInput}
	r := host.EnvRoots()
	opt.Replace = replacer{
		roots: r, shared: host.NewShared(r), plugins: cfg.Readers != ReadersKernel, gpuWorker: cfg.GPUWorker, log: log,
	}.reader
	return opt, sec.values, err
}

// NewInputs prepares the inputs of a configuration to be asked by hand, as
// nines-agent test does.
func NewInputs(cfg Config, log *slog.Logger) (*telegraf.Inputs, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	var values atomic.Pointer[[]string]
	sec := cfg.Secrets()
	values.Store(&sec)
	return newInputs(cfg, NewClock().Now, func(telemetry.Round) {}, hiding(log, &values))
}

// replacer puts package host's readers in the place of Telegraf's plugins,
// where their settings ask for nothing that a reader does not do.
type replacer struct {
	roots  host.Roots
	shared *host.Shared
	// plugins leaves Telegraf's inputs to Telegraf.
	plugins bool
	// gpuWorker is Config.GPUWorker.
	gpuWorker []string
	log       *slog.Logger
}

func (r replacer) reader(in tg.Input) (telegraf.Reader, error) {
	if own, ok := in.(telegraf.Own); ok {
		return r.own(own)
	}
	if r.plugins {
		return nil, nil
	}
	switch p := in.(type) {
	case *cpu.CPU:
		if p.CoreTags {
			return nil, nil
		}
		return host.NewCPU(r.shared, host.CPUOptions{
			PerCPU: p.PerCPU, TotalCPU: p.TotalCPU, CollectCPUTime: p.CollectCPUTime, ReportActive: p.ReportActive,
		}), nil
	case *mem.Mem:
		return host.NewMem(r.roots), nil
	case *swap.Swap:
		return host.NewSwap(r.roots), nil
	case *system.System:
		return host.NewSystem(r.roots), nil
	case *processes.Processes:
		return host.NewProcesses(r.roots, r.shared), nil
	case *netstat.NetStat:
		return host.NewNetstat(r.roots), nil
	case *netin.Net:
		return r.net(p)
	case *disk.Disk:
		if os.Getenv("HOST_PROC_MOUNTINFO") != "" {
			return nil, nil
		}
		return host.NewDisk(r.roots, host.DiskOptions{
			MountPoints: p.MountPoints, IgnoreFS: p.IgnoreFS, IgnoreMountOpts: p.IgnoreMountOpts, Prefix: os.Getenv("HOST_MOUNT_PREFIX"),
		}), nil
	case *diskio.DiskIO:
		if len(p.Devices) > 0 || len(p.DeviceTags) > 0 || len(p.NameTemplates) > 0 || !p.SkipSerialNumber {
			return nil, nil
		}
		return host.NewDiskIO(r.roots), nil
	case *kernel.Kernel:
		return r.kernel(p)
	case *nstat.Nstat:
		return r.nstat(p)
	case *sysctlfs.SysctlFS:
		return host.NewSysctlFS(r.roots), nil
	case *conntrack.Conntrack:
		return r.conntrack(p)
	case *infiniband.Infiniband:
		return r.infiniband(p), nil
	}
	return nil, nil
}

// own returns the reader of an input that Telegraf does not have.
func (r replacer) own(in telegraf.Own) (telegraf.Reader, error) {
	switch p := in.(type) {
	case *telegraf.EDAC:
		return present(host.NewEDAC(r.roots))
	case *telegraf.HWMon:
		return present(host.NewHWMon(r.roots, time.Duration(p.Timeout)))
	case *telegraf.MDRaid:
		return present(host.NewMDRaid(r.roots))
	case *telegraf.NVMe:
		return present(host.NewNVMe(r.roots, time.Duration(p.Timeout)))
	case *telegraf.Container:
		return present(host.NewContainers(r.roots, host.ContainerOptions{Max: p.MaxGroups}))
	case *telegraf.CPUThrottle:
		return present(host.NewCPUThrottle(r.roots))
	case *telegraf.GPU:
		return r.gpu(p)
	case *telegraf.Softnet:
		return r.softnet(p)
	case *telegraf.Link:
		return r.link(p)
	case *telegraf.NIC:
		return r.nic(p)
	case *telegraf.Chronyd:
		return r.chronyd(p)
	case *telegraf.NTP:
		return r.ntp(p)
	}
	return nil, nil
}

// present leaves an input out whose hardware its reader does not find.
func present[R telegraf.Reader](r R, err error) (telegraf.Reader, error) {
	var missing host.MissingError
	if errors.As(err, &missing) {
		return nil, telegraf.Absent("%s", missing.Error())
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r replacer) net(p *netin.Net) (telegraf.Reader, error) {
	match, err := matching("interfaces", p.Interfaces)
	if err != nil {
		return nil, err
	}
	return host.NewNet(r.roots, host.NetOptions{Match: match}), nil
}

// matching returns which names the patterns of a setting fit; nil, which leaves
// it to the reader, where there is none.
func matching(setting string, patterns []string) (func(name string) bool, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	f, err := filter.Compile(patterns)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return f.Match, nil
}

func (r replacer) kernel(p *kernel.Kernel) (telegraf.Reader, error) {
	if slices.ContainsFunc(p.ConfigCollect, func(s string) bool { return s != "psi" }) {
		return nil, nil
	}
	k, err := host.NewKernel(r.roots, r.shared, host.KernelOptions{Pressure: len(p.ConfigCollect) > 0})
	if errors.Is(err, os.ErrNotExist) {
		// A kernel without pressure figures still has the others.
		return host.NewKernel(r.roots, r.shared, host.KernelOptions{})
	}
	return k, err
}

func (r replacer) nstat(p *nstat.Nstat) (telegraf.Reader, error) {
	custom := p.ProcNetNetstat + p.ProcNetSNMP + p.ProcNetSNMP6
	for _, env := range []string{"PROC_NET_NETSTAT", "PROC_NET_SNMP", "PROC_NET_SNMP6", "PROC_ROOT"} {
		custom += os.Getenv(env)
	}
	if custom != "" {
		return nil, nil
	}
	return host.NewNstat(r.roots, host.NstatOptions{DumpZeros: p.DumpZeros}), nil
}

func (r replacer) gpu(p *telegraf.GPU) (telegraf.Reader, error) {
	opt := gpu.InputOptions{
		Sys: r.roots.Sys, Library: p.Library, NvidiaSMI: p.NvidiaSMI, ROCmSMI: p.ROCmSMI, Worker: r.gpuWorker,
		Expected: p.Expected, Processes: p.Processes, Timeout: time.Duration(p.Timeout), Log: r.log,
	}
	if why := gpu.Missing(opt); why != "" {
		return nil, telegraf.Absent("%s", why)
	}
	return gpu.NewReader(opt), nil
}
