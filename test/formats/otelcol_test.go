package formats

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"nines/collector/decode"
	"nines/internal/slo"
	"nines/test/module"
	"nines/test/ports"
)

const otelcolConfig = `
receivers:
  otlp:
    protocols:
      http: {endpoint: %q}
exporters:
  kafka:
    brokers: [%q]
    metrics: {topic: otlp_metrics}
    partition_metrics_by_resource_attributes: true
service:
  telemetry:
    metrics: {level: none}
  pipelines:
    metrics: {receivers: [otlp], exporters: [kafka]}
`

// What programs measure and an OpenTelemetry Collector passes on through its
// Kafka exporter counts to the last event.
func TestOpenTelemetryCollector(t *testing.T) {
	binary := module.Build(t, "../otelcol", "nines/test/otelcol")
	of := func(st slo.Stream) *slo.Stream {
		st.GroupBy, st.Bin, st.Rule = []string{"job"}, 1000, slot()
		return &st
	}
	up := of(slo.Stream{Sample: &slo.Selector{Metric: "shop_up"}, Op: slo.GTE, Threshold: 1})
	requests := of(slo.Stream{Bad: &slo.Selector{Metric: "shop_errors_total"}, Total: &slo.Selector{Metric: "shop_requests_total"}})
	delta := of(slo.Stream{Bad: &slo.Selector{Metric: "till_errors_total"}, Total: &slo.Selector{Metric: "till_requests_total"}})
	pay := of(slo.Stream{Sample: &slo.Selector{Metric: "pay_duration_seconds"}, Op: slo.LTE, Threshold: 0.2})
	search := of(slo.Stream{Sample: &slo.Selector{Metric: "search_duration_seconds"}, Op: slo.LTE, Threshold: 0.5})
	s := open(t, "otlp_metrics", decode.OTLP, up, requests, delta, pay, search)

	addr, config := ports.Free(t), filepath.Join(t.TempDir(), "otelcol.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, otelcolConfig, addr, s.broker), 0o644); err != nil {
		t.Fatal(err)
	}
	collector := start(t, binary, "--config", "file:"+config)
	const hosts, rounds = 3, 20
	from := time.Now()
	for round := range rounds {
		for host := range hosts {
			post(collector, addr, shopMetrics(fmt.Sprintf("shop-%d", host), from, round))
		}
	}
	said := collector.end() // it sends what it has
	// Of each host: a gauge a round, and counters that rise by 7 a round, of which 2
	// are errors; the histograms' values are 3 below the threshold and 4 above it.
	for _, x := range []struct {
		what        string
		stream      *slo.Stream
		good, total uint64
	}{
		{"gauge", up, hosts * rounds / 2, hosts * rounds},
		{"cumulative sums", requests, hosts * rounds * 5, hosts * rounds * 7},
		{"sums of differences", delta, hosts * rounds * 5, hosts * rounds * 7},
		{"histogram", pay, hosts * rounds * 3, hosts * rounds * 7},
		{"exponential histogram", search, hosts * rounds * 3, hosts * rounds * 7},
	} {
		if good := s.counted(x.stream, x.total); good != x.good {
			t.Errorf("%s: %d good of %d, want %d", x.what, good, x.total, x.good)
		}
	}
	s.noDeadLetters()
	if t.Failed() {
		t.Log(said)
	}
}

// shopMetrics is what a host of the shop has measured: cumulative since from, or
// since the round before.
func shopMetrics(host string, from time.Time, round int) pmetric.Metrics {
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", host)
	rm.Resource().Attributes().PutStr("service.name", "shop")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	at := func(round int) pcommon.Timestamp {
		return pcommon.NewTimestampFromTime(from.Add(time.Duration(round) * 10 * time.Millisecond))
	}
	now := uint64(round + 1)
	metric := func(name, unit string) pmetric.Metric {
		x := ms.AppendEmpty()
		x.SetName(name)
		x.SetUnit(unit)
		return x
	}
	g := metric("shop.up", "").SetEmptyGauge().DataPoints().AppendEmpty()
	g.SetTimestamp(at(round + 1))
	g.SetIntValue(int64(round % 2))
	sum := func(name string, temporality pmetric.AggregationTemporality, start int, v uint64) {
		x := metric(name, "{request}").SetEmptySum()
		x.SetIsMonotonic(true)
		x.SetAggregationTemporality(temporality)
		p := x.DataPoints().AppendEmpty()
		p.SetStartTimestamp(at(start))
		p.SetTimestamp(at(round + 1))
		p.SetIntValue(int64(v))
	}
	sum("shop.requests", pmetric.AggregationTemporalityCumulative, 0, 7*now)
	sum("shop.errors", pmetric.AggregationTemporalityCumulative, 0, 2*now)
	sum("till.requests", pmetric.AggregationTemporalityDelta, round, 7)
	sum("till.errors", pmetric.AggregationTemporalityDelta, round, 2)
	h := metric("pay.duration", "s").SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := h.DataPoints().AppendEmpty()
	p.SetStartTimestamp(at(0))
	p.SetTimestamp(at(round + 1))
	p.ExplicitBounds().FromRaw([]float64{0.1, 0.2, 1})
	p.BucketCounts().FromRaw([]uint64{now, 2 * now, 3 * now, now})
	p.SetCount(7 * now)
	p.SetSum(float64(now))
	e := metric("search.duration", "s").SetEmptyExponentialHistogram()
	e.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	ep := e.DataPoints().AppendEmpty()
	ep.SetStartTimestamp(at(round))
	ep.SetTimestamp(at(round + 1))
	ep.SetScale(1)
	ep.Positive().SetOffset(-4) // buckets end at 2^(-3/2), 1/2, 2^(-1/2), 1
	ep.Positive().BucketCounts().FromRaw([]uint64{1, 2, 0, 4})
	ep.SetCount(7)
	ep.SetSum(5)
	return m
}

// post sends the metrics to the collector as soon as it listens.
func post(p *program, addr string, m pmetric.Metrics) {
	p.t.Helper()
	body, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	if err != nil {
		p.t.Fatal(err)
	}
	p.eventually("the collector listens", func() bool {
		resp, err := http.Post("http://"+addr+"/v1/metrics", "application/x-protobuf", bytes.NewReader(body))
		if err != nil {
			return false
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			p.t.Fatalf("the collector answers %s", resp.Status)
		}
		return true
	})
}
