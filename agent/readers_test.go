package agent

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	tg "github.com/influxdata/telegraf"

	"nines/agent/host"
	"nines/agent/telegraf"
	"nines/internal/telemetry"
)

// gatherBoth gathers a configuration with Telegraf's plugins and with the
// kernel readers, and returns the values by series: plugin, reader, plugin.
func gatherBoth(t *testing.T, toml string, pause time.Duration) (before, kernel, after map[string]float64, kinds map[string]telemetry.Kind) {
	t.Helper()
	kinds = map[string]telemetry.Kind{}
	gather := func(replace bool) map[string]float64 {
		opt := telegraf.Options{Files: []telegraf.File{{Name: "t", Text: []byte(toml)}}, Sink: func(telemetry.Round) {}}
		if replace {
			r := host.EnvRoots()
			rep := replacer{roots: r, shared: host.NewShared(r)}
			opt.Replace = func(in tg.Input) (telegraf.Reader, error) {
				reader, err := rep.reader(in)
				if reader == nil {
					t.Errorf("%T is not replaced", in)
				}
				return reader, err
			}
		}
		in, err := telegraf.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		values := map[string]float64{}
		for _, res := range in.Once(ctx, pause) {
			if res.Err != nil {
				t.Fatalf("%s: %v", res.Input, res.Err)
			}
			for _, r := range res.Rounds {
				b := telemetry.Block{Absent: r.Absent}
				for i, s := range r.Schema.Series {
					if !b.IsAbsent(i) {
						values[s.Name+s.Labels.String()] = r.Values[i]
						if k, ok := kinds[s.Name]; ok && k != s.Kind {
							t.Errorf("%s is a %s here and a %s there", s.Name, k, s.Kind)
						}
						kinds[s.Name] = s.Kind
					}
				}
			}
		}
		return values
	}
	return gather(false), gather(true), gather(false), kinds
}

// within tells whether v lies between a and b, or near them: figures move while
// they are read.
func within(v, a, b, slack float64) bool {
	lo, hi := min(a, b), max(a, b)
	room := slack*max(math.Abs(lo), math.Abs(hi)) + (hi - lo) + 1e-3
	return v >= lo-room && v <= hi+room
}

// Every reader gives what the plugin gives, under the same names, kinds and
// labels, but for what its documentation says.
func TestReadersGiveWhatTelegrafGives(t *testing.T) {
	f := func(toml string, slack float64, optional ...string) {
		t.Helper()
		before, kernel, after, _ := gatherBoth(t, toml, 20*time.Millisecond)
		allowed := func(name string) bool {
			for _, o := range optional {
				if strings.HasPrefix(name, o) {
					return true
				}
			}
			return false
		}
		compared := 0
		for name, v := range kernel {
			a, okA := before[name]
			b, okB := after[name]
			if !okA || !okB {
				if !allowed(name) {
					t.Errorf("%s: only the reader gives %s", toml, name)
				}
				continue
			}
			compared++
			if !within(v, a, b, slack) && !allowed(name) {
				t.Errorf("%s: %s is %v, Telegraf says %v and %v", toml, name, v, a, b)
			}
		}
		for name := range before {
			if _, ok := kernel[name]; !ok && !allowed(name) {
				t.Errorf("%s: only Telegraf gives %s", toml, name)
			}
		}
		if compared == 0 {
			t.Errorf("%s: nothing to compare", toml)
		}
	}
	const moving = 0.2
	f("[[inputs.cpu]]\n  collect_cpu_time = true\n  report_active = true", moving, "cpu_usage_")
	f("[[inputs.mem]]", moving, "mem_dirty", "mem_write_back", "mem_cached", "mem_buffered", "mem_mapped")
	f("[[inputs.swap]]", moving)
	f("[[inputs.system]]", moving)
	f("[[inputs.kernel]]", moving)
	f("[[inputs.net]]", moving)
	f("[[inputs.net]]\n  interfaces = [\"l*\"]", moving)
	f("[[inputs.diskio]]", moving, "diskio_io_", "diskio_iops")
	f("[[inputs.disk]]\n  ignore_fs = [\"tmpfs\"]", moving, "disk_stuck", "disk_failing", "disk_mounts_dropped")
	f("[[inputs.linux_sysctl_fs]]", moving)
	f("[[inputs.nstat]]", moving, "nstat_")
	f("[[inputs.nstat]]\n  dump_zeros = true", moving, "nstat_TcpExt", "nstat_Ip", "nstat_Tcp")
	if _, err := os.Stat("/proc/net/stat/nf_conntrack"); err == nil {
		f("[[inputs.conntrack]]", moving)
		f("[[inputs.conntrack]]\n  collect = [\"percpu\"]", moving, "conntrack_searched", "conntrack_clashres", "conntrack_delete_list", "conntrack_chainlength")
	}
	f("[[inputs.netstat]]", 1, "netstat_tcp_none", "netstat_udp_socket", "netstat_tcp_")
	f("[[inputs.processes]]", moving, "processes_running", "processes_blocked", "processes_sleeping", "processes_stopped",
		"processes_zombies", "processes_dead", "processes_paging", "processes_idle", "processes_unknown")
}

func TestPressureFigures(t *testing.T) {
	if _, err := host.NewKernel(host.EnvRoots(), host.NewShared(host.EnvRoots()), host.KernelOptions{Pressure: true}); err != nil {
		t.Skipf("this kernel has no pressure stall information: %v", err)
	}
	_, kernel, after, kinds := gatherBoth(t, "[[inputs.kernel]]\n  collect = [\"psi\"]\n", time.Millisecond)
	n := 0
	for name := range after {
		if strings.HasPrefix(name, "pressure_") {
			n++
			if _, ok := kernel[name]; !ok {
				t.Errorf("the reader lacks %s", name)
			}
		}
	}
	if n == 0 || kinds["pressure_total"] != telemetry.Counter || kinds["pressure_avg10"] != telemetry.Gauge {
		t.Errorf("%d pressure series, kinds %v", n, kinds)
	}
}

func TestSharesOfCPUTimeAddUp(t *testing.T) {
	_, kernel, _, _ := gatherBoth(t, "[[inputs.cpu]]\n  percpu = false", 300*time.Millisecond)
	sum := 0.0
	for _, f := range []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"} {
		v, ok := kernel[fmt.Sprintf(`cpu_usage_%s{cpu="cpu-total"}`, f)]
		if !ok {
			t.Fatalf("cpu_usage_%s is missing", f)
		}
		sum += v
	}
	if math.Abs(sum-100) > 0.01 {
		t.Errorf("shares add up to %v %%", sum)
	}
}

func TestSettingsThatReadersLackRunThePlugin(t *testing.T) {
	for _, toml := range []string{
		"[[inputs.cpu]]\n  core_tags = true", "[[inputs.diskio]]\n  devices = [\"vd*\"]",
		"[[inputs.nstat]]\n  proc_net_snmp = \"/proc/net/snmp\"", "[[inputs.mem]]\n  metricpass = \"true\"",
	} {
		r := host.EnvRoots()
		in, err := telegraf.New(telegraf.Options{
			Files: []telegraf.File{{Name: "t", Text: []byte(toml)}}, Sink: func(telemetry.Round) {},
			Replace: replacer{roots: r, shared: host.NewShared(r)}.reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		if in.Stats()[0].Replaced {
			t.Errorf("%s: replaced", toml)
		}
	}
}
