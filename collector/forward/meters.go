package forward

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// meters are one target's metrics.
type meters struct {
	set    *metrics.Set
	target string

	sent, requests, bytes, retries *metrics.Counter
	noSchema, noHistogram, repeats *metrics.Counter
	undecoded, lost                *metrics.Counter
	repeatedSamples, unfit         *metrics.Counter
	late, future                   *metrics.Counter
	took                           *metrics.Histogram
}

func newMeters(set *metrics.Set, target string) *meters {
	m := &meters{set: set, target: target}
	c := func(name string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("nines_forward_%s{target=%q}", name, target))
	}
	m.sent, m.requests, m.bytes, m.retries = c("samples_total"), c("requests_total"), c("request_bytes_total"), c("retries_total")
	m.repeats, m.undecoded, m.lost = c("frame_repeats_total"), c("records_undecoded_total"), c("records_lost_total")
	m.repeatedSamples, m.late, m.future, m.unfit = c("sample_repeats_total"), m.dropped("late"), m.dropped("future"), m.dropped("unfit_histogram")
	m.noSchema, m.noHistogram = m.dropped("schema"), m.dropped("native_histogram")
	m.took = set.GetOrCreateHistogram(fmt.Sprintf("nines_forward_request_seconds{target=%q}", target))
	return m
}

// dropped counts samples that are not sent, or were refused, by reason.
func (m *meters) dropped(reason string) *metrics.Counter {
	return m.set.GetOrCreateCounter(fmt.Sprintf("nines_forward_samples_dropped_total{target=%q,reason=%q}", m.target, reason))
}
