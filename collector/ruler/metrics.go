package ruler

import "github.com/VictoriaMetrics/metrics"

// counters are the ruler's own metrics.
type counters struct {
	frames, samples, repeats, markers        *metrics.Counter
	noSchema, undecoded                      *metrics.Counter
	foreign, late                            *metrics.Counter
	duplicate, tooOld, rejected, future      *metrics.Counter
	commitErrors, published, publishFailures *metrics.Counter
	reloads, reloadFailures                  *metrics.Counter
}

func newCounters(set *metrics.Set) *counters {
	c := set.NewCounter
	dropped := func(reason string) *metrics.Counter {
		return c(`nines_ruler_samples_dropped_total{reason="` + reason + `"}`)
	}
	return &counters{
		frames:          c("nines_ruler_frames_total"),
		samples:         c("nines_ruler_samples_total"),
		repeats:         c("nines_ruler_frame_repeats_total"),
		markers:         c("nines_ruler_stale_markers_total"),
		noSchema:        c(`nines_ruler_blocks_dropped_total{reason="schema"}`),
		undecoded:       c("nines_ruler_records_undecoded_total"),
		foreign:         c("nines_ruler_foreign_records_total"),
		late:            c("nines_ruler_samples_out_of_order_total"),
		future:          dropped("future"),
		duplicate:       dropped("duplicate"),
		tooOld:          dropped("too_old"),
		rejected:        dropped("rejected"),
		commitErrors:    c("nines_ruler_commit_errors_total"),
		published:       c("nines_ruler_alerts_published_total"),
		publishFailures: c("nines_ruler_alert_publish_errors_total"),
		reloads:         c("nines_ruler_reloads_total"),
		reloadFailures:  c("nines_ruler_reload_errors_total"),
	}
}
