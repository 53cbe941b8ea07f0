// Package remotewrite runs real receivers of Prometheus remote write against the
// role forward.
package remotewrite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"nines/collector/forward"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/internal/yamlconf"
	"nines/test/kafka"
	"nines/test/module"
)

// receiver is a program that can be stopped and started again where it was.
type receiver struct {
	t    *testing.T
	addr string
	args []string
	cmd  *exec.Cmd
}

func (r *receiver) start() {
	r.t.Helper()
	var log bytes.Buffer
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = &log, &log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the receiver answers", func() bool {
		_, err := r.query("vector(1)", 0)
		return err == nil
	})
}

func (r *receiver) stop() {
	if r.cmd == nil {
		return
	}
	r.cmd.Process.Signal(syscall.SIGTERM)
	r.cmd.Wait()
	r.cmd = nil
}

// query returns the values of the series that an instant query finds, in seconds.
func (r *receiver) query(expr string, at int64) ([][2]string, error) {
	resp, err := http.Get(fmt.Sprintf("http://%s/api/v1/query?query=%s&time=%d", r.addr, url.QueryEscape(expr), at))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var out struct {
		Data struct {
			Result []struct {
				Values [][2]json.RawMessage
			}
		}
	}
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, err
	}
	var vals [][2]string
	for _, s := range out.Data.Result {
		for _, v := range s.Values {
			vals = append(vals, [2]string{string(v[0]), string(v[1])})
		}
	}
	return vals, nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("a minute passed, and not yet: %s", what)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func prometheus(t *testing.T) *receiver {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus here (apt-get install prometheus)")
	}
	dir, addr := t.TempDir(), freeAddr(t)
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {scrape_interval: 1h}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return &receiver{t: t, addr: addr, args: []string{binary, "--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr, "--web.enable-remote-write-receiver"}}
}

// victoriametrics builds VictoriaMetrics from its module, or takes the binary
// that NINES_VICTORIAMETRICS names.
func victoriametrics(t *testing.T) *receiver {
	t.Helper()
	binary := os.Getenv("NINES_VICTORIAMETRICS")
	if binary == "" {
		binary = module.Build(t, "../victoriametrics", "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics")
	}
	addr := freeAddr(t)
	return &receiver{t: t, addr: addr, args: []string{binary, "-storageDataPath=" + t.TempDir(), "-httpListenAddr=" + addr, "-search.latencyOffset=0s"}}
}

func TestPrometheusMissesNothing(t *testing.T) {
	missesNothing(t, prometheus(t), func(v float64) float64 { return v })
}

// VictoriaMetrics keeps some fifteen decimal digits of a value: whole numbers
// are what it holds exactly.
func TestVictoriaMetricsMissesNothing(t *testing.T) { missesNothing(t, victoriametrics(t), math.Round) }

// The receiver is stopped while frames come, and started again; meanwhile the
// role is stopped and another life of it goes on. Afterwards the receiver holds
// each sample, bit by bit.
func missesNothing(t *testing.T, r *receiver, value func(float64) float64) {
	broker := kafka.Serve(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{broker.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := client.EnsureTopic(t.Context(), bus.Topic{Name: wire.TopicTelemetry, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(r.stop)
	cfg := forward.Config{Targets: []forward.Target{{Name: "store", URL: "http://" + r.addr + "/api/v1/write",
		Match: []string{`{__name__=~"kept.*"}`}, MaxSamples: 50, MaxAge: yamlconf.Duration(50 * time.Millisecond), MaxBackoff: yamlconf.Duration(200 * time.Millisecond)}}}
	run := func() (stop func()) {
		f, err := forward.New(forward.Options{Config: cfg, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	committed := func() int64 {
		at, _, err := client.Committed(t.Context(), forward.GroupPrefix+"store", wire.TopicTelemetry, 0)
		if err != nil {
			return -1
		}
		return at
	}
	stop := run()
	eventually(t, "the group has a position", func() bool { return committed() == 0 })

	base := time.Now().Add(-10*time.Minute).UnixMilli() / 1000 * 1000
	sc := telemetry.NewSchema([]telemetry.Series{{Name: "kept_value", Kind: telemetry.Gauge}, {Name: "left_value", Kind: telemetry.Gauge}})
	want := map[string]float64{}
	var enc wire.Encoder
	seq := 0
	send := func(n int) {
		for range n {
			at, v := base+int64(seq)*1000, value(math.Sin(float64(seq))*1e7)
			seq++
			want[strconv.FormatInt(at/1000, 10)] = v
			f := &telemetry.Frame{Agent: "web-1", Boot: 7, Seq: uint64(seq), SendTime: at, Host: telemetry.NewLabels(map[string]string{"host": "web-1"}),
				Blocks: []telemetry.Block{{Fingerprint: sc.Fingerprint, Schema: sc, Times: []int64{at}, Values: []float64{v, v}}}}
			b := enc.AppendFrame(nil, f, func(uint64) bool { return seq == 1 })
			if _, err := client.Producer(wire.TopicTelemetry, 0).Produce(t.Context(), []bus.Record{{Value: b, Time: at}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(100)
	eventually(t, "the first hundred are sent", func() bool { return committed() == 100 })
	r.stop()
	send(100)
	stop() // in the middle of retrying
	if at := committed(); at != 100 {
		t.Errorf("position %d while the receiver was away, want 100", at)
	}
	stop = run()
	defer func() { stop() }()
	send(100)
	r.start()
	eventually(t, "all are sent", func() bool { return committed() == 300 })

	var got [][2]string
	eventually(t, "the receiver shows all", func() bool {
		got, err = r.query(`kept_value{host="web-1"}[1h]`, time.Now().Unix())
		return err == nil && len(got) >= len(want)
	})
	if len(got) != len(want) {
		t.Errorf("%d samples, want %d", len(got), len(want))
	}
	for _, v := range got {
		text, _ := strconv.Unquote(v[1])
		if n, err := strconv.ParseFloat(text, 64); err != nil || n != want[v[0]] {
			t.Errorf("at %s: %s, want %v", v[0], v[1], want[v[0]])
		}
	}
	if left, err := r.query(`left_value[1h]`, time.Now().Unix()); err != nil || len(left) > 0 {
		t.Errorf("%d samples that were not chosen (%v)", len(left), err)
	}
}
