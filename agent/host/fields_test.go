package host

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests of this file read each recorded file a second time, with nothing of
// the readers, and hold every field of it against the figure that it became; no
// other figure may be there.

// recordedProcs are the recorded trees of /proc, by the roots that have them.
func recordedProcs(t *testing.T, files ...string) map[string]Roots {
	t.Helper()
	below := func(dir string) (out []string) {
		for _, f := range files {
			out = append(out, dir+"/"+f)
		}
		return out
	}
	return map[string]Roots{
		"node_exporter": {Proc: unpacked(t, exporterProc, below("collector/fixtures/proc")...) + "/collector/fixtures/proc"},
		"procfs":        {Proc: unpacked(t, procfsTree, below("fixtures/proc")...) + "/fixtures/proc"},
	}
}

// recordedLines are the fields of a file's lines.
func recordedLines(t *testing.T, r Roots, file string) [][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Proc, file))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 {
			out = append(out, f)
		}
	}
	return out
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// exactly fails where figures are not what is wanted, or others are there.
func exactly(t *testing.T, got, want map[string]float64, atLeast int) {
	t.Helper()
	expect(t, got, want)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s = %v is of no field of the recording", name, got[name])
		}
	}
	if len(want) < atLeast {
		t.Errorf("the recording has %d fields, want %d or more", len(want), atLeast)
	}
}

// Every counter of netstat, snmp and snmp6: retransmits, listen overflows and the
// like among them.
func TestEveryNetworkCounterOfARecordedHost(t *testing.T) {
	r := recordedProcs(t, "net/")["node_exporter"]
	want := map[string]float64{}
	for _, file := range []string{"netstat", "snmp"} {
		lines := recordedLines(t, r, "net/"+file)
		for i := 0; i+1 < len(lines); i += 2 {
			head, values := lines[i], lines[i+1]
			for j := 1; j < len(head) && j < len(values); j++ {
				want["nstat_"+strings.TrimSuffix(head[0], ":")+head[j]+`{name="`+file+`"}`] = number(t, values[j])
			}
		}
	}
	for _, f := range recordedLines(t, r, "net/snmp6") {
		want[`nstat_`+f[0]+`{name="snmp6"}`] = number(t, f[1])
	}
	n := NewNstat(r, NstatOptions{DumpZeros: true})
	defer n.Close()
	exactly(t, values(t, n), want, 250)
	// As node_exporter 1.5.0 gives them.
	expect(t, want, map[string]float64{
		`nstat_TcpRetransSegs{name="snmp"}`: 227, `nstat_TcpOutSegs{name="snmp"}`: 54915039, `nstat_TcpCurrEstab{name="snmp"}`: 0,
		`nstat_TcpExtListenDrops{name="netstat"}`: 0, `nstat_TcpExtSyncookiesFailed{name="netstat"}`: 2, `nstat_IpExtOutOctets{name="netstat"}`: 2786264347,
		`nstat_UdpRcvbufErrors{name="snmp"}`: 9, `nstat_Ip6InReceives{name="snmp6"}`: 7,
	})
	some := NewNstat(r, NstatOptions{})
	defer some.Close()
	maps.DeleteFunc(want, func(_ string, v float64) bool { return v == 0 })
	exactly(t, values(t, some), want, 50)
}

func TestEveryPressureFigureOfRecordedHosts(t *testing.T) {
	for name, r := range recordedProcs(t, "pressure/", "stat") {
		want := map[string]float64{}
		for _, resource := range []string{"cpu", "io", "memory"} {
			for _, f := range recordedLines(t, r, "pressure/"+resource) {
				if resource == "cpu" && f[0] == "full" {
					continue // it means nothing for the whole host
				}
				for _, pair := range f[1:] {
					field, v, _ := strings.Cut(pair, "=")
					want["pressure_"+field+`{resource="`+resource+`",type="`+f[0]+`"}`] = number(t, v)
				}
			}
		}
		k, err := NewKernel(r, NewShared(r), KernelOptions{Pressure: true})
		if err != nil {
			t.Fatal(name, err)
		}
		got := values(t, k)
		k.Close()
		for _, f := range recordedLines(t, r, "stat") {
			if field, ok := map[string]string{"intr": "interrupts", "ctxt": "context_switches", "processes": "processes_forked", "btime": "boot_time"}[f[0]]; ok {
				want["kernel_"+field] = number(t, f[1])
			}
		}
		exactly(t, got, want, 5*4+4)
	}
}

func TestEveryFieldOfRecordedDisks(t *testing.T) {
	columns := strings.Fields("reads merged_reads read_bytes read_time writes merged_writes write_bytes write_time iops_in_progress io_time weighted_io_time")
	for _, r := range recordedProcs(t, "diskstats") {
		want := map[string]float64{}
		for _, f := range recordedLines(t, r, "diskstats") {
			if len(f) < 3+len(columns) || !slices.ContainsFunc(f[3:3+len(columns)], func(s string) bool { return s != "0" }) {
				continue // a partition of old kernels; a device that never did anything
			}
			for i, c := range columns {
				v := number(t, f[3+i])
				if strings.HasSuffix(c, "_bytes") {
					v *= 512
				}
				want["diskio_"+c+`{name="`+f[2]+`"}`] = v
			}
		}
		d := NewDiskIO(r)
		d.clock = func() time.Time { return time.Unix(1, 0) }
		exactly(t, values(t, d), want, 200)
		d.Close()
	}
}

func TestEveryFieldOfRecordedMemory(t *testing.T) {
	names := map[string]string{
		"MemTotal": "total", "MemFree": "free", "MemAvailable": "available", "Buffers": "buffered", "SwapCached": "swap_cached", "Active": "active",
		"Inactive": "inactive", "HighTotal": "high_total", "HighFree": "high_free", "LowTotal": "low_total", "LowFree": "low_free", "SwapTotal": "swap_total",
		"SwapFree": "swap_free", "Dirty": "dirty", "Writeback": "write_back", "Mapped": "mapped", "Shmem": "shared", "Slab": "slab",
		"SReclaimable": "sreclaimable", "SUnreclaim": "sunreclaim", "PageTables": "page_tables", "WritebackTmp": "write_back_tmp",
		"CommitLimit": "commit_limit", "Committed_AS": "committed_as", "VmallocTotal": "vmalloc_total", "VmallocUsed": "vmalloc_used",
		"VmallocChunk": "vmalloc_chunk", "HugePages_Total": "huge_pages_total", "HugePages_Free": "huge_pages_free", "Hugepagesize": "huge_page_size",
	}
	for _, r := range recordedProcs(t, "meminfo") {
		said := map[string]float64{}
		for _, f := range recordedLines(t, r, "meminfo") {
			v := number(t, f[1])
			if len(f) == 3 {
				v *= 1024
			}
			said[strings.TrimSuffix(f[0], ":")] = v
		}
		want := map[string]float64{"mem_cached": said["Cached"] + said["SReclaimable"]}
		for key, name := range names {
			want["mem_"+name] = said[key] // 0 where the kernel has it not, as in Telegraf
		}
		if _, ok := said["MemAvailable"]; !ok {
			want["mem_available"] = said["MemFree"] + want["mem_cached"]
		}
		total, available := said["MemTotal"], want["mem_available"]
		want["mem_used"] = total - available
		want["mem_used_percent"] = math.Round(1e6*(total-available)/total) / 1e4
		want["mem_available_percent"] = math.Round(1e6*available/total) / 1e4
		m := NewMem(r)
		exactly(t, values(t, m), want, 34)
		m.Close()
	}
}

func TestEveryFieldOfRecordedInterfaces(t *testing.T) {
	columns := strings.Fields("bytes_recv packets_recv err_in drop_in - - - - bytes_sent packets_sent err_out drop_out")
	r := recordedProcs(t, "net/")["procfs"]
	r.Sys = t.TempDir()
	want := map[string]float64{}
	for _, f := range recordedLines(t, r, "net/dev")[2:] {
		name := strings.TrimSuffix(f[0], ":")
		for i, c := range columns {
			if c != "-" {
				want["net_"+c+`{interface="`+name+`"}`] = number(t, f[1+i])
			}
		}
	}
	n := NewNet(r, NetOptions{Match: func(string) bool { return true }})
	defer n.Close()
	got := values(t, n)
	maps.DeleteFunc(got, func(name string, v float64) bool { return strings.HasPrefix(name, "net_speed{") && v == -1 })
	exactly(t, got, want, 4*8)
}

// CPU time, load, tasks and swap traffic.
func TestEveryFieldOfRecordedSystems(t *testing.T) {
	columns := strings.Fields("user nice system idle iowait irq softirq steal guest guest_nice")
	for name, r := range recordedProcs(t, "stat", "loadavg", "vmstat") {
		want, tasks, load := map[string]float64{}, map[string]float64{}, recordedLines(t, r, "loadavg")[0]
		for _, f := range recordedLines(t, r, "stat") {
			switch {
			case strings.HasPrefix(f[0], "cpu"):
				cpu := f[0]
				if cpu == "cpu" {
					cpu = "cpu-total"
				}
				for i, c := range columns {
					want["cpu_time_"+c+`{cpu="`+cpu+`"}`] = number(t, f[1+i]) / 100
				}
			case f[0] == "procs_running" || f[0] == "procs_blocked":
				tasks["processes_"+strings.TrimPrefix(f[0], "procs_")] = number(t, f[1])
			}
		}
		s := NewShared(r)
		c := NewCPU(s, CPUOptions{PerCPU: true, TotalCPU: true, CollectCPUTime: true})
		got := values(t, c)
		c.Close()
		maps.DeleteFunc(got, func(name string, _ float64) bool { return !strings.HasPrefix(name, "cpu_time_") })
		exactly(t, got, want, 90)

		_, threads, _ := strings.Cut(load[3], "/")
		tasks["processes_total_threads"] = number(t, threads)
		expect(t, values(t, NewProcesses(r, s)), tasks)
		system := NewSystem(r)
		got = values(t, system)
		system.Close()
		expect(t, got, map[string]float64{"system_load1": number(t, load[0]), "system_load5": number(t, load[1]), "system_load15": number(t, load[2])})
		if name != "node_exporter" {
			continue // the other has no vmstat
		}
		pages := map[string]float64{}
		for _, f := range recordedLines(t, r, "vmstat") {
			pages[f[0]] = number(t, f[1])
		}
		swap := NewSwap(r)
		expect(t, values(t, swap), map[string]float64{"swap_in": 4096 * pages["pswpin"], "swap_out": 4096 * pages["pswpout"]})
		swap.Close()
	}
}

// Sockets by state, counted from the tables of TCP and UDP.
func TestEverySocketOfARecordedHost(t *testing.T) {
	states := strings.Fields("none established syn_sent syn_recv fin_wait1 fin_wait2 time_wait close close_wait last_ack listen closing")
	r := recordedProcs(t, "net/")["procfs"]
	want := map[string]float64{"netstat_udp_socket": 0}
	for _, s := range states {
		want["netstat_tcp_"+s] = 0
	}
	for _, file := range []string{"tcp", "tcp6"} {
		for _, f := range recordedLines(t, r, "net/"+file)[1:] {
			i, err := strconv.ParseUint(f[3], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			want["netstat_tcp_"+states[i]]++
		}
	}
	for _, file := range []string{"udp", "udp6"} {
		want["netstat_udp_socket"] += float64(len(recordedLines(t, r, "net/"+file)) - 1)
	}
	exactly(t, values(t, NewNetstat(r)), want, 13)
}
