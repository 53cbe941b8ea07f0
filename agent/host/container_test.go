package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	hexID  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	podDir = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1e2d3c4b_0000_4111_8222_abcdefabcdef.slice"
)

// cgroup returns the files of a group.
func cgroup(path string, cpuMicros int) map[string]string {
	dir := "sys/fs/cgroup/" + path + "/"
	return map[string]string{
		dir + "cpu.stat":       fmt.Sprintf("usage_usec %d\nuser_usec 1500000\nsystem_usec 500000\nnr_periods 100\nnr_throttled 25\nthrottled_usec 750000\n", cpuMicros),
		dir + "memory.current": "104857600\n", dir + "memory.max": "209715200\n",
		dir + "memory.events": "low 0\nhigh 3\nmax 17\noom 2\noom_kill 1\noom_group_kill 0\n",
		dir + "io.stat":       "259:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:0 rbytes=1000 wbytes=0 rios=3 wios=0 dbytes=0 dios=0\n",
		dir + "pids.current":  "12\n", dir + "pids.max": "max\n",
	}
}

func groupTree(t testing.TB, groups ...string) Roots {
	files := map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpu io memory pids\n"}
	for _, g := range groups {
		for name, text := range cgroup(g, 2000000) {
			files[name] = text
		}
	}
	return tree(t, files)
}

func TestContainersOfAPod(t *testing.T) {
	r := groupTree(t, podDir+"/cri-containerd-"+hexID+".scope", "system.slice")
	c, err := NewContainers(r, ContainerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	at := `{container="` + hexID + `",pod="1e2d3c4b-0000-4111-8222-abcdefabcdef",slice="kubepods.slice"}`
	got := values(t, c)
	expect(t, got, map[string]float64{
		"container_cpu_seconds_total" + at: 2, "container_cpu_user_seconds_total" + at: 1.5, "container_cpu_system_seconds_total" + at: 0.5,
		"container_cpu_periods_total" + at: 100, "container_cpu_throttled_periods_total" + at: 25, "container_cpu_throttled_seconds_total" + at: 0.75,
		"container_memory_bytes" + at: 104857600, "container_memory_max_bytes" + at: 209715200, "container_memory_high_total" + at: 3,
		"container_memory_max_total" + at: 17, "container_oom_total" + at: 2, "container_oom_kills_total" + at: 1,
		"container_io_read_bytes_total" + at: 5096, "container_io_write_bytes_total" + at: 8192, "container_io_reads_total" + at: 4,
		"container_io_writes_total" + at: 2, "container_pids" + at: 12,
		`container_cpu_seconds_total{slice="system.slice"}`: 2, "container_groups": 3, "container_groups_dropped": 0,
	})
	if _, ok := got["container_pids_max"+at]; ok {
		t.Error("a limit that is not set has a value")
	}
}

func TestContainersComeAndGo(t *testing.T) {
	one, two := "docker/"+hexID, "docker/"+strings.Repeat("b", 64)
	r := groupTree(t, one)
	c, err := NewContainers(r, ContainerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, _, _ := c.Read()
	if b, _, _ := c.Read(); &a[0] != &b[0] {
		t.Error("the layout changed without need")
	}
	for name, text := range cgroup(two, 7000000) {
		path := filepath.Join(filepath.Dir(r.Sys), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		rewrite(t, r, name, text)
	}
	if err := os.RemoveAll(filepath.Join(r.Sys, "fs/cgroup", one)); err != nil {
		t.Fatal(err)
	}
	c.scanned = time.Time{}
	got := values(t, c)
	expect(t, got, map[string]float64{`container_cpu_seconds_total{container="` + strings.Repeat("b", 64) + `",slice="docker"}`: 7, "container_groups": 2})
	for name := range got {
		if strings.Contains(name, hexID) {
			t.Errorf("%s of a container that is gone", name)
		}
	}
}

func TestContainersAreBounded(t *testing.T) {
	var groups []string
	for i := range 9 {
		groups = append(groups, fmt.Sprintf("docker/%064x", i))
	}
	c, err := NewContainers(groupTree(t, groups...), ContainerOptions{Max: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := values(t, c)
	if got["container_groups"] != 10 || got["container_groups_dropped"] != 6 || len(c.groups) != 4 {
		t.Errorf("%v of %v dropped, %d measured", got["container_groups_dropped"], got["container_groups"], len(c.groups))
	}
}

func TestNamesOfContainers(t *testing.T) {
	const uid = "1e2d3c4b-0000-4111-8222-abcdefabcdef"
	f := func(path, container, pod, slice string, inside bool) {
		t.Helper()
		labels, in := groupLabels(path)
		if labels["container"] != container || labels["pod"] != pod || labels["slice"] != slice || in != inside {
			t.Errorf("%s: %v, inside %v", path, labels, in)
		}
	}
	f("system.slice/docker-"+hexID+".scope", hexID, "", "system.slice", false)
	f("docker/"+hexID, hexID, "", "docker", false)
	f("kubepods/besteffort/pod"+uid+"/"+hexID, hexID, uid, "kubepods", false)
	f(podDir+"/crio-"+hexID+".scope", hexID, uid, "kubepods.slice", false)
	f(podDir+"/crio-conmon-"+hexID+".scope", "", "", "", true)
	f("machine.slice/libpod-"+hexID+".scope", hexID, "", "machine.slice", false)
	f("system.slice", "", "", "system.slice", true)
	f("system.slice/ssh.service", "", "", "", true)
	f("init.scope", "", "", "", true)
	f("user.slice/user-"+hexID[:63]+"g.slice", "", "", "", true)
}

// Whatever the files say, nothing panics.
func FuzzHardwareFiles(f *testing.F) {
	f.Add("usage_usec 5\n", "8:0 rbytes=1\n", "kubepods-pod1.slice", "11 (10)")
	f.Add("oom_kill", "8:0 rbytes", hexID, "1 / 0")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		for _, key := range []string{"usage_usec", "oom_kill", ""} {
			_, _ = keyed([]byte(a), key)
			if v, _ := ioSum([]byte(b), "rbytes"); v < 0 {
				t.Errorf("%v bytes", v)
			}
		}
		if l, _ := groupLabels(c); l != nil && l["slice"] == "" && c != "" && c[0] != '/' {
			t.Errorf("%q: %v", c, l)
		}
		if v, ok := mdProgress([]byte(d)); ok && v < 0 {
			t.Errorf("progress %v", v)
		}
		_, _ = mdFirst([]byte(d))
		_, _ = mdSpeed([]byte(d))
		_, _ = hasWord("faulty")([]byte(d))
		_, _, _ = hwmonFiles(a, b)
	})
}

// The readers of this file and its neighbours allocate nothing once they know
// what there is.
func TestSteadyHardwareReadsAllocateNothing(t *testing.T) {
	r := groupTree(t, podDir+"/cri-containerd-"+hexID+".scope")
	c, err := NewContainers(r, ContainerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hw := tree(t, map[string]string{"sys/class/hwmon/hwmon0/name": "x\n", "sys/class/hwmon/hwmon0/temp1_input": "55000\n"})
	h, err := NewHWMon(hw, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for name, rd := range map[string]reader{"container": c, "hwmon": h} {
		_ = values(t, rd)
		if n := testing.AllocsPerRun(20, func() { _, _, _ = rd.Read() }); n > 0 {
			t.Errorf("%s: %v allocations a round", name, n)
		}
	}
}

func BenchmarkContainers(b *testing.B) {
	var groups []string
	for i := range 50 {
		groups = append(groups, fmt.Sprintf("docker/%064x", i))
	}
	c, err := NewContainers(groupTree(b, groups...), ContainerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	benchmarkRead(b, c)
}

func BenchmarkHWMon(b *testing.B) {
	h, err := NewHWMon(Roots{Sys: unpacked(b, exporterSys, "sys/class/hwmon", "sys/devices/platform") + "/sys"}, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	benchmarkRead(b, h)
}

func BenchmarkDisk(b *testing.B) {
	d := NewDisk(EnvRoots(), DiskOptions{IgnoreFS: []string{"tmpfs", "overlay"}})
	defer d.Close()
	benchmarkRead(b, d)
}

func benchmarkRead(b *testing.B, r reader) {
	series, _, err := r.Read()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Read(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(series)), "series")
}
