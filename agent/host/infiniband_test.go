package host

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// everyCounter compares each counter's file of a recorded tree with its series,
// and returns how many there were.
func everyCounter(t *testing.T, sys string, got map[string]float64) (counters int) {
	t.Helper()
	found, err := filepath.Glob(sys + "/class/infiniband/*/ports/*/*counters/*")
	if err != nil || len(found) == 0 {
		t.Fatalf("no counters: %v", err)
	}
	for _, path := range found {
		parts := strings.Split(path, "/")
		n := len(parts)
		series := fmt.Sprintf(`infiniband_%s{device=%q,port=%q}`, parts[n-1], parts[n-5], parts[n-3])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		v, ok := got[series]
		switch {
		case err != nil && ok:
			t.Errorf("%s is %v, the file says %q", series, v, text)
		case err == nil && (!ok || v != want):
			t.Errorf("%s is %v (there: %v), the file says %q", series, v, ok, text)
		case ok:
			counters++
		}
	}
	return counters
}

// Values as they stand in the recording; bytes, rates and states as procfs'
// own tests expect them.
func TestInfinibandOfRecordedFabrics(t *testing.T) {
	sys := unpacked(t, procfsTree) + "/fixtures/sys"
	b := NewInfiniband(Roots{Sys: sys}, InfinibandOptions{HW: true})
	defer b.Close()
	got := values(t, b)
	if n := everyCounter(t, sys, got); n != 17+2*17+21+25 {
		t.Errorf("%d counters compared", n)
	}
	port := func(device, port string) func(string) string {
		return func(name string) string { return fmt.Sprintf(`%s{device=%q,port=%q}`, name, device, port) }
	}
	f := func(of func(string) string, state, phys, rate, received, sent float64) {
		t.Helper()
		expect(t, got, map[string]float64{
			of("rdma_port_state"): state, of("rdma_port_physical_state"): phys, of("rdma_port_up"): 1,
			of("rdma_port_rate_bits_per_second"): rate, of("rdma_port_flaps_total"): 0,
			of("rdma_port_receive_bytes_total"): received, of("rdma_port_transmit_bytes_total"): sent,
			of("rdma_port_saturated_counters"): 0,
		})
	}
	f(port("hfi1_0", "1"), 4, 5, 100e9, 345091702026*4, 273558326543*4)
	f(port("mlx4_0", "1"), 4, 5, 40e9, 2221223609*4, 26509113295*4)
	f(port("mlx4_0", "2"), 4, 5, 40e9, 2460436784*4, 26540356890*4)
	f(port("mlx5_0", "1"), 4, 4, 25e9, 18126345378*4, 2880761508848*4)
	mlx5 := port("mlx5_0", "1")
	expect(t, got, map[string]float64{
		mlx5("infiniband_local_ack_timeout_err"): 131, mlx5("infiniband_out_of_sequence"): 1, mlx5("infiniband_packet_seq_err"): 1,
		mlx5("infiniband_rnr_nak_retry_err"): 0, mlx5("infiniband_duplicate_request"): 41, mlx5("infiniband_roce_slow_restart_cnps"): 131,
		mlx5("infiniband_lifespan"): 10,
		`rdma_port_info{board="SM_2001000001034",device="mlx5_0",firmware="14.28.2006",hca="MT4118",link_layer="InfiniBand",port="1"}`: 1,
		`rdma_device_present{device="mlx5_0"}`: 1, `rdma_device_poll_stuck{device="mlx5_0"}`: 0,
	})
}

// As node_exporter 1.5.0 gives the same recording: bytes of counters_ext count
// where the port has them, and "N/A (no PMA)" is absent.
func TestInfinibandOfAPortWithoutCounters(t *testing.T) {
	sys := unpacked(t, exporterSys) + "/sys"
	b := NewInfiniband(Roots{Sys: sys}, InfinibandOptions{HW: true})
	defer b.Close()
	got := values(t, b)
	if n := everyCounter(t, sys, got); n != 16+8 {
		t.Errorf("%d counters compared", n)
	}
	expect(t, got, map[string]float64{
		`rdma_port_state{device="i40iw0",port="1"}`: 4, `rdma_port_physical_state{device="i40iw0",port="1"}`: 5,
		`rdma_port_rate_bits_per_second{device="i40iw0",port="1"}`: 10e9, `rdma_port_up{device="i40iw0",port="1"}`: 1,
		`rdma_port_receive_bytes_total{device="mlx4_0",port="1"}`: 18527668, `rdma_port_transmit_bytes_total{device="mlx4_0",port="1"}`: 14933760,
		`rdma_port_receive_bytes_total{device="mlx4_0",port="2"}`: 18527668, `rdma_port_transmit_bytes_total{device="mlx4_0",port="2"}`: 14933760,
		// port_xmit_wait stands at 2³²-1.
		`rdma_port_saturated_counters{device="mlx4_0",port="1"}`: 1, `infiniband_port_xmit_wait{device="mlx4_0",port="1"}`: math.MaxUint32,
		`rdma_port_saturated_counters{device="mlx4_0",port="2"}`: 0,
	})
	for name := range got {
		if strings.Contains(name, "i40iw0") && (strings.HasPrefix(name, "infiniband_") || strings.Contains(name, "_bytes_")) {
			t.Errorf("%s has a value", name)
		}
	}
}

// roce is a host with one RoCE card of one port.
func roce(t testing.TB) Roots {
	const dir = "sys/class/infiniband/mlx5_2/ports/1/"
	files := map[string]string{
		dir + "state": "4: ACTIVE\n", dir + "phys_state": "5: LinkUp\n", dir + "rate": "2.5 Gb/sec (1X SDR)\n", dir + "link_layer": "Ethernet\n",
		dir + "gid_attrs/ndevs/0": "eth2\n", dir + "counters/link_downed": "254\n", dir + "counters/symbol_error": "65535\n",
	}
	for i, name := range strings.Fields("np_cnp_sent np_ecn_marked_roce_packets rp_cnp_handled rp_cnp_ignored rnr_nak_retry_err out_of_sequence packet_seq_err local_ack_timeout_err") {
		files[dir+"hw_counters/"+name] = fmt.Sprintln(i + 1)
	}
	return tree(t, files)
}

func TestPortOfARoCECardGoesDown(t *testing.T) {
	r := roce(t)
	const dir = "sys/class/infiniband/mlx5_2/ports/1/"
	b := NewInfiniband(r, InfinibandOptions{HW: true})
	defer b.Close()
	const of = `{device="mlx5_2",port="1"}`
	expect(t, values(t, b), map[string]float64{
		"rdma_port_up" + of: 1, "rdma_port_flaps_total" + of: 0, "rdma_port_rate_bits_per_second" + of: 2.5e9, "rdma_port_saturated_counters" + of: 1,
		"infiniband_np_cnp_sent" + of: 1, "infiniband_np_ecn_marked_roce_packets" + of: 2, "infiniband_rp_cnp_handled" + of: 3, "infiniband_rnr_nak_retry_err" + of: 5,
		"infiniband_out_of_sequence" + of: 6, "infiniband_packet_seq_err" + of: 7, "infiniband_local_ack_timeout_err" + of: 8,
		`rdma_port_info{device="mlx5_2",link_layer="Ethernet",netdev="eth2",port="1"}`: 1,
	})
	rewrite(t, r, dir+"state", "1: DOWN\n")
	rewrite(t, r, dir+"phys_state", "3: Disabled\n")
	expect(t, values(t, b), map[string]float64{
		"rdma_port_up" + of: 0, "rdma_port_state" + of: 1, "rdma_port_physical_state" + of: 3, "rdma_port_flaps_total" + of: 1,
	})
	rewrite(t, r, dir+"state", "4: ACTIVE\n")
	rewrite(t, r, dir+"counters/link_downed", "255\n")
	expect(t, values(t, b), map[string]float64{"rdma_port_up" + of: 1, "rdma_port_flaps_total" + of: 1, "rdma_port_saturated_counters" + of: 2})
}

func TestACardThatFallsOffTheBusIsNotForgotten(t *testing.T) {
	r := roce(t)
	b := NewInfiniband(r, InfinibandOptions{HW: true})
	defer b.Close()
	values(t, b)
	if err := os.RemoveAll(r.Sys + "/class/infiniband/mlx5_2"); err != nil {
		t.Fatal(err)
	}
	b.scanned = time.Time{}
	got := values(t, b)
	want := map[string]float64{
		`rdma_device_present{device="mlx5_2"}`: 0, `rdma_device_poll_stuck{device="mlx5_2"}`: 0,
		`rdma_port_up{device="mlx5_2",port="1"}`: 0, `rdma_port_flaps_total{device="mlx5_2",port="1"}`: 1,
	}
	if expect(t, got, want); len(got) != len(want) {
		t.Errorf("%v", got)
	}
	again := roce(t)
	if err := os.Rename(again.Sys+"/class/infiniband/mlx5_2", r.Sys+"/class/infiniband/mlx5_2"); err != nil {
		t.Fatal(err)
	}
	b.scanned = time.Time{}
	expect(t, values(t, b), map[string]float64{
		`rdma_device_present{device="mlx5_2"}`: 1, `rdma_port_up{device="mlx5_2",port="1"}`: 1, `rdma_port_flaps_total{device="mlx5_2",port="1"}`: 1,
		`infiniband_np_cnp_sent{device="mlx5_2",port="1"}`: 1,
	})
}

// A pipe without a writer is a file whose open never returns, as an attribute is
// whose firmware does not answer.
func TestACardThatHangsIsStuckAndTheOthersGoOn(t *testing.T) {
	r := roce(t)
	good := r.Sys + "/class/infiniband/mlx5_0/ports/1"
	if err := os.MkdirAll(good, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(good+"/state", []byte("4: ACTIVE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := r.Sys + "/class/infiniband/mlx5_2/ports/1/hw_counters/np_cnp_sent"
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	b := NewInfiniband(r, InfinibandOptions{HW: true, Limit: 10 * time.Millisecond})
	defer b.Close()
	for range 3 {
		got := values(t, b)
		expect(t, got, map[string]float64{
			`rdma_device_poll_stuck{device="mlx5_2"}`: 1, `rdma_device_present{device="mlx5_2"}`: 1,
			`rdma_device_poll_stuck{device="mlx5_0"}`: 0, `rdma_port_up{device="mlx5_0",port="1"}`: 1,
		})
		if _, ok := got[`rdma_port_up{device="mlx5_2",port="1"}`]; ok {
			t.Error("a card that does not answer has a state")
		}
	}
	// The firmware answers at last.
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if got := values(t, b); got[`rdma_device_poll_stuck{device="mlx5_2"}`] == 0 {
			expect(t, got, map[string]float64{`infiniband_rp_cnp_handled{device="mlx5_2",port="1"}`: 3})
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("still stuck after the firmware answered")
		}
		// Each turn opens the pipe again, which hangs until somebody writes.
		if w, err := os.OpenFile(pipe, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			w.Close()
		}
	}
}

func TestInfinibandAllocatesNothing(t *testing.T) {
	b := NewInfiniband(roce(t), InfinibandOptions{HW: true})
	defer b.Close()
	allocatesNothing(t, b)
}

func FuzzInfiniband(f *testing.F) {
	f.Add("4: ACTIVE\n", "100 Gb/sec (4X EDR)\n", "255\n")
	f.Add("", "Gb/sec", "N/A (no PMA)")
	f.Add("9", "1.7976931348623157 Gb/sec", "18446744073709551615")
	f.Fuzz(func(t *testing.T, state, rate, counter string) {
		p := &rdmaPort{names: []string{"link_downed"}, counters: make([]attr, 1), largest: []float64{255}, received: -1, sent: -1}
		for i, text := range []string{state, rate, counter, state} {
			a := []*attr{&p.state, &p.rate, &p.counters[0], &p.phys}[i]
			w := written(t, text)
			a.fd, a.open = w.fd, true
		}
		defer p.close()
		v := make([]float64, p.width())
		var buf [attrSize]byte
		for range 2 {
			if p.read(v, &buf) != len(v) {
				t.Fatal("not every value was set")
			}
			for i, x := range v {
				if x < 0 && i < len(rdmaStates) || math.IsInf(x, 0) {
					t.Fatalf("value %d is %v", i, x)
				}
			}
		}
		if p.flaps.total != 0 {
			t.Fatalf("%d flaps of a port that did not change", p.flaps.total)
		}
	})
}

// A host with eight cards of 85 counters each.
func BenchmarkInfiniband(b *testing.B) {
	files := map[string]string{}
	for card := range 8 {
		dir := fmt.Sprintf("sys/class/infiniband/mlx5_%d/ports/1/", card)
		files[dir+"state"], files[dir+"phys_state"], files[dir+"rate"] = "4: ACTIVE\n", "5: LinkUp\n", "400 Gb/sec (4X NDR)\n"
		for i := range 85 {
			files[fmt.Sprintf("%shw_counters/c%d", dir, i)] = "123456789\n"
		}
	}
	rd := NewInfiniband(tree(b, files), InfinibandOptions{HW: true})
	defer rd.Close()
	benchmarkReader(b, rd)
}
