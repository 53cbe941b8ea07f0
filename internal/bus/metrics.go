package bus

import "github.com/VictoriaMetrics/metrics"

// busMetrics are the counters of one client.
type busMetrics struct {
	connects        *metrics.Counter
	producedRecords *metrics.Counter
	producedBytes   *metrics.Counter // as sent, after compression
	produceErrors   *metrics.Counter
	produceSeconds  *metrics.PrometheusHistogram
	fetchedRecords  *metrics.Counter
	fetchedBytes    *metrics.Counter // as received, before decompression
	fetchErrors     *metrics.Counter
	generations     *metrics.Counter
	fenced          *metrics.Counter
}

func newMetrics(set *metrics.Set) *busMetrics {
	if set == nil {
		set = metrics.NewSet()
	}
	return &busMetrics{
		connects:        set.GetOrCreateCounter("nines_bus_connections_opened_total"),
		producedRecords: set.GetOrCreateCounter("nines_bus_produced_records_total"),
		producedBytes:   set.GetOrCreateCounter("nines_bus_produced_bytes_total"),
		produceErrors:   set.GetOrCreateCounter("nines_bus_produce_errors_total"),
		produceSeconds:  set.GetOrCreatePrometheusHistogram("nines_bus_produce_duration_seconds"),
		fetchedRecords:  set.GetOrCreateCounter("nines_bus_fetched_records_total"),
		fetchedBytes:    set.GetOrCreateCounter("nines_bus_fetched_bytes_total"),
		fetchErrors:     set.GetOrCreateCounter("nines_bus_fetch_errors_total"),
		generations:     set.GetOrCreateCounter("nines_bus_group_generations_total"),
		fenced:          set.GetOrCreateCounter("nines_bus_group_fenced_commits_total"),
	}
}
