package alerting

import "github.com/VictoriaMetrics/metrics"

// counters are the role's own metrics.
type counters struct {
	set                         *metrics.Set
	records, undecoded          *metrics.Counter
	storeErrors                 *metrics.Counter
	reloads, reloadFailures     *metrics.Counter
	heartbeats, heartbeatErrors *metrics.Counter
	detection                   *metrics.PrometheusHistogram
}

func newCounters(set *metrics.Set) *counters {
	return &counters{
		set:             set,
		records:         set.NewCounter("nines_notify_records_total"),
		undecoded:       set.NewCounter("nines_notify_records_undecoded_total"),
		storeErrors:     set.NewCounter("nines_notify_store_errors_total"),
		reloads:         set.NewCounter("nines_notify_reloads_total"),
		reloadFailures:  set.NewCounter("nines_notify_reload_errors_total"),
		heartbeats:      set.NewCounter("nines_notify_dead_man_requests_total"),
		heartbeatErrors: set.NewCounter("nines_notify_dead_man_errors_total"),
		detection: set.NewPrometheusHistogramExt("nines_notify_detection_seconds",
			[]float64{0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300}),
	}
}

// sent counts a notification of an integration by its outcome.
func (c *counters) sent(integration string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	c.set.GetOrCreateCounter(`nines_notify_notifications_total{integration="` + integration + `",outcome="` + outcome + `"}`).Inc()
}
