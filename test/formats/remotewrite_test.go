package formats

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/slo"
	"nines/test/ports"
)

// relay puts the bodies of remote write into the site's topic unchanged, with the
// headers that name their format, as adapters before Kafka do; see looks at each.
func (s *site) relay(key string, see func(body []byte)) *httptest.Server {
	p := s.client.Producer(s.topic, 0)
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(req.Body)
		if err == nil {
			rec := bus.Record{Key: []byte(key), Value: body}
			for _, name := range []string{"Content-Type", "Content-Encoding"} {
				rec.Headers = append(rec.Headers, bus.Header{Key: name, Value: []byte(req.Header.Get(name))})
			}
			_, err = p.Produce(s.ctx, []bus.Record{rec})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable) // the sender tries again
			return
		}
		see(body)
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "1")
		w.WriteHeader(http.StatusNoContent)
	}))
	s.t.Cleanup(srv.Close)
	return srv
}

// shopObjectives judge what the shop of these tests exposes.
func shopObjectives() (up, requests, pay *slo.Stream) {
	of := func(st slo.Stream) *slo.Stream {
		st.GroupBy, st.Bin, st.Rule = []string{"job"}, 1000, slot()
		return &st
	}
	return of(slo.Stream{Sample: &slo.Selector{Metric: "shop_up"}, Op: slo.GTE, Threshold: 1}),
		of(slo.Stream{Bad: &slo.Selector{Metric: "shop_errors_total"}, Total: &slo.Selector{Metric: "shop_requests_total"}}),
		of(slo.Stream{Sample: &slo.Selector{Metric: "pay_seconds"}, Op: slo.LTE, Threshold: 0.2})
}

const prometheusConfig = `
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - {job_name: shop, static_configs: [{targets: [%q], labels: {host: shop-1}}]}
remote_write:
  - {url: %q, queue_config: {batch_send_deadline: 200ms, max_shards: 1}}
`

// Debian's Prometheus scrapes a shop and sends what it finds on: what its
// requests hold is what counts.
func TestPrometheusRemoteWrite(t *testing.T) {
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus here (apt-get install prometheus)")
	}
	up, requests, pay := shopObjectives()
	s := open(t, "remote", decode.OTLP, up, requests, pay) // the headers say better
	sent := newSamples(t)
	relay := s.relay("prom-1", sent.add)
	shop := httptest.NewServer(shopHandler())
	defer shop.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, shop.Listener.Addr(), relay.URL+"/write"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+ports.Free(t))
	p.eventually("ten scrapes came", func() bool { return len(sent.of("shop_up")) >= 10 })
	said := p.end() // it sends what it has
	good := uint64(0)
	for _, v := range sent.of("shop_up") {
		good += uint64(v)
	}
	rise := func(key string) uint64 {
		vs := sent.of(key)
		return uint64(vs[len(vs)-1] - vs[0]) // the first is the base
	}
	if got := s.counted(up, uint64(len(sent.of("shop_up")))); got != good {
		t.Errorf("gauge: %d good, want %d", got, good)
	}
	all := rise("shop_requests_total")
	if got, want := s.counted(requests, all), all-rise("shop_errors_total"); got != want {
		t.Errorf("counters: %d good of %d, want %d", got, all, want)
	}
	if got, want := s.counted(pay, rise("pay_seconds_count")), rise("pay_seconds_bucket 0.2"); got != want {
		t.Errorf("histogram: %d good, want %d", got, want)
	}
	s.noDeadLetters()
	if t.Failed() {
		t.Log(said)
	}
}

// shopHandler exposes a shop that has seven requests a scrape, two of them failed.
func shopHandler() http.Handler {
	reg := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "shop_up"})
	all := prometheus.NewCounter(prometheus.CounterOpts{Name: "shop_requests_total"})
	bad := prometheus.NewCounter(prometheus.CounterOpts{Name: "shop_errors_total"})
	pay := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pay_seconds", Buckets: []float64{0.1, 0.2, 1}})
	reg.MustRegister(up, all, bad, pay)
	metrics, n := promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), 0
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		up.Set(float64(n % 2))
		all.Add(7)
		bad.Add(2)
		for i := range 7 {
			pay.Observe(float64(i%4) / 8)
		}
		n++
		metrics.ServeHTTP(w, req)
	})
}

// samples are what requests of remote write 1 held, by metric and bound, as
// Prometheus' own library reads them.
type samples struct {
	t  *testing.T
	mu sync.Mutex
	by map[string][]float64
}

func newSamples(t *testing.T) *samples { return &samples{t: t, by: map[string][]float64{}} }

func (s *samples) add(body []byte) {
	raw, err := s2.Decode(nil, body)
	var req prompb.WriteRequest
	if err == nil {
		err = req.Unmarshal(raw)
	}
	if err != nil {
		s.t.Errorf("Prometheus sent what its library cannot read: %v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ts := range req.Timeseries {
		key := ""
		for _, l := range ts.Labels {
			if l.Name == "__name__" {
				key = l.Value
			}
		}
		for _, l := range ts.Labels {
			if l.Name == "le" {
				key += " " + l.Value
			}
		}
		for _, v := range ts.Samples {
			if !math.IsNaN(v.Value) { // the end of a series
				s.by[key] = append(s.by[key], v.Value)
			}
		}
	}
}

func (s *samples) of(key string) []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[key]
}

// Prometheus' own client of remote write 2, which its server uses too, sends
// counters, a gauge and histograms, classic and native.
func TestRemoteWrite2Client(t *testing.T) {
	up, requests, pay := shopObjectives()
	native := *pay
	native.Sample, native.Threshold = &slo.Selector{Metric: "search_seconds"}, 0.5
	s := open(t, "remote", decode.OTLP, up, requests, pay, &native)
	relay := s.relay("", func([]byte) {}) // without a key, counters' order is lost
	keyed := s.relay("prom-1", func([]byte) {})
	from := time.Now()
	const rounds = 20
	for round := range int64(rounds) {
		write2(t, keyed.URL, from, round)
	}
	for _, x := range []struct {
		what        string
		stream      *slo.Stream
		good, total uint64
	}{
		{"gauge", up, rounds / 2, rounds},
		{"counters", requests, 5 * rounds, 7 * rounds},
		{"histogram", pay, 3 * rounds, 7 * rounds},
		{"native histogram", &native, 3 * rounds, 7 * rounds},
	} {
		if good := s.counted(x.stream, x.total); good != x.good {
			t.Errorf("%s: %d good of %d, want %d", x.what, good, x.total, x.good)
		}
	}
	s.noDeadLetters()
	write2(t, relay.URL, from, rounds)
	recs, err := s.client.Reader("nines.deadletter", 0, 0).Fetch(s.ctx, time.Minute)
	if err != nil || len(recs) != 1 {
		t.Errorf("what has no key: %d dead letters, %v", len(recs), err)
	}
}

// write2 sends what the shop has seen until the round.
func write2(t *testing.T, url string, from time.Time, round int64) {
	t.Helper()
	sym, req := writev2.NewSymbolTable(), &writev2.Request{}
	n := uint64(round + 1)
	start, at := from.UnixMilli(), from.UnixMilli()+10*int64(n)
	series := func(typ writev2.Metadata_MetricType, name string, labels ...string) *writev2.TimeSeries {
		ts := writev2.TimeSeries{Metadata: writev2.Metadata{Type: typ}}
		for _, word := range append([]string{"__name__", name, "host", "shop-1", "job", "shop"}, labels...) {
			ts.LabelsRefs = append(ts.LabelsRefs, sym.Symbolize(word))
		}
		req.Timeseries = append(req.Timeseries, ts)
		return &req.Timeseries[len(req.Timeseries)-1]
	}
	add := func(typ writev2.Metadata_MetricType, v uint64, name string, labels ...string) {
		ts := series(typ, name, labels...)
		ts.Samples = []writev2.Sample{{Value: float64(v), Timestamp: at, StartTimestamp: start}}
	}
	const gauge, counter, hist = writev2.Metadata_METRIC_TYPE_GAUGE, writev2.Metadata_METRIC_TYPE_COUNTER, writev2.Metadata_METRIC_TYPE_HISTOGRAM
	add(gauge, uint64(round%2), "shop_up")
	add(counter, 7*n, "shop_requests_total")
	add(counter, 2*n, "shop_errors_total")
	add(hist, 3*n, "pay_seconds_bucket", "le", "0.2")
	add(hist, 7*n, "pay_seconds_bucket", "le", "+Inf")
	add(hist, 7*n, "pay_seconds_count")
	h := series(hist, "search_seconds")
	h.Histograms = []writev2.Histogram{{Count: &writev2.Histogram_CountInt{CountInt: 7 * n}, Sum: float64(n), Timestamp: at, StartTimestamp: start,
		Schema: 0, ZeroCount: &writev2.Histogram_ZeroCountInt{ZeroCountInt: n},
		PositiveSpans: []writev2.BucketSpan{{Offset: -1, Length: 2}}, PositiveDeltas: []int64{int64(2 * n), int64(2 * n)}}} // 2 in (1/4, 1/2], 4 in (1/2, 1]
	req.Symbols = sym.Symbols()
	api, err := remote.NewAPI(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := api.Write(ctx, remote.WriteV2MessageType, req); err != nil {
		t.Fatal(err)
	}
}
