// Package remotewrite runs real receivers of Prometheus remote write against the
// role forward.
package remotewrite

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/collector/decode"
	"nines/collector/forward"
	"nines/internal/bus"
	"nines/internal/hist"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/internal/yamlconf"
	"nines/test/kafka"
)

// store is a receiver that can be stopped and started again where it was.
type store interface {
	start()
	stop()
	url() string
	// samples returns what it holds of a metric.
	samples(name string) ([]point, error)
}

// point is a sample: Unix milliseconds and a value.
type point struct {
	at    int64
	value float64
}

// lines is the topic of another fleet, which writes line protocol.
const lines = "telegraf"

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

func TestPrometheusMissesNothing(t *testing.T) {
	missesNothing(t, prometheus(t), "auto", func(v float64) float64 { return v })
}

// VictoriaMetrics keeps some fifteen decimal digits of a value: whole numbers
// are what it holds exactly.
func TestVictoriaMetricsMissesNothing(t *testing.T) {
	missesNothing(t, victoriametrics(t), "auto", math.Round)
}

// site is a broker with an agent, a host of another fleet, and the role.
type site struct {
	t      *testing.T
	client *bus.Client
	cfg    forward.Config
	log    *slog.Logger
	m      *metrics.Set
	value  func(float64) float64
	enc    wire.Encoder
	schema *telemetry.Schema
	base   int64
	seq    int
	want   map[int64]float64
}

func newSite(t *testing.T, broker, url, protocol string, value func(float64) float64) *site {
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{broker}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, name := range []string{wire.TopicTelemetry, lines} {
		if _, err := client.EnsureTopic(t.Context(), bus.Topic{Name: name, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return &site{t: t, client: client, m: metrics.NewSet(), value: value, want: map[int64]float64{},
		base: time.Now().Add(-10*time.Minute).UnixMilli() / 1000 * 1000,
		schema: telemetry.NewSchema([]telemetry.Series{{Name: "kept_value", Kind: telemetry.Gauge}, {Name: "left_value", Kind: telemetry.Gauge},
			{Name: "kept_time", Kind: telemetry.Histogram}}),
		cfg: forward.Config{Targets: []forward.Target{{Name: "store", URL: url, Protocol: protocol, Match: []string{`{__name__=~"kept.*"}`},
			MaxSamples: 50, MaxAge: yamlconf.Duration(50 * time.Millisecond), MaxBackoff: yamlconf.Duration(200 * time.Millisecond)}}}}
}

// run runs the role until stop is called.
func (s *site) run() (stop func()) {
	f, err := forward.New(forward.Options{Config: s.cfg, Client: s.client, Formats: map[string]decode.Format{lines: decode.Influx}, Log: s.log, Metrics: s.m})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

// at tells whether both topics' positions are n.
func (s *site) at(n int64) bool {
	for topic, per := range map[string]int64{wire.TopicTelemetry: 1, lines: 2} {
		at, _, err := s.client.Committed(s.t.Context(), forward.GroupPrefix+"store", topic, 0)
		if err != nil || at != n*per {
			return false
		}
	}
	return true
}

// send sends n rounds: of each a frame, and a line that is sent twice.
func (s *site) send(n int) {
	s.t.Helper()
	var frames, others []bus.Record
	for range n {
		at, v := s.base+int64(s.seq)*1000, s.value(math.Sin(float64(s.seq))*1e7)
		s.seq++
		s.want[at] = v
		var d hist.Histogram
		d.Observe(0.25)
		d.Observe(float64(s.seq))
		f := &telemetry.Frame{Agent: "web-1", Boot: 7, Seq: uint64(s.seq), SendTime: at, Host: telemetry.NewLabels(map[string]string{"host": "web-1"}),
			Blocks: []telemetry.Block{{Fingerprint: s.schema.Fingerprint, Schema: s.schema, Times: []int64{at}, Values: []float64{v, v, 0}, Hists: []*hist.Histogram{nil, nil, &d}}}}
		b := s.enc.AppendFrame(nil, f, func(uint64) bool { return s.seq%25 == 1 })
		line := fmt.Appendf(nil, "kept,host=db-1 line=%v %d\nleft line=1 %d", v, at*1e6, at*1e6)
		frames = append(frames, bus.Record{Value: b, Time: at})
		again := bus.Record{Key: []byte("db-1"), Value: line, Time: at}
		others = append(others, again, again)
	}
	for _, few := range []int{0, n / 2} { // not all in one batch
		s.produce(wire.TopicTelemetry, frames[few:few+n/2]...)
		s.produce(lines, others[2*few:2*few+n]...)
	}
}

func (s *site) produce(topic string, recs ...bus.Record) {
	s.t.Helper()
	if _, err := s.client.Producer(topic, 0).Produce(s.t.Context(), recs); err != nil {
		s.t.Fatal(err)
	}
}

// The receiver is stopped while records come, and started again; meanwhile the
// role is stopped and another life of it goes on. Afterwards the receiver holds
// each sample, bit by bit, once.
func missesNothing(t *testing.T, r store, protocol string, value func(float64) float64) {
	r.start()
	t.Cleanup(r.stop)
	s := newSite(t, kafka.Serve(t).Addr, r.url(), protocol, value)
	stop := s.run()
	eventually(t, "the group has positions", func() bool { return s.at(0) })
	s.send(100)
	eventually(t, "the first hundred are sent", func() bool { return s.at(100) })
	r.stop()
	s.send(100)
	stop() // in the middle of retrying
	if !s.at(100) {
		t.Error("the position moved while the receiver was away")
	}
	stop = s.run()
	defer func() { stop() }()
	s.send(100)
	r.start()
	eventually(t, "all are sent", func() bool { return s.at(300) })

	for _, name := range []string{"kept_value", "kept_line"} {
		var got []point
		eventually(t, "the receiver shows all of "+name, func() (ok bool) {
			var err error
			got, err = r.samples(name)
			return err == nil && len(got) >= len(s.want)
		})
		if len(got) != len(s.want) {
			t.Errorf("%d samples of %s, want %d", len(got), name, len(s.want))
		}
		for _, p := range got {
			if p.value != s.want[p.at] {
				t.Errorf("%s at %d: %v, want %v", name, p.at, p.value, s.want[p.at])
			}
		}
	}
	for _, name := range []string{"left_value", "left_line"} {
		if left, err := r.samples(name); err != nil || len(left) > 0 {
			t.Errorf("%d samples of %s, which were not chosen (%v)", len(left), name, err)
		}
	}
}

// Prometheus' own handler of today, over its own store, speaks both protocols.
func TestTodaysPrometheusMissesNothing(t *testing.T) {
	f := func(accepts, protocol, spoken string) {
		t.Run(strings.ReplaceAll(accepts, " ", "+")+" "+protocol, func(t *testing.T) {
			h := newHandler(t, accepts)
			missesNothing(t, h, protocol, func(v float64) float64 { return v })
			if got := h.lastSpoken(); got != spoken {
				t.Errorf("spoke %s, want %s", got, spoken)
			}
			h.checkHistograms(spoken == "2.0")
		})
	}
	f("1.0 2.0", "auto", "2.0")
	f("2.0", "2.0", "2.0")
	f("1.0 2.0", "1.0", "1.0")
	f("1.0", "auto", "1.0") // refuses 2.0 by 415
}
