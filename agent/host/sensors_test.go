package host

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestRecordedSensors(t *testing.T) {
	r := Roots{Sys: unpacked(t, exporterSys, "sys/class/hwmon", "sys/devices/platform") + "/sys"}
	h, err := NewHWMon(r, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	got := values(t, h)
	core := func(chip, sensor, label string) string {
		return `{chip="coretemp",device="` + chip + `",label="` + label + `",sensor="` + sensor + `"}`
	}
	want := map[string]float64{
		`hwmon_fan_rpm{chip="applesmc",device="applesmc.768",label="Left side",sensor="fan1"}`: 0, `hwmon_fan_rpm{chip="applesmc",device="applesmc.768",label="Right side",sensor="fan2"}`: 1998,
		`hwmon_fan_rpm{chip="nct6779",sensor="fan2"}`: 1098, `hwmon_in_volts{chip="nct6779",sensor="in0"}`: 0.792,
		`hwmon_in_volts{chip="nct6779",sensor="in1"}`: 1.024, `hwmon_alarm{chip="nct6779",sensor="in1"}`: 1,
		`hwmon_alarm{chip="nct6779",sensor="in0"}`: 0, `hwmon_alarm{chip="nct6779",sensor="intrusion0"}`: 1,
		`hwmon_freq_hertz{hwmon="hwmon4",label="sclk",sensor="freq1"}`:              214000000,
		`hwmon_temp_celsius{chip="mt7996_phy0_2",sensor="temp1"}`:                   57,
		`hwmon_stuck{chip="coretemp",device="coretemp.1"}`:                          0,
		`hwmon_temp_celsius{hwmon="hwmon4",label="foosensor",sensor="temp2"}`:       54,
		`hwmon_alarm{alarm="crit",hwmon="hwmon4",label="foosensor",sensor="temp1"}`: 0,
	}
	for _, chip := range []string{"coretemp.0", "coretemp.1"} {
		for i, v := range []float64{55, 54, 52, 53, 50} {
			name, label := "temp"+strconv.Itoa(i+1), "Core "+strconv.Itoa(i-1)
			if i == 0 {
				label = "Physical id 0"
			}
			want["hwmon_temp_celsius"+core(chip, name, label)] = v
		}
	}
	expect(t, got, want)
	temps := 0
	for name := range got {
		if strings.HasPrefix(name, "hwmon_temp_celsius") {
			temps++
		}
	}
	if temps != 5+5+2+3 {
		t.Errorf("%d temperatures", temps)
	}
}

func TestUnitsOfSensors(t *testing.T) {
	const dir = "sys/class/hwmon/hwmon0/"
	r := tree(t, map[string]string{
		dir + "name": "psu\n", dir + "power1_average": "1000000\n", dir + "power1_input": "2000000\n", dir + "power2_input": "230500000\n",
		dir + "energy1_input": "5000000\n", dir + "humidity1_input": "45000\n", dir + "curr1_input": "-37950\n",
		dir + "temp1_input": "-5500\n", dir + "temp1_crit": "100000\n", dir + "temp1_fault": "1\n", dir + "temp2_input": "unreadable\n",
	})
	h, err := NewHWMon(r, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	at := func(sensor string) string { return `{chip="psu",sensor="` + sensor + `"}` }
	got := values(t, h)
	expect(t, got, map[string]float64{
		"hwmon_power_watts" + at("power1"): 1, "hwmon_power_watts" + at("power2"): 230.5, "hwmon_energy_joules_total" + at("energy1"): 5,
		"hwmon_humidity_ratio" + at("humidity1"): 0.45, "hwmon_curr_amperes" + at("curr1"): -37.95, "hwmon_temp_celsius" + at("temp1"): -5.5,
		"hwmon_temp_crit_celsius" + at("temp1"): 100, "hwmon_fault" + at("temp1"): 1,
	})
	if len(got) != 9 {
		t.Errorf("%d values: %v", len(got), got)
	}
}

// A chip stops to answer, another is plugged in: the one is stuck and is not
// asked again, the others' figures flow.
func TestOneStuckChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back, asked := make(chan struct{}), 0
		slow := func([]byte) (float64, bool) { asked++; <-back; return 7, true }
		r := tree(t, map[string]string{"sys/a": "1\n", "sys/b": "2\n", "sys/c": "3\n"})
		at := func(name string, parse func([]byte) (float64, bool)) device {
			ls := label("chip", name)
			return device{labels: ls, points: []point{{name: "x_value", labels: ls, path: filepath.Join(r.Sys, name), parse: parse, per: 1}}}
		}
		list := []device{at("a", slow), at("b", nil)}
		p := &points{limit: time.Second, stuck: "x_stuck", scan: func() []device { return list }}
		f := func(want map[string]float64) {
			t.Helper()
			got := values(t, p)
			expect(t, got, want)
			if len(got) != len(want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
		f(map[string]float64{`x_stuck{chip="a"}`: 1, `x_value{chip="b"}`: 2, `x_stuck{chip="b"}`: 0})
		list = append(list, at("c", nil))
		time.Sleep(rescanEvery)
		f(map[string]float64{`x_stuck{chip="a"}`: 1, `x_value{chip="b"}`: 2, `x_stuck{chip="b"}`: 0, `x_value{chip="c"}`: 3, `x_stuck{chip="c"}`: 0})
		list = list[1:] // and it is taken out
		time.Sleep(rescanEvery)
		f(map[string]float64{`x_stuck{chip="a"}`: 1, `x_value{chip="b"}`: 2, `x_stuck{chip="b"}`: 0, `x_value{chip="c"}`: 3, `x_stuck{chip="c"}`: 0})
		if asked != 1 {
			t.Errorf("asked %d times while it hung", asked)
		}
		close(back)
		synctest.Wait()
		f(map[string]float64{`x_value{chip="a"}`: 7, `x_stuck{chip="a"}`: 0, `x_value{chip="b"}`: 2, `x_stuck{chip="b"}`: 0, `x_value{chip="c"}`: 3, `x_stuck{chip="c"}`: 0})
		time.Sleep(rescanEvery)
		f(map[string]float64{`x_value{chip="b"}`: 2, `x_stuck{chip="b"}`: 0, `x_value{chip="c"}`: 3, `x_stuck{chip="c"}`: 0})
		_ = p.Close()
	})
}

func TestRecordedThrottling(t *testing.T) {
	c, err := NewCPUThrottle(Roots{Sys: unpacked(t, exporterSys, "sys/devices/system/cpu") + "/sys"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := values(t, c)
	expect(t, got, map[string]float64{
		`cpu_throttle_core_total{core="0",package="0"}`: 5, `cpu_throttle_core_total{core="1",package="0"}`: 0,
		`cpu_throttle_core_total{core="0",package="1"}`: 0, `cpu_throttle_core_total{core="1",package="1"}`: 9,
		`cpu_throttle_package_total{package="0"}`: 30, `cpu_throttle_package_total{package="1"}`: 6,
	})
	if len(got) != 6 {
		t.Errorf("%v", got)
	}
}

func TestRecordedArrays(t *testing.T) {
	m, err := NewMDRaid(Roots{Sys: unpacked(t, procfsTree, "fixtures/sys/block/md") + "/fixtures/sys"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got := values(t, m)
	md := func(array, level string) string { return `{array="` + array + `",level="` + level + `"}` }
	sync := func(action, array, level string) string {
		return `mdraid_sync{action="` + action + `",array="` + array + `",level="` + level + `"}`
	}
	disk := func(array, d, level string) string {
		return `mdraid_disk_faulty{array="` + array + `",disk="` + d + `",level="` + level + `"}`
	}
	expect(t, got, map[string]float64{
		"mdraid_active" + md("md0", "raid0"): 1, "mdraid_disks" + md("md0", "raid0"): 2, "mdraid_active" + md("md7", "container"): 0,
		"mdraid_degraded" + md("md1", "raid1"): 0, "mdraid_degraded" + md("md5", "raid5"): 1, "mdraid_degraded" + md("md6", "raid6"): 1,
		"mdraid_disks" + md("md8", "raid5"): 11, "mdraid_disks" + md("md10", "raid10"): 4, "mdraid_sync_ratio" + md("md6", "raid6"): 0.75,
		sync("recover", "md6", "raid6"): 1, sync("reshape", "md6", "raid6"): 0, sync("reshape", "md8", "raid5"): 1, sync("recover", "md5", "raid5"): 0,
		disk("md5", "sdp", "raid5"): 1, disk("md5", "sdn", "raid5"): 0, disk("md5", "sdaa", "raid5"): 0, "mdraid_stuck" + md("md5", "raid5"): 0,
	})
	if _, ok := got["mdraid_sync_ratio"+md("md5", "raid5")]; ok {
		t.Error("an idle array has progress")
	}
}

func TestRecordedNVMe(t *testing.T) {
	dir := unpacked(t, procfsTree, "fixtures/sys/class/nvme/")
	n, err := NewNVMe(Roots{Sys: dir + "/fixtures/sys"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.dev = filepath.Join(dir, "no-device-files")
	const at = `{device="nvme0",firmware="1B2QEXP7",model="Samsung SSD 970 PRO 512GB",serial="S680HF8N190894I"}`
	got := values(t, n)
	expect(t, got, map[string]float64{"nvme_live" + at: 1, "nvme_stuck" + at: 0, "nvme_smart" + at: 0})
	if len(got) != 3 {
		t.Errorf("figures of a log that could not be read: %v", got)
	}
	n.ask = func(_ string, l *smartLog) error { *l = wornOut(); return nil }
	got = values(t, n)
	expect(t, got, map[string]float64{
		"nvme_smart" + at: 1, "nvme_critical_warning" + at: 5, "nvme_temperature_celsius" + at: 40, "nvme_available_spare_ratio" + at: 0.03,
		"nvme_available_spare_threshold_ratio" + at: 0.1, "nvme_used_ratio" + at: 1.12, "nvme_read_bytes_total" + at: 512000 * 7,
		"nvme_written_bytes_total" + at: 512000 * math.Pow(2, 64), "nvme_unsafe_shutdowns_total" + at: 9, "nvme_media_errors_total" + at: 11,
		"nvme_power_on_seconds_total" + at: 3600 * 8760, "nvme_warning_temperature_seconds_total" + at: 180,
	})
	n.ask = func(string, *smartLog) error { return unix.EPERM }
	if got = values(t, n); len(got) != 3 || got["nvme_smart"+at] != 0 {
		t.Errorf("without the right to ask: %v", got)
	}
}

// wornOut is the log of a drive near its end.
func wornOut() (l smartLog) {
	l[0], l[1], l[2], l[3], l[4], l[5] = 5, 313&255, 313>>8, 3, 10, 112
	l[32], l[48+8], l[144], l[160] = 7, 1, 9, 11
	l[128], l[129] = 8760&255, 8760>>8
	l[192] = 3
	return l
}

func TestAControllerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := tree(t, map[string]string{"sys/class/nvme/nvme0/state": "live\n", "sys/class/nvme/nvme1/state": "dead\n"})
		n, err := NewNVMe(r, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		back := make(chan struct{})
		n.ask = func(dev string, l *smartLog) error {
			if strings.HasSuffix(dev, "nvme0") {
				<-back
			}
			*l = wornOut()
			return nil
		}
		for range 3 {
			got := values(t, n)
			expect(t, got, map[string]float64{`nvme_stuck{device="nvme0"}`: 1, `nvme_live{device="nvme1"}`: 0, `nvme_media_errors_total{device="nvme1"}`: 11})
			if _, ok := got[`nvme_live{device="nvme0"}`]; ok {
				t.Error("a controller that hangs has figures")
			}
		}
		close(back)
		synctest.Wait()
		expect(t, values(t, n), map[string]float64{`nvme_stuck{device="nvme0"}`: 0, `nvme_live{device="nvme0"}`: 1})
		_ = n.Close()
	})
}

// The command that is sent is 72 bytes, as its number says.
func TestTheSmartCommand(t *testing.T) {
	if size := nvmeAdmin >> 16 & 0x3fff; size != 72 || smartDwords != 127 {
		t.Errorf("size %d, %d dwords", size, smartDwords)
	}
	if err := askSmart(filepath.Join(t.TempDir(), "nvme0"), &smartLog{}); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("no device file: %v", err)
	}
	if err := askSmart("/dev/null", &smartLog{}); unwrapAll(err) != unix.ENOTTY {
		t.Errorf("not an NVMe device: %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}
