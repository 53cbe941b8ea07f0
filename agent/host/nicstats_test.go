package host

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nines/agent/apart"
)

// planned is what a driver's table of statistics becomes, each statistic having
// its place, from 1 on, for its value.
func planned(t testing.TB, names []string, chosen func(string) bool) map[string]float64 {
	t.Helper()
	buf := statBuffer(len(names))
	for i := range names {
		binary.NativeEndian.PutUint64(buf[statsHeader+8*i:], uint64(i+1))
	}
	got := map[string]float64{}
	for _, s := range nicPlan(names, chosen) {
		name := s.name + s.telemetryLabels("eth0").String()
		if _, twice := got[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		got[name] = s.sum(buf)
	}
	return got
}

func wantPlan(t *testing.T, table string, want map[string]float64) {
	t.Helper()
	got := planned(t, strings.Split(table, "|"), nil)
	for name, v := range want {
		name = strings.Replace(name, "{", `{interface="eth0",`, 1)
		if !strings.Contains(name, "{") {
			name += `{interface="eth0"}`
		}
		if sorted := byLabel(name); got[sorted] != v {
			t.Errorf("%s is %v, want %v", sorted, got[sorted], v)
		}
		delete(got, byLabel(name))
	}
	if len(got) > 0 {
		t.Errorf("not expected: %v", got)
	}
}

// byLabel sorts a series' labels, as they are printed.
func byLabel(name string) string {
	head, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	list := strings.Split(labels, ",")
	slices.Sort(list)
	return head + "{" + strings.Join(list, ",") + "}"
}

// Parts of the tables of real drivers. What is no drop, error or pause is left
// out, and a queue's figures where there is a total.
func TestStatisticsOfDrivers(t *testing.T) {
	t.Run("mlx5", func(t *testing.T) {
		wantPlan(t, "rx_packets|rx_out_of_buffer|rx_discards_phy|tx_discards_phy|rx_crc_errors_phy|rx_symbol_err_phy|rx_in_range_len_errors_phy|"+
			"rx_out_of_range_len_phy|rx_pause_ctrl_phy|tx_pause_ctrl_phy|rx_prio0_pause|rx_prio3_pause|tx_prio3_pause|rx_prio3_pause_duration|"+
			"rx_prio3_pause_transition|tx_pause_storm_warning_events|tx_pause_storm_error_events|link_down_events_phy|tx_queue_dropped|rx0_packets|rx0_xdp_drop", map[string]float64{
			`nic_receive_drops_total{reason="no_buffer"}`: 2, `nic_receive_drops_total{reason="port"}`: 3, `nic_transmit_drops_total{reason="port"}`: 4,
			`nic_transmit_drops_total{reason="queue"}`: 19, `nic_receive_errors_total{reason="crc"}`: 5, `nic_receive_errors_total{reason="symbol"}`: 6,
			`nic_receive_errors_total{reason="length"}`: 7 + 8, `nic_pause_frames_total{direction="receive"}`: 9, `nic_pause_frames_total{direction="transmit"}`: 10,
			`nic_pause_frames_total{direction="receive",priority="0"}`: 11, `nic_pause_frames_total{direction="receive",priority="3"}`: 12,
			`nic_pause_frames_total{direction="transmit",priority="3"}`: 13, `nic_pause_seconds_total{direction="receive",priority="3"}`: 14e-6,
			`nic_pause_storms_total`: 16, `nic_link_down_total`: 18,
		})
	})
	t.Run("ixgbe", func(t *testing.T) {
		wantPlan(t, "rx_packets|rx_dropped|rx_fifo_errors|rx_missed_errors|rx_no_dma_resources|rx_crc_errors|rx_length_errors|tx_flow_control_xon|"+
			"rx_flow_control_xon|tx_flow_control_xoff|rx_flow_control_xoff|tx_pb_0_pxon|tx_pb_0_pxoff|rx_pb_7_pxon|rx_pb_7_pxoff|tx_dropped", map[string]float64{
			`nic_receive_drops_total{reason="no_buffer"}`: 5, `nic_receive_drops_total{reason="port"}`: 4, `nic_transmit_drops_total{reason="queue"}`: 16,
			`nic_receive_errors_total{reason="crc"}`: 6, `nic_receive_errors_total{reason="length"}`: 7,
			`nic_pause_frames_total{direction="transmit"}`: 8 + 10, `nic_pause_frames_total{direction="receive"}`: 9 + 11,
			`nic_pause_frames_total{direction="transmit",priority="0"}`: 12 + 13, `nic_pause_frames_total{direction="receive",priority="7"}`: 14 + 15,
		})
	})
	t.Run("i40e", func(t *testing.T) {
		wantPlan(t, "rx_dropped|tx_dropped|port.rx_dropped|port.tx_dropped_link_down|port.rx_crc_errors|port.rx_length_errors|port.link_xon_rx|port.link_xoff_rx|"+
			"port.link_xon_tx|port.link_xoff_tx|port.rx_discards|port.tx_priority_2_xon|port.tx_priority_2_xoff|port.tx_priority_2_xon_2_xoff", map[string]float64{
			`nic_receive_drops_total{reason="no_buffer"}`: 11, `nic_receive_drops_total{reason="port"}`: 3, `nic_transmit_drops_total{reason="queue"}`: 2,
			`nic_transmit_drops_total{reason="link_down"}`: 4, `nic_receive_errors_total{reason="crc"}`: 5, `nic_receive_errors_total{reason="length"}`: 6,
			`nic_pause_frames_total{direction="receive"}`: 7 + 8, `nic_pause_frames_total{direction="transmit"}`: 9 + 10,
			`nic_pause_frames_total{direction="transmit",priority="2"}`: 12 + 13,
		})
	})
	t.Run("ice", func(t *testing.T) {
		wantPlan(t, "rx_dropped|tx_dropped_link_down.nic|rx_dropped.nic|rx_crc_errors.nic|rx_length_errors.nic|link_xon_rx.nic|link_xon_tx.nic|link_xoff_rx.nic|"+
			"link_xoff_tx.nic|rx_priority_1_xon.nic|rx_priority_1_xoff.nic", map[string]float64{
			`nic_receive_drops_total{reason="no_buffer"}`: 3, `nic_transmit_drops_total{reason="link_down"}`: 2, `nic_receive_errors_total{reason="crc"}`: 4,
			`nic_receive_errors_total{reason="length"}`: 5, `nic_pause_frames_total{direction="receive"}`: 6 + 8, `nic_pause_frames_total{direction="transmit"}`: 7 + 9,
			`nic_pause_frames_total{direction="receive",priority="1"}`: 10 + 11,
		})
	})
	t.Run("bnxt", func(t *testing.T) {
		wantPlan(t, "[0]: rx_discards|[1]: rx_discards|rx_stat_discard|tx_stat_discard|rx_fcs_err_frames|rx_pause_frames|tx_pause_frames|rx_pfc_ena_frames_pri3|"+
			"pfc_pri3_rx_duration_us|pfc_pri3_rx_transitions|link_down_events|rx_pcs_symbol_err|rx_fec_uncorrectable_blocks", map[string]float64{
			`nic_receive_drops_total{reason="no_buffer"}`: 1 + 2, `nic_receive_drops_total{reason="port"}`: 3, `nic_transmit_drops_total{reason="port"}`: 4,
			`nic_receive_errors_total{reason="crc"}`: 5, `nic_receive_errors_total{reason="symbol"}`: 12, `nic_receive_errors_total{reason="fec"}`: 13,
			`nic_pause_frames_total{direction="receive"}`: 6, `nic_pause_frames_total{direction="transmit"}`: 7,
			`nic_pause_frames_total{direction="receive",priority="3"}`: 8, `nic_pause_seconds_total{direction="receive",priority="3"}`: 9e-6, `nic_link_down_total`: 11,
		})
	})
	t.Run("virtio, old and new", func(t *testing.T) {
		wantPlan(t, "rx_queue_0_packets|rx_queue_0_drops|rx_queue_11_drops|tx_queue_0_packets", map[string]float64{`nic_receive_drops_total{reason="no_buffer"}`: 2 + 3})
		wantPlan(t, "rx0_packets|rx0_drops|rx1_drops|tx0_tx_timeouts", map[string]float64{`nic_receive_drops_total{reason="no_buffer"}`: 2 + 3})
	})
	t.Run("ena", func(t *testing.T) {
		wantPlan(t, "tx_timeout|rx_drops|tx_drops|rx_overruns|bw_in_allowance_exceeded|bw_out_allowance_exceeded|pps_allowance_exceeded|conntrack_allowance_exceeded|"+
			"linklocal_allowance_exceeded|queue_0_rx_bad_csum", map[string]float64{
			`nic_receive_drops_total{reason="no_buffer"}`: 4, `nic_transmit_drops_total{reason="queue"}`: 3,
			`nic_allowance_exceeded_total{allowance="bandwidth_in"}`: 5, `nic_allowance_exceeded_total{allowance="bandwidth_out"}`: 6,
			`nic_allowance_exceeded_total{allowance="packets"}`: 7, `nic_allowance_exceeded_total{allowance="conntrack"}`: 8, `nic_allowance_exceeded_total{allowance="link_local"}`: 9,
		})
	})
	t.Run("hns3", func(t *testing.T) {
		wantPlan(t, "mac_tx_mac_pause_num|mac_rx_mac_pause_num|mac_tx_pfc_pri5_pkt_num|mac_rx_pfc_pri5_pkt_num|mac_rx_fcs_err_pkt_num", map[string]float64{
			`nic_pause_frames_total{direction="transmit"}`: 1, `nic_pause_frames_total{direction="receive"}`: 2,
			`nic_pause_frames_total{direction="transmit",priority="5"}`: 3, `nic_pause_frames_total{direction="receive",priority="5"}`: 4,
			`nic_receive_errors_total{reason="crc"}`: 5,
		})
	})
}

func TestChosenStatisticsAreBounded(t *testing.T) {
	names := []string{"", "a", "a"}
	for i := range 500 {
		names = append(names, fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i))
	}
	got := planned(t, names, func(s string) bool { return strings.HasPrefix(s, "a") })
	if len(got) != maxChosen || got[`nic_stat_total{interface="eth0",stat="a"}`] != 2 || got[`nic_stat_total{interface="eth0",stat="a62"}`] == 0 {
		t.Errorf("%d: %v", len(got), got)
	}
}

// The modes of this machine's kernel header, each with the speed in its name.
func TestSpeedsOfLinkModes(t *testing.T) {
	f, err := os.Open("/usr/include/linux/ethtool.h")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	mode := regexp.MustCompile(`ETHTOOL_LINK_MODE_(\d+)base\S*_BIT\s*=\s*(\d+)`)
	seen := 0
	for in := bufio.NewScanner(f); in.Scan(); {
		m := mode.FindStringSubmatch(in.Text())
		if m == nil {
			continue
		}
		seen++
		megabits, _ := strconv.Atoi(m[1])
		bit, _ := strconv.Atoi(m[2])
		b := make([]byte, settingsHeader+3*4*4)
		b[15] = 4
		b[settingsHeader+bit/8] = 1 << (bit % 8)
		if _, most := linkSpeeds(b); most != float64(megabits)*1e6 {
			t.Errorf("%s: %v", in.Text(), most)
		}
	}
	if seen < 60 {
		t.Errorf("%d modes in the header", seen)
	}
}

func TestLinkSettings(t *testing.T) {
	b := make([]byte, settingsHeader+12)
	for _, unknown := range []uint32{0, math.MaxUint32} {
		binary.NativeEndian.PutUint32(b[4:], unknown)
		if now, most := linkSpeeds(b); now == now || most == most {
			t.Errorf("unknown speeds are %v and %v", now, most)
		}
	}
	binary.NativeEndian.PutUint32(b[4:], 25000)
	b[15] = 1
	binary.NativeEndian.PutUint32(b[settingsHeader:], 1<<31|1<<12|1<<6) // 25 and 10 Gbit/s, autonegotiation
	if now, most := linkSpeeds(b); now != 25e9 || most != 25e9 {
		t.Errorf("%v of %v", now, most)
	}
	b[15] = 120
	if _, most := linkSpeeds(b); most == most {
		t.Errorf("masks longer than the answer: %v", most)
	}
}

const inNamespace = "NINES_TEST_IN_NAMESPACE"

// A pair of real virtual cards in a network of their own, against ethtool -S.
func TestRealVirtualCards(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		for _, p := range []string{"unshare", "ip", "ethtool"} {
			if _, err := exec.LookPath(p); err != nil {
				t.Skip(err)
			}
		}
		script := "mount -t sysfs none /sys && ip link add nines0 type veth peer name nines1 && ip link add nines2 type bridge && " +
			"ip address add 192.0.2.1/24 dev nines0 && ip link set nines0 up && ip link set nines1 up && exec \"$0\" -test.run '^TestRealVirtualCards$' -test.v"
		cmd := exec.Command("unshare", "-rnm", "sh", "-c", script, os.Args[0])
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil && strings.Contains(string(out), "--- PASS"):
		case strings.Contains(string(out), "--- FAIL"):
			t.Errorf("%s", out)
		default:
			t.Skipf("no network of our own: %v %s", err, out)
		}
		return
	}
	n, err := NewNICStats(Roots{}, NICOptions{
		Match: func(s string) bool { return strings.HasPrefix(s, "nines") }, Stats: func(string) bool { return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	got := values(t, n)
	for _, card := range []string{"nines0", "nines1", "nines2"} {
		expect(t, got, map[string]float64{`nic_poll_stuck{interface="` + card + `"}`: 0})
		stats := ethtoolStatistics(t, card)
		if (len(stats) > 0) != (card != "nines2") { // a bridge has none
			t.Errorf("%s: %d statistics", card, len(stats))
		}
		for name, v := range stats {
			if id := `nic_stat_total{interface="` + card + `",stat="` + name + `"}`; got[id] != v {
				t.Errorf("%s is %v, ethtool says %v", id, got[id], v)
			}
		}
	}
	if _, ok := got[`nic_receive_drops_total{interface="nines0",reason="no_buffer"}`]; !ok {
		t.Errorf("no drops of a queue: %v", got)
	}
	expect(t, got, map[string]float64{`nic_speed_bits_per_second{interface="nines0"}`: 1e10, `nic_info{driver="veth",interface="nines0"}`: 1})
	cardGoes(t, n)
}

// cardGoes takes cards away between two rounds: their figures end, and after the
// next look for cards their series.
func cardGoes(t *testing.T, n *NICStats) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "del", "nines0").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for name := range values(t, n) {
		if strings.Contains(name, `"nines0"`) && strings.HasPrefix(name, "nic_stat_total") {
			t.Errorf("%s of a card that is gone", name)
		}
	}
	n.scanned = time.Time{}
	for name := range values(t, n) {
		if !strings.Contains(name, `"nines2"`) {
			t.Errorf("%s of a card that is gone", name)
		}
	}
}

func ethtoolStatistics(t *testing.T, card string) map[string]float64 {
	t.Helper()
	out, err := exec.Command("ethtool", "-S", card).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "no stats available") {
			return nil
		}
		t.Fatalf("%v %s", err, out)
	}
	got := map[string]float64{}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				got[name] = v
			}
		}
	}
	return got
}

// A driver that hangs blanks its own card alone, and is asked once.
func TestDriverThatHangsBlanksItsOwnCardAlone(t *testing.T) {
	r := tree(t, map[string]string{"sys/class/net/eth0/operstate": "up\n", "sys/class/net/eth1/operstate": "up\n"})
	n, err := NewNICStats(r, NICOptions{Limit: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	release, asked := make(chan struct{}), 0
	n.device = func(name string) *nicDevice {
		d := newNICDevice(name, nil)
		d.call = apart.New(func() error {
			if name == "eth1" {
				asked++
				<-release
			}
			d.answer = &nicAnswer{info: driverInfo{driver: "mlx5_core"}, plan: []nicSeriesOf{{name: "nic_link_down_total", per: 1}}, values: []float64{4}, now: 1e9, most: absent}
			return nil
		})
		return d
	}
	for range 3 {
		got := values(t, n)
		expect(t, got, map[string]float64{
			`nic_poll_stuck{interface="eth0"}`: 0, `nic_poll_stuck{interface="eth1"}`: 1, `nic_link_down_total{interface="eth0"}`: 4,
			`nic_speed_bits_per_second{interface="eth0"}`: 1e9, `nic_info{driver="mlx5_core",interface="eth0"}`: 1,
		})
		if len(got) != 5 {
			t.Errorf("%v", got)
		}
	}
	close(release)
	for range 1000 {
		if got := values(t, n); got[`nic_link_down_total{interface="eth1"}`] == 4 {
			if asked > 2 {
				t.Errorf("asked %d times while it hung", asked)
			}
			return
		}
	}
	t.Error("a card that answers again has no figures")
}

func TestHostWithoutNetworkCards(t *testing.T) {
	_, err := NewNICStats(tree(t, map[string]string{"sys/class/net/bonding_masters": "\n"}), NICOptions{})
	if missing := MissingError(""); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
}

func FuzzDriverTables(f *testing.F) {
	f.Add("rx_out_of_buffer\nrx_prio3_pause\nrx_prio99_pause", uint32(3), []byte("settings"))
	f.Add("[0]: rx_discards\n[99999999999999999999]: rx_discards\n0#0", uint32(1<<31), []byte{})
	f.Fuzz(func(t *testing.T, names string, count uint32, settings []byte) {
		planned(t, strings.Split(names, "\n"), func(s string) bool { return len(s)%2 == 0 })
		b := make([]byte, stringsHeader+nameSize*3)
		binary.NativeEndian.PutUint32(b[8:], count)
		copy(b[stringsHeader:], names)
		if got := statNames(b); len(got) > 3 {
			t.Fatalf("%q", got)
		}
		b = append(make([]byte, 0, 2048), settings...)
		if now, most := linkSpeeds(append(b, make([]byte, max(0, settingsHeader-len(settings)))...)); now <= 0 || most <= 0 {
			t.Fatalf("%v %v", now, most)
		}
	})
}

func BenchmarkNICStats(b *testing.B) {
	n, err := NewNICStats(Roots{}, NICOptions{})
	if err != nil {
		b.Skip(err)
	}
	defer n.Close()
	benchmarkReader(b, n)
}
