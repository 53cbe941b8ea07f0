package aggregate

import (
	"fmt"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"nines/internal/wire"
)

// meters are the role's own metrics.
type meters struct {
	set                                *metrics.Set
	partials, samples, frames, repeats *metrics.Counter
	gaps, gapFrames, unplaced          *metrics.Counter
	foreignRecords, foreignSamples     *metrics.Counter
	foreignRepeats, foreignLate        *metrics.Counter
}

func newMeters(set *metrics.Set) *meters {
	if set == nil {
		set = metrics.NewSet()
	}
	return &meters{set: set,
		partials:  set.NewCounter("nines_aggregate_partials_total"),
		samples:   set.NewCounter("nines_aggregate_samples_total"),
		frames:    set.NewCounter("nines_aggregate_frames_total"),
		repeats:   set.NewCounter("nines_aggregate_repeated_frames_total"),
		gaps:      set.NewCounter("nines_aggregate_gaps_total"),
		gapFrames: set.NewCounter("nines_aggregate_gap_frames_total"),
		unplaced:  set.NewCounter("nines_aggregate_unplaced_total"),

		foreignRecords: set.NewCounter("nines_aggregate_foreign_records_total"),
		foreignSamples: set.NewCounter("nines_aggregate_foreign_samples_total"),
		foreignRepeats: set.NewCounter("nines_aggregate_foreign_repeated_samples_total"),
		foreignLate:    set.NewCounter("nines_aggregate_foreign_late_samples_total"),
	}
}

func (m *meters) count(p *wire.Partial) {
	m.partials.Inc()
	for i := range p.Agents {
		m.samples.Add(int(p.Agents[i].Samples))
		m.frames.Add(int(p.Agents[i].Frames))
		m.repeats.Add(int(p.Agents[i].Repeats))
	}
	m.gaps.Add(len(p.Gaps))
	for i := range p.Gaps {
		g := &p.Gaps[i]
		if g.Reason == wire.ReasonSequence {
			m.gapFrames.Add(int(g.LastSeq - g.FirstSeq + 1))
		}
		if why, ok := refusedFor(g.Reason); ok {
			word, _, _ := strings.Cut(why, ":")
			m.set.GetOrCreateCounter(fmt.Sprintf("nines_aggregate_refused_histograms_total{reason=%q}", word)).Inc()
		}
	}
	m.unplaced.Add(len(p.Unplaced))
}

func (m *meters) foreign(seen ForeignSeen) {
	m.foreignRecords.Add(int(seen.Records))
	m.foreignSamples.Add(int(seen.Samples))
	m.foreignRepeats.Add(int(seen.Repeats))
	m.foreignLate.Add(int(seen.Late))
}

func (m *meters) dead(reason string) {
	m.set.GetOrCreateCounter(fmt.Sprintf("nines_aggregate_dead_letters_total{reason=%q}", reason)).Inc()
}
