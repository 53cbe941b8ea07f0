package host

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// tree writes files below a directory that stands for /proc and /sys.
func tree(t testing.TB, files map[string]string) Roots {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Roots{Proc: filepath.Join(dir, "proc"), Sys: filepath.Join(dir, "sys")}
}

func rewrite(t testing.TB, r Roots, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(r.Proc), name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

type reader interface {
	Read() ([]telemetry.Series, []float64, error)
}

// values reads once; absent values are left out.
func values(t testing.TB, r reader) map[string]float64 {
	t.Helper()
	series, vs, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for i, s := range series {
		if !math.IsNaN(vs[i]) {
			name := s.Name
			if len(s.Labels) > 0 {
				name += s.Labels.String()
			}
			out[name] = vs[i]
		}
	}
	return out
}

func expect(t testing.TB, got map[string]float64, want map[string]float64) {
	t.Helper()
	for name, w := range want {
		if v, ok := got[name]; !ok || v != w {
			t.Errorf("%s = %v (there: %v), want %v", name, v, ok, w)
		}
	}
}

// stale makes the shared files be read again although no time passed.
func (s *Shared) stale() { s.stat.at = time.Time{} }

func TestCPUShares(t *testing.T) {
	r := tree(t, map[string]string{"proc/stat": "cpu  100 0 50 800 50 0 0 0 20 0\ncpu0 100 0 50 800 50 0 0 0 20 0\nintr 5\n"})
	s := NewShared(r)
	c := NewCPU(s, CPUOptions{PerCPU: true, TotalCPU: true, ReportActive: true, CollectCPUTime: true})
	rewrite(t, r, "proc/stat", "cpu  130 0 60 850 60 0 0 0 30 0\ncpu0 130 0 60 850 60 0 0 0 30 0\nintr 5\n")
	s.stale()
	got := values(t, c)
	expect(t, got, map[string]float64{
		`cpu_usage_user{cpu="cpu0"}`: 20, `cpu_usage_guest{cpu="cpu0"}`: 10, `cpu_usage_idle{cpu="cpu-total"}`: 50,
		`cpu_usage_iowait{cpu="cpu0"}`: 10, `cpu_usage_active{cpu="cpu0"}`: 50, `cpu_time_user{cpu="cpu0"}`: 1.3,
		`cpu_time_active{cpu="cpu-total"}`: 2.5,
	})
	// A CPU comes online: its first round has no shares.
	rewrite(t, r, "proc/stat", "cpu  140 0 60 850 60 0 0 0 30 0\ncpu0 140 0 60 850 60 0 0 0 30 0\ncpu1 1 0 0 9 0 0 0 0 0 0\n")
	s.stale()
	got = values(t, c)
	if _, ok := got[`cpu_usage_user{cpu="cpu1"}`]; ok || got[`cpu_time_user{cpu="cpu1"}`] != 0.01 {
		t.Errorf("%v", got)
	}
	// Nothing passed: nothing to divide by.
	s.stale()
	if got = values(t, c); len(got) != 3*11 {
		t.Errorf("%d values without time passing", len(got))
	}
}

func TestLayoutStaysWhileDevicesDo(t *testing.T) {
	r := tree(t, map[string]string{"proc/stat": "cpu  1 0 0 9 0 0 0 0 0 0\ncpu0 1 0 0 9 0 0 0 0 0 0\ncpu1 1 0 0 9 0 0 0 0 0 0\n"})
	s := NewShared(r)
	c := NewCPU(s, CPUOptions{PerCPU: true})
	a, _, _ := c.Read()
	b, _, _ := c.Read()
	if &a[0] != &b[0] {
		t.Error("the layout changed without need")
	}
	rewrite(t, r, "proc/stat", "cpu  1 0 0 9 0 0 0 0 0 0\ncpu0 1 0 0 9 0 0 0 0 0 0\n")
	s.stale()
	if d, _, _ := c.Read(); len(d) != 10 {
		t.Errorf("%d series after a CPU went offline", len(d))
	}
}

func TestMemoryOfAnOldKernel(t *testing.T) {
	r := tree(t, map[string]string{"proc/meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nCached: 200 kB\nSReclaimable: 50 kB\nHugePages_Total: 3\nHugepagesize: 2048 kB\n"})
	expect(t, values(t, NewMem(r)), map[string]float64{
		"mem_total": 1000 * 1024, "mem_cached": 250 * 1024, "mem_available": 350 * 1024, "mem_used": 650 * 1024,
		"mem_used_percent": 65, "mem_available_percent": 35, "mem_huge_pages_total": 3, "mem_huge_page_size": 2048 * 1024,
		"mem_dirty": 0,
	})
}

func TestInterfacesComeAndGo(t *testing.T) {
	head := "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
	r := tree(t, map[string]string{
		"proc/net/dev":             head + "  eth0:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\nbond0.5: 10 20 30 40 0 0 0 0 50 60 70 80 0 0 0 0\n",
		"sys/class/net/eth0/speed": "25000\n",
	})
	n := NewNet(r, NetOptions{})
	got := values(t, n)
	expect(t, got, map[string]float64{
		`net_bytes_recv{interface="eth0"}`: 1, `net_drop_in{interface="eth0"}`: 4, `net_bytes_sent{interface="eth0"}`: 5,
		`net_err_out{interface="eth0"}`: 7, `net_drop_out{interface="bond0.5"}`: 80,
		`net_speed{interface="eth0"}`: 25000, `net_speed{interface="bond0.5"}`: -1,
	})
	rewrite(t, r, "proc/net/dev", head+"bond0.5: 11 20 30 40 0 0 0 0 50 60 70 80 0 0 0 0\n")
	got = values(t, n)
	if len(got) != 9 || got[`net_bytes_recv{interface="bond0.5"}`] != 11 {
		t.Errorf("%v", got)
	}
	only := NewNet(r, NetOptions{Match: func(name string) bool { return name == "none" }})
	if got := values(t, only); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestDiskIORatesAndWrap(t *testing.T) {
	stats := func(reads, readTime, ioTime string) string {
		return "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0\n 259       0 nvme0n1 " + reads + " 0 80 " + readTime + " 0 0 0 0 2 " + ioTime + " 9 0 0 0 0\n"
	}
	r := tree(t, map[string]string{"proc/diskstats": stats("10", "100", "1000"), "sys/block/nvme0n1/wwid": "eui.1\n"})
	d := NewDiskIO(r)
	now := time.Unix(1000, 0)
	d.clock = func() time.Time { return now }
	const disk = `{name="nvme0n1",wwid="eui.1"}`
	got := values(t, d)
	expect(t, got, map[string]float64{"diskio_reads" + disk: 10, "diskio_read_bytes" + disk: 80 * 512, "diskio_iops_in_progress" + disk: 2})
	if len(got) != 11 {
		t.Errorf("first round: %v", got)
	}
	now = now.Add(time.Second)
	rewrite(t, r, "proc/diskstats", stats("14", "110", "1250"))
	expect(t, values(t, d), map[string]float64{"diskio_io_await" + disk: 2.5, "diskio_io_svctm" + disk: 62.5, "diskio_io_util" + disk: 25})
	rewrite(t, r, "proc/diskstats", stats("3", "0", "0"))
	if got = values(t, d); len(got) != 11 {
		t.Errorf("after a reset: %v", got)
	}
}

func TestNstatLearnsCounters(t *testing.T) {
	ext := func(v string) string { return "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 0 " + v + "\n" }
	r := tree(t, map[string]string{
		"proc/net/netstat": ext("0"), "proc/net/snmp": "Tcp: MaxConn CurrEstab\nTcp: -1 4\n", "proc/net/snmp6": "Ip6InReceives \t7\nIp6OutRequests 0\n",
	})
	n := NewNstat(r, NstatOptions{})
	got := values(t, n)
	expect(t, got, map[string]float64{
		`nstat_TcpMaxConn{name="snmp"}`: -1, `nstat_TcpCurrEstab{name="snmp"}`: 4, `nstat_Ip6InReceives{name="snmp6"}`: 7,
	})
	if len(got) != 3 {
		t.Errorf("%v", got)
	}
	rewrite(t, r, "proc/net/netstat", ext("5"))
	expect(t, values(t, n), map[string]float64{`nstat_TcpExtListenDrops{name="netstat"}`: 5})
	rewrite(t, r, "proc/net/netstat", ext("0"))
	expect(t, values(t, n), map[string]float64{`nstat_TcpExtListenDrops{name="netstat"}`: 0})
	rewrite(t, r, "proc/net/netstat", "TcpExt: ListenDrops New\nTcpExt: 6\n")
	got = values(t, n)
	expect(t, got, map[string]float64{`nstat_TcpExtListenDrops{name="netstat"}`: 6})
	if len(got) != 4 {
		t.Errorf("a short line: %v", got)
	}
	series, _, _ := n.Read()
	for _, s := range series {
		if want := s.Name == "nstat_TcpMaxConn" || s.Name == "nstat_TcpCurrEstab"; (s.Kind == telemetry.Gauge) != want {
			t.Errorf("%s is a %s", s.Name, s.Kind)
		}
	}
}

func TestNetstatCountsStates(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue\n"
	r := tree(t, map[string]string{
		"proc/net/tcp":  head + "   0: 0100007F:1F90 00000000:0000 0A 0\n   1: 0100007F:1F90 0100007F:C001 01 0\n   2: 0:0 0:0 0C 0\n",
		"proc/net/tcp6": head + "   0: 00:1F90 00:0000 0A 0\n", "proc/net/udp": head + "  10: 00000000:0044 00000000:0000 07 0\n",
	})
	got := values(t, NewNetstat(r))
	expect(t, got, map[string]float64{"netstat_tcp_listen": 2, "netstat_tcp_established": 1, "netstat_tcp_syn_recv": 1, "netstat_udp_socket": 1, "netstat_tcp_close_wait": 0})
	if len(got) != 13 {
		t.Errorf("%d series, want Telegraf's 13", len(got))
	}
}

func TestProcessTotals(t *testing.T) {
	r := tree(t, map[string]string{
		"proc/stat": "cpu  1 0 0 9 0 0 0 0 0 0\nctxt 7\nprocesses 99\nprocs_running 3\nprocs_blocked 1\n", "proc/loadavg": "0.10 0.20 0.30 3/456 789\n",
		"proc/1/stat": "", "proc/22/stat": "", "proc/sys/x": "",
	})
	expect(t, values(t, NewProcesses(r, NewShared(r))), map[string]float64{
		"processes_running": 3, "processes_blocked": 1, "processes_total_threads": 456, "processes_total": 2,
	})
}

func TestClockStates(t *testing.T) {
	f := func(tx unix.Timex, state int, want ClockState) {
		t.Helper()
		if got := clockState(&tx, state); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	f(unix.Timex{Offset: 1500, Maxerror: 16, Esterror: 4}, unix.TIME_OK,
		ClockState{Offset: 1500 * time.Microsecond, MaxError: 16 * time.Microsecond, EstimatedError: 4 * time.Microsecond, Synchronised: true})
	f(unix.Timex{Offset: -1500, Status: unix.STA_NANO}, unix.TIME_OK, ClockState{Offset: -1500, Synchronised: true})
	f(unix.Timex{Status: unix.STA_UNSYNC}, unix.TIME_ERROR, ClockState{})
	if _, err := ReadClock(); err != nil {
		t.Error(err)
	}
}

func TestMissingFilesAreErrorsThenHeal(t *testing.T) {
	r := tree(t, map[string]string{"proc/x": ""})
	m := NewMem(r)
	if _, _, err := m.Read(); err == nil {
		t.Fatal("no error for a missing file")
	}
	rewrite(t, r, "proc/meminfo", "MemTotal: 10 kB\n")
	if got := values(t, m); got["mem_total"] != 10240 {
		t.Errorf("%v", got)
	}
}

// A steady round allocates nothing.
func TestSteadyReadsAllocateNothing(t *testing.T) {
	r := EnvRoots()
	s := NewShared(r)
	k, err := NewKernel(r, s, KernelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, rd := range map[string]reader{
		"cpu": NewCPU(s, CPUOptions{PerCPU: true, TotalCPU: true}), "mem": NewMem(r), "swap": NewSwap(r), "net": NewNet(r, NetOptions{}),
		"diskio": NewDiskIO(r), "kernel": k, "system": NewSystem(r), "netstat": NewNetstat(r),
	} {
		if _, _, err := rd.Read(); err != nil {
			t.Skipf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(20, func() { _, _, _ = rd.Read() }); n > 1 {
			t.Errorf("%s: %v allocations a round", name, n)
		}
	}
}

// Whatever the kernel writes, nothing panics and layouts fit their values.
func FuzzReaders(f *testing.F) {
	f.Add("cpu  1 2 3\ncpu0 1\n", "a b\nc", "x: 1 2\nx: 3\n")
	f.Add("", "MemTotal: 5 kB", "  sl\n 0: 1 2 0A\n")
	f.Add("cpu", ":", "T: a b c\nT: 1\n")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var open []file
		in := func(text string) file {
			fd, err := unix.MemfdCreate("fuzz", 0)
			if err != nil {
				t.Skip(err)
			}
			_, _ = unix.Write(fd, []byte(text))
			open = append(open, file{fd: fd, open: true})
			return open[len(open)-1]
		}
		shared := &Shared{stat: cached{file: in(a)}}
		mem, swap, disk, load := NewMem(Roots{}), NewSwap(Roots{}), NewDiskIO(Roots{}), NewSystem(Roots{})
		mem.file, swap.vmstat, disk.file, load.load = in(b), in(b), in(a), in(b)
		load.slow = time.Now()
		dev, nstat, netstat := NewNet(Roots{}, NetOptions{Match: func(string) bool { return true }}), NewNstat(Roots{}, NstatOptions{}), NewNetstat(Roots{})
		dev.file, netstat.tcp, netstat.udp = in(c), []file{in(c)}, []file{in(a)}
		nstat.files[0].file, nstat.files[1].file, nstat.files[2].file = in(c), in(a), in(b)
		cpu := NewCPU(shared, CPUOptions{PerCPU: true, TotalCPU: true, CollectCPUTime: true})
		for _, rd := range []reader{cpu, mem, swap, disk, load, dev, nstat, netstat} {
			for range 2 {
				if series, vs, err := rd.Read(); err == nil && len(series) != len(vs) {
					t.Fatalf("%T: %d series, %d values", rd, len(series), len(vs))
				}
			}
		}
		_, _ = parseFixed([]byte(a))
		_ = loadThreads([]byte(b))
		psiRow([]byte(c), make([]float64, 4))
		for i := range open {
			open[i].close()
		}
	})
}
