package probe

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// ownMetrics are the prober's metrics of itself.
type ownMetrics struct {
	attempts map[string]*metrics.Counter
	failures [numReasons]*metrics.Counter
	missed   *metrics.Counter
	blind    *metrics.Counter
	local    *metrics.Counter
	rejected *metrics.Gauge
	targets  *metrics.Gauge
	offline  *metrics.Gauge
	inFlight *metrics.Gauge
	delay    *metrics.PrometheusHistogram
}

func newOwnMetrics(set *metrics.Set) *ownMetrics {
	m := &ownMetrics{
		attempts: map[string]*metrics.Counter{},
		missed:   set.GetOrCreateCounter("nines_probe_missed_total"),
		blind:    set.GetOrCreateCounter("nines_probe_blind_total"),
		local:    set.GetOrCreateCounter("nines_probe_local_errors_total"),
		rejected: set.GetOrCreateGauge("nines_probe_rejected_targets", nil),
		targets:  set.GetOrCreateGauge("nines_probe_targets", nil),
		offline:  set.GetOrCreateGauge("nines_probe_offline", nil),
		inFlight: set.GetOrCreateGauge("nines_probe_in_flight", nil),
		delay: set.GetOrCreatePrometheusHistogramExt("nines_probe_start_delay_seconds",
			[]float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5}),
	}
	for _, k := range kinds {
		m.attempts[k] = set.GetOrCreateCounter(fmt.Sprintf("nines_probe_attempts_total{probe=%q}", k))
	}
	for r := range numReasons {
		m.failures[r] = set.GetOrCreateCounter(fmt.Sprintf("nines_probe_failures_total{reason=%q}", r))
	}
	return m
}
