package main

import (
	"github.com/klauspost/compress/s2"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// otlpRecord is what OpenTelemetry's own library makes of a host's series.
func otlpRecord() []byte {
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	for k, v := range map[string]string{"host.name": "web-1", "cloud.region": "eu", "cloud.availability_zone": "eu-a"} {
		rm.Resource().Attributes().PutStr(k, v)
	}
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	var points pmetric.NumberDataPointSlice
	last := ""
	hostSeries(func(metric, cpu string, value float64) {
		if metric != last {
			x := ms.AppendEmpty()
			x.SetName(metric)
			points, last = x.SetEmptyGauge().DataPoints(), metric
		}
		p := points.AppendEmpty()
		p.Attributes().PutStr("cpu", cpu)
		p.SetTimestamp(pcommon.Timestamp(benchTime * 1e6))
		p.SetDoubleValue(value)
	})
	b, _ := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m) // it fails for no message made by its own library
	return b
}

// writeRecord is what Prometheus' own library makes of them.
func writeRecord() ([]byte, error) {
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	hostSeries(func(metric, cpu string, value float64) {
		ts := writev2.TimeSeries{Samples: []writev2.Sample{{Value: value, Timestamp: benchTime}}}
		for _, word := range []string{"__name__", metric, "cpu", cpu, "host", "web-1", "region", "eu", "zone", "eu-a"} {
			ts.LabelsRefs = append(ts.LabelsRefs, symbols.Symbolize(word))
		}
		req.Timeseries = append(req.Timeseries, ts)
	})
	req.Symbols = symbols.Symbols()
	b, err := req.Marshal()
	return s2.EncodeSnappy(nil, b), err
}
