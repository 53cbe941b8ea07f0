package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/telemetry"
)

// gatherHost gathers a configuration once on a host that files describe.
func gatherHost(t *testing.T, files map[string]string, toml string) (values map[string]float64, kinds map[string]telemetry.Kind) {
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
	t.Setenv("HOST_PROC", dir+"/proc")
	t.Setenv("HOST_SYS", dir+"/sys")
	in, err := NewInputs(Config{Agent: "web-17", Inputs: toml}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	values, kinds = map[string]float64{}, map[string]telemetry.Kind{}
	for _, res := range in.Once(ctx, time.Millisecond) {
		if res.Err != nil {
			t.Fatalf("%s: %v", res.Input, res.Err)
		}
		for _, r := range res.Rounds {
			b := telemetry.Block{Absent: r.Absent}
			for i, s := range r.Schema.Series {
				if !b.IsAbsent(i) {
					values[s.Name+s.Labels.String()], kinds[s.Name] = r.Values[i], s.Kind
				}
			}
		}
	}
	return values, kinds
}

// The names, labels and kinds that leave the agent, through the inputs that the
// shipped configuration has.
func TestFabricAndNetworkInputsOfTheAgent(t *testing.T) {
	const port = "sys/class/infiniband/mlx5_0/ports/1/"
	values, kinds := gatherHost(t, map[string]string{
		port + "state": "1: DOWN\n", port + "phys_state": "2: Polling\n", port + "rate": "200 Gb/sec (4X HDR)\n",
		port + "counters/port_rcv_data": "250\n", port + "hw_counters/np_cnp_sent": "7\n",
		"sys/class/net/eth0/operstate": "up\n", "sys/class/net/eth0/speed": "10000\n", "sys/class/net/eth0/carrier_down_count": "3\n",
		"proc/net/softnet_stat": "00000010 00000002 00000001 00000000\n00000020 00000000 00000000 00000000\n",
	}, "[[inputs.infiniband]]\n  gather_rdma = true\n[[inputs.softnet]]\n[[inputs.link]]\n")
	for name, want := range map[string]float64{
		`rdma_port_up{device="mlx5_0",port="1"}`: 0, `rdma_port_physical_state{device="mlx5_0",port="1"}`: 2,
		`rdma_port_rate_bits_per_second{device="mlx5_0",port="1"}`: 200e9, `rdma_port_receive_bytes_total{device="mlx5_0",port="1"}`: 1000,
		`infiniband_port_rcv_data{device="mlx5_0",port="1"}`: 250, `infiniband_np_cnp_sent{device="mlx5_0",port="1"}`: 7,
		`rdma_port_flaps_total{device="mlx5_0",port="1"}`: 0, `rdma_device_present{device="mlx5_0"}`: 1,
		`link_up{interface="eth0"}`: 1, `link_speed_bits_per_second{interface="eth0"}`: 1e10, `link_carrier_down_total{interface="eth0"}`: 3,
		`softnet_processed_total{cpu="all"}`: 0x30, `softnet_dropped_total{cpu="all"}`: 2,
	} {
		if v, ok := values[name]; !ok || v != want {
			t.Errorf("%s = %v (there: %v), want %v", name, v, ok, want)
		}
	}
	for _, name := range []string{"rdma_port_flaps_total", "rdma_port_receive_bytes_total", "infiniband_np_cnp_sent", "softnet_dropped_total"} {
		if kinds[name] != telemetry.Counter {
			t.Errorf("%s is a %s", name, kinds[name])
		}
	}
	if kinds["rdma_port_up"] != telemetry.Gauge {
		t.Errorf("rdma_port_up is a %s", kinds["rdma_port_up"])
	}
}

// A card of the recording that this machine does not have: it is listed, and
// says nothing.
func TestCardsOfTheAgent(t *testing.T) {
	values, _ := gatherHost(t, map[string]string{"sys/class/net/nines9/operstate": "up\n"}, "[[inputs.nic]]\n  stats = [\"rx_*\"]\n")
	if v, ok := values[`nic_poll_stuck{interface="nines9"}`]; !ok || v != 0 || len(values) != 1 {
		t.Errorf("%v", values)
	}
	if _, err := NewInputs(Config{Agent: "web-17", Inputs: "[[inputs.nic]]\n  stats = [\"rx_[\"]\n"}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "stats: ") {
		t.Errorf("a pattern that is none: %v", err)
	}
}
